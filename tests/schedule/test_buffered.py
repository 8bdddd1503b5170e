"""Asynchronous training: every knob, by hand."""

import pytest
from scenario import clients, lost, run, told, world

from hpcfl.clock import VirtualClock
from hpcfl.errors import JobError, TrainingError
from hpcfl.schedule import Buffered, Synchronous


def test_every_update_is_a_step():
    steps = run(Buffered(), world([1, 2.5], rounds=4))
    assert told(steps) == [
        (0, 0.0, [], [0, 1]),
        (1, 1.0, [0], [0]),
        (2, 2.0, [0], [0]),
        (3, 2.5, [1], [1]),
        (4, 3.0, [0], []),
    ]
    assert [step.staleness(job) for step in steps for job in step.done] == [0, 0, 2, 1]


def test_ties_go_to_the_lower_client():
    steps = run(Buffered(schedule_delay=0), world([1, 1, 1], rounds=4))
    assert told(steps) == [
        (0, 0.0, [], [0, 1, 2]),
        (1, 1.0, [0], []),  # two more wait: nobody is chosen before they are combined
        (2, 1.0, [1], []),
        (3, 1.0, [2], [0, 1, 2]),
        (4, 2.0, [0], []),
    ]
    eager = run(Buffered(), world([1, 1, 1], rounds=4))
    assert told(eager)[1:4] == [(1, 1.0, [0], [0, 1, 2]), (2, 1.0, [1], []), (3, 1.0, [2], [])]


def test_a_buffer_of_m():
    steps = run(Buffered(num_generator=2), world([1, 2, 5], rounds=4))
    assert told(steps) == [
        (0, 0.0, [], [0, 1, 2]),
        (1, 2.0, [0, 1], [0, 1]),
        (2, 4.0, [0, 1], [0, 1]),
        (3, 5.0, [0, 2], [0, 2]),
        (4, 6.0, [0, 1], []),
    ]


def test_a_buffer_of_everybody_is_synchronous():
    there = world([3, 1, 2], rounds=6)
    assert run(Buffered(num_generator=3), there) == run(Synchronous(), there)


class Growing:
    """1, 2, 3, ... updates."""

    def __init__(self, start=1):
        self.start = start

    def init(self):
        self.number = self.start - 1

    def get_num(self):
        self.number += 1
        return self.number


def test_numbers_of_updates_from_an_object():
    schedule = Buffered(num_generator=Growing())
    for _ in range(2):  # init() begins anew
        assert [len(step.done) for step in run(schedule, world([1, 1.5, 4], rounds=3)) if step.done] == [1, 2, 3]
    with pytest.raises(JobError, match="schedule.num_generator = 4: a buffer larger than the 3 clients in flight"):
        run(schedule, world([1, 1.5, 4], rounds=4))
    with pytest.raises(JobError, match=r"get_num\(\) gave 0; should be a whole number"):
        next(Buffered(num_generator=Growing(0))(world([1]), None))


@pytest.mark.parametrize("number", [0, -1, True, 1.5, None, Growing])
def test_what_is_no_number_of_updates(number):
    with pytest.raises((JobError, TypeError), match="num_generator|missing"):
        run(Buffered(num_generator=number), world([1]))


def test_a_share_of_the_idle_is_chosen():
    steps = run(Buffered(c_ratio=0.4), world([10] * 10, rounds=1))
    assert [len(step.start) for step in steps] == [4, 0]
    steps = run(Buffered(c_ratio=0.4, num_generator=4), world([10] * 10, rounds=3))
    assert [len(step.start) for step in steps] == [4, 4, 4, 0]
    steps = run(Buffered(c_ratio=0.5), world([1 + k / 100 for k in range(8)], rounds=3))
    assert [len(step.start) for step in steps] == [4, 2, 2, 0]  # half of 8, of 4 + 1 (round half to even), of 3 + 1


def test_full_chooses_all_that_are_idle():
    steps = run(Buffered(choose="full", c_ratio=0.1, num_generator=2), world([1, 2, 3, 9], rounds=2))
    assert told(steps) == [(0, 0.0, [], [0, 1, 2, 3]), (1, 2.0, [0, 1], [0, 1]), (2, 3.0, [0, 2], [])]


def test_round_robin_takes_turns_and_passes_over_the_busy():
    steps = run(Buffered(choose="round_robin", c_ratio=0.4), world([1, 6, 1, 1, 1], rounds=5))
    assert told(steps) == [
        (0, 0.0, [], [0, 1]),
        (1, 1.0, [0], [2, 3]),  # round(0.4 * 4) of 0, 2, 3, 4, from client 2 on
        (2, 2.0, [2], [0, 4]),  # 3 has just ended too
        (3, 2.0, [3], [2]),  # round(0.4 * 2) of 2 and 3
        (4, 3.0, [0], [3, 4]),
        (5, 3.0, [2], []),
    ]


def test_without_choosing_each_client_pulls_the_newest_model_itself():
    steps = run(Buffered(choose="no", acquire_model_delay=0.5), world([1, 2], rounds=4))
    assert told(steps) == [
        (0, 0.0, [], [0, 1]),
        (1, 1.0, [0], []),
        (1, 1.5, [], [0]),
        (2, 2.0, [1], []),
        (3, 2.5, [0], [1]),  # ties: the step comes before the pull
        (3, 3.0, [], [0]),
        (4, 4.0, [0], []),
    ]
    assert [job.version for step in steps for job in step.start] == [0, 0, 1, 3, 3]


