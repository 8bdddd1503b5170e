"""`hpcfl plot`: every kind to every format, the same bytes again, and mistakes in one message."""

import re
import subprocess
import sys

import h5py
import pytest

import hpcfl.plots
from hpcfl.cli import main
from hpcfl.plotting import KINDS

BEGINS = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}


def fails(*words):
    with pytest.raises(SystemExit) as ending:
        main(["plot", *map(str, words)])
    return ending.value.code


def test_kinds_are_the_functions_of_the_package():
    assert set(KINDS) == set(hpcfl.plots.__all__) - {"paint"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(real_path, tmp_path, capsys, kind):
    out = tmp_path / f"figures/{kind}.png"
    main(["plot", kind, str(real_path), "-o", str(out)])
    assert out.read_bytes().startswith(BEGINS["png"])
    assert capsys.readouterr().out == f"{out}\n"


@pytest.mark.parametrize("ending", BEGINS)
def test_the_same_files_give_the_same_bytes(real_path, tmp_path, ending):
    for name in "ab":
        main(["plot", "gantt", str(real_path), "-o", str(tmp_path / f"{name}.{ending}"), "--by", "rank"])
    first = (tmp_path / f"a.{ending}").read_bytes()
    assert first.startswith(BEGINS[ending])
    assert first == (tmp_path / f"b.{ending}").read_bytes()


def test_inches_and_text_in_svg(real_path, tmp_path):
    main(["plot", "accuracy", str(real_path), "-o", str(tmp_path / "a.svg"), "--width", "7", "--height", "3"])
    text = (tmp_path / "a.svg").read_text()
    assert 'width="504pt" height="216pt"' in text
    assert "test accuracy [%]" in text


def test_rows_are_as_high_as_their_names(real_path, tmp_path):
    heights = []
    for name in ("short", "a name of a series that takes five lines of the twenty letters that each has in a figure"):
        main(["plot", "study", str(real_path), "--label", name, "-o", str(tmp_path / "a.svg")])
        heights.append(float(re.search(r'height="([0-9.]+)pt"', (tmp_path / "a.svg").read_text())[1]))
    assert heights[0] == pytest.approx(1.5 * 72)
    assert heights[1] > heights[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pie", "{run}"), "'pie' is not one of 'accuracy', 'loss', 'clients'"),
        (("accuracy",), "Missing argument 'FILES...'"),
        (("accuracy", "{run}", "--by", "rank"), "--by is not for accuracy; it takes --over, --label"),
        (("gantt", "{run}", "--label", "x"), "--label is not for gantt; it takes --by, --rounds"),
        (("gantt", "{run}", "{run}"), "gantt draws one file, 2 are given"),
        (("gantt", "{run}", "--rounds", "5-2"), "--rounds 5-2: should be A-B, say 1-20"),
        (("gantt", "{run}", "--rounds", "50-60"), "has no jobs in rounds 50 to 60; it has 1 to 6"),
        (("accuracy", "{run}", "-o", "a.jpg"), "--out a.jpg: should end in .pdf, .png, .svg"),
        (("accuracy", "{run}", "-o", "other.h5/a.pdf"), "cannot write other.h5/a.pdf: other.h5 is not a folder"),
        (("accuracy", "{run}", "--label", "a", "--label", "b"), "--label: given 2 times for 1 series"),
        (("accuracy", "nope.h5"), "there is no file nope.h5"),
        (("accuracy", "{other}"), "not a result file of hpcfl"),
    ],
)
def test_mistakes_are_one_message(real_path, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    h5py.File("other.h5", "w").close()
    assert fails(*(word.format(run=real_path, other="other.h5") for word in words)) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_only_the_confusion_matrix_needs_torch(real_path, tmp_path):
    program = (
        "import sys; from hpcfl.cli import main; main(sys.argv[1:]); print({'torch', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, "plot", "accuracy", real_path, "-o", tmp_path / "a.pdf"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_without_matplotlib_it_says_what_to_install(real_path, capsys, monkeypatch):
    monkeypatch.setattr("hpcfl.plotting.find_spec", lambda name: None)
    assert fails("accuracy", real_path) == 2
    assert "pip install 'hpcfl[plot]'" in capsys.readouterr().err
