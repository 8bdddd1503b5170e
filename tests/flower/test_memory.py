"""What a strategy keeps in its attributes goes into the state and comes back; a run goes on to the same bits."""

from dataclasses import replace
from functools import partial

import cast
import numpy as np
import pytest
import torch
from rounds_of import JOB, make_rounds, parts_of

from hpcfl import engine
from hpcfl.checkpoint.keeper import Standing
from hpcfl.clock import VirtualClock
from hpcfl.errors import JobError
from hpcfl.flower import Parameters
from hpcfl.flower.evaluation import Evaluation
from hpcfl.flower.memory import KEY, lacking, recall, remember
from hpcfl.rank import build_pool
from hpcfl.schema import JobSpec
from hpcfl.transport.group import Solo

KEPT = {
    "number": 3, "rate": 0.1, "nan": float("nan"), "infinite": -float("inf"), "yes": True, "none": None, "text": "così",
    "raw": b"\x00\x01\xff", "empty": b"", "array": np.arange(6.0).reshape(2, 3).T, "scalar": np.float32(0.1),
    "whole": np.int64(2**53 + 1), "zero": np.array(1.5), "tensor": torch.arange(3), "list": [1, (2, np.ones(2))],
    "dict": {"a": np.zeros(1), 3: [None]}, "model": Parameters([np.ones(2), np.zeros((0, 3))]),
}  # fmt: skip


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, Parameters):
        return same(one.tensors, other.tensors)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray | np.generic):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other or one != one


@pytest.mark.parametrize("name", KEPT)
def test_attributes_come_back(name):
    before, after = cast.Mean(), cast.Mean()
    before.kept, before.inner, before.function = KEPT[name], cast.Summed({"lr": 1}), len
    before.inner.deep, after.inner, after.function = KEPT[name], cast.Summed(), max
    recall(after, remember(before))
    assert same(before.kept, after.kept)
    assert same(before.inner.deep, after.inner.deep)
    assert after.inner.config == {"lr": 1}
    assert after.function is max  # as built


@pytest.mark.parametrize("function", [np.mean, np.add, torch.mean, dict, str.join, {}.get, partial(max, 1)])
def test_functions_and_classes_are_as_built(function):
    before, after = cast.Mean(), cast.Mean()
    before.function, after.function = len, function
    recall(after, remember(before))
    assert after.function is function
    assert not lacking(remember(after))


def test_arrays_are_not_copied():
    strategy = cast.Mean()
    strategy.kept = np.zeros(3)
    state = remember(strategy)
    strategy.kept[:] = 1
    assert state[f"{KEY}.0"].sum() == 3


@pytest.mark.parametrize("value", [object(), {1, 2}, [len], np.array(["a"]), {"a": [iter(())]}, torch.nn.ReLU()])
def test_what_cannot_be_kept_is_told_by_its_name(value):
    strategy = cast.Mean()
    strategy.odd = value
    assert lacking(remember(strategy))
    if not isinstance(value, np.ndarray):
        assert lacking(remember(strategy)).startswith("Mean.odd")
    with pytest.raises(JobError, match=r"checkpoint\.resume: the checkpoint has not all that the strategy knew"):
        recall(cast.Mean(), remember(strategy))


def test_a_job_that_asks_for_checkpoints_is_refused_where_they_cannot_be():
    with pytest.raises(JobError, match=r"checkpoint: Odd\.odd is a object, which a checkpoint cannot hold; leave"):
        parts_of(strategy="cast.Odd", checkpoint={"every": 1})
    parts_of(strategy="cast.Odd")
    with pytest.raises(JobError, match=r"checkpoint: Grows\.odd is a Linear, which a checkpoint cannot hold; leave"):
        make_rounds(strategy="cast.Grows", checkpoint={"every": 1})
    with pytest.raises(JobError, match=r"checkpoint: client\.app = 'cast\.made'"):
        parts_of(strategy="cast.Mean", client={"app": "cast.made"}, checkpoint={"resume": "auto"})


def test_a_run_that_goes_on_makes_the_same_bits():
    changes = {"strategy": "cast.Momentum", "client": {"device": {"dropout": 0.3}, "test_size": 0.2, "batch_size": 20}}
    whole, half = make_rounds(rounds=4, **changes), make_rounds(rounds=2, **changes)
    state = {name: tensor.clone() for name, tensor in half.state.items()}
    parts = parts_of(rounds=4, **changes)
    pool, notes = build_pool(JobSpec.parse({**JOB, "rounds": 4, **changes}, "job.toml"), parts, Solo()), []
    steps = parts.schedule(replace(parts.world, first=2), VirtualClock(since=half.steps[-1][0].time))
    times = []
    end = engine.run(
        parts.world, parts.strategy, steps, pool, lambda step, *_: times.append(step.time), 1,
        Evaluation(parts.strategy, parts.world, pool, notes.extend, lambda *_: None), at=Standing(state),
    )  # fmt: skip
    assert torch.equal(end["w"], whole.w)
    assert times == [step.time for step, _ in whole.steps[2:]]
    assert str(notes) == str([row for row in whole.notes if row["step"] > 2])  # NaN is not NaN, but reads like it
