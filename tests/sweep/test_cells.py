"""What a sweep multiplies out to, and what its cells are called."""

import pytest

from hpcfl.errors import JobError
from hpcfl.sweep.cells import expand, names, overrides

ROWS = [{"strategy": "fedavg"}, {"strategy": {"name": "fedprox", "mu": 0.1}}]


def called(grid, rows=(), job="base"):
    return names(expand(grid, list(rows)), job)


def test_every_combination_the_last_key_fastest():
    cells = expand({"strategy": {"mu": [0, 0.1]}, "seed": [0, 1]}, [])
    assert [cell.changes for cell in cells] == [{"strategy.mu": mu, "seed": seed} for mu in (0, 0.1) for seed in (0, 1)]


def test_rows_at_each_point_of_the_grid():
    cells = expand({"seed": [0, 1]}, ROWS)
    assert [cell.changes for cell in cells] == [{**row, "seed": seed} for row in ROWS for seed in (0, 1)]
    assert expand({}, []) == [({}, {})]


@pytest.mark.parametrize(
    "grid, rows, expected",
    [
        ({"strategy": {"mu": [0, 0.01]}, "seed": [1]}, [], ["base-mu0-seed1", "base-mu0.01-seed1"]),
        ({"seed": [1]}, ROWS, ["fedavg-seed1", "fedprox-mu0.1-seed1"]),
        ({"strategy": {"name": ["fedlc+fedadam"]}}, [], ["fedlc-fedadam"]),
        ({"client": {"shuffle": [True, False]}}, [], ["base-shuffle", "base-no-shuffle"]),
        ({"client": {"epochs": [1, [1, 5]]}}, [], ["base-epochs1", "base-epochs1_5"]),
        ({"client.lr": [0.1], "strategy.lr": [1]}, [], ["base-client.lr0.1-strategy.lr1"]),
        ({"seed": [0, 1]}, [{"name": "small", "rounds": 3}], ["small-seed0", "small-seed1"]),
        ({}, [{"name": "small", "rounds": 3}, {"rounds": 5}], ["small", "base-rounds5"]),
        ({"model": ["torchvision.models.resnet18", "mlp"]}, [], ["torchvision.models.resnet18", "mlp"]),
        ({}, [], ["base"]),
    ],
)
def test_names_are_made_of_what_differs(grid, rows, expected):
    assert called(grid, rows) == expected


def test_a_name_does_not_change_when_values_are_added():
    few, many = called({"seed": [0], "rounds": [1, 2]}), called({"seed": [0, 1], "rounds": [1, 2, 3]})
    assert set(few) < set(many)


def test_names_that_look_alike_or_are_long_are_told_apart():
    alike = called({"data": {"root": ["a/b", "a b"]}})
    assert len(set(alike)) == 2
    assert all(name.startswith("a-b-") for name in alike)
    assert alike[0] in called({"data": {"root": ["a/b", "a b", "c"]}})
    (long,) = called({"data": {"root": ["x" * 300]}})
    assert len(long) == 127


@pytest.mark.parametrize(
    "grid, rows, said",
    [
        ({"seed": 3}, [], "grid.seed = 3: should be a list of the values to try, say seed = [0, 1]"),
        ({"seed": []}, [], "grid.seed = []: should be a list"),
        ({"strategy": {"mu": [1]}, "strategy.mu": [2]}, [], "grid.strategy.mu: given twice, [1] and [2]"),
        ({"seed": [1]}, [{"rounds": 1}, {"seed": 2}], "cells.1.seed: the grid has seed too"),
        ({"strategy": ["fedavg"]}, [{"strategy": {"mu": 2}}], "cells.0.strategy.mu: the grid has strategy too"),
    ],
)
def test_mistakes_name_their_key(grid, rows, said):
    with pytest.raises(JobError) as caught:
        expand(grid, rows)
    assert said in str(caught.value)


def test_a_row_that_is_there_twice():
    with pytest.raises(JobError, match=r"cells 0 and 1 of the sweep are the same: seed=1"):
        called({}, [{"seed": 1}, {"seed": 1}])


def test_overrides_are_what_set_takes_whole_tables_first():
    changes = {"strategy.mu": 0.1, "strategy": {"name": "fedprox"}, "client.epochs": [1, 2], "name": 'a "b"'}
    assert overrides(changes) == [
        'strategy={name = "fedprox"}', 'name="a \\"b\\""', "strategy.mu=0.1", "client.epochs=[1, 2]",
    ]  # fmt: skip
