"""From a job to its clients: who holds which samples, on what device, and when they train. No model, no PyTorch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from hpcfl.components import construct, locate, make
from hpcfl.compression import COMPRESSIONS, Compression
from hpcfl.core import World, first_line, whole_model
from hpcfl.data import Labels, class_counts, deal, find_root, held_out, load_labels
from hpcfl.devices import SPEEDS, STALE, Devices, stale_delays
from hpcfl.errors import HpcflError, JobError
from hpcfl.jobfile import JobFile
from hpcfl.rng import stream
from hpcfl.schedule import SCHEDULES
from hpcfl.schema import ClientDevice, Component, JobSpec, Model

__all__ = [
    "build_compression",
    "build_devices",
    "build_schedule",
    "build_world",
    "cut",
    "deal_models",
    "deal_samples",
    "foresee",
    "hold_out",
    "reach_modules",
]

POOLED = ("centralized",)
"""Strategies that train one client on everybody's data: told here by name, as their modules import PyTorch."""


def foresee(job: JobFile, model_bytes: float = 0.0) -> tuple[Any, World]:
    """(schedule, world) of a job: all that its plan needs.

    Models are counted with `model_bytes` each, and as travelling whole, whatever the strategy says.
    """
    spec = job.spec
    reach_modules(job)
    schedule = build_schedule(spec)
    labels = load_labels(spec.data.name, root=find_root(spec.data.root, os.environ), params=spec.data.params)
    pooled = is_pooled(spec)
    parts, _ = hold_out(spec, labels.y, deal_samples(spec, labels, pooled))
    counts = class_counts(labels.y, parts, labels.classes)
    deal_models(spec, len(parts))
    return schedule, build_world(spec, schedule, counts, model_bytes, pooled=pooled)


def is_pooled(spec: JobSpec) -> bool:
    """Whether the strategy trains one client on everybody's data."""
    return bool(set(POOLED) & {name.strip() for name in spec.strategy.name.split("+")})


def reach_modules(job: JobFile) -> None:
    """Let dotted paths lead to modules beside the job file."""
    if job.folder and str(job.folder) not in sys.path:
        sys.path.insert(0, str(job.folder))


def build_schedule(spec: JobSpec) -> Any:
    """The schedule from its own fields; those that are components themselves are built first."""
    target, params = locate("schedule", spec.schedule.name, SCHEDULES), dict(spec.schedule.params)
    for field, table in getattr(target, "components", {}).items():
        if isinstance(params.get(field), str | Mapping):
            params[field] = make(f"schedule.{field}", component(f"schedule.{field}", params[field]), table)
    schedule = construct("schedule", target, params)
    if not callable(schedule):
        raise JobError(
            f"schedule = {spec.schedule.name!r}: gives a {type(schedule).__name__}, which cannot be called with a "
            "world and a clock"
        )
    return schedule


def component(key: str, given: Any) -> Component:
    """A component in any of its spellings; JobError names the key."""
    try:
        return Component.model_validate(given)
    except ValidationError as failure:
        error = failure.errors()[0]
        raise JobError(f"{key} = {given!r}: {'.'.join(map(str, error['loc']))}: {error['msg'].lower()}") from None


def deal_samples(spec: JobSpec, labels: Labels, pooled: bool) -> list[np.ndarray]:
    """Each client's places in the training set; `pooled` makes them one client."""
    dealt, rng = spec.partition, stream(spec.seed, "partition")
    parts = deal(dealt.name, labels.y, dealt.clients, rng, labels.holders, **dealt.params)
    if pooled:
        parts = [np.sort(np.concatenate(parts))]
    unseen, train = spec.client.test_clients, len(parts) - spec.client.test_clients
    if train < 1:
        raise JobError(f"client.test_clients = {unseen}: must be less than the {len(parts)} clients there are")
    if spec.server.min_clients > train:
        what = "that train" if unseen else "there are"
        raise JobError(f"server.min_clients = {spec.server.min_clients}: more than the {train} clients {what}")
    return parts


def deal_models(spec: JobSpec, clients: int) -> tuple[list[Model], list[int]]:
    """The architectures, and for each client which of them it has, by number; rows that say the same are one."""
    if not spec.client.models:
        return [spec.model], [0] * clients
    if spec.model != Model():
        raise JobError(f"model = {spec.model.name!r}: client.models says which client has which; give one of the two")
    rows = [(Model(**row.model_dump(exclude={"count"})), row.count) for row in spec.client.models]
    if (said := sum(count for _, count in rows)) != clients:
        each = " + ".join(str(count) for _, count in rows)
        raise JobError(f"client.models: the counts add up to {each} = {said}, but there are {clients} clients")
    models: list[Model] = []
    of: list[int] = []
    for model, count in rows:
        if model not in models:
            models.append(model)
        of += [models.index(model)] * count
    return models, of


