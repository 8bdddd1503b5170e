"""The algorithms: one short file each, and one line in this table."""

from hpcfl.strategies.centralized import Centralized
from hpcfl.strategies.fedasync import FedAsync
from hpcfl.strategies.fedat import FedAT
from hpcfl.strategies.fedavg import FedAvg
from hpcfl.strategies.fedbuff import FedBuff
from hpcfl.strategies.fedprox import FedProx
from hpcfl.strategies.stepasync import StepAsync
from hpcfl.strategies.twafl import TWAFL

__all__ = ["STRATEGIES", "TWAFL", "Centralized", "FedAT", "FedAsync", "FedAvg", "FedBuff", "FedProx", "StepAsync"]

STRATEGIES = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "centralized": Centralized,
    "fedasync": FedAsync,
    "fedbuff": FedBuff,
    "stepasync": StepAsync,
    "fedat": FedAT,
    "twafl": TWAFL,
}
