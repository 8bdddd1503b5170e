"""Updates on vectors of three numbers, for the tests of the formulas."""

import numpy as np
import torch

from hpcfl.core import Cohort, Job, Update, World
from hpcfl.devices import Devices
from hpcfl.flat import Entry, Layout

W = torch.tensor([1.0, -2.0, 3.0])
LAYOUT = Layout((Entry("a.weight", (2,), 0, "parameter"), Entry("b.running_mean", (1,), 2, "buffer")), 3, 2)
"""Two numbers that are trained, and one that is only averaged."""


def world(sizes, groups=(), **model):
    """Clients with so many samples of one class."""
    counts = np.array(sizes).reshape(-1, 1)
    return World(0, 10, counts, 1, (1, 1), Devices.alike(len(sizes)), groups, **{"initial": W, **model})


def cohort(arrived, *, step=1, group=0, mean=None, means=None, **each):
    """The updates of (client, staleness, examples) at a step, with what they uploaded row by row, or its mean(s)."""
    updates = [
        Update(Job(client, step - 1 - stale, 0.0, 1.0, examples, 1, examples), 0, examples, 0.5, 0.0, stale)
        for client, stale, examples in arrived
    ]
    averaged = {} if mean is None else {"w": mean}
    means = {name: torch.tensor(value) for name, value in {**averaged, **(means or {})}.items()}
    uploads = {name: torch.tensor(rows) for name, rows in each.items()}
    return Cohort(tuple(updates), (), means, uploads, step, group)
