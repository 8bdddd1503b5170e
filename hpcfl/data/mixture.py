"""FedEM's synthetic data: every client mixes the same few linear rules, each in its own proportions.

Marfoq et al. 2021 (NeurIPS), appendix: client mixtures pi_k ~ Dir(alpha) and rules theta_m ~ U([-1, 1]^d); of a sample
first its rule z ~ pi_k, then x ~ U([-1, 1]^d) and y = 1 where <x, theta_z> + e > 0, with e ~ N(0, noise^2).
"""

from itertools import permutations
from pathlib import Path
from typing import Annotated

import numpy as np

from hpcfl.data.dataset import Dataset
from hpcfl.data.params import COUNT, NOT_NEGATIVE, POSITIVE, WHOLE
from hpcfl.data.source import Source
from hpcfl.rng import stream

CLASSES = ("below", "above")


class Mixture(Source):
    """`clients` holders with lognormal(4, 2) + 50 samples, at most `most` each; the partition `natural` deals them.

    The test set has each client's rules in its proportions, clients in turn: nobody's personal share of it is known.
    """

    def read(
        self,
        root: Path | None,
        *,
        clients: Annotated[int, COUNT] = 300,
        components: Annotated[int, COUNT] = 3,
        dimension: Annotated[int, COUNT] = 150,
        alpha: Annotated[float, POSITIVE] = 0.4,
        noise: Annotated[float, NOT_NEGATIVE] = 0.1,
        most: Annotated[int, COUNT] = 1000,
        test_samples: Annotated[int, COUNT] = 3000,
        seed: Annotated[int, WHOLE] = 0,
    ) -> Dataset:
        pi, rules = true_mixtures(clients, components, alpha, seed), _rules(components, dimension, seed)
        sizes = stream(seed, "data", "mixture", "sizes").lognormal(4.0, 2.0, clients)
        holders = np.repeat(np.arange(clients), np.minimum(50 + sizes, most).astype(np.int64))
        train = _drawn(pi[holders], rules, noise, stream(seed, "data", "mixture", "train"))
        test = _drawn(pi[np.arange(test_samples) % clients], rules, noise, stream(seed, "data", "mixture", "test"))
        return Dataset(*train, *test, len(CLASSES), CLASSES, holders=holders)


def true_mixtures(clients: int = 300, components: int = 3, alpha: float = 0.4, seed: int = 0) -> np.ndarray:
    """(clients, components) pi: what the dataset of these keys was drawn from."""
    return stream(seed, "data", "mixture", "pi").dirichlet(np.full(components, float(alpha)), clients)


def recovery_error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean over clients of sum_m |found - true| / 2, the share of its samples that a client's mixture misplaces, for
    the order of the learners that fits best: which is called the first is nobody's choice. Both are (clients, K)."""
    orders = permutations(range(found.shape[1]))
    return min(float(np.abs(found[:, list(order)] - true).sum(1).mean() / 2) for order in orders)


def _rules(components: int, dimension: int, seed: int) -> np.ndarray:
    return stream(seed, "data", "mixture", "rules").uniform(-1.0, 1.0, (components, dimension))


def _drawn(pi: np.ndarray, rules: np.ndarray, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """x (N, d) float32 and y (N,) of samples whose mixtures are the rows of `pi`."""
    drawn = np.minimum((rng.random(len(pi))[:, None] > pi.cumsum(1)).sum(1), len(rules) - 1)
    x = rng.uniform(-1.0, 1.0, (len(pi), rules.shape[1])).astype(np.float32)
    scores = (x * rules[drawn]).sum(1) + noise * rng.standard_normal(len(pi))
    return x, (scores > 0).astype(np.int64)
