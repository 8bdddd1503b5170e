"""What a checkpoint costs: rounds of a large model with one each and without, and how long the loop stands still."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from hpcfl.checkpoint.keeper import Keeper, Standing
from hpcfl.core import Job, Step
from hpcfl.timelimit import TimeLimit

__all__ = ["ROUND_S", "checkpoints"]

PARAMETERS = 11_173_962
"""ResNet-18 for CIFAR-10."""
ROUND_S = 2.0
SIZE = 384
"""Of the matrices whose products a round consists of."""
DONE = Job(client=0, version=0, start=0.0, finish=0.0, examples=1, epochs=1, steps=1)


def checkpoints(repeats: int) -> list[dict[str, Any]]:
    """Figures of rank 0, medians: a round of ROUND_S with a checkpoint in the folder at hand, against one without."""
    w, train = torch.randn(PARAMETERS), calibrated()
    taken: dict[bool, list[float]] = {False: [], True: []}
    blocked, written, copied = [], [], []
    with tempfile.TemporaryDirectory(dir=".", prefix="bench-") as folder:
        keeper = keeper_in(Path(folder))
        for number in range(1, 2 * (repeats + 1) + 1):
            keeps = number % 2 == 0
            begin = perf_counter()
            if keeps:
                keeper.cut(Step(number, 0.0, (DONE,), ()), Standing({"w": w}))
                keeper.write()
            train()
            took = perf_counter() - begin
            keeper.wait()  # what a round leaves unwritten must not fall into the next one, which has none
            if number > 2:  # the first pair is the warm-up
                taken[keeps].append(took)
                begin = perf_counter()
                w.clone()
                copied.append(perf_counter() - begin)
            if keeps and number > 2:
                blocked.append(keeper.blocked_s)
                written.append(keeper.limit.writing_s)
    with_one, without = median(taken[True]), median(taken[False])
    figure = {"measured": f"a round with a checkpoint of {PARAMETERS / 1e6:.0f} M parameters", "hpcfl_s": with_one,
              "floor": "the same without one", "floor_s": without, "ratio": with_one / without}  # fmt: skip
    still = {"measured": "the round loop stands still", "hpcfl_s": median(blocked), "floor": "a copy of the model",
             "floor_s": median(copied), "ratio": median(blocked) / median(copied)}  # fmt: skip
    whole = {"measured": "until the checkpoint is on the disk", "hpcfl_s": median(written), "floor": "the round",
             "floor_s": without, "ratio": median(written) / without}  # fmt: skip
    return [figure, still, whole]


def keeper_in(folder: Path) -> Keeper:
    """Keeps a checkpoint of every step that it is asked about."""
    result = folder / "run.h5"
    result.touch()
    return Keeper(
        folder / "checkpoints", result, 1, 2, 10**9, facts={"run": "bench"}, pool=None, private=False, ahead=False,
        counted=lambda: {"jobs": [], "wall_s": 0.0, "after": []}, limit=TimeLimit({}, 0.0), asked=lambda: 0, say=print,
    )  # fmt: skip


def calibrated() -> Callable[[], float]:
    """Work on one thread that lasts ROUND_S here."""
    a = torch.randn(SIZE, SIZE)

    def work(products: int) -> float:
        begin = perf_counter()
        for _ in range(products):
            torch.mm(a, a)
        return perf_counter() - begin

    torch.set_num_threads(1)
    work(20)
    products = round(200 * ROUND_S / work(200))
    return lambda: work(products)
