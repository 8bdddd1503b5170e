"""Sums whose bits do not depend on order or grouping."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from worlds import federation

from hpcfl import sums
from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.strategies import FedAvg
from hpcfl.sums import CHUNK, LIMIT, QUANTUM, ExactSum, FloatSum, patience
from hpcfl.transport.group import Solo

CPU = torch.device("cpu")
SHAPES = [(), (1,), (7,), (3, 5), (CHUNK - 1,), (CHUNK,), (CHUNK + 1,), (2, CHUNK)]


def draws(shape, count=9, scale=0.05, seed=0):
    numbers = np.random.default_rng(seed)
    values = [torch.from_numpy(np.asarray(numbers.normal(0, scale, shape), np.float32)) for _ in range(count)]
    examples = numbers.integers(1, 100, count)
    return values, (examples / examples.sum()).tolist()


def add_up(values, weights, order):
    total = ExactSum(tuple(values[0].shape), CPU)
    for number in order:
        total.add(values[number], weights[number])
    total.settle()
    return total


@pytest.mark.parametrize("shape", SHAPES)
def test_any_order_and_any_grouping_gives_the_same_bits(shape):
    values, weights = draws(shape)
    expected = add_up(values, weights, range(9)).total
    numbers = np.random.default_rng(1)
    for ranks in (1, 2, 3, 9):
        hands = np.array_split(numbers.permutation(9), ranks)
        parts = [add_up(values, weights, hand).total for hand in hands]
        summed = torch.stack(parts)[torch.from_numpy(numbers.permutation(ranks))].sum(0)
        assert torch.equal(summed, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_agrees_with_float64(shape):
    values, weights = draws(shape)
    mean = add_up(values, weights, range(9)).mean(1.0)
    expected = sum(weight * value.double() for value, weight in zip(values, weights))
    assert mean.dtype == torch.float32
    assert mean.shape == shape
    exact = add_up(values, weights, range(9)).total
    assert (exact - expected).abs().max() < 1e-9
    assert torch.equal(mean, exact.float())


def test_mean_divides_by_the_weights_that_came():
    total = ExactSum((3,), CPU)
    total.add(torch.tensor([1.0, -2.0, 4.0]), 0.25)
    total.add(torch.tensor([3.0, 2.0, 0.0]), 0.25)
    total.settle()
    assert total.mean(0.5).tolist() == [2.0, 0.0, 2.0]


def test_values_are_rounded_to_the_nearest_quantum():
    total = ExactSum((5,), CPU)
    total.add(torch.tensor([0.49, 0.51, -0.49, -0.51, 7.0], dtype=torch.float64) * QUANTUM, 1.0)
    total.settle()
    assert (total.total / QUANTUM).tolist() == [0, 1, 0, -1, 7]


@pytest.mark.parametrize("sign", [1, -1])
def test_values_up_to_the_limit_are_exact(sign):
    below = float(np.nextafter(np.float32(LIMIT), np.float32(0)))
    for value in (below, LIMIT / 2, 1.0, QUANTUM):
        total = ExactSum((1,), CPU)
        total.add(torch.tensor([sign * value]), 1.0)
        total.settle()
        assert total.mean(1.0).item() == sign * value


def test_what_is_added_is_not_changed_and_may_be_any_view():
    value = torch.arange(12.0).view(3, 4)
    total = ExactSum((4, 3), CPU)
    total.add(value.t(), 0.5)
    total.add(value.t().double(), 0.5)
    total.settle()
    assert torch.equal(total.mean(1.0), value.t())
    assert torch.equal(value, torch.arange(12.0).view(3, 4))


def test_thousands_of_terms_do_not_overflow():
    total = ExactSum((2,), CPU)
    for _ in range(5000):
        total.add(torch.tensor([1.0, -8.0]), 1 / 8)
    total.settle()
    assert total.mean(5000 / 8).tolist() == [1.0, -8.0]


def test_a_rank_without_clients_adds_nothing():
    total = ExactSum((2,), CPU)
    total.settle()
    assert total.total.tolist() == [0, 0]


@pytest.mark.parametrize("kind", [ExactSum, FloatSum])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (CHUNK + 1,)])
def test_a_stack_is_added_as_its_rows_are(kind, shape):
    values, weights = draws(shape)
    expected, found = kind(shape, CPU), kind(shape, CPU)
    for value, weight in zip(values, weights):
        expected.add(value, weight)
    found.add(values[0], weights[0])
    found.add_stack(torch.stack(values[1:4]), weights[1:4])
    found.add_stack(torch.stack(values[4:]), weights[4:])
    assert (found.mean(1.0) - expected.mean(1.0)).abs().max() < 1e-7
    if kind is ExactSum:
        assert (found.total - expected.total).abs().max() <= QUANTUM  # rounded twice at most


@pytest.mark.parametrize("kind", [ExactSum, FloatSum])
def test_a_cleared_sum_begins_anew(kind):
    total = kind((2,), CPU)
    total.add(torch.tensor([1.0, 2.0]), 0.5)
    total.clear()
    total.settle()
    assert total.mean(1.0).tolist() == [0.0, 0.0]
    total.clear()
    total.add_stack(torch.tensor([[4.0, 2.0], [0.0, 2.0]]), [0.5, 0.25])
    total.settle()
    assert total.mean(0.5).tolist() == [4.0, 3.0]


def test_large_values_that_wait_for_one_another_have_the_same_bits(monkeypatch):
    values, weights = draws((2, CHUNK), count=6)
    expected = add_up(values, weights, range(6)).total
    monkeypatch.setattr(sums, "LARGE", range(1, 1 << 30))
    assert patience(2 * CHUNK, CPU) == 4
    assert torch.equal(add_up(values, weights, range(6)).total, expected)
    total = ExactSum((2, CHUNK), CPU)
    total.add(values[0], weights[0])
    total.clear()
    for number in range(1, 6):
        total.add(values[number], weights[number])
    total.settle()
    assert torch.equal(total.total, add_up(values, weights, range(1, 6)).total)


def test_uploads_stay_as_they_are_while_a_sum_may_wait_for_them(monkeypatch):
    expected = federation(sizes=(6, 4, 9, 5, 1, 13)).collect().mean("w")
    monkeypatch.setattr(sums, "LARGE", range(1, 1 << 30))
    assert torch.equal(federation(sizes=(6, 4, 9, 5, 1, 13)).collect().mean("w"), expected)


@dataclass(frozen=True)
class Part(FedAvg):
    """Averages the beginning of the model, as a view of the work space."""

    uploads: ClassVar[dict[str, str]] = {"part": "examples"}

    def local(self, fit, sent, client):
        return {"part": fit(sent["w"])[:5]}


def mean_part():
    parts = federation(sizes=(6, 4, 9, 5, 1, 13), strategy=Part())
    jobs, w = tuple(parts.jobs()), parts.world.initial
    pool = Collective(Solo(), parts.trainer, parts.world, True)
    pool.submit(jobs, lambda client: {"w": w, "part": w[:5]})
    return pool.collect(Step(1, 0.0, jobs, ())).mean("part")


def test_parts_of_models_that_are_too_large_to_wait_are_added_at_once(monkeypatch):
    expected = mean_part()
    monkeypatch.setattr(sums, "LARGE", range(1, 6))  # the part is in it, the model is beyond
    assert torch.equal(mean_part(), expected)


@pytest.mark.parametrize("kind", [ExactSum, FloatSum])
def test_whole_numbers_can_be_averaged(kind):
    total = kind((), CPU)
    total.add(torch.tensor(3), 0.5)
    total.add(torch.tensor(4), 0.5)
    total.settle()
    assert total.mean(1.0).item() == 3.5


@pytest.mark.parametrize("shape", SHAPES)
def test_float_sum_is_the_same_mean_less_exactly(shape):
    values, weights = draws(shape)
    total = FloatSum(shape, CPU)
    for value, weight in zip(values, weights):
        total.add(value, weight)
    total.settle()
    assert total.mean(1.0).shape == shape
    assert torch.allclose(total.mean(1.0), add_up(values, weights, range(9)).mean(1.0), atol=1e-7)
    assert torch.allclose(total.mean(0.5), 2 * total.mean(1.0))
