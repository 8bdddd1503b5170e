"""From a job to a strategy with Flower's interface: whose class it is, what its constructor takes, what it needs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hpcfl.components import construct, locate
from hpcfl.errors import JobError
from hpcfl.federation import component
from hpcfl.flower.adapter import Adapter, Proximal
from hpcfl.flower.dialects import Dialect, dialect_of
from hpcfl.schema import JobSpec

__all__ = ["adapt"]

SIX = (
    "initialize_parameters", "configure_fit", "aggregate_fit", "configure_evaluate", "aggregate_evaluate", "evaluate",
)  # fmt: skip
MESSAGES = ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate")
"""The methods of Flower's strategies on messages, `flwr.serverapp.strategy`."""
MEAN = "weighted_mean"


def adapt(spec: JobSpec) -> Adapter | None:
    """The job's strategy as hpcfl runs it; None if it has not Flower's methods. JobError if the job asks too much."""
    name, params = spec.strategy.name, dict(spec.strategy.params)
    if "." not in name or "+" in name:
        return None
    target = locate("strategy", name, {})
    mean = params.pop(MEAN, getattr(target, MEAN, False))
    if not isinstance(target, type):
        made = construct("strategy", target, params)
        if not speaks(made):
            return None
        target, make = type(made), lambda arrays, names: made
    elif not speaks(target):
        return None
    else:
        make = partial(build, "strategy", target, params, dialect_of(target))
    if not isinstance(mean, bool):
        raise JobError(f"strategy.{MEAN} = {mean!r}: should be true or false")
    if spec.checkpoint.every or spec.checkpoint.resume != "no":
        raise JobError(
            f"checkpoint: strategy = {name!r} keeps what it knows in its own attributes, of which a checkpoint knows "
            "nothing; leave checkpoint.every and checkpoint.resume out"
        )
    kind = Proximal if "proximal_mu" in inspect.signature(target).parameters else Adapter
    return kind(make, dialect_of(target), mean)


def speaks(given: Any) -> bool:
    """Whether a strategy, or a class of them, has Flower's methods, of either generation."""
    return any(all(callable(getattr(given, name, None)) for name in names) for names in (SIX, MESSAGES))


def build(
    key: str, target: Any, params: Mapping[str, Any], dialect: Dialect, arrays: Sequence[Any], names: Sequence[str]
) -> Any:
    """The strategy. A param that is a component is built, one whose name ends with _fn is a function by its dotted
    path, and one that takes a first model gets the job's where it has none."""
    given = {name: fill(f"{key}.{name}", value, dialect, arrays, names) for name, value in params.items()}
    if "initial_parameters" in inspect.signature(target).parameters:
        given.setdefault("initial_parameters", dialect.parameters(arrays))
    return construct(key, target, given)


def fill(key: str, value: Any, dialect: Dialect, arrays: Sequence[Any], names: Sequence[str]) -> Any:
    """A param, as the constructor wants it."""
    if isinstance(value, Mapping) and "name" in value:
        inner = component(key, value)
        return build(key, locate(key, inner.name, {}), inner.params, dialect, arrays, names)
    return locate(key, value, {}) if isinstance(value, str) and key.endswith("_fn") else value
