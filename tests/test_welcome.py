"""What a process that joins is told, and why it is refused: with the job's real parts, without ranks."""

import socket
from types import SimpleNamespace

import pytest
import torch

from hpcfl import build
from hpcfl.errors import JobError, LaunchError
from hpcfl.jobfile import read
from hpcfl.joining import heard, make, understand
from hpcfl.launch import Placement
from hpcfl.survival import require_roaming
from hpcfl.transport.door import Address, say
from hpcfl.welcome import SAME, credentials, doorway, unlike, versions

LIMIT_S = 20
JOB = """
rounds = 1
data = "digits"
model = "mlp"
[server]
on_rank_failure = "continue"
joinable = true
"""


@pytest.fixture
def job(tmp_path):
    (tmp_path / "job.toml").write_text(JOB)
    return read(str(tmp_path / "job.toml"))


@pytest.fixture
def run(job, tmp_path):
    """(its parts on rank 0, who was let in, what was said, its doorway)."""
    parts = build.assemble(job, torch.device("cpu"), trains=False, serves=True)
    admitted, said = [], []
    transport = SimpleNamespace(
        size=2, address=("127.0.0.1", 1), admit=lambda line, *given: (admitted.append(given), say(line, refused=""))
    )
    return parts, admitted, said, doorway(job, parts, transport, tmp_path / "run.h5", said.append, True)


def knock(file, **changed):
    """(a connection on which the secret and the versions were said, where it leads)."""
    where = Address.parse(str(file))
    line = socket.create_connection((where.host, where.port), LIMIT_S)
    say(line, secret=where.secret)
    say(line, versions={**versions(), **changed})
    return line, where


def test_a_process_that_builds_the_same_is_let_in_and_the_address_goes_with_the_run(job, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts, admitted, said, open_door = run
    with open_door:
        assert said == [f"more ranks may join: hpcfl join {tmp_path / 'run.h5.join'}"]
        line, where = knock(tmp_path / "run.h5.join")
        told = heard(line, where)
        found = understand(told)
        assert (found.digest, found.text, found.folder) == (job.digest, JOB, tmp_path)
        mine = make(found, Placement(), told)
        assert credentials(found, mine) == credentials(job, parts)
        say(line, credentials=credentials(found, mine), process=5, place="here", host="n4")
        heard(line, where)
    assert admitted == [(5, "here", "n4", True)]
    assert list(tmp_path.glob("*.join")) == []


@pytest.mark.parametrize("changed", [{"hpcfl": "0.0"}, {"torch": "1.0", "numpy": "1.0"}])
def test_other_versions_are_refused_before_the_job_is_told(run, tmp_path, changed):
    with run[-1]:
        with pytest.raises(LaunchError) as refusal:
            heard(*knock(tmp_path / "run.h5.join", **changed))
        for name, theirs in changed.items():
            assert f"has {name} {theirs}, the run {versions()[name]}" in str(refusal.value)
    assert run[1] == []


@pytest.mark.parametrize(("name", "reason"), [(SAME, f"has another {SAME}"), ("device", "has device x, the run cpu")])
def test_another_job_data_or_device_is_refused(job, run, tmp_path, name, reason):
    with run[-1]:
        line, where = knock(tmp_path / "run.h5.join")
        heard(line, where)
        say(line, credentials={**credentials(job, run[0]), name: "x"}, process=5, place="", host="n4")
        with pytest.raises(LaunchError, match=reason):
            heard(line, where)
    assert run[1] == []


def test_what_is_alike_has_no_reason():
    assert unlike(versions(), versions()) == ""
    assert unlike({"a": "1"}, {}) == "this process has a None, the run 1; it needs what the run has"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["server.on_rank_failure='stop'"], "joinable = true needs on_rank_failure = "),
        (["strategy='ditto'", "checkpoint.every=1"], "strategy = 'ditto' keeps state with each client"),
    ],
)
def test_jobs_that_nobody_can_join_say_why(tmp_path, changes, message):
    (tmp_path / "job.toml").write_text(JOB)
    with pytest.raises(JobError, match=message):
        found = read(str(tmp_path / "job.toml"), changes)
        require_roaming(found.spec, build.build_strategy(found.spec))
