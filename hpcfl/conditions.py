"""Under which conditions an algorithm works: faults among its clients, limits, privacy, compressed uploads."""

from __future__ import annotations

from typing import Any

from hpcfl.components import make
from hpcfl.compression import feed_back
from hpcfl.faults import ATTACKS, afflict
from hpcfl.federation import build_compression
from hpcfl.limits import limit
from hpcfl.privacy import make_private
from hpcfl.schema import JobSpec
from hpcfl.strategies import STRATEGIES

__all__ = ["impose"]


def impose(spec: JobSpec, strategy: Any, clients: int) -> Any:
    """The algorithm under the job's conditions; lies are limited, clipped and compressed as any upload is."""
    if spec.faults:
        attack = make("faults.attack", spec.faults.attack, ATTACKS)
        strategy = afflict(strategy, spec.faults, attack, spec.seed, clients)
    if spec.server.max_norm is not None:
        strategy = limit(strategy, spec.server.max_norm)
    if spec.privacy:
        able = [name for name, other in STRATEGIES.items() if averages_models(other)]
        return make_private(strategy, spec, able)
    given = spec.communication.compression.name
    return strategy if given == "none" else feed_back(strategy, given, build_compression(spec))


def averages_models(kind: Any) -> bool:
    """Whether the one thing that clients of the algorithm upload is a model, of which the server has the mean."""
    return not kind.pooled and kind.uploads in ({"w": "examples"}, {"w": "clients"})
