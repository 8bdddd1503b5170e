"""The simulated clients' devices: how long a job takes on the virtual clock, and whether it ends at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from hpcfl.errors import JobError
from hpcfl.rng import seed64, stream

__all__ = ["SPEEDS", "Devices", "Lognormal", "Trace", "stale_delays"]


@dataclass(frozen=True, eq=False)
class Devices:
    """Times and reliability of every client; arrays have one element per client."""

    seed: int
    step_s: np.ndarray
    """Seconds per local step."""
    delay_s: np.ndarray
    """Extra seconds of every update (Async-FL's `stale`)."""
    download_s: np.ndarray
    upload_s: np.ndarray
    """Seconds that a whole model takes to the client and back."""
    dropout: float = 0.0
    """Probability that a job brings no result."""
    period_s: float = math.inf
    """A client's windows of availability open once in so many seconds ..."""
    share: float = 1.0
    """... and stay open for this share of them; client k's first one opens at period_s * k / clients."""
    lost: float = 0.0
    """Probability that an update is lost on purpose (`faults`) ..."""
    late: float = 0.0
    """... or comes late ..."""
    late_s: float = 0.0
    """... by so many seconds."""

    @classmethod
    def alike(cls, clients: int, seconds_per_step: float = 1.0) -> Devices:
        """Clients of one speed, always there, with a free network."""
        nothing = np.zeros(clients)
        return cls(0, np.full(clients, float(seconds_per_step)), nothing, nothing, nothing)

    def duration(self, client: int, steps: int, travels: float = 1.0) -> float:
        """Seconds from sending the model to having the update; `travels` is the share of the model that is sent."""
        step_s, delay_s, transfer_s = self._rows[client]
        return travels * transfer_s + steps * step_s + delay_s

    def wait(self, client: int, start: float) -> float:
        """Seconds from `start` until the client's window is open; 0 within one.

        A job is begun only in a window, but then it is brought to its end, even if the window closes.
        """
        if self.share >= 1:
            return 0.0
        phase = (start - self.period_s * client / len(self.step_s)) % self.period_s
        return 0.0 if phase < self.share * self.period_s else self.period_s - phase

    def drops(self, client: int, version: int, visit: int) -> bool:
        """Whether this job is lost."""
        job = client, version, visit
        return self._hits("dropout", self.dropout, *job) or self._hits("lost", self.lost, *job)

    def lateness(self, client: int, version: int, visit: int) -> float:
        """Seconds by which this job's update is late on purpose."""
        return self.late_s if self._hits("late", self.late, client, version, visit) else 0.0

    def _hits(self, purpose: str, chance: float, *job: int) -> bool:
        # a plan asks this for every job: the seed of a stream is a uniform number already, and ten times as quick
        return bool(chance) and seed64(self.seed, purpose, *job) < chance * 2.0**63

    @cached_property
    def _rows(self) -> list[tuple[float, float, float]]:
        """Per client (step_s, delay_s, both transfers), as Python's floats: indexing an array is slow."""
        return list(zip(self.step_s.tolist(), self.delay_s.tolist(), (self.download_s + self.upload_s).tolist()))


@dataclass(frozen=True)
class Lognormal:
    """Seconds per step multiplied by exp(sigma * N(0, 1)): half of the clients are slower than the setting says."""

    sigma: Annotated[float, Ge(0)]

    def __call__(self, clients: int, rng: np.random.Generator) -> np.ndarray:
        """(clients,) factors."""
        return np.exp(self.sigma * rng.standard_normal(clients))


@dataclass(frozen=True)
class Trace:
    """Seconds per step multiplied by measured factors, one per line of a text file.

    Client k has the k-th one; with more clients than lines the file is begun again. Empty lines and what follows a #
    are skipped, and so is a first line that is the title of the column.
    """

    path: str

    def __call__(self, clients: int, rng: np.random.Generator) -> np.ndarray:
        """(clients,) factors."""
        key = f"client.device.speed.path = {self.path!r}"
        try:
            text = Path(self.path).expanduser().read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as failure:
            raise JobError(f"{key}: cannot be read: {failure}") from None
        lines = [line.partition("#")[0].strip().rstrip(",;") for line in text.splitlines()]
        factors = []
        for number, line in enumerate(lines, start=1):
            try:
                factor = float(line or "nan")
            except ValueError:
                if number == 1:
                    continue
                factor = math.nan
            if line and not 0 <= factor < math.inf:
                raise JobError(f"{key}: line {number} is {line!r}; each should be one factor, 0 or greater")
            factors += [factor] if line else []
        if not factors:
            raise JobError(f"{key}: has no factors; each line should be one, 0 or greater")
        return np.resize(np.array(factors), clients)


SPEEDS = {"lognormal": Lognormal, "trace": Trace}


def stale_delays(given: Any, clients: int, seed: int) -> np.ndarray:
    """(clients,) extra seconds of each client's updates, from any form of the key `client.device.stale` but a path.

    False: none. A list: seconds per client. {"list": [n0, n1, n2, ...], "step": s, "shuffle": b}: n0 clients without
    delay, n1 with one drawn uniformly from [0, s), n2 from [s, 2s), and so on, dealt to the clients in this order or,
    with shuffle, in a random one (Async-FL). JobError for anything else.
    """
    if given is False:
        return np.zeros(clients)
    if isinstance(given, Mapping):
        return _stepped(given, clients, seed)
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
        raise JobError(
            f'{STALE} = {given!r}: should be false, a list of seconds per client, {{"step": s, "shuffle": b, '
            '"list": [n0, n1, ...]}, or the dotted path of a function that gives such a list'
        )
    if len(given) != clients:
        raise JobError(
            f"{STALE}: has {len(given)} delays, but partition.clients = {clients}: give one number of seconds each"
        )
    for client, delay in enumerate(given):
        if not _number(delay) or delay < 0:
            raise JobError(f"{STALE}[{client}] = {delay!r}: should be a number of seconds, 0 or greater")
    return np.array(given, float)


STALE = "client.device.stale"


def _stepped(given: Mapping[str, Any], clients: int, seed: int) -> np.ndarray:
    if unknown := sorted(set(given) - {"step", "shuffle", "list"}):
        raise JobError(f"{STALE}.{unknown[0]}: unknown key; valid: step, shuffle, list")
    if missing := sorted({"step", "list"} - set(given)):
        raise JobError(f"{STALE}.{missing[0]}: required, but missing")
    step, counts, shuffle = given["step"], given["list"], given.get("shuffle", False)
    if not _number(step) or step <= 0:
        raise JobError(f"{STALE}.step = {step!r}: should be a number of seconds greater than 0")
    if not isinstance(shuffle, bool):
        raise JobError(f"{STALE}.shuffle = {shuffle!r}: should be true or false")
    if not isinstance(counts, Sequence) or not all(type(count) is int and count >= 0 for count in counts):
        raise JobError(f"{STALE}.list = {counts!r}: should be a list of numbers of clients")
    if sum(counts) != clients:
        raise JobError(
            f"{STALE}.list = {list(counts)}: adds up to {sum(counts)} clients, but partition.clients = {clients}"
        )
    rng = stream(seed, "stale")
    later = [rng.uniform(k * step, (k + 1) * step, count) for k, count in enumerate(counts[1:])]
    dealt = np.concatenate([np.zeros(counts[0]), *later])
    return rng.permutation(dealt) if shuffle else dealt


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and value is not True and math.isfinite(value)
