"""D-FedEM (Marfoq et al. 2021, NeurIPS): FedEM without a server, among neighbours in a graph.

    w_km' = sum_j W_kj w_jm, over client k itself and its neighbours; E- and M-steps as in FedEM

Who mixes with whom, and how, is that of `dfedavg`; the paper's experiments have an Erdos-Renyi graph with p = 0.5. For
the record rank 0 gets pi_k of each client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hpcfl.strategies.dfedavg import DFedAvg
from hpcfl.strategies.fedem import FedEM


@dataclass(frozen=True)
class DFedEM(DFedAvg, FedEM):
    """`state["w"]`, (K, P) the mean of all clients' learners, is evaluated and sent to newcomers alone."""

    uploads: ClassVar[dict[str, str]] = {"w": "neighbours", "pi": "each"}