def test_whoever_uploads_pulls_after_all_steps_of_the_moment():
    steps = run(Buffered(choose="no"), world([1, 1, 3], rounds=4))
    assert told(steps) == [
        (0, 0.0, [], [0, 1, 2]),
        (1, 1.0, [0], []),
        (2, 1.0, [1], [0, 1]),
        (3, 2.0, [0], []),
        (4, 2.0, [1], []),
    ]
    steps = run(Buffered(choose="no", num_generator=2), world([1, 2, 2], rounds=3))
    assert told(steps)[1:] == [
        (0, 1.0, [], [0]),  # the buffer is not full: client 0 trains on from the model it had
        (1, 2.0, [0, 0], []),
        (2, 2.0, [1, 2], [0, 1, 2]),
        (2, 3.0, [], [0]),
        (3, 4.0, [0, 0], []),
    ]
    visits = [job.visit for step in steps for job in step.start if job.client == 0 and job.version == 0]
    assert visits == [0, 1]


def test_clients_chosen_once_are_the_only_ones():
    steps = run(Buffered(choose="no", c_ratio=0.5), world([1, 2, 3, 4, 5, 6], rounds=30))
    chosen = clients(steps[0].start)
    assert len(chosen) == 3
    assert {job.client for step in steps for job in step.done} == set(chosen)


def test_clients_are_chosen_every_few_steps():
    steps = run(Buffered(schedule_interval=2), world([1, 2.5, 4.5], rounds=5))
    assert told(steps) == [
        (0, 0.0, [], [0, 1, 2]),
        (1, 1.0, [0], []),
        (2, 2.5, [1], [0, 1]),
        (3, 3.5, [0], []),
        (4, 4.5, [2], [0, 2]),
        (5, 5.0, [1], []),
    ]


def test_with_nobody_at_work_clients_are_chosen_anyway():
    steps = run(Buffered(schedule_interval=9, c_ratio=0.5), world([1, 1], rounds=3))
    assert [(step.index, step.time, len(step.done), len(step.start)) for step in steps] == [
        (0, 0.0, 0, 1),
        (1, 1.0, 1, 0),
        (1, 1.0, 0, 1),
        (2, 2.0, 1, 0),
        (2, 2.0, 0, 1),
        (3, 3.0, 1, 0),
    ]


@pytest.mark.parametrize("number", [1, 3])
def test_as_many_as_said_are_kept_in_flight(number):
    clock, steps = VirtualClock(), []
    for step in Buffered(in_flight=5, num_generator=number)(
        world([(2 + k) ** 0.5 for k in range(20)], rounds=40), clock
    ):
        steps.append(step)
        assert clock.running == (5 if step.index < 40 else 4)
    assert [len(step.start) for step in steps] == [5] + [1] * (40 * number - 1) + [0]
    assert len({job.client for step in steps for job in step.start}) > 15


def test_a_client_in_flight_may_follow_itself():
    steps = run(Buffered(in_flight=1), world([1, 2, 3], rounds=60))
    assert {tuple(clients(step.start)) for step in steps[:-1]} == {(0,), (1,), (2,)}
    assert any(clients(before.start) == clients(after.start) for before, after in zip(steps, steps[1:]))
    assert steps[-1].time == sum(job.finish - job.start for step in steps for job in step.done)


def test_only_updates_of_the_current_step_are_let_in():
    steps = run(Buffered(checker="current"), world([1, 2.5], rounds=4))
    assert told(steps) == [
        (0, 0.0, [], [0, 1]),
        (1, 1.0, [0], [0]),
        (2, 2.0, [0], [0]),
        (3, 3.0, [0], [0, 1]),
        (4, 4.0, [0], []),
    ]
    assert [lost(step) for step in steps] == [[], [], [], [(1, "straggler")], []]
    assert {step.staleness(job) for step in steps for job in step.done} == {0}


def test_dropped_clients_come_back():
    steps = run(Buffered(choose="no"), world([1, 2], rounds=50, dropout=0.4))
    given_up = [pair for step in steps for pair in lost(step)]
    assert {client for client, _ in given_up} == {0, 1}
    assert {status for _, status in given_up} == {"dropped"}
    assert {job.client for job in steps[-1].done + steps[-3].done + steps[-5].done} <= {0, 1}
    with pytest.raises(TrainingError, match="200 jobs in a row brought no update"):
        run(Buffered(), world([1, 2], dropout=0.999999))


@pytest.mark.parametrize(
    "knobs, said",
    [
        ({"num_generator": 11}, "num_generator = 11: a buffer larger than the 10 clients in flight, of 10"),
        (
            {"num_generator": 5, "c_ratio": 0.4},
            "num_generator = 5: .* 4 clients in flight, of 10; .* raise schedule.c_r",
        ),
        ({"num_generator": 5, "in_flight": 4}, "num_generator = 5: .* 4 clients in flight, of 10; .* schedule.in_fli"),
        ({"num_generator": 5, "choose": "no", "c_ratio": 0.4}, "num_generator = 5: a buffer larger"),
        ({"in_flight": 11}, "schedule.in_flight = 11: more than the 10 clients"),
        ({"in_flight": 4, "choose": "full"}, 'schedule.in_flight = 4 contradicts schedule.choose = "full"'),
        ({"in_flight": 4, "schedule_interval": 2}, "in_flight = 4 contradicts schedule.schedule_interval = 2"),
    ],
)
def test_contradictions_are_told_before_anything_starts(knobs, said):
    with pytest.raises(JobError, match=said):
        Buffered(**knobs).check(world([1] * 10))
    with pytest.raises(JobError, match=said):
        next(Buffered(**knobs)(world([1] * 10), None))