def hold_out(spec: JobSpec, labels: np.ndarray, parts: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Each client's samples for training, and those that it keeps back for its own evaluation (`client.test_size`).

    Every class keeps its proportion. A client with one sample trains on it and keeps none back.
    """
    if not spec.client.test_size:
        return parts, [part[:0] for part in parts]
    clients = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    dealt, rng = np.concatenate(parts), stream(spec.seed, "held out")
    test = held_out(labels[dealt], clients, spec.client.test_size, rng, least=1)
    pairs = list(zip(parts, np.split(test, np.cumsum(np.bincount(clients)))))
    return [part[~held] for part, held in pairs], [part[held] for part, held in pairs]


def cut(spec: JobSpec, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Each client's training samples slice by slice (`client.slices`): at random, and within one as the dataset has
    them."""
    slices = spec.client.slices
    if slices == 1:
        return parts
    rng = stream(spec.seed, "slices")
    dealt = [rng.permutation(part) for part in parts]
    borders = [[len(part) * turn // slices for turn in range(1, slices)] for part in parts]
    return [np.concatenate([np.sort(piece) for piece in np.split(*both)]) for both in zip(dealt, borders)]


def build_world(
    spec: JobSpec,
    schedule: Any,
    counts: np.ndarray,
    model_bytes: float | np.ndarray,
    *,
    pooled: bool,
    travels: Callable[[int], float] = whole_model,
    **model: Any,
) -> World:
    """The world of `counts` (clients, classes) samples; the schedule is asked for its groups, and then tried on it.

    `model_bytes`: what each client receives, and sends uncompressed; an array where their models differ. `pooled`: they
    are one client's instead of all. `model` is the layout and the initial vector, where there are any.
    """
    epochs, slices, examples = spec.client.epochs, spec.client.slices, counts.sum(1)
    if ((examples > 0) & (examples < slices)).any():
        client = int(np.where(examples, examples, slices).argmin())
        raise JobError(f"client.slices = {slices}: client {client} has only {examples[client]} training samples")
    settings: dict[str, Any] = {
        "seed": spec.seed,
        "rounds": spec.rounds,
        "counts": counts[: len(counts) - spec.client.test_clients],
        "unseen": counts[len(counts) - spec.client.test_clients :] if spec.client.test_clients else None,
        "batch_size": spec.client.batch_size,
        "epochs": (epochs, epochs) if isinstance(epochs, int) else (epochs[0], epochs[1]),
        "devices": build_devices(spec, len(counts), model_bytes, pooled),
        "slices": slices,
        "travels": travels,
        **model,
    }
    group, check = getattr(schedule, "group", None), getattr(schedule, "check", None)
    groups = (tuple(range(len(settings["counts"]))),)
    if group:
        groups = asked("schedule.group", group, World(**settings))
    world = World(**settings, groups=tuple(map(tuple, groups)))
    if check:
        check(world)
    return world


def build_compression(spec: JobSpec) -> Compression:
    """What makes the clients' uploads smaller."""
    return make("communication.compression", spec.communication.compression, COMPRESSIONS)


def build_devices(spec: JobSpec, clients: int, model_bytes: float | np.ndarray, pooled: bool = False) -> Devices:
    """The devices of [client.device]. One client instead of all (`centralized`) has none of their particulars."""
    given = spec.client.device
    if pooled:
        given = ClientDevice(seconds_per_step=given.seconds_per_step)
    step_s = np.full(clients, given.seconds_per_step)
    if given.speed:
        speed = make("client.device.speed", given.speed, SPEEDS)
        factors = asked("client.device.speed", speed, clients, stream(spec.seed, "speed"))
        step_s = step_s * numbers("client.device.speed", given.speed.name, factors, clients)
    stale = given.stale
    if isinstance(stale, str):
        stale = asked(STALE, locate(STALE, stale, {}), clients)
        stale = numbers(STALE, given.stale, stale, clients)
    windows = (given.availability.period, given.availability.share) if given.availability else ()
    faults = {"lost": spec.faults.drop, "late": spec.faults.late, "late_s": spec.faults.delay} if spec.faults else {}
    return Devices(
        spec.seed,
        step_s,
        stale_delays(stale, clients, spec.seed),
        transfer_s(model_bytes, given.download_bandwidth, clients),
        transfer_s(upload_bytes(spec, model_bytes), given.upload_bandwidth, clients),
        given.dropout,
        *windows,
        **faults,
    )


def upload_bytes(spec: JobSpec, model_bytes: float | np.ndarray) -> float | np.ndarray:
    """Bytes of a model that was made smaller."""
    smaller = build_compression(spec).bytes
    return np.array([smaller(each / 4) for each in model_bytes]) if np.ndim(model_bytes) else smaller(model_bytes / 4)


def transfer_s(model_bytes: float | np.ndarray, bandwidth: float | None, clients: int) -> np.ndarray:
    """(clients,) seconds that a whole model takes."""
    return np.full(clients, model_bytes / bandwidth if bandwidth else 0.0)


def asked(key: str, function: Callable[..., Any], *given: Any) -> Any:
    """What a component answers; what it raises is the user's own mistake."""
    try:
        return function(*given)
    except HpcflError:
        raise
    except Exception as failure:
        raise JobError(f"{key}: failed: {first_line(failure)}") from None


def numbers(key: str, name: str, given: Any, clients: int) -> np.ndarray:
    """(clients,) finite numbers, 0 or greater; JobError if a component gives anything else."""
    try:
        array = np.asarray(given, float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.shape != (clients,) or not np.isfinite(array).all() or array.min() < 0:
        said = f"an array of shape {array.shape}" if array.ndim else repr(given)
        raise JobError(
            f"{key} = {name!r}: gives {said}; should be one finite number, 0 or greater, for each of {clients} clients"
        )
    return array
