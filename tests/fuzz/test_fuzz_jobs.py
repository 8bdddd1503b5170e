"""Random valid jobs run two rounds; whatever is wrong with one is a message."""

import json
import shutil
from pathlib import Path

from cases import UNLIMITED, byte_changes, changed, share
from hypothesis import given
from hypothesis import strategies as st
from jobfiles import is_harsh, jobs, mistaken, written

pytestmark = UNLIMITED

TOGETHER = 3
CAST = Path(__file__).parents[1] / "flower" / "cast.py"
SAMPLES = Path(__file__).parents[1] / "asyncfl" / "configs"
ENCODINGS = st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"])


@share(0.04)
@given(jobs())
def test_valid_jobs_run(forge, tmp_path_factory, job):
    folder = tmp_path_factory.mktemp("job")
    (folder / "job.toml").write_text(written(job))
    shutil.copy(CAST, folder)
    kind, good = ("jobs, harsh", ("ran", "message")) if is_harsh(job) else ("jobs, valid", ("ran",))
    forge.each(kind, folder, "run_two_rounds", [("job.toml", "out.h5")], good)
    shutil.rmtree(folder)


@share(0.12, TOGETHER)
@given(
    st.lists(
        st.tuples(mistaken(), st.sampled_from(["validate", "validate", "plan"])), min_size=TOGETHER, max_size=TOGETHER
    )
)
def test_mistaken_jobs(forge, tmp_path_factory, cases):
    folder = tmp_path_factory.mktemp("job")
    for number, (job, _) in enumerate(cases):
        (folder / f"{number}.toml").write_text(written(job), "utf-8")
    forge.each("jobs, mistaken", folder, "command", [[verb, f"{n}.toml"] for n, (_, verb) in enumerate(cases)])
    shutil.rmtree(folder)


@share(0.06, TOGETHER)
@given(st.lists(st.tuples(jobs(), byte_changes(), ENCODINGS), min_size=TOGETHER, max_size=TOGETHER))
def test_damaged_texts(forge, tmp_path_factory, cases):
    folder = tmp_path_factory.mktemp("job")
    for number, (job, changes, encoding) in enumerate(cases):
        (folder / f"{number}.toml").write_bytes(changed(written(job).encode(encoding), changes))
    forge.each("jobs, texts", folder, "command", [["validate", f"{number}.toml"] for number in range(len(cases))])
    shutil.rmtree(folder)


@st.composite
def foreign(draw):
    """One of Async-FL's files, with junk in it or other bytes."""
    from jobfiles import JUNK, KEYS, at, places

    text = draw(st.sampled_from(sorted(SAMPLES.glob("*.json")))).read_text("utf-8")
    if draw(st.booleans()):
        return changed(text.encode(), draw(byte_changes()))
    table = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(table) or [()]))
        if path:
            at(table, path[:-1])[path[-1]] = draw(JUNK | st.builds(lambda key, value: {key: value}, KEYS, JUNK))
    return json.dumps(table).encode()


@share(0.06, TOGETHER)
@given(st.lists(foreign(), min_size=TOGETHER, max_size=TOGETHER))
def test_jobs_of_async_fl(forge, tmp_path_factory, cases):
    folder = tmp_path_factory.mktemp("job")
    for number, content in enumerate(cases):
        (folder / f"{number}.json").write_bytes(content)
    forge.each("jobs, Async-FL", folder, "command", [["convert", f"{number}.json"] for number in range(len(cases))])
    shutil.rmtree(folder)
