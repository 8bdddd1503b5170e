"""Worlds of a few clients whose times are easy to compute by hand, and schedules told as text."""

import numpy as np

from hpcfl.clock import VirtualClock
from hpcfl.core import World
from hpcfl.devices import Devices


def world(seconds, rounds=4, seed=0, **device):
    """Clients with one local step each, which takes them this many seconds."""
    clients, nothing = len(seconds), np.zeros(len(seconds))
    devices = {"delay_s": nothing, "download_s": nothing, "upload_s": nothing, **device}
    return World(
        seed, rounds, np.ones((clients, 2), int), 2, (1, 1), Devices(seed, np.array(seconds, float), **devices)
    )  # fmt: skip


def run(schedule, world):
    """Every step on the virtual clock."""
    return list(schedule(world, VirtualClock()))


def told(steps):
    """(index, time, clients that end, clients that start) of each step."""
    return [(step.index, step.time, clients(step.done), clients(step.start)) for step in steps]


def clients(jobs):
    return [job.client for job in jobs]


def lost(step):
    return [(job.client, status) for job, status in step.lost]
