"""The algorithms: one short file each, and one line in this table."""

from hpcfl.strategies.afl import AFL
from hpcfl.strategies.apfl import APFL
from hpcfl.strategies.bulyan import Bulyan
from hpcfl.strategies.centralized import Centralized
from hpcfl.strategies.cfl import CFL
from hpcfl.strategies.dfedavg import DFedAvg
from hpcfl.strategies.dfedem import DFedEM
from hpcfl.strategies.ditto import Ditto
from hpcfl.strategies.fedadam import FedAdagrad, FedAdam, FedYogi
from hpcfl.strategies.fedasync import FedAsync
from hpcfl.strategies.fedat import FedAT
from hpcfl.strategies.fedavg import FedAvg
from hpcfl.strategies.fedavgm import FedAvgM
from hpcfl.strategies.fedavgplus import FedAvgPlus
from hpcfl.strategies.fedbn import FedBN
from hpcfl.strategies.fedbuff import FedBuff
from hpcfl.strategies.feddl import FedDL
from hpcfl.strategies.fedem import FedEM
from hpcfl.strategies.fedlc import FedLC
from hpcfl.strategies.fedmedian import FedMedian
from hpcfl.strategies.fednova import FedNova
from hpcfl.strategies.fedopt import FedOpt
from hpcfl.strategies.fedper import FedPer
from hpcfl.strategies.fedprox import FedProx
from hpcfl.strategies.fedrep import FedRep
from hpcfl.strategies.flexifed import BasicCommon, ClusteredCommon, ClusteredFL, MaxCommon
from hpcfl.strategies.krum import Krum, MultiKrum
from hpcfl.strategies.l2sgd import L2SGD
from hpcfl.strategies.pfedme import PFedMe
from hpcfl.strategies.qffl import QFFL
from hpcfl.strategies.scaffold import Scaffold
from hpcfl.strategies.standalone import Standalone
from hpcfl.strategies.stepasync import StepAsync
from hpcfl.strategies.trimmedmean import TrimmedMean
from hpcfl.strategies.twafl import TWAFL

__all__ = [
    "AFL",
    "APFL",
    "CFL",
    "L2SGD",
    "QFFL",
    "STRATEGIES",
    "TWAFL",
    "BasicCommon",
    "Bulyan",
    "Centralized",
    "ClusteredCommon",
    "ClusteredFL",
    "DFedAvg",
    "DFedEM",
    "Ditto",
    "FedAT",
    "FedAdagrad",
    "FedAdam",
    "FedAsync",
    "FedAvg",
    "FedAvgM",
    "FedAvgPlus",
    "FedBN",
    "FedBuff",
    "FedDL",
    "FedEM",
    "FedLC",
    "FedMedian",
    "FedNova",
    "FedOpt",
    "FedPer",
    "FedProx",
    "FedRep",
    "FedYogi",
    "Krum",
    "MaxCommon",
    "MultiKrum",
    "PFedMe",
    "Scaffold",
    "Standalone",
    "StepAsync",
    "TrimmedMean",
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
    "qffl": QFFL,
    "afl": AFL,
    "fedmedian": FedMedian,
    "trimmed_mean": TrimmedMean,
    "krum": Krum,
    "multi_krum": MultiKrum,
    "bulyan": Bulyan,
    "fedbn": FedBN,
    "feddl": FedDL,
    "fedem": FedEM,
    "dfedavg": DFedAvg,
    "dfedem": DFedEM,
    "fedavgplus": FedAvgPlus,
    "fedper": FedPer,
    "fedrep": FedRep,
    "ditto": Ditto,
    "pfedme": PFedMe,
    "apfl": APFL,
    "l2sgd": L2SGD,
    "cfl": CFL,
    "standalone": Standalone,
    "centralized": Centralized,
    "fedasync": FedAsync,
    "fedbuff": FedBuff,
    "stepasync": StepAsync,
    "fedat": FedAT,
    "twafl": TWAFL,
    "clustered_fl": ClusteredFL,
    "basic_common": BasicCommon,
    "clustered_common": ClusteredCommon,
    "max_common": MaxCommon,
}
