"""Centralized training: the baseline that has everybody's data in one place.

One trainer passes over the union of all clients' data, `client.epochs` times per round, and its model becomes the
global one. What federated training loses against it is the price of keeping data at home.
"""

from dataclasses import dataclass
from typing import ClassVar

from hpcfl.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class Centralized(FedAvg):
    """FedAvg with one client that holds the union of all clients' data."""

    pooled: ClassVar[bool] = True
