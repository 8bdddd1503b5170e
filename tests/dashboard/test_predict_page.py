"""A picture in, probabilities out; and what is no picture is refused."""

import io
import struct
import zlib
from base64 import b64encode
from types import SimpleNamespace

import numpy as np
import pytest
from launcher import Launcher
from PIL import Image

from hpcfl.analysis.predictions import _test_only, rebuild
from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.judge import MOST_WAITING, Judge
from hpcfl.dashboard.judging import answer
from hpcfl.dashboard.pictured import IMAGES
from hpcfl.dashboard.pictures import DECODING, FORMATS, MOST_BYTES, sample
from hpcfl.data.builtin import Digits
from hpcfl.data.catalog import SOURCES
from hpcfl.errors import DataError
from hpcfl.results import open_results
from hpcfl.schema import JobSpec

JOB = """
rounds = 1
data = "digits"
partition = {name = "iid", clients = 2}
model = {name = "mlp", hidden = [8]}
client = {batch_size = 20, lr = 0.1}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "job.toml").write_text(JOB)
    done = Launcher(folder)(1, "run", "job.toml", "--out", "digits.h5")
    assert done.returncode == 0, done.stderr
    return folder / "digits.h5"


@pytest.fixture(scope="module")
def judge():
    """One process for all: each imports PyTorch."""
    made = Judge()
    yield made
    made.close()


@pytest.fixture
def viewer(person, app, judge, trained, results):
    (results / "digits.h5").write_bytes(trained.read_bytes())
    app.extensions["judge"] = judge
    return person("viewer")


def coded(image, form="PNG"):
    out = io.BytesIO()
    Image.fromarray(image).save(out, form)
    return out.getvalue()


def ask(viewer, content, name="digits", file="picture.png"):
    return viewer.browser.post(
        "/predict", data={"run": run_id(name), "picture": (io.BytesIO(content), file), "csrf_token": viewer.token()},
        headers={"Accept": "application/json"},
    )  # fmt: skip


def test_it_is_what_the_model_says(viewer, trained):
    image = Digits().read(None).x_test[3]
    found = ask(viewer, coded(image[0])).json
    with open_results(trained) as run:
        expected = rebuild(run).probabilities(image)
    assert {one["name"]: one["probability"] for one in found["classes"]} == dict(
        zip("0123456789", expected.astype(float).tolist())
    )
    assert [one["probability"] for one in found["classes"]] == sorted(expected.tolist(), reverse=True)
    assert found["seen"]["shape"] == [1, 8, 8]


def test_the_page_lists_models_that_take_pictures(viewer, write):
    write("text", data={"name": "shakespeare", "params": {}})
    write("half", data={"name": "digits", "params": {}}, finish=None)
    page = viewer.get("/predict").text
    assert f'value="{run_id("digits")}"' in page
    assert run_id("text") not in page
    assert run_id("half") not in page
    assert ask(viewer, coded(np.zeros((8, 8), np.uint8)), "text").status_code == 422


def bomb(width, height):
    """A PNG of so many pixels, whose file is short."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a picture"),
        (b"GIF89a", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"%PDF-1.4", "not a picture"),
        (coded(np.zeros((9, 9), np.uint8), "TIFF"), "not a picture"),
        (coded(np.zeros((99, 99, 3), np.uint8), "JPEG")[:400], "not a picture"),
        (bomb(6000, 6000), "30 million are the most"),
        (bomb(60000, 60000), "30 million are the most"),
        (bomb(100, 100), "not a picture"),
    ],
    ids=["empty", "stub", "svg", "pdf", "tiff", "half", "bomb", "huge", "short"],
)
def test_what_is_no_picture_is_refused(viewer, content, told):
    answer = ask(viewer, content)
    assert answer.status_code == 422
    assert told in answer.json["error"]


def test_what_is_too_large_is_refused_unread(viewer):
    answer = ask(viewer, bytes(MOST_BYTES + 2**15))
    assert answer.status_code == 413


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("shape", [(1, 4, 6), (3, 4, 6)])
def test_pictures_of_every_kind_are_fitted(form, shape):
    grey = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    found = sample(io.BytesIO(coded(np.stack([grey] * 3, 2), form)), shape)
    assert found.shape == shape
    assert found.dtype == np.uint8
    assert abs(int(found[0, 0, 0]) - 15) < 12  # the mean of the first four columns, as far as the form keeps it
    assert found[0, 0, 5] > found[0, 0, 0]


