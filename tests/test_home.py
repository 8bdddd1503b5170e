"""What clients have at home: theirs alone, as it was after so many jobs."""

import pytest
import torch

from hpcfl.home import Homes

FIRST = {"w": torch.zeros(2)}


def lived(history, jobs):
    """Homes after so many jobs of client 3, each of which left its number."""
    homes = Homes(FIRST, history)
    for number in range(1, jobs + 1):
        state = homes.begin(3)
        homes.keep(3, {**state, "number": torch.tensor([float(number)])})
    return homes


def number(state):
    return state["number"].item() if "number" in state else 0


def test_a_client_finds_what_its_last_job_left():
    homes = lived(history=False, jobs=3)
    assert number(homes.begin(3)) == 3
    assert homes.begin(5) == FIRST
    assert homes.after(3, jobs=9)["w"] is FIRST["w"]


def test_a_rank_that_is_ahead_knows_how_it_was():
    homes = lived(history=True, jobs=4)
    assert [number(homes.after(3, jobs)) for jobs in (0, 1, 2, 2, 4, 9)] == [0, 1, 2, 2, 4, 4]
    assert homes.after(7, jobs=2) == FIRST


def test_what_was_asked_for_is_kept_until_something_newer_is():
    homes = lived(history=True, jobs=3)
    assert number(homes.after(3, 2)) == 2
    homes.begin(3)  # a job that failed: nothing is kept
    assert number(homes.after(3, 4)) == 3
    homes.keep(3, {"number": torch.tensor([5.0])})
    assert number(homes.after(3, 3)) == 3


def test_tensors_are_copied_and_dicts_are_not_shared():
    homes, work_space = Homes(FIRST, history=False), torch.ones(2)
    state = homes.begin(0)
    state["mine"] = work_space
    homes.keep(0, state)
    work_space.fill_(9.0)
    state["late"] = work_space
    assert homes.begin(0)["mine"].tolist() == [1.0, 1.0]
    assert homes.begin(0).keys() == {"w", "mine"}


def test_what_is_not_finite_is_not_kept():
    homes = lived(history=False, jobs=1)
    with pytest.raises(ValueError, match="non-finite values in the client's state 'c'"):
        homes.keep(3, {"c": torch.tensor([1.0, float("inf")])})
    assert number(homes.begin(3)) == 1


def test_what_a_client_has_moves_with_it():
    ahead = lived(history=True, jobs=3)
    common, own = ahead.stand([0, 0, 0, 2])[3]
    assert (common, number(own)) == (["w"], 2)
    there = Homes({"w": torch.ones(2)}, history=True)
    there.settle(3, 2, common, own)
    there.settle(4, 5)
    assert there.after(3, 2)["w"].tolist() == [1.0, 1.0]
    there.keep(3, {**there.begin(3), "number": torch.tensor([3.0])})
    assert [number(there.after(3, jobs)) for jobs in (2, 3)] == [2, 3]
    assert number(there.after(4, 5)) == 0
