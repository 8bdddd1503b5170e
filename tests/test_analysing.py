"""The commands about result files: what they print, and how they end."""

import json

import h5py
import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, write_steps

from hpcfl.cli import main
from hpcfl.results import Writer


@pytest.fixture
def hpcfl(capsys, tmp_path, monkeypatch):
    """Call a command in tmp_path: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        try:
            main(list(arguments))
            code = 0
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return called


@pytest.fixture(autouse=True)
def files(tmp_path):
    """a.h5 and b.h5 are the same, c.h5 ended before, and the others can be read by none."""
    for name, steps in (("a", 3), ("b", 3), ("c", 2), ("none", 0)):
        with Writer(tmp_path / f"{name}.h5") as writer:
            writer.start("", JOB, ENVIRONMENT, CLIENTS)
            write_steps(writer, 1, steps)
            writer.finish()
    (tmp_path / "text.h5").write_text("accuracy\n")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:-9])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["rounds/step"] = [1]


def test_verify_ends_as_diff_does(hpcfl):
    assert hpcfl("verify", "a.h5", "b.h5") == (
        0, "a.h5 and b.h5 are the same bits: 3 rounds, 6 updates, no model that both have kept\n", "",
    )  # fmt: skip
    code, out, _ = hpcfl("verify", "a.h5", "c.h5")
    assert code == 1
    assert "the same bits as far as both go: 3 and 2 rounds, 6 and 4 updates" in out


UNREADABLE = {
    "text.h5": "is not an HDF5 file",
    "other.h5": "not a result file of hpcfl",
    "none.h5": "has no rounds",
    "cut.h5": "is truncated, its end is missing",
    "nope.h5": "there is no file",
}


@pytest.mark.parametrize("file", UNREADABLE)
@pytest.mark.parametrize("command", [("show",), ("export",), ("verify", "a.h5")], ids=lambda command: command[0])
def test_a_file_that_cannot_be_read_is_one_message(hpcfl, command, file):
    code, out, err = hpcfl(*command, file)
    assert (code, out) == (2, "")
    assert err.startswith("hpcfl: error: ") and UNREADABLE[file] in err
    assert err.count("\n") == 1


def test_export_writes_by_the_ending_of_the_name(hpcfl, tmp_path):
    assert hpcfl("export", "a.h5")[1].startswith("step,time,wall,accuracy,")
    assert hpcfl("export", "[ab].h5", "--table", "events", "-o", "x.csv") == (0, "", "")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[0].startswith("run,step,client,") and len(lines) == 13
    assert hpcfl("export", "a.h5", "-o", "x.json")[0] == 0
    assert json.loads((tmp_path / "x.json").read_text())["job"] == JOB
    code, _, err = hpcfl("export", "a.h5", "-o", "x.xls")
    assert code == 2 and "x.xls: ends with none of .csv, .json, .parquet" in err


def test_repair_saves_into_a_file_beside(hpcfl):
    code, out, _ = hpcfl("repair", "cut.h5")
    assert code == 0 and out.startswith("cut.repaired.h5: 3 rounds, 6 updates, no model\n")
    assert hpcfl("verify", "a.h5", "cut.repaired.h5")[0] == 0
    assert hpcfl("repair", "cut.h5")[0] == 2
    assert hpcfl("repair", "a.h5") == (0, "a.h5 is whole: there is nothing to repair\n", "")
    code, _, err = hpcfl("repair", "none.h5")
    assert code == 2 and err == "hpcfl: error: nothing can be saved of none.h5: no round in it is whole\n"
