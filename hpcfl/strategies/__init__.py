"""The algorithms: one short file each, and one line in this table."""

from hpcfl.strategies.centralized import Centralized
from hpcfl.strategies.fedadam import FedAdagrad, FedAdam, FedYogi
from hpcfl.strategies.fedasync import FedAsync
from hpcfl.strategies.fedat import FedAT
from hpcfl.strategies.fedavg import FedAvg
from hpcfl.strategies.fedavgm import FedAvgM
from hpcfl.strategies.fedbn import FedBN
from hpcfl.strategies.fedbuff import FedBuff
from hpcfl.strategies.feddl import FedDL
from hpcfl.strategies.fedlc import FedLC
from hpcfl.strategies.fednova import FedNova
from hpcfl.strategies.fedopt import FedOpt
from hpcfl.strategies.fedprox import FedProx
from hpcfl.strategies.flexifed import BasicCommon, ClusteredCommon, ClusteredFL, MaxCommon, Standalone
from hpcfl.strategies.scaffold import Scaffold
from hpcfl.strategies.stepasync import StepAsync
from hpcfl.strategies.twafl import TWAFL

__all__ = [
    "STRATEGIES",
    "TWAFL",
    "BasicCommon",
    "Centralized",
    "ClusteredCommon",
    "ClusteredFL",
    "FedAT",
    "FedAdagrad",
    "FedAdam",
    "FedAsync",
    "FedAvg",
    "FedAvgM",
    "FedBN",
    "FedBuff",
    "FedDL",
    "FedLC",
    "FedNova",
    "FedOpt",
    "FedProx",
    "FedYogi",
    "MaxCommon",
    "Scaffold",
    "Standalone",
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
    "centralized": Centralized,
    "fedasync": FedAsync,
    "fedbuff": FedBuff,
    "stepasync": StepAsync,
    "fedat": FedAT,
    "twafl": TWAFL,
    "standalone": Standalone,
    "clustered_fl": ClusteredFL,
    "basic_common": BasicCommon,
    "clustered_common": ClusteredCommon,
    "max_common": MaxCommon,
}
