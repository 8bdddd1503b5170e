"""A small federation in memory, made of the real parts, for tests that train."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpcfl.collective import Collective
from hpcfl.core import Cohort, Job, Step, World
from hpcfl.devices import Devices
from hpcfl.flat import Layout
from hpcfl.samples import Samples
from hpcfl.strategies import FedAvg
from hpcfl.training import Recipe, Trainer
from hpcfl.transport.group import Solo

CPU = torch.device("cpu")


class Net(nn.Sequential):
    """Everything that could remember something between two jobs: batch norm and dropout, on 1x4x4 images."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(64, 3),
        )


@dataclass
class Federation:
    """A world, the trainer of its clients, and their data."""

    world: World
    trainer: Trainer
    samples: Samples

    def jobs(self, version: int = 0) -> list[Job]:
        """One job per client."""
        return [self.world.job(client, version, 0.0) for client in range(self.world.clients)]

    def train(self, client: int, version: int = 0, w: Tensor | None = None) -> Tensor:
        """What the client makes of `w`, or of the initial model; a copy."""
        sent = {"w": self.world.initial if w is None else w}
        return self.trainer.train(self.world.job(client, version, 0.0), sent)[0]["w"].clone()

    def collect(self, jobs: list[Job] | None = None, reproducible: bool = True) -> Cohort:
        """The cohort of one step of these jobs, or of everybody's, through the Collective."""
        jobs = self.jobs() if jobs is None else jobs
        pool = Collective(Solo(), self.trainer, self.world, reproducible)
        pool.submit(jobs, lambda client: {"w": self.world.initial})
        return pool.collect(Step(1, 0.0, tuple(jobs), ()))


def federation(
    *,
    module: Callable[[], nn.Module] = Net,
    strategy: Any = None,
    sizes: tuple[int, ...] = (6, 4, 9, 5),
    shape: tuple[int, ...] = (1, 4, 4),
    classes: int = 3,
    batch_size: int = 4,
    epochs: tuple[int, int] = (2, 2),
    rates: tuple[float, ...] = (0.1,),
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    data: tuple[np.ndarray, np.ndarray] | None = None,
    device: torch.device = CPU,
) -> Federation:
    """Clients with `sizes` samples each of random data, and a model initialised from a fixed seed."""
    torch.set_num_threads(1)  # the bits belong to a number of threads, and tests share their cores
    numbers = np.random.default_rng(0)
    x, y = data or (
        numbers.standard_normal((sum(sizes), *shape)).astype(np.float32),
        numbers.integers(0, classes, sum(sizes)),
    )
    parts = np.split(np.arange(len(y)), np.cumsum(sizes)[:-1])
    torch.manual_seed(0)
    net = module()
    layout = Layout.of(net)
    world = World(
        seed=seed,
        rounds=3,
        counts=np.stack([np.bincount(y[part], minlength=classes) for part in parts]),
        batch_size=batch_size,
        epochs=epochs,
        devices=Devices.alike(len(parts)),
        layout=layout,
        initial=layout.pack(net).to(device),
    )
    samples = Samples(x, y, (), (), device)
    recipe = Recipe(lambda parameters: optimizer(parameters, lr=1.0), loss or nn.CrossEntropyLoss(), rates, transform)
    return Federation(world, Trainer(world, strategy or FedAvg(), net, recipe, samples, parts, device), samples)
