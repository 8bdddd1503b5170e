"""The algorithms: one short file each, and one line in this table."""

from hpcfl.strategies.centralized import Centralized
from hpcfl.strategies.fedavg import FedAvg
from hpcfl.strategies.fedprox import FedProx

__all__ = ["STRATEGIES", "Centralized", "FedAvg", "FedProx"]

STRATEGIES = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "centralized": Centralized,
}
