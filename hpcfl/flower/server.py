"""Rank 0's talk with a strategy: its six methods asked in Flower's order, and every answer looked at."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hpcfl.core import World
from hpcfl.errors import HpcflError, TrainingError
from hpcfl.flat import largest
from hpcfl.flower.arrays import Arrays
from hpcfl.flower.clients import Clients
from hpcfl.flower.dialects import Dialect
from hpcfl.flower.nouns import ClientFailure
from hpcfl.flower.scalars import flatten, plain
from hpcfl.rng import seed64
from hpcfl.share import located

__all__ = ["EPOCHS", "RATES", "Brought", "Chosen", "Server"]

EPOCHS = ("epochs", "local_epochs", "local-epochs")
RATES = ("lr", "learning_rate", "learning-rate")
"""What hpcfl's own clients heed of a config; the first that is there counts."""


class Chosen(NamedTuple):
    """What a strategy wants of a client."""

    w: Tensor
    config: Mapping[str, Any]
    epochs: int | None
    lr: float | None


class Brought(NamedTuple):
    """What a client brings: its vector (training) or its loss (evaluation)."""

    client: int
    result: Any
    examples: int
    metrics: dict[str, Any]


class Server:
    """One strategy at work. What it and the clients say is kept in `notes` until it is written down."""

    def __init__(
        self, strategy: Any, dialect: Dialect, arrays: Arrays, world: World,
        properties: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None,
    ):  # fmt: skip
        """`properties`: (client, config) -> what a Flower client says of itself; hpcfl's own are not asked."""
        self.strategy, self._dialect, self._arrays, self._world = strategy, dialect, arrays, world
        self._clients, self._heeded = Clients(world, properties, dialect.words), properties is None
        self._first: Tensor | None = None
        self._packed: tuple[Tensor, Any] | None = None
        self.notes: list[dict[str, Any]] = []
        """Rows of /metrics."""

    def initial(self) -> Tensor:
        """(P,) the first model: the strategy's, or that of the job."""
        if self._first is None:
            given = self._ask("initialize_parameters", 0, self._clients)
            self._first = self._world.initial if given is None else self._vector("initialize_parameters", 0, given)
        return self._first

    def choose(self, server_round: int, w: Tensor) -> dict[int, Chosen]:
        """Who trains in a round, from what and how; by client."""
        method = "configure_fit"
        pairs = self._ask(method, server_round, server_round, self._pack(w), self._clients)
        chosen = self._instructions(method, server_round, w, pairs)
        if not chosen:
            self._refuse(method, server_round, "chose no client: somebody must train in every round")
        return chosen

    def aggregate(self, server_round: int, brought: Sequence[Brought], failed: Mapping[int, str]) -> Tensor | None:
        """(P,) the next model from the clients' vectors, or None where it stays as it is."""
        method, words, dialect = "aggregate_fit", self._dialect.words, self._dialect
        vectors = {id(each.result): each.result for each in brought}  # one for all of them where it is their mean
        own = len(vectors) == len(brought)
        packed = {key: dialect.parameters(self._arrays.of(vector, writable=own)) for key, vector in vectors.items()}
        results = []
        for client, vector, examples, metrics in brought:
            result = words.FitRes(dialect.ok, packed[id(vector)], examples, metrics)
            results.append((self._clients.proxy(client), result))
            self._note(server_round, "fit", client, metrics)
        given = self._ask(method, server_round, server_round, results, self._failures(failed))
        parameters, metrics = self._pair(method, server_round, given, "(parameters or None, metrics)")
        self._note(server_round, method, -1, metrics)
        return None if parameters is None else self._vector(method, server_round, parameters)

    def evaluate(self, server_round: int, w: Tensor) -> None:
        """Let the strategy evaluate the model on the server, if it does."""
        given = self._ask("evaluate", server_round, server_round, self._pack(w))
        if given is not None:
            loss, metrics = self._pair("evaluate", server_round, given, "(loss, metrics) or None")
            self._note(server_round, "evaluate", -1, {**metrics, "loss": loss})

    def evaluators(self, server_round: int, w: Tensor) -> dict[int, Chosen]:
        """Who evaluates which model; by client."""
        method = "configure_evaluate"
        pairs = self._ask(method, server_round, server_round, self._pack(w), self._clients)
        return self._instructions(method, server_round, w, pairs)

    def aggregate_evaluate(self, server_round: int, brought: Sequence[Brought], failed: Mapping[int, str]) -> None:
        """Let the strategy make one of what the clients found."""
        method, words = "aggregate_evaluate", self._dialect.words
        results = []
        for client, loss, examples, metrics in brought:
            result = words.EvaluateRes(self._dialect.ok, loss, examples, metrics)
            results.append((self._clients.proxy(client), result))
            self._note(server_round, "client_evaluate", client, {**metrics, "loss": loss})
        given = self._ask(method, server_round, server_round, results, self._failures(failed))
        loss, metrics = self._pair(method, server_round, given, "(loss or None, metrics)")
        self._note(server_round, method, -1, metrics if loss is None else {**metrics, "loss": loss})

    def _ask(self, method: str, server_round: int, *given: Any) -> Any:
        """The answer of a method, whole where it yields it; what it raises ends the run with its name and the round."""
        self._clients.begin(method, server_round)
        try:
            with seeded(self._world.seed, method, server_round):
                answer = getattr(self.strategy, method)(*given)
                return list(answer) if isinstance(answer, Iterator) else answer
        except HpcflError as failure:
            self._refuse(method, server_round, str(failure))
        except Exception as failure:
            self._refuse(method, server_round, f"failed: {located(failure)}")

    def _refuse(self, method: str, server_round: int, what: str) -> None:
        asked, called = getattr(self.strategy, "behind", self.strategy), getattr(self.strategy, "CALLED", {})
        name = type(asked).__name__
        raise TrainingError(f"strategy {name}: {called.get(method, method)} in round {server_round} {what}") from None

    def _pack(self, w: Tensor) -> Any:
        """Parameters of a model; of the same one the same."""
        if self._packed is None or self._packed[0] is not w:
            self._packed = w, self._dialect.parameters(self._arrays.of(w))
        return self._packed[1]

    def _vector(self, method: str, server_round: int, parameters: Any) -> Tensor:
        """(P,) of what a strategy gave, where the first model lies."""
        try:
            vector = self._arrays.fill(torch.empty(self._world.layout.size), self._dialect.arrays(parameters))
        except (TypeError, ValueError) as failure:
            self._refuse(method, server_round, f"gave {failure}")
        except Exception as failure:  # of whatever stands where arrays should
            self._refuse(method, server_round, f"gave parameters that cannot be read: {failure}")
        if not math.isfinite(largest(vector)):
            self._refuse(method, server_round, "gave a model that is not finite (NaN or infinity)")
        return vector.to(self._world.initial.device)

    def _instructions(self, method: str, server_round: int, w: Tensor, pairs: Any) -> dict[int, Chosen]:
        """Of each client in what `configure_*` gave."""
        vectors = {id(self._pack(w)): w}
        chosen: dict[int, Chosen] = {}
        try:
            for proxy, ins in pairs:
                client, config = self._clients.number(proxy), plain(ins.config)
                if client in chosen:
                    raise ValueError(f"client {client} twice")
                if id(ins.parameters) not in vectors:
                    vectors[id(ins.parameters)] = self._vector(method, server_round, ins.parameters)
                read = config if self._heeded else {}
                heeded = positive(read, EPOCHS, int), positive(read, RATES, float)
                chosen[client] = Chosen(vectors[id(ins.parameters)], config, *heeded)
        except (TypeError, ValueError, AttributeError) as failure:
            self._refuse(method, server_round, f"gave {failure}; should be pairs of a client and its instructions")
        return chosen

    def _pair(self, method: str, server_round: int, given: Any, should: str) -> tuple[Any, dict[str, Any]]:
        """The two parts of an answer, the second of them metrics."""
        if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping)):
            self._refuse(method, server_round, f"gave {given!r:.80}; should be {should}")
        try:
            return given[0], plain(given[1])
        except TypeError as failure:
            self._refuse(method, server_round, f"gave metrics of which {failure}")

    def _failures(self, failed: Mapping[int, str]) -> list[BaseException]:
        return [ClientFailure(client, reason) for client, reason in sorted(failed.items())]

    def _note(self, server_round: int, method: str, client: int, metrics: Mapping[str, Any]) -> None:
        try:
            rows = flatten(metrics)
        except TypeError as failure:
            self._refuse(method, server_round, f"gave metrics of which {failure}")
        self.notes += [
            {"step": server_round, "method": method, "client": client, "name": name, "value": value, "text": text}
            for name, value, text in rows
        ]


def positive(config: Mapping[str, Any], names: Sequence[str], kind: Callable[[Any], Any]) -> Any:
    """The value under the first of these names that the config has, or None; ValueError if it is not above 0."""
    name = next((name for name in names if name in config), None)
    if name is None:
        return None
    value = config[name]
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 < value < math.inf:
        raise ValueError(f"config {name} = {value!r}, not {'a whole number' if whole else 'a number'} above 0")
    return kind(value)


@contextmanager
def seeded(seed: int, *address: str | int) -> Iterator[None]:
    """Run the block with the global random numbers of Python, NumPy and torch begun for this address; those of the CPU
    go on as before."""
    python, numpy, number = random.getstate(), np.random.get_state(), seed64(seed, "flower", *address)
    random.seed(number)
    np.random.seed(number % 2**32)
    try:
        with torch.random.fork_rng(devices=[]):  # every job seeds its device anew
            torch.manual_seed(number)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
