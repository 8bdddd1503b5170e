"""The algorithms: one short file each, and one line in this table."""

from hpcfl.strategies.centralized import Centralized
from hpcfl.strategies.dfedem import DFedEM
from hpcfl.strategies.fedadam import FedAdagrad, FedAdam, FedYogi
from hpcfl.strategies.fedasync import FedAsync
from hpcfl.strategies.fedat import FedAT
from hpcfl.strategies.fedavg import FedAvg
from hpcfl.strategies.fedavgm import FedAvgM
from hpcfl.strategies.fedbn import FedBN
from hpcfl.strategies.fedbuff import FedBuff
from hpcfl.strategies.feddl import FedDL
from hpcfl.strategies.fedem import FedEM
from hpcfl.strategies.fedlc import FedLC
from hpcfl.strategies.fednova import FedNova
from hpcfl.strategies.fedopt import FedOpt
from hpcfl.strategies.fedprox import FedProx
from hpcfl.strategies.scaffold import Scaffold
from hpcfl.strategies.stepasync import StepAsync
from hpcfl.strategies.twafl import TWAFL

__all__ = [
    "STRATEGIES",
    "TWAFL",
    "Centralized",
    "DFedEM",
    "FedAT",
    "FedAdagrad",
    "FedAdam",
    "FedAsync",
    "FedAvg",
    "FedAvgM",
    "FedBN",
    "FedBuff",
    "FedDL",
    "FedEM",
    "FedLC",
    "FedNova",
    "FedOpt",
    "FedProx",
    "FedYogi",
    "Scaffold",
    "StepAsync",
]

STRATEGIES = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "fednova": FedNova,
    "scaffold": Scaffold,
    "fedlc": FedLC,
    "fedavgm": FedAvgM,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad,
    "fedopt": FedOpt,
    "fedbn": FedBN,
    "feddl": FedDL,
    "fedem": FedEM,
    "dfedem": DFedEM,
    "centralized": Centralized,
    "fedasync": FedAsync,
    "fedbuff": FedBuff,
    "stepasync": StepAsync,
    "fedat": FedAT,
    "twafl": TWAFL,
}
