"""Flower clients at work as they are: a NumPyClient or Client, the `client_fn` that makes one, or a ClientApp.

A client is made anew for every job, as Flower does, on the rank where it is at home; what it puts into its context's
`state` is there the next time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hpcfl.errors import JobError
from hpcfl.flower import nouns
from hpcfl.flower.dialects import flwrs, read
from hpcfl.flower.records import KEYS, USUAL, as_record, identify
from hpcfl.flower.scalars import plain

__all__ = ["Answer", "Fleet", "Messaging", "app_of", "loss_of"]

REAL = float | int | np.floating
TRAINING = ("train_loss", "train-loss")
LOSS = {"train": (*TRAINING, "loss"), "evaluate": ("loss", "eval_loss", "eval-loss", *TRAINING)}
EXAMPLES = ("num-examples", "num_examples")
"""Where a reply's metrics say these."""


class Answer(NamedTuple):
    """What a client gives back."""

    arrays: Sequence[np.ndarray]
    loss: float
    examples: int
    metrics: dict[str, Any]


class App:
    """The clients of a job, by number."""

    def __init__(self, names: Sequence[str], clients: int, config: Mapping[str, Any]):
        """`names`: of the model's arrays. `config`: the params of `client.app`, a context's `run_config`."""
        self._names, self._clients, self._config = list(names), clients, dict(config)
        self._contexts: dict[int, Any] = {}

    def context(self, client: int) -> Any:
        """The client's own, kept from job to job: flwr's Context, or ours where flwr is not installed."""
        if client not in self._contexts:
            node = {"partition-id": client, "num-partitions": self._clients}
            try:
                from flwr.app import Context, RecordDict
            except ImportError:
                self._contexts[client] = nouns.Context(0, client + 1, node, {}, dict(self._config))
            else:
                given = {"run_id": 0, "node_id": client + 1, "node_config": node, "state": RecordDict()}
                self._contexts[client] = Context(**given, run_config=dict(self._config))
        return self._contexts[client]


class Fleet(App):
    """Made by a class or a function, one for each job."""

    def __init__(self, name: str, make: Callable[..., Any], *given: Any):
        super().__init__(*given)
        self._make = make
        self._takes = taken(name, make, {*self._offers(0), *self._config})

    def _offers(self, client: int) -> dict[str, Any]:
        node = self.context(client).node_config
        return {
            "context": self.context(client), "cid": str(client), "partition_id": node["partition-id"],
            "num_partitions": node["num-partitions"],
        }  # fmt: skip

    def client(self, number: int) -> Any:
        """The client; a NumPyClient wherever there is one inside."""
        offers = {**self._offers(number), **self._config}
        made = self._make(**{parameter: offers[offer] for parameter, offer in self._takes.items()})
        return getattr(made, "numpy_client", made)

    def fit(self, number: int, arrays: Sequence[np.ndarray], config: dict[str, Any]) -> Answer:
        """The client's training."""
        client, _ = self.client(number), config.pop(KEYS, None)
        if speaks_in_messages(client):
            given = self._answer(client.fit(self._ins("FitIns", arrays, config)))
            arrays, loss = [read(tensor) for tensor in given.parameters.tensors], loss_of("train", given.metrics)
            return Answer(arrays, loss, given.num_examples, given.metrics)
        arrays, examples, metrics = three("fit", client.fit(list(arrays), config), list, "arrays, examples, metrics")
        return Answer(arrays, loss_of("train", metrics), examples, metrics)

    def evaluate(self, number: int, arrays: Sequence[np.ndarray], config: dict[str, Any]) -> Answer:
        """The client's evaluation on its own test share."""
        client, _ = self.client(number), config.pop(KEYS, None)
        if speaks_in_messages(client):
            given = self._answer(client.evaluate(self._ins("EvaluateIns", arrays, config)))
            return Answer([], given.loss, given.num_examples, given.metrics)
        found = three("evaluate", client.evaluate(list(arrays), config), REAL, "loss, examples, metrics")
        return Answer([], *found)

    def properties(self, number: int, config: dict[str, Any]) -> dict[str, Any]:
        """What the client says of itself."""
        client = self.client(number)
        if speaks_in_messages(client):
            words = flwrs().words
            return dict(self._answer(client.get_properties(words.GetPropertiesIns(config))).properties)
        return dict(client.get_properties(config)) if hasattr(client, "get_properties") else {}

    def _ins(self, kind: str, arrays: Sequence[np.ndarray], config: dict[str, Any]) -> Any:
        dialect = flwrs()
        return getattr(dialect.words, kind)(dialect.parameters(arrays), config)

    def _answer(self, given: Any) -> Any:
        if given.status.code.value:
            raise RuntimeError(given.status.message)
        return given


