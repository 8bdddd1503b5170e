"""What is saved of a damaged file: every step that is whole, exactly, and never one that is not."""

import h5py
import numpy as np
import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, OWNER, VECTOR, event, round_row, write_steps
from test_result_crash import start_writing, whole_steps

from hpcfl.errors import ResultError
from hpcfl.results import Writer, open_results, writer
from hpcfl.results.format import ROUNDS
from hpcfl.results.repair import repair

STEPS = 60


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Write a run of several chunks, and give what becomes of its bytes under a name."""
    monkeypatch.setattr(writer, "CHUNKS", {"rounds": 8, "events": 16, "failures": 4})
    path = tmp_path / "run.h5"
    with Writer(path) as run:
        run.start("seed = 3", JOB, ENVIRONMENT, CLIENTS, ["cat", "dog", "øl"], OWNER)
        for step in range(1, STEPS + 1):
            run.clients(step, np.array([1.0, 2.0]) / step, np.array([0.5, 0.25]))
            run.step(round_row(step), [event(step, 0), event(step, 1, "failed", reason=f"no {step}")])
            if step % 20 == 0:
                run.model(step, VECTOR + step, LAYOUT)
        run.finish()

    def spoil(change, name="bad"):
        bad = tmp_path / f"{name}.h5"
        bad.write_bytes(change(path.read_bytes()))
        return bad

    return spoil


def check(path):
    """Every row that is there is what was written, and the tables of a viewer are whole. Returns the rounds."""
    with open_results(path) as run:
        steps = list(range(1, 1 + len(run.rounds["step"])))
        for name, values in run.rounds.items():
            assert values.tolist() == [round_row(step)[name] for step in steps]
        updates = run.events["step"].tolist()
        assert updates == sorted([*range(1, 1 + len(updates) // 2)] * 2)
        assert len(updates) <= 2 * len(steps)
        assert run.events["finish"].tolist() == [1.5 * step + 1 for step in updates]
        assert run.failures["reason"].tolist() == [f"no {step}" for step in range(1, 1 + len(run.failures["step"]))]
        for step in run.models:
            assert run.model(step)["fc.weight"].tolist() == [[step, step + 1], [step + 2, step + 3]]
        if run.own:
            assert run.own["step"].tolist() == list(range(1, 1 + len(run.own["step"])))
            assert run.own["loss"].tolist() == [[1 / step, 2 / step] for step in run.own["step"]]
    with h5py.File(path, "r") as file:
        for column in ROUNDS[1:]:
            assert [scale.name for scale in file["rounds"][column.name].dims[0].values()] == ["/rounds/step"]
    return len(steps)


def test_whatever_end_is_missing_the_steps_before_it_are_saved(damaged, tmp_path):
    size = len(damaged(bytes).read_bytes())
    saved = []
    for part in range(40):
        bad, out = damaged(lambda whole, part=part: whole[: size - 1 - part * size // 120]), tmp_path / f"{part}.h5"
        before = bad.read_bytes()
        try:
            repair(bad, out)
        except ResultError as error:
            assert "nothing can be saved of" in str(error)
            assert not out.exists()
            saved.append(0)
        else:
            saved.append(check(out))
        assert bad.read_bytes() == before
    assert saved[0] == STEPS
    assert saved == sorted(saved, reverse=True)
    assert len({count for count in saved if 0 < count < STEPS}) > 4
    assert not list(tmp_path.glob("*.new"))


def test_what_is_lost_is_told_and_recorded(damaged, tmp_path):
    bad = damaged(lambda whole: whole[: len(whole) * 9 // 10])
    saved, *lost = repair(bad, tmp_path / "out.h5")
    count = check(tmp_path / "out.h5")
    assert saved.startswith(f"{tmp_path}/out.h5: {count} rounds, ")
    assert lost[0] == f"lost: /rounds: {STEPS - count} of {STEPS} rows"
    with h5py.File(tmp_path / "out.h5") as file:
        assert [f"lost: {line}" for line in file.attrs["lost"].splitlines()] == lost
    with open_results(tmp_path / "out.h5") as run:
        assert (run.status, run.finished, run.job, run.job_text) == ("interrupted", False, JOB, "seed = 3")
        assert run.partition.tolist() == OWNER.tolist()
        assert run.clients["classes"].tolist() == CLIENTS["classes"].tolist()
        assert run.environment["hosts"] == ENVIRONMENT["hosts"]


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_damage_in_the_middle_is_never_a_traceback(damaged, tmp_path, place):
    def zero(whole):
        start = len(whole) * place // 100
        return whole[:start] + bytes(600) + whole[start + 600 :]

    try:
        repair(damaged(zero), tmp_path / "out.h5")
    except ResultError as error:
        assert "bad.h5" in str(error)


def test_a_whole_file_is_left_alone(damaged, tmp_path):
    whole = damaged(bytes)
    assert repair(whole, tmp_path / "out.h5") == [f"{whole} is whole: there is nothing to repair"]
    assert not (tmp_path / "out.h5").exists()


def test_a_killed_run_becomes_an_interrupted_one(tmp_path):
    path, out = tmp_path / "run.h5", tmp_path / "out.h5"
    with start_writing(path) as process:
        for _ in range(120):
            process.stdout.readline()
        process.kill()
    repair(path, out)
    assert whole_steps(out) == whole_steps(path) >= 120
    with open_results(out) as run, open_results(path) as killed:
        assert run.status == "interrupted"
        assert list(run.models) == list(killed.models)
        assert run.start_time == killed.start_time
    with h5py.File(out) as file:
        assert len(file["rounds/step"]) == file.attrs["committed"][0]


def test_a_repaired_run_can_go_on(damaged, tmp_path):
    repair(damaged(lambda whole: whole[: len(whole) * 9 // 10]), tmp_path / "out.h5")
    steps = check(tmp_path / "out.h5")
    with Writer(tmp_path / "out.h5", resumes=True) as run:
        run.resume(steps, "", JOB, ENVIRONMENT, True)
        write_steps(run, steps + 1, steps + 2)
    with open_results(tmp_path / "out.h5") as run:
        assert run.rounds["step"].tolist() == list(range(1, steps + 3))


def test_what_cannot_be_repaired_is_refused(run, tmp_path):
    path, running = run
    write_steps(running, 1, 1)
    with pytest.raises(ResultError, match="a run is writing"):
        repair(path, tmp_path / "out.h5")
    running.finish()
    running.close()
    with pytest.raises(ResultError, match="exists and is not overwritten"):
        repair(path, path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = "2.0"
    with pytest.raises(ResultError, match=r"format version 2\.0"):
        repair(path, tmp_path / "out.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ResultError, match="is not an HDF5 file"):
        repair(tmp_path / "text.h5", tmp_path / "out.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(3)
    with pytest.raises(ResultError, match="not a result file of hpcfl"):
        repair(tmp_path / "other.h5", tmp_path / "out.h5")
