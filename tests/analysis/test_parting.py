"""Two runs are the same bits or not, and where they part is told: the round, the client and the tensor."""

import h5py
import numpy as np
import pytest
from small_run import CLIENTS, JOB, LAYOUT, OWNER, VECTOR, event, round_row, write_steps

from hpcfl.analysis.parting import compare, told
from hpcfl.results import Writer, open_results


def parting(a, b):
    with open_results(a) as one, open_results(b) as other:
        return compare(one, other)


def words(a, b):
    with open_results(a) as one, open_results(b) as other:
        return told(one, other)


def changed(path, steps=4, change_row=None, change_event=None, clients=CLIENTS, owner=OWNER, job=JOB, order=(0, 1)):
    """A run in which single figures can be something else."""
    with Writer(path) as writer:
        writer.start("", job, {}, clients, (), owner)
        for step in range(1, steps + 1):
            row = round_row(step) | (change_row or {}).get(step, {})
            writer.step(row, [event(step, client) | (change_event or {}).get((step, client), {}) for client in order])
    return path


def test_a_run_is_the_same_as_itself_made_again(write):
    one, other = write("a"), write("b")
    assert parting(one, other) == (None, ())
    same, lines = words(one, other)
    assert same
    assert lines == [f"{one} and {other} are the same bits: 4 rounds, 8 updates, 4 own evaluations, 1 model"]


def test_what_depends_on_the_machine_is_not_compared(tmp_path):
    speed = {"wall": 9.0, "training": 1.0, "communicating": 7.0, "aggregating": 1.0, "evaluating": 1.0, "bytes_up": 1}
    one = changed(tmp_path / "a.h5")
    other = changed(
        tmp_path / "b.h5",
        change_row={2: speed},
        change_event={(2, 0): {"rank": 7}},
        order=(1, 0),
        job=JOB | {"name": "x"},
    )
    assert parting(one, other) == (None, ())


@pytest.mark.parametrize(("clock", "step"), [("virtual", 2), ("wall", None)])
def test_times_are_compared_on_the_virtual_clock_alone(tmp_path, clock, step):
    job = JOB | {"clock": clock}
    one = changed(tmp_path / "a.h5", job=job)
    other = changed(
        tmp_path / "b.h5", job=job, change_row={2: {"time": 9.5}}, change_event={(3, 0): {"finish": 8.0, "start": 7.0}}
    )
    assert parting(one, other).step == step


CHANGES = [
    ({"change_row": {3: {"accuracy": 0.5}}}, 3, ["the round's accuracy 0.75 and 0.5"]),
    (
        {"change_row": {3: {"accuracy": 0.5}}, "change_event": {(3, 1): {"loss": 0.75}, (4, 0): {"loss": 9.0}}},
        3,
        ["1 of 2 clients: 1", "client 1's loss 0.5 and 0.75", "the round's accuracy 0.75 and 0.5"],
    ),
    (
        {"change_event": {(2, 0): {"status": "straggler"}}},
        2,
        ["1 of 2 clients: 0", "client 0's status ok and straggler"],
    ),
    ({"change_event": {(2, 0): {"client": 7}}}, 2, ["2 of 3 clients: 0, 7", "client 0's updates 1 and 0"]),
    ({"change_row": {1: {"loss": -0.0}}}, 1, ["the round's loss 1.0 and -0.0"]),
    ({"change_row": {1: {"loss": np.nan}}}, 1, ["the round's loss 1.0 and nan"]),
    ({"owner": np.array([0, 1, -1, 0, 1, 1])}, 0, ["the partition: 1 training samples; sample 4 0 and 1"]),
    ({"clients": CLIENTS | {"delay": np.array([0.0, 3.0])}}, 0, ["client 1's delay 2.5 and 3.0"]),
    (
        {"clients": CLIENTS | {"classes": np.array([[1, 2, 3], [0, 2, 2]])}},
        0,
        ["client 1's samples of label 0 4 and 0"],  # the first label is enough
    ),
    ({"clients": {"examples": np.array([6, 4, 2])}}, 0, ["clients: 2 and 3"]),
]


