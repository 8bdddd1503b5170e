"""Amounts: how many samples each client is dealt, as a list, from a range or from a distribution."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from hpcfl.data.params import COUNT, REAL, Kind, bind, choice
from hpcfl.errors import JobError

LARGEST = 10**9
"""No dataset in memory has more samples; a drawn number that is larger is cut to it, so that all of them fit int64."""

KEY = "partition.amounts"
AMOUNT = Kind("a whole number", COUNT.fits, f"from 1 to {LARGEST:,}", lambda value: 1 <= value <= LARGEST)
AMOUNTS = Kind(
    "a list with the number of samples of each client, {min = a, max = b}, {name = 'lognormal', mean = m, sigma = s} "
    "or {name = 'power_law', exponent = a, min = x}",
    lambda value: value is None or isinstance(value, list | tuple | Mapping),
)
MEAN = Kind("a number", REAL.fits, f"greater than 0, at most {LARGEST:,}", lambda value: 0 < value <= LARGEST)
SIGMA = Kind("a number", REAL.fits, "from 0 to 10", lambda value: 0 <= value <= 10)
EXPONENT = Kind("a finite number", REAL.fits, "greater than 1", lambda value: value > 1)


def uniform(
    clients: int, rng: np.random.Generator, *, min: Annotated[int, AMOUNT], max: Annotated[int, AMOUNT]
) -> np.ndarray:
    """Whole numbers from `min` to `max`, both included, each as likely as the other (Async-FL)."""
    return rng.integers(min, max, clients, endpoint=True)


def lognormal(
    clients: int,
    rng: np.random.Generator,
    *,
    mean: Annotated[float, MEAN],
    sigma: Annotated[float, SIGMA],
    min: Annotated[int, AMOUNT] = 1,
    max: Annotated[int, AMOUNT] = LARGEST,
) -> np.ndarray:
    """exp(mu + sigma z), rounded, with z ~ N(0, 1) and mu = ln mean - sigma^2 / 2, so that `mean` is the mean number.

    What lies outside `min` to `max` is clipped to them, which moves the mean.
    """
    drawn = np.exp(np.log(mean) - sigma**2 / 2 + sigma * rng.standard_normal(clients))
    return np.clip(np.rint(drawn), min, max)


def power_law(
    clients: int,
    rng: np.random.Generator,
    *,
    exponent: Annotated[float, EXPONENT],
    min: Annotated[int, AMOUNT],
    max: Annotated[int, AMOUNT] = LARGEST,
) -> np.ndarray:
    """The whole part of x ~ Pareto: its density is proportional to x^-exponent from `min` on, and 0 from `max` + 1 on.

    By inversion: x = min (1 - u (1 - t))^(-1 / (exponent - 1)), u uniform in [0, 1), where t =
    ((max + 1) / min)^(1 - exponent) is the share of the law that lies above.
    """
    above = ((max + 1) / min) ** (1 - exponent)
    drawn = min * (1 - rng.random(clients) * (1 - above)) ** (-1 / (exponent - 1))
    return np.clip(np.floor(drawn), min, max)


DISTRIBUTIONS = {"uniform": uniform, "lognormal": lognormal, "power_law": power_law}


def equal(given: Any) -> bool:
    """Whether the key is left out or empty: everyone is dealt the same."""
    return given is None or given == {}


def draw_amounts(given: Any, clients: int, rng: np.random.Generator) -> np.ndarray:
    """(clients,) int64, each at least 1, from any form of the key `partition.amounts` but the empty one.

    A list has a number per client; a table is a row of DISTRIBUTIONS with its keys, `uniform` if it has no name.
    JobError for anything else.
    """
    if not isinstance(given, Mapping):
        return _listed(given, clients)
    name = given.get("name", "uniform")
    choice(*DISTRIBUTIONS).check(name, f"{KEY}.name")
    params = {key: value for key, value in given.items() if key != "name"}
    params = bind(DISTRIBUTIONS[name], params, KEY, skip=2)
    if params["min"] > params["max"]:
        raise JobError(f"{KEY}.min = {params['min']}: must not be larger than {KEY}.max = {params['max']}")
    return DISTRIBUTIONS[name](clients, rng, **params).astype(np.int64)


def _listed(given: list, clients: int) -> np.ndarray:
    if len(given) != clients:
        raise JobError(
            f"{KEY}: has {len(given)} numbers, but partition.clients = {clients}: give one number of samples each"
        )
    for client, amount in enumerate(given):
        AMOUNT.check(amount, f"{KEY}[{client}]")
    return np.array(given, np.int64)


def spread(amounts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(sum,) clients, each as often as its amount says and spread evenly over the whole.

    A client with n places is given ticks (i + u) / n, i = 0 ... n - 1, u uniform in [0, 1); all ticks are then put in
    order. Dealt samples in order of class, every client so gets of each class in proportion.
    """
    client = np.repeat(np.arange(len(amounts)), amounts)
    place = np.arange(len(client)) - np.repeat(np.cumsum(amounts) - amounts, amounts)
    return client[np.argsort((place + rng.random(len(amounts))[client]) / amounts[client], kind="stable")]
