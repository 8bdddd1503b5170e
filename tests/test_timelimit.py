"""How near Slurm's time limit is, and what scontrol calls the job."""

from time import time

import pytest

from hpcfl.timelimit import TimeLimit, requeue, slurm_job


@pytest.mark.parametrize(
    ("left_s", "steps", "writing_s", "near"),
    [(100, [], 0, False), (100, [10, 5], 0, False), (100, [60, 5], 0, True), (100, [10], 90, True), (10, [1], 0, True)],
)
def test_room_for_twice_the_longest_step_and_the_writing(left_s, steps, writing_s, near):
    limit = TimeLimit({"SLURM_JOB_END_TIME": str(int(time()) + left_s)}, margin_s=15)
    for seconds in steps:
        limit.took(seconds)
    limit.writing_s = writing_s
    assert limit.near is near


def test_what_a_step_took_before_the_run_was_resumed_counts():
    environ = {"SLURM_JOB_END_TIME": str(int(time()) + 100)}
    assert TimeLimit(environ, 0, step_s=60).near
    assert not TimeLimit(environ, 0).near


@pytest.mark.parametrize("environ", [{}, {"SLURM_JOB_END_TIME": "0"}, {"SLURM_JOB_END_TIME": "Unknown"}])
def test_no_limit(environ):
    assert not TimeLimit(environ, 15, step_s=1e9).near


@pytest.mark.parametrize(
    ("environ", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "7_0"),
    ],
)
def test_the_name_of_the_job(environ, job):
    assert slurm_job(environ) == job


def test_no_scontrol(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "scontrol requeue 7: " in requeue("7")


def test_no_squeue(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not TimeLimit({"SLURM_JOB_ID": "7"}, 15, step_s=1e9).near
