"""submit, status and cancel where there is no Slurm, and their parts."""

import math
import shutil
import subprocess
from pathlib import Path

import pytest

from hpcfl.cli import main
from hpcfl.errors import JobError
from hpcfl.results import Writer
from hpcfl.results.format import ROUNDS
from hpcfl.slurm.array import indices
from hpcfl.slurm.records import Record, home, recorded, remember
from hpcfl.slurm.status import read_progress
from hpcfl.slurm.submit import fill, quote

TEMPLATES = sorted((Path(__file__).parents[2] / "slurm").glob("*.sbatch"))
CHECKERS = [["bash", "-n"], ["shellcheck", "--exclude=SC1091"]]


@pytest.fixture
def hpcfl(tmp_path, monkeypatch, capsys):
    """(exit code, stdout, stderr) of a command, in an empty folder of a machine without Slurm."""
    for name, value in {"HPCFL_HOME": tmp_path / "home", "HOME": tmp_path, "PATH": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("HPCFL_SITE", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("command", [["status"], ["cancel", "12"], ["submit", "--set", "rounds=2"]])
def test_without_slurm_it_says_so(hpcfl, command):
    code, said, complaint = hpcfl(*command)
    assert (code, said) == (2, "")
    assert "there is no Slurm here" in complaint
    assert "mpirun" in complaint


def test_a_dry_run_prints_the_script_and_leaves_nothing(hpcfl, tmp_path):
    code, said, complaint = hpcfl(
        "submit", "quickstart", "--set", "client.lr=0.05", "--array", "0-3%2", "--set", "seed=%a", "--nodes", "2",
        "--ranks-per-node", "3", "--time", "30", "--requeue", "--dry-run",
    )  # fmt: skip
    assert (code, complaint) == (0, "")
    for line in ("--array=0-3%2", "--nodes=2", "--ntasks-per-node=3", "--requeue", "--signal=USR2@120",
                 "--output=results/quickstart-%A_%a.log"):  # fmt: skip
        assert f"#SBATCH {line}\n" in said
    assert (
        'run quickstart --set checkpoint.requeue=true --set checkpoint.resume=auto --set client.lr=0.05 '
        '--set "seed=${SLURM_ARRAY_TASK_ID}" '
        '--out "results/quickstart-${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}.h5"\n'
    ) in said  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["absent.toml"], ["job file absent.toml does not exist"]),
        (["--set", "strategy=fedprocks"], ["strategy = 'fedprocks'", "fedprox"]),
        (["--set", "partition.clients=5000"], ["partition.clients = 5000", "1,437"]),
        (["--set", "model=torchvision.models.resnet18"], ["resnet18", "(1, 8, 8)"]),
        (["--out", "taken.h5"], ["taken.h5 exists and is not overwritten"]),
        (["--array", "0-3"], ["--array 0-3", "equal runs", "--set seed=%a"]),
        (["--array", "0-3", "--set", "seed=%a", "--out", "a.h5"], ["results.path = 'a.h5'", "%a"]),
        (["--array", "0-1", "--set", "rounds=%a"], ["rounds = 0"]),
        (["--array", "3-1", "--set", "seed=%a"], ["--array 3-1", "no indices"]),
        (["--site", "absent.toml"], ["--site absent.toml", "no such file"]),
        (["--nodes", "0"], ["--nodes", "0"]),
    ],
)
def test_mistakes_are_told_before_anything_is_handed_in(hpcfl, tmp_path, arguments, words):
    (tmp_path / "taken.h5").write_text("")
    code, said, complaint = hpcfl("submit", *arguments)
    assert (code, said) == (2, "")
    assert "Traceback" not in complaint
    for word in words:
        assert word in complaint
    assert [path.name for path in tmp_path.iterdir()] == ["taken.h5"]


@pytest.mark.parametrize(
    "array, found",
    [("3", [3]), ("0-3", [0, 1, 2, 3]), ("0-9:3,20%2", [0, 3, 6, 9, 20]), ("1,1-2", [1, 2])],
)
def test_indices(array, found):
    assert indices(array) == found


@pytest.mark.parametrize("array", ["", "a", "1-", "0-9%", "0-9:0", "5-1", "1;2"])
def test_what_is_no_array(array):
    with pytest.raises(JobError, match="--array"):
        indices(array)


@pytest.mark.parametrize(
    "word, shell",
    [("a b", "'a b'"), ("seed=%a", '"seed=${SLURM_ARRAY_TASK_ID}"'), ('$x"%j', '"\\$x\\"${SLURM_JOB_ID}"'),
     ("data.stage=$TMPDIR", "'data.stage=$TMPDIR'")],
)  # fmt: skip
def test_words_for_the_shell(word, shell):
    assert quote(word) == shell


def test_codes_become_numbers():
    assert fill("r/%A_%a-%j.h5", 3) == "r/0_3-0.h5"


RECORD = Record("12", "a", "/j.toml", "/r/a-%A_%a.h5", "/r/a-%A_%a.log", "0-1", "2030-01-01T00:00:00+00:00")


def test_records_come_back_and_damage_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv("HPCFL_HOME", str(tmp_path / "deep/home"))
    assert recorded() == []
    remember(RECORD)
    with (tmp_path / "deep/home/jobs.jsonl").open("a") as file:
        file.write('{"id": "13", "na\n{"id": "14", "more": 1}\n[]\n')
    remember(RECORD)
    assert recorded() == [RECORD, RECORD]


def test_where_records_lie(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert str(home({})) == "/home/ada/.local/state/hpcfl"
    assert str(home({"HPCFL_HOME": "/x"})) == "/x"


def test_an_array_has_a_file_for_each_task():
    assert {task: record.result for task, record in RECORD.tasks().items()} == {
        "12_0": "/r/a-12_0.h5",
        "12_1": "/r/a-12_1.h5",
    }


def test_progress_is_told_by_the_result_file(tmp_path):
    assert read_progress(tmp_path / "none.h5") is None
    with Writer(tmp_path / "x.h5") as writer:
        writer.start("", {"name": "x", "rounds": 10}, {}, {})
        assert read_progress(tmp_path / "x.h5") is None
        for step in (1, 2, 3):
            told = {"step": step, "wall": 2.0 * step, "accuracy": 0.5 if step == 2 else math.nan}
            writer.step({**{column.name: 0 for column in ROUNDS}, **told})
        found = read_progress(tmp_path / "x.h5")
    assert found == ("running", 3, 10, 0.5, 14.0)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
@pytest.mark.parametrize("checker", CHECKERS, ids=[checker[0] for checker in CHECKERS])
def test_templates_are_shell(template, checker):
    if not shutil.which(checker[0]):
        pytest.skip(f"no {checker[0]} here")
    done = subprocess.run([*checker, template], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