def test_a_file_alone_gets_no_code_run(viewer, write):
    write("strange", data={"name": "digits", "params": {}}, model={"name": "os.system", "params": {}})
    answer = ask(viewer, coded(np.zeros((8, 8), np.uint8)), "strange")
    assert answer.status_code == 422
    assert "names code by dotted path (model.name = 'os.system')" in answer.json["error"]


def test_the_process_may_die_and_take_too_long(judge, trained, monkeypatch):
    shape, labels = judge.kind(trained)
    assert (shape, labels) == ((1, 8, 8), list("0123456789"))
    judge._process.kill()
    judge._process.wait()
    with pytest.raises(DataError, match="no file|No such file"):
        judge.kind(trained.parent / "gone.h5")
    monkeypatch.setattr("hpcfl.dashboard.judge.LIMIT_S", 0.0)
    with pytest.raises(DataError, match="took too long"):
        judge.kind(trained)
    monkeypatch.undo()
    assert judge.kind(trained)[0] == shape


def test_only_few_wait_so_that_the_site_answers_others(trained):
    crowded = Judge()
    for _ in range(MOST_WAITING):
        crowded._places.acquire()
    with pytest.raises(DataError, match="try again in a moment"):
        crowded.kind(trained)


def test_datasets_of_images_are_known():
    assert set(IMAGES) <= SOURCES.keys()


def test_a_picture_with_too_many_scans_is_refused_unopened():
    out = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(out, "JPEG", progressive=True)
    begin, scan, rest = out.getvalue().rpartition(b"\xff\xda")
    assert sample(io.BytesIO(out.getvalue()), (3, 4, 4)).shape == (3, 4, 4)
    with pytest.raises(DataError, match="too many scans: 100 are the most"):
        sample(io.BytesIO(begin + 101 * (scan + rest[:-2]) + rest[-2:]), (3, 4, 4))


def test_a_picture_waits_for_others_only_so_long(monkeypatch):
    monkeypatch.setattr("hpcfl.dashboard.pictures.PATIENCE_S", 0.0)
    with DECODING, pytest.raises(DataError, match="try again in a moment"):
        sample(io.BytesIO(coded(np.zeros((8, 8), np.uint8))), (1, 4, 4))
    assert not DECODING.locked()


@pytest.mark.parametrize(
    "tag", [(0x100, 1, 1, b"\xff\0\0\0"), (0x10E, 11, 1, b"\xff" * 4), (0x11A, 1, 1, b"\xff\0\0\0")]
)
def test_a_decoder_may_fail_in_its_own_way(tag):
    """Turning a picture upright writes its EXIF anew, and trips over a tag of a strange type."""
    tags = [(0x112, 3, 1, b"\0\6\0\0"), tag]
    body = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + b"".join(struct.pack(">HHI4s", *one) for one in tags) + bytes(4)
    picture = coded(np.zeros((8, 8, 3), np.uint8), "JPEG")
    exif = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    with pytest.raises(DataError, match="not a picture"):
        sample(io.BytesIO(picture[:2] + exif + picture[2:]), (3, 4, 4))


def test_numbers_that_are_none_are_no_opinion(tmp_path):
    (tmp_path / "run.h5").touch()
    model = SimpleNamespace(shape=(1, 2, 2), probabilities=lambda image: np.array([np.nan, 1.0]))
    known = {(str(tmp_path / "run.h5"), (tmp_path / "run.h5").stat().st_mtime_ns): model}
    question = {"run": str(tmp_path / "run.h5"), "pixels": b64encode(bytes(4)).decode()}
    assert answer(question, known) == {"trouble": "The model's numbers are not finite."}


def test_a_file_alone_fetches_no_data():
    spec = JobSpec.parse({"data": {"name": "mnist", "download": True, "root": "/x"}, "rounds": 1}, "job")
    assert not _test_only(spec).data.download