class Messaging(App):
    """A ClientApp, which answers messages."""

    def __init__(self, app: Any, *given: Any):
        super().__init__(*given)
        identify()
        self._app = app
        self._legacy = getattr(app, "_call", None) is not None
        """Made of a client_fn: it looks for its records under other keys."""

    def fit(self, number: int, arrays: Sequence[np.ndarray], config: dict[str, Any]) -> Answer:
        """The app's answer to a train message."""
        return self._exchange("train", "fitins", number, arrays, config)

    def evaluate(self, number: int, arrays: Sequence[np.ndarray], config: dict[str, Any]) -> Answer:
        """The app's answer to an evaluate message."""
        return self._exchange("evaluate", "evaluateins", number, arrays, config)

    def properties(self, number: int, config: dict[str, Any]) -> dict[str, Any]:
        """The app's answer to a query message."""
        from flwr.app import ConfigRecord, Message, RecordDict

        content = RecordDict({"getpropertiesins.config" if self._legacy else USUAL["config"]: ConfigRecord(config)})
        kind = "get_properties" if self._legacy else "query"
        _, metrics = self._reply(Message(content, dst_node_id=number + 1, message_type=kind), number)
        return metrics

    def _exchange(
        self, kind: str, legacy: str, number: int, arrays: Sequence[np.ndarray], config: dict[str, Any]
    ) -> Answer:
        from flwr.app import ConfigRecord, Message, RecordDict

        keys, names = config.pop(KEYS, USUAL), self._names
        if self._legacy:
            keys, names = {"arrays": f"{legacy}.parameters", "config": f"{legacy}.config"}, map(str, range(len(arrays)))
        records = {keys["arrays"]: as_record(arrays, names), keys["config"]: ConfigRecord(config)}
        message = Message(RecordDict(records), dst_node_id=number + 1, message_type=kind)
        content, metrics = self._reply(message, number)
        found = [read(array.data) for record in content.array_records.values() for array in record.values()]
        examples = next((metrics.pop(name) for name in EXAMPLES if name in metrics), None)
        if examples is None:
            raise ValueError(f"the reply to {kind} has no metric {EXAMPLES[0]!r}")
        return Answer(found, loss_of(kind, metrics), int(examples), metrics)

    def _reply(self, message: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """The content of the app's reply, and all metrics in it."""
        reply = self._app(message, self.context(number))
        if reply.has_error():
            raise RuntimeError(reply.error.reason)
        content, metrics = reply.content, {}
        for name, record in (*content.config_records.items(), *content.metric_records.items()):
            if not name.endswith(".status"):
                metrics |= dict(record)
            elif record["code"]:
                raise RuntimeError(record["message"])
        return content, metrics


def taken(name: str, make: Callable[..., Any], offers: set[str]) -> dict[str, str]:
    """Parameter -> which of the offers it takes; JobError where it wants what only its caller can know.

    A client_fn calls its one argument as it likes: it is the cid if it says so by its name or type, else the context.
    """
    parameters = inspect.signature(make).parameters
    named = {key: each for key, each in parameters.items() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
    needed = [key for key, each in named.items() if each.default is each.empty]
    if not isinstance(make, type) and len(needed) == 1 and needed[0] not in offers:
        return {needed[0]: "cid" if named[needed[0]].annotation in (str, "str") else "context"}
    if unknown := [key for key in needed if key not in offers]:
        raise JobError(
            f"client.app = {name!r}: takes {', '.join(unknown)}, which hpcfl does not know; name the client_fn that "
            f"makes such a client, or give it in the params (known: {', '.join(sorted(offers))})"
        )
    return {key: key for key in named if key in offers}


def app_of(name: str, found: Any, *given: Any) -> Fleet | Messaging:
    """The clients that a dotted path leads to."""
    is_app = any(base.__name__ == "ClientApp" for base in type(found).__mro__)
    return Messaging(found, *given) if is_app else Fleet(name, found, *given)


def speaks_in_messages(client: Any) -> bool:
    """Whether it is flwr's Client, whose methods take and give one object, and no NumPyClient."""
    return any(base.__name__ == "Client" and base.__module__.startswith("flwr") for base in type(client).__mro__)


def loss_of(kind: str, metrics: Mapping[str, Any]) -> float:
    """The loss that the metrics of a "train" or "evaluate" tell; NaN if they do not."""
    return next((float(metrics[name]) for name in LOSS[kind] if isinstance(metrics.get(name), REAL)), math.nan)


def three(method: str, given: Any, first: Any, should: str) -> tuple[Any, int, dict[str, Any]]:
    """The three things that a NumPyClient's method returns; TypeError if they are not."""
    if not (
        isinstance(given, tuple) and len(given) == 3 and isinstance(given[0], first)
        and isinstance(given[1], int | np.integer) and isinstance(given[2], Mapping)
    ):  # fmt: skip
        kinds = ", ".join(type(part).__name__ for part in given) if isinstance(given, tuple) else type(given).__name__
        raise TypeError(f"{method} returned ({kinds}); should be a tuple ({should})")
    return given[0], int(given[1]), plain(given[2], "metrics")
