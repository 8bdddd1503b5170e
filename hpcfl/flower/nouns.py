"""The words of Flower's strategy interface, as classes of our own: flwr itself is not needed.

Names, argument order and meaning are those of flwr's `Strategy`, so that a class moves from one to the other by its
import. One thing differs: `Parameters.tensors` are NumPy arrays, not bytes, and mostly views of the model's one vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

import numpy as np

__all__ = [
    "ClientFailure",
    "ClientManager",
    "ClientProxy",
    "Code",
    "Context",
    "Criterion",
    "EvaluateIns",
    "EvaluateRes",
    "FitIns",
    "FitRes",
    "GetPropertiesIns",
    "GetPropertiesRes",
    "Metrics",
    "NDArrays",
    "Parameters",
    "Scalar",
    "Status",
    "Strategy",
    "ndarrays_to_parameters",
    "parameters_to_ndarrays",
]

Scalar = bool | bytes | float | int | str
"""What configs and metrics may hold."""
Metrics = dict[str, Scalar]
NDArrays = list[np.ndarray]


class Code(Enum):
    """How a client's work ended."""

    OK = 0
    GET_PROPERTIES_NOT_IMPLEMENTED = 1
    GET_PARAMETERS_NOT_IMPLEMENTED = 2
    FIT_NOT_IMPLEMENTED = 3
    EVALUATE_NOT_IMPLEMENTED = 4


@dataclass
class Status:
    """The same with words."""

    code: Code
    message: str


@dataclass
class Parameters:
    """A model: the arrays of its state_dict in order, integer buffers too."""

    tensors: NDArrays
    """What a strategy is given to read (`configure_fit`, `evaluate`) cannot be written to."""
    tensor_type: str = "numpy.ndarray"


def ndarrays_to_parameters(ndarrays: NDArrays) -> Parameters:
    """Parameters of the very same arrays."""
    return Parameters(list(ndarrays))


def parameters_to_ndarrays(parameters: Parameters) -> NDArrays:
    """The very same arrays."""
    return list(parameters.tensors)


@dataclass
class FitIns:
    """What a client is to train from, and how: `epochs` (or `local_epochs`) and `lr` are heeded by hpcfl's own clients,
    everything is handed on to a Flower client."""

    parameters: Parameters
    config: dict[str, Scalar]


@dataclass
class FitRes:
    """What a client brings."""

    status: Status
    parameters: Parameters
    num_examples: int
    metrics: dict[str, Scalar]


@dataclass
class EvaluateIns:
    """What a client is to evaluate on its own test share."""

    parameters: Parameters
    config: dict[str, Scalar]


@dataclass
class EvaluateRes:
    """What it finds."""

    status: Status
    loss: float
    num_examples: int
    metrics: dict[str, Scalar]


@dataclass
class GetPropertiesIns:
    """What a client is asked about itself."""

    config: dict[str, Scalar]


@dataclass
class GetPropertiesRes:
    """What it says."""

    status: Status
    properties: dict[str, Scalar]


class ClientFailure(Exception):  # noqa: N818 - a noun of the interface
    """Stands among `failures` for a chosen client that brought no result; says why."""

    def __init__(self, client: int, reason: str):
        super().__init__(f"client {client}: {reason}")
        self.client = client


class ClientProxy:
    """A client, as the server knows it."""

    def __init__(self, cid: str):
        self.cid = cid
        """Its number, as text."""
        self.node_id = int(cid)
        self.properties: dict[str, Scalar] = {}
        """What hpcfl knows: `partition-id`, `num-examples` (training samples)."""
        self.ask: Callable[[dict[str, Scalar]], GetPropertiesRes] = self._told

    def get_properties(
        self, ins: GetPropertiesIns, timeout: float | None = None, group_id: int | None = None
    ) -> GetPropertiesRes:
        """What a Flower client says of itself, asked on the server; of hpcfl's own clients `properties`."""
        return self.ask(ins.config)

    def _told(self, config: dict[str, Scalar]) -> GetPropertiesRes:
        return GetPropertiesRes(Status(Code.OK, "Success"), self.properties)

    def __repr__(self) -> str:
        return f"ClientProxy({self.cid})"


class Criterion(ABC):
    """Which clients may be sampled."""

    @abstractmethod
    def select(self, client: ClientProxy) -> bool:
        """Whether this one may."""


class ClientManager(ABC):
    """The clients that there are: on a cluster all of them, always."""

    @abstractmethod
    def num_available(self) -> int:
        """How many there are."""

    @abstractmethod
    def all(self) -> dict[str, ClientProxy]:
        """cid -> client."""

    @abstractmethod
    def sample(
        self, num_clients: int, min_num_clients: int | None = None, criterion: Criterion | None = None
    ) -> list[ClientProxy]:
        """So many clients drawn without replacement among those the criterion selects; none if these are fewer."""


@dataclass
class Context:
    """What a `client_fn` is given where flwr is not installed; the fields of flwr's that make sense here."""

    run_id: int
    node_id: int
    node_config: dict[str, Scalar]
    """`partition-id` and `num-partitions`."""
    state: Any
    """Stays with the client from round to round, on its rank."""
    run_config: dict[str, Scalar] = field(default_factory=dict)
    """The params of `client.app`."""


class Strategy(ABC):
    """What a federation does in a round, in six methods. The first round is 1."""

    weighted_mean: ClassVar[bool] = False
    """`aggregate_fit` needs the clients' parameters only as their mean weighted by examples. The ranks then sum them up
    on the way (one reduce in place of a gather), and every result's `parameters` are that mean."""

    @abstractmethod
    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """The first model; None for the one that the job's [model] and seed give."""

    @abstractmethod
    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Who trains, and how; a client not listed sits the round out."""

    @abstractmethod
    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """(the next model, metrics); None leaves the model as it was."""

    @abstractmethod
    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Who evaluates which model on its own test share."""

    @abstractmethod
    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """(loss, metrics) of the clients' evaluation."""

    @abstractmethod
    def evaluate(self, server_round: int, parameters: Parameters) -> tuple[float, dict[str, Scalar]] | None:
        """(loss, metrics) on the server; None for none. Asked before the first round (0) and after each."""
