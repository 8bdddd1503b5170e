"""What the adapter costs: a round of a large model given to flwr's own FedAvg, against its `aggregate_fit` alone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpcfl.core import Cohort, Job, Update, World
from hpcfl.devices import Devices
from hpcfl.errors import JobError
from hpcfl.flat import Layout
from hpcfl.flower.adapter import Adapter
from hpcfl.flower.dialects import flwrs

__all__ = ["flower", "require_flower"]

CLIENTS = 8
EXAMPLES = 50
"""Of each client."""


class Holding:
    """As much of a trainer as the adapter asks for."""

    def __init__(self, constants: dict[str, np.ndarray]):
        self._constants = constants

    def constants(self) -> dict[str, np.ndarray]:
        """The model's integer buffers."""
        return self._constants


def require_flower() -> None:
    """JobError if flwr is not installed."""
    if find_spec("flwr") is None:
        raise JobError("bench flower: compares with flwr, which is not installed: pip install 'hpcfl[flower]'")


def flower(repeats: int) -> list[dict[str, Any]]:
    """Figures of rank 0, medians: from the gathered vectors to the next model, ResNet-18 and 8 clients."""
    from flwr.server.strategy import FedAvg
    from torchvision.models import resnet18

    module = resnet18(num_classes=10)
    layout, initial = Layout.of(module), Layout.of(module).pack(module)
    counts = np.full((CLIENTS, 1), EXAMPLES)
    world = World(0, 1, counts, EXAMPLES, (1, 1), Devices.alike(CLIENTS), layout=layout, initial=initial)
    state = module.state_dict()
    constants = {entry.name: state[entry.name].numpy() for entry in layout.entries if entry.kind == "constant"}
    adapter = Adapter(lambda arrays, names: FedAvg(), flwrs())
    adapter.begin(world, Holding(constants), serves=True)
    vectors = [initial + 0.01 * client for client in range(CLIENTS)]
    ours, theirs = [], []
    for _ in range(repeats + 1):
        gathered = cohort(vectors)
        begin = perf_counter()
        adapter.combine({"w": initial}, gathered)
        ours.append(perf_counter() - begin)
        theirs.append(alone(FedAvg(), adapter, vectors))
    hpcfl_s, floor_s = median(ours[1:]), median(theirs[1:])  # the first of each is the warm-up
    return [{
        "measured": f"a round of {CLIENTS} clients of {layout.size / 1e6:.0f} M parameters for flwr's FedAvg",
        "hpcfl_s": hpcfl_s, "floor": "its aggregate_fit alone", "floor_s": floor_s, "ratio": hpcfl_s / floor_s,
    }]  # fmt: skip


def cohort(vectors: Sequence[Tensor]) -> Cohort:
    """What came of a round."""
    jobs = [Job(client, 0, 0.0, 1.0, EXAMPLES, 1, 1) for client in range(len(vectors))]
    return Cohort(tuple(Update(job, 0, 1, 0.5, 0.0, 0) for job in jobs), each={"w": torch.stack(list(vectors))}, step=1)


def alone(strategy: Any, adapter: Adapter, vectors: Sequence[Tensor]) -> float:
    """Seconds of `aggregate_fit` with results as flwr's own server has them."""
    dialect = flwrs()
    words = dialect.words
    results = [
        (None, words.FitRes(dialect.ok, words.ndarrays_to_parameters(adapter.arrays.of(vector)), EXAMPLES, {}))
        for vector in vectors
    ]
    begin = perf_counter()
    strategy.aggregate_fit(1, results, [])
    return perf_counter() - begin
