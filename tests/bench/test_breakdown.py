"""The stopwatch: parts add up, inner parts count once, and it leaves everything as it was."""

import pytest
import torch

from hpcfl.bench.breakdown import OTHER, PARTS, Stopwatch, break_down, calls
from hpcfl.bench.race import Ours, rounds_of
from hpcfl.build import assemble
from hpcfl.jobfile import packaged
from hpcfl.transport.group import Solo


@pytest.fixture
def ours():
    return race("sequential")


def race(execution):
    changes = ("data.samples=80", "data.test_samples=20", "partition.clients=4", "schedule.c_ratio=0.5")
    job = packaged("w2", (*changes, f"execution={execution}"))
    return Ours("hpcfl", job, assemble(job, torch.device("cpu"), trains=True, serves=True), Solo())


class Hand(Stopwatch):
    """Every look at the clock is a second later."""

    def _now(self):
        self.time = getattr(self, "time", 0.0) + 1.0
        return self.time


def test_time_in_an_inner_part_counts_there_alone():
    watch = Hand(torch.device("cpu"))
    inner = watch.timed("loss", lambda: None)
    outer = watch.timed("forward", lambda: [inner(), inner()])
    outer()
    assert (watch.seconds["loss"], watch.seconds["forward"]) == (2.0, 3.0)
    with pytest.raises(ZeroDivisionError):
        watch.timed("reduce", lambda: 1 / 0)()
    assert watch.seconds["reduce"] == 1.0


def test_stacked_clients_have_parts_too():
    together = race("batched")
    (rank,) = break_down(together, rounds_of(together.parts, 2), 500)
    for part in ("stacked clients", "backward", "batch gather", "check, sum", "combine"):
        assert rank["seconds"][part] > 0


def test_parts_add_up_to_the_round(ours):
    (rank,) = break_down(ours, rounds_of(ours.parts, 2), 500)
    assert rank["rank"] == 0
    assert set(rank["seconds"]) == {*PARTS, OTHER}
    assert all(seconds >= 0 for seconds in rank["seconds"].values())
    for part in ("forward", "loss", "backward", "optimizer step", "batch gather", "check, sum", "combine", "evaluate"):
        assert rank["seconds"][part] > 0


def test_afterwards_nothing_is_watched(ours):
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in calls(ours)]
    recipe = ours.parts.trainer.recipe
    break_down(ours, rounds_of(ours.parts, 1), 500)
    assert ours.parts.trainer.recipe is recipe
    for owner, name, own in before:
        assert vars(owner).get(name) is own


def test_watching_changes_no_bits(ours):
    other = Ours("hpcfl", packaged("w2"), ours.parts, Solo())
    steps = rounds_of(ours.parts, 3)
    break_down(ours, steps, 500)
    for step in steps:
        other.round(step)
    assert torch.equal(ours.model(), other.model())
