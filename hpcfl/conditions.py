"""Under which conditions an algorithm works: faults among its clients, limits, privacy, thin uplinks, new tries."""

from __future__ import annotations

from typing import Any

from hpcfl.components import make
from hpcfl.compression import feed_back
from hpcfl.errors import JobError
from hpcfl.faults import ATTACKS, afflict, damage
from hpcfl.federation import build_compression
from hpcfl.flower.adapter import Adapter
from hpcfl.flower.rounds import ChosenRounds
from hpcfl.limits import limit
from hpcfl.privacy import make_private
from hpcfl.schedule import Rounds, Synchronous
from hpcfl.schema import JobSpec
from hpcfl.strategies import STRATEGIES

__all__ = ["impose", "unforeseen"]


def impose(spec: JobSpec, strategy: Any, clients: int) -> Any:
    """The algorithm under the job's conditions: lies are compressed, limited and clipped as any upload is, and what is
    damaged is what travels."""
    if spec.client.app and spec.client.out_of_memory == "split":
        raise JobError("client.out_of_memory = 'split': client.app cuts its own batches; valid: fail")
    if spec.faults:
        attack = make("faults.attack", spec.faults.attack, ATTACKS)
        if spec.client.app and spec.faults.byzantine and hasattr(attack, "labels"):
            raise JobError(
                f"faults.attack = {spec.faults.attack.name!r}: client.app trains on its own labels; valid: sign_flip, "
                "noise"
            )
        strategy = afflict(strategy, spec.faults, attack, spec.seed, clients)
    given = spec.communication.compression.name
    if given != "none":
        strategy = feed_back(strategy, given, build_compression(spec))
    if spec.faults:
        strategy = damage(strategy, spec.faults)
    if spec.server.max_norm is not None:
        strategy = limit(strategy, spec.server.max_norm)
    if spec.privacy:
        able = [name for name, other in STRATEGIES.items() if averages_models(other)]
        strategy = make_private(strategy, spec, able)
    return strategy


def unforeseen(spec: JobSpec, strategy: Any, schedule: Any) -> Any:
    """The schedule, with its rounds drawn as they begin where a Flower strategy or `server.retries` wants that."""
    retries = spec.server.retries
    if retries and spec.privacy:
        raise JobError(f"server.retries = {retries}: [privacy] accounts for one draw of clients per round; valid: 0")
    if isinstance(strategy, Adapter):
        return ChosenRounds(strategy, schedule, retries)
    if not retries:
        return schedule
    if type(schedule) is not Synchronous:
        raise JobError(
            f"server.retries = {retries}: schedule = {spec.schedule.name!r} has no rounds that could be tried again; "
            "valid: synchronous"
        )
    if schedule.choose != "random":
        raise JobError(
            f"server.retries = {retries}: a round that is tried again draws its clients, and does not take those whose "
            "turn it is; valid: schedule.choose = 'random'"
        )
    return Rounds(schedule, retries)


def averages_models(kind: Any) -> bool:
    """Whether the one thing that clients of the algorithm upload is a model, of which the server has the mean."""
    return not kind.pooled and kind.uploads in ({"w": "examples"}, {"w": "clients"})
