"""Contenders take turns, and their losses are compared."""

import pytest
import torch

from hpcfl.bench.race import mean_during, race, rounds_of, spread, threads, time_rounds
from hpcfl.build import assemble
from hpcfl.jobfile import packaged
from hpcfl.transport.group import Solo


class Runner:
    """Notes when it runs."""

    threads, here = 1, True

    def __init__(self, name, log):
        self.name, self.log = name, log

    def round(self, step):
        self.log.append((step, self.name))


def test_everyone_runs_every_round_and_they_take_turns_at_being_first():
    log = []
    runners = [Runner(name, log) for name in "abc"]
    seconds = time_rounds(Solo(), runners, [0, 1, 2])
    assert [name for step, name in log] == list("abcbcacab")
    assert [len(each) for each in seconds] == [3, 3, 3]


def test_someone_elsewhere_takes_no_time_here():
    runner = Runner("a", [])
    runner.here = False
    assert time_rounds(Solo(), [runner], [0]) == [[0.0]]


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "losses, apart", [([2.0, 2.0, 2.0], 0.0), ([2.0, 2.2, None], 0.1), ([2.0, 1.0, 2.2], 0.5), ([2.0], 0.0)]
)
def test_how_far_losses_are_apart(losses, apart):
    assert spread(losses) == pytest.approx(apart)


def test_what_is_sampled_while_something_runs():
    given, seen = iter([9.0, *[0.5] * 1000]), []

    def sample():
        seen.append(next(given))
        return seen[-1]

    assert mean_during(lambda: seen.append("run"), sample) == 0.5
    assert seen[:2] == [9.0, "run"]

    def unable():
        raise ModuleNotFoundError("pynvml")

    with pytest.raises(ModuleNotFoundError):
        mean_during(lambda: seen.append("never"), unable)
    assert "never" not in seen


def test_the_schedule_begins_anew_for_a_long_measurement():
    job = packaged("w2", ("rounds=3", "data.samples=80", "partition.clients=4"))
    parts = assemble(job, torch.device("cpu"), trains=True, serves=True)
    steps = rounds_of(parts, 7)
    assert [step.index for step in steps] == [1, 2, 3, 1, 2, 3, 1]
    assert all(step.done for step in steps)


def test_loops_of_another_learning_rate_are_found_out(monkeypatch):
    job = packaged("w2", ("data.samples=80", "data.test_samples=20", "partition.clients=4", "schedule.c_ratio=0.5"))
    parts = assemble(job, torch.device("cpu"), trains=True, serves=True)
    assert race("w2", job, parts, Solo(), 1)["agree"]
    from hpcfl.bench import floors

    honest = floors.Task.__init__

    def hasty(task, parts):
        honest(task, parts)
        task.lr *= 2

    monkeypatch.setattr(floors.Task, "__init__", hasty)
    assert not race("w2", job, parts, Solo(), 1)["agree"]