@pytest.mark.parametrize(("change", "step", "lines"), CHANGES)
def test_the_first_difference_is_found(tmp_path, change, step, lines):
    one, other = changed(tmp_path / "a.h5"), changed(tmp_path / "b.h5", **change)
    assert parting(one, other) == (step, tuple(lines))


def test_one_bit_of_a_float_is_a_difference_and_nan_is_none(tmp_path):
    loss = np.nextafter(1 / 3, 1)
    nan = {1: {"accuracy": np.nan}}
    one = changed(tmp_path / "a.h5", change_row=nan)
    other = changed(tmp_path / "b.h5", change_row=nan | {3: {"loss": loss}})
    assert parting(one, other) == (3, (f"the round's loss {1 / 3} and {loss}",))


def test_the_tensor_is_named(write):
    vector = VECTOR.copy()
    vector[[4, 6]] += 0.5
    one, other = write("a"), write("b", vector=vector)
    line = "tensor bn.weight: 2 of 3 numbers, by at most 0.5, of the global model after round 4"
    assert parting(one, other) == (4, (line,))


def test_a_model_that_was_kept_later_is_told_too(write):
    one, other = write("a"), write("b", vector=VECTOR + 1, client={"loss": 0.25})
    step, lines = parting(one, other)
    assert step == 1
    assert lines[:2] == ("1 of 2 clients: 0", "client 0's loss 0.5 and 0.25")
    assert lines[2] == "tensor bn.weight: 3 of 3 numbers, by at most 1, of the global model after round 4"
    assert len(lines) == 2 + len(LAYOUT) - 1  # the constant is the same


def test_own_models_of_clients_are_compared(tmp_path):
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path, last in zip(paths, (0.5, 0.25)):
        with Writer(path) as writer:
            writer.start("", JOB, {}, CLIENTS)
            for step in (1, 2):
                writer.step(round_row(step), [event(step, 0)])
                writer.clients(step, np.array([1.0, np.nan]), np.array([0.5, last if step == 2 else 0.5]))
    assert parting(*paths) == (2, ("own models of 1 clients: 1", "client 1's own accuracy 0.5 and 0.25"))


def test_a_run_that_came_less_far_is_the_same_as_far_as_it_goes(write):
    one, other = write("a", JOB | {"seed": 3}), write("b", JOB | {"seed": 4}, steps=2)
    same, lines = words(one, other)
    assert not same
    assert lines == [
        f"{one} and {other} are the same bits as far as both go: 4 and 2 rounds, 8 and 4 updates, "
        "4 and 2 own evaluations, no model that both have kept",
        "  the jobs: seed 3 and 4",
    ]


def test_what_differs_in_the_jobs_is_told_with_the_round(tmp_path):
    one = changed(tmp_path / "a.h5")
    other = changed(tmp_path / "b.h5", job=JOB | {"seed": 4}, change_row={2: {"train_loss": 2.0}})
    assert words(one, other)[1][1:] == ["  the round's train_loss 1.0 and 2.0", "  the jobs: seed 3 and 4"]


def test_a_run_that_goes_on_is_compared_as_far_as_it_has_come(run, tmp_path):
    path, writer = run
    write_steps(writer, 1, 3)
    same, lines = words(path, changed(tmp_path / "b.h5", owner=None))
    assert not same
    assert "the same bits as far as both go: 3 and 4 rounds" in lines[0]


def test_updates_that_are_lost_are_told(write, tmp_path):
    whole, part = write("whole"), write("part")
    with h5py.File(part, "r+") as file:  # as a repaired file may be
        rows = file.attrs["committed"]
        file.attrs["committed"] = [rows[0], rows[1] - 2, rows[2]]
    same, lines = words(whole, part)
    assert not same
    assert "as far as both go: 4 rounds, 8 and 6 updates, 4 own evaluations" in lines[0]
