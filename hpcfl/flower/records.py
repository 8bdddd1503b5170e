"""Flower's newer strategies, which exchange messages of records (`flwr.serverapp.strategy`), in the six methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from hpcfl.errors import TrainingError
from hpcfl.flower.dialects import read, written
from hpcfl.flower.nouns import ClientFailure, ClientManager, EvaluateIns, FitIns, Parameters, Strategy

__all__ = ["KEYS", "Messages", "as_record", "identify", "split"]

KEYS = "hpcfl.records"
"""Where a config says under which keys a client finds its records: {arrays, config}, if they have other names."""
USUAL = {"arrays": "arrays", "config": "config"}
PATIENCE = 3
"""How often a method may look for nodes: Flower's look again every second until there are enough."""


def identify() -> None:
    """Let messages be made in this process: flwr asks which task of a run it is."""
    with suppress(ImportError):  # versions that do not ask
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 0


def as_record(arrays: Sequence[np.ndarray], names: Iterable[str]) -> Any:
    """An ArrayRecord of arrays in the order of the state_dict."""
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({
        name: Array(dtype=str(array.dtype), shape=array.shape, stype="numpy.ndarray", data=written(array))
        for name, array in zip(names, arrays)
    })  # fmt: skip


def split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a MetricRecord holds of some metrics, and what only a ConfigRecord does: text and bytes."""
    numbers = {
        name: int(value) if isinstance(value, bool) else value
        for name, value in values.items()
        if isinstance(value, int | float)
        or (isinstance(value, list) and value and not isinstance(value[0], str | bytes))
    }
    return numbers, {name: value for name, value in values.items() if name not in numbers and value is not None}


class Grid:
    """The nodes that a strategy may send to: one for each client."""

    def __init__(self, clients: ClientManager):
        self._nodes = {proxy.node_id + 1: proxy for proxy in clients.all().values()}
        self._looked = 0

    def get_node_ids(self) -> list[int]:
        """All of them. TrainingError for one who keeps asking: nobody comes later."""
        self._looked += 1
        if self._looked > PATIENCE:
            raise TrainingError(
                f"waits for more nodes than the {len(self._nodes)} clients there are; lower min_available_nodes (and "
                "min_*_nodes) of the strategy, or raise partition.clients"
            )
        return list(self._nodes)

    def proxy(self, node: int) -> Any:
        """The client of a node; ValueError if there is none."""
        if node not in self._nodes:
            raise ValueError(f"a message to node {node}, which is none of the grid's")
        return self._nodes[node]


class Messages(Strategy):
    """A strategy on messages. What its `start` takes besides is given here."""

    CALLED: ClassVar[dict[str, str]] = {"configure_fit": "configure_train", "aggregate_fit": "aggregate_train"}
    """What it calls the methods itself."""
    PASSING: ClassVar[tuple[str, ...]] = ("_record", "_sent")
    """Attributes that are made anew in every round."""

    def __init__(
        self,
        strategy: Any,
        names: Sequence[str],
        train_config: Mapping[str, Any] | None = None,
        evaluate_config: Mapping[str, Any] | None = None,
        evaluate_fn: Callable[[int, Any], Any] | None = None,
    ):
        identify()
        self.behind, self._names, self._evaluate = strategy, list(names), evaluate_fn
        self._configs = {"train": dict(train_config or {}), "evaluate": dict(evaluate_config or {})}
        self._record: tuple[Parameters, Any] | None = None
        self._sent: dict[str, Any] = {}
        inner = strategy
        while not hasattr(inner, "weighted_by_key") and hasattr(inner, "strategy"):
            inner = inner.strategy
        self._weight = getattr(inner, "weighted_by_key", "num-examples")

    def initialize_parameters(self, client_manager: ClientManager) -> None:
        """The job's."""

    def configure_fit(self, server_round: int, parameters: Parameters, client_manager: ClientManager) -> list[Any]:
        """From the messages of `configure_train`."""
        ask = self.behind.configure_train
        return self._instructions(ask, "train", FitIns, server_round, parameters, client_manager)

    def configure_evaluate(self, server_round: int, parameters: Parameters, client_manager: ClientManager) -> list[Any]:
        """From the messages of its namesake."""
        ask = self.behind.configure_evaluate
        return self._instructions(ask, "evaluate", EvaluateIns, server_round, parameters, client_manager)

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> tuple[Parameters | None, dict]:
        """What `aggregate_train` makes of the replies."""
        records = [
            (proxy, {"arrays": as_record(given.parameters.tensors, self._names)}, given) for proxy, given in results
        ]
        arrays, metrics = self.behind.aggregate_train(server_round, self._replies(records, failures))
        parameters = None if arrays is None else Parameters(self._arrays(arrays))
        return parameters, {} if metrics is None else dict(metrics)

    def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> tuple[None, dict]:
        """What its namesake makes of the replies."""
        records = [(proxy, {}, given) for proxy, given in results]
        metrics = self.behind.aggregate_evaluate(server_round, self._replies(records, failures))
        return None, {} if metrics is None else dict(metrics)

    def evaluate(self, server_round: int, parameters: Parameters) -> tuple[float, dict] | None:
        """What `evaluate_fn` finds, if there is one."""
        found = None if self._evaluate is None else self._evaluate(server_round, self._recorded(parameters))
        if found is None:
            return None
        metrics = dict(found)
        return metrics.pop("loss", float("nan")), metrics

    def _recorded(self, parameters: Parameters) -> Any:
        """The ArrayRecord of a model; of the same one the same."""
        if self._record is None or self._record[0] is not parameters:
            self._record = parameters, as_record(parameters.tensors, self._names)
        return self._record[1]

    def _arrays(self, record: Any) -> list[np.ndarray]:
        if missing := [name for name in self._names if name not in record]:
            raise ValueError(f"an ArrayRecord without {missing[0]}")
        return [read(record[name].data) for name in self._names]

    def _instructions(
        self, ask: Any, kind: str, ins: Any, server_round: int, parameters: Parameters, clients: ClientManager
    ) -> list[tuple[Any, Any]]:
        from flwr.app import ConfigRecord

        grid, record = Grid(clients), self._recorded(parameters)
        self._sent = {}
        known = {id(record): parameters}
        pairs = []
        for message in ask(server_round, record, ConfigRecord(self._configs[kind]), grid):
            proxy, content = grid.proxy(message.metadata.dst_node_id), message.content
            (key, arrays), *others = content.array_records.items()
            (name, config), *more = content.config_records.items() or [("config", {})]
            if others or more:
                raise ValueError("a message with more than one ArrayRecord and one ConfigRecord")
            if id(arrays) not in known:
                known[id(arrays)] = Parameters(self._arrays(arrays))
            keys = {"arrays": key, "config": name}
            heeded = dict(config) if keys == USUAL else {**config, KEYS: keys}
            self._sent[proxy.cid] = message
            pairs.append((proxy, ins(known[id(arrays)], heeded)))
        return pairs

    def _replies(
        self, records: Sequence[tuple[Any, dict[str, Any], Any]], failures: Sequence[ClientFailure]
    ) -> list[Any]:
        from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

        replies = []
        for proxy, content, given in records:
            numbers, words = split(given.metrics)
            if hasattr(given, "loss"):
                numbers.setdefault("loss", given.loss)
            content["metrics"] = MetricRecord({**numbers, self._weight: numbers.get(self._weight, given.num_examples)})
            if words:
                content["words"] = ConfigRecord(words)
            replies.append(Message(RecordDict(content), reply_to=self._sent[proxy.cid]))
        for failure in failures:
            replies.append(Message(Error(0, str(failure)), reply_to=self._sent[str(failure.client)]))
        return replies
