"""From a job to a strategy with Flower's interface: whose class it is, what its constructor takes, what it needs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from hpcfl.components import construct, locate
from hpcfl.errors import JobError
from hpcfl.federation import component
from hpcfl.flower.adapter import Adapter, Proximal
from hpcfl.flower.apps import app_of
from hpcfl.flower.dialects import OURS, Dialect, dialect_of
from hpcfl.flower.hosting import Hosting
from hpcfl.flower.records import Messages
from hpcfl.schema import JobSpec

__all__ = ["adapt"]

SIX = (
    "initialize_parameters", "configure_fit", "aggregate_fit", "configure_evaluate", "aggregate_evaluate", "evaluate",
)  # fmt: skip
MESSAGES = ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate")
"""The methods of Flower's strategies on messages, `flwr.serverapp.strategy`."""
CLIPPED = ("DPFedAvg", "DifferentialPrivacyClientSide")
"""How the names of flwr's strategies begin whose clients clip what they bring."""
START = ("train_config", "evaluate_config", "evaluate_fn")
"""What such a strategy is told when it starts, in place of its constructor."""
MEAN, MU = "weighted_mean", "proximal_mu"


def adapt(spec: JobSpec) -> Adapter | None:
    """The job's strategy as hpcfl runs it; None if it has not Flower's methods. JobError if the job asks too much."""
    adapter = adapted(spec)
    if adapter is None and spec.client.app:
        raise JobError(
            f"client.app = {spec.client.app.name!r}: strategy = {spec.strategy.name!r} lacks Flower's methods; take "
            'one that has them, say "flwr.server.strategy.FedAvg"'
        )
    return adapter


def adapted(spec: JobSpec) -> Adapter | None:
    """The same, whoever the clients are."""
    name, params = spec.strategy.name, dict(spec.strategy.params)
    if "." not in name or "+" in name:
        return None
    if name.startswith("flwr.") and find_spec("flwr") is None:
        raise JobError(f"strategy = {name!r}: is Flower's own, which is not installed: pip install 'hpcfl[flower]'")
    target = locate("strategy", name, {})
    mean = params.pop(MEAN, getattr(target, MEAN, False))
    if isinstance(target, type):
        if not speaks(target):
            return None
        kind, start = target, {}
        if not has(target, SIX):
            start = {name: fill(f"strategy.{name}", params.pop(name), OURS, ()) for name in START if name in params}
        make = partial(build, "strategy", target, params, dialect_of(target))
    else:
        made = construct("strategy", target, params)
        if not speaks(made):
            return None
        kind, start = type(made), {}
        make = lambda arrays: made  # noqa: E731 - what the function gave is the strategy, whatever the model
    if not isinstance(mean, bool):
        raise JobError(f"strategy.{MEAN} = {mean!r}: should be true or false")
    speech = (lambda arrays, names: make(arrays)), dialect_of(kind)
    if not has(kind, SIX):
        speech = (lambda arrays, names: Messages(make(arrays), names, **start)), OURS
    if spec.client.app:
        return Hosting(*speech, hosted(spec, mean))
    if any(base.__name__.startswith(CLIPPED) for base in kind.__mro__):
        raise JobError(
            f"strategy = {name!r}: leaves the clipping to the clients, and hpcfl's own do not clip; give a client.app "
            "that does, or take one that clips on the server, flwr.server.strategy.DifferentialPrivacyServerSide..."
        )
    proximal = MU in inspect.signature(kind).parameters or mentions(spec.strategy.params, MU)
    return (Proximal if proximal else Adapter)(*speech, mean, keeps(spec))


def keeps(spec: JobSpec) -> bool:
    """Whether the job asks for checkpoints."""
    return bool(spec.checkpoint.every) or spec.checkpoint.resume != "no"


def hosted(spec: JobSpec, mean: bool) -> Any:
    """(names of the model's arrays, clients) -> the Flower clients; JobError for what contradicts them."""
    name, params = spec.client.app.name, spec.client.app.params
    if mean:
        raise JobError(f"strategy.{MEAN} = true: client.app = {name!r} counts its examples itself; leave it false")
    if keeps(spec):
        raise JobError(
            f"checkpoint: client.app = {name!r} may keep anything in its contexts, which a checkpoint has not; "
            "leave checkpoint.every and checkpoint.resume out"
        )
    if spec.client.test_size:
        raise JobError(f"client.test_size: client.app = {name!r} has its own data, test share included; leave it out")
    found = locate("client.app", name, {})
    return lambda names, clients: app_of(name, found, names, clients, params)


def mentions(params: Mapping[str, Any], name: str) -> bool:
    """Whether the name is a key of the params, or of a strategy or config inside them."""
    return name in params or any(mentions(value, name) for value in params.values() if isinstance(value, Mapping))


def has(given: Any, names: Sequence[str]) -> bool:
    """Whether all of these are methods."""
    return all(callable(getattr(given, name, None)) for name in names)


def speaks(given: Any) -> bool:
    """Whether a strategy, or a class of them, has Flower's methods, of either generation."""
    return has(given, SIX) or has(given, MESSAGES)


def build(key: str, target: Any, params: Mapping[str, Any], dialect: Dialect, arrays: Sequence[np.ndarray]) -> Any:
    """The strategy. A param that is a component is built, one whose name ends with _fn is a function by its dotted
    path, and one that takes a first model gets the job's where it has none."""
    given = {name: fill(f"{key}.{name}", value, dialect, arrays) for name, value in params.items()}
    if "initial_parameters" in inspect.signature(target).parameters:
        given.setdefault("initial_parameters", dialect.parameters(arrays))
    return construct(key, target, given)


def fill(key: str, value: Any, dialect: Dialect, arrays: Sequence[np.ndarray]) -> Any:
    """A param, as the constructor wants it."""
    if isinstance(value, Mapping) and "name" in value:
        inner = component(key, value)
        return build(key, locate(key, inner.name, {}), inner.params, dialect, arrays)
    return locate(key, value, {}) if isinstance(value, str) and key.endswith("_fn") else value
