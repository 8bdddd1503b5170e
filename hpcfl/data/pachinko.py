"""Pachinko allocation (Li and McCallum 2006; Reddi et al. 2021 for clients): kinds of classes, then their classes."""

from typing import Annotated

import numpy as np

from hpcfl.data.cifar import CIFAR100, COARSE_OF
from hpcfl.data.params import POSITIVE, Kind
from hpcfl.data.sample import by_class
from hpcfl.errors import JobError

KINDS = Kind(
    "a list of whole numbers, the kind of each class",
    lambda given: given is None or (isinstance(given, list) and all(type(kind) is int and kind >= 0 for kind in given)),
)


def pachinko(
    labels: np.ndarray,
    clients: int,
    rng: np.random.Generator,
    *,
    alpha: Annotated[float, POSITIVE] = 0.4,
    beta: Annotated[float, POSITIVE] = 10.0,
    kinds: Annotated[list[int] | None, KINDS] = None,
) -> np.ndarray:
    """Equal shares: each sample's kind is drawn by the client's Dir(alpha) over kinds, its class by Dir(beta) within.

    Samples are drawn without putting back; a class that has run out counts no more. Without `kinds` the classes must be
    CIFAR-100's, and the kinds are its 20 coarse ones. The rest of samples / clients stays out.
    """
    present = np.bincount(labels)
    if kinds is None and len(present) != len(CIFAR100):
        raise JobError(f"partition.kinds: needed for {len(present)} classes: only of CIFAR-100 the kinds are known")
    kind_of = np.array(COARSE_OF if kinds is None else kinds)
    if len(kind_of) < len(present):
        raise JobError(f"partition.kinds: {len(kind_of)} kinds, but the labels go to {len(present) - 1}")
    left, kind_of = present.copy(), kind_of[: len(present)]
    counts = np.stack([_draw(left, len(labels) // clients, kind_of, alpha, beta, rng) for _ in range(clients)])
    owner = np.full(len(labels), -1, np.int64)
    takers = np.concatenate([counts, left[None]]).T.ravel()  # of each class what the clients take, then what stays
    owner[by_class(labels, rng)] = np.repeat(np.tile([*range(clients), -1], len(present)), takers)
    return owner


def _draw(
    left: np.ndarray, wanted: int, kind_of: np.ndarray, alpha: float, beta: float, rng: np.random.Generator
) -> np.ndarray:
    """(classes,) how many samples of each class a client takes; `left` is what it leaves."""
    root = rng.dirichlet(np.full(kind_of.max() + 1, float(alpha)))
    leaves = np.empty(len(left))
    for kind in np.unique(kind_of):
        leaves[kind_of == kind] = rng.dirichlet(np.full((kind_of == kind).sum(), float(beta)))
    taken = np.zeros_like(left)
    while (short := wanted - taken.sum()) > 0:
        within = leaves * (left > 0)
        whole = np.bincount(
            kind_of, within
        )  # of each kind what has not run out; kinds count as before, while they last
        chances = np.where(whole[kind_of] > 0, root[kind_of] * within / np.where(whole > 0, whole, 1)[kind_of], 0.0)
        chances = chances if chances.sum() > 0 else (left > 0).astype(float)
        found = np.minimum(rng.multinomial(short, chances / chances.sum()), left)
        taken += found
        left -= found
    return taken
