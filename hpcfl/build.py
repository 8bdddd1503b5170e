"""From a job to the objects that run it: the only place that reads the job and knows every part."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpcfl.acceleration import Accelerator, Execution, compile_module, enter, narrow, wants_channels_last
from hpcfl.batched import Batched
from hpcfl.checkpoint.resume import latest_result
from hpcfl.components import construct, locate, make
from hpcfl.conditions import impose, unforeseen
from hpcfl.core import World, first_line
from hpcfl.data import Dataset, Labels, class_counts, find_cache, find_root, find_stage, load, owners
from hpcfl.errors import JobError, LaunchError
from hpcfl.execution import choose, require_rounds, stacks_learners
from hpcfl.family import Family
from hpcfl.federation import (
    build_schedule,
    build_world,
    component,
    cut,
    deal_models,
    deal_samples,
    hold_out,
    reach_modules,
)
from hpcfl.flat import Layout
from hpcfl.flower.adapter import Adapter
from hpcfl.fromflower import adapt
from hpcfl.jobfile import JobFile
from hpcfl.launch import Placement
from hpcfl.models import INITIALISERS, MODELS
from hpcfl.privacy import Account, build_account
from hpcfl.recipe import build_recipe, optimizer_of
from hpcfl.rng import seed64
from hpcfl.samples import Samples
from hpcfl.schema import JobSpec, Model
from hpcfl.strategies import STRATEGIES, FedAvg
from hpcfl.training import Trainer

__all__ = ["Parts", "assemble", "choose_device"]

HOOKS = (
    "uploads", "pooled", "init", "send", "combine", "local", "base", "loss", "correct", "personal", "predict",
    "private", "travels", "recorded", "mixing",
)  # fmt: skip
UPLOADS = ("examples", "clients", "each", "bytes", "neighbours")


@dataclass(frozen=True)
class Parts:
    """Everything of a run but the ranks, the pool and the file."""

    world: World
    strategy: Any
    schedule: Any
    trainer: Trainer
    test: Samples | None
    labels: tuple[str, ...]
    """Names of the classes."""
    name: str
    """Of the model, or the first of several."""
    owner: np.ndarray
    """(N,) int32: the client that holds each training sample, or -1."""
    execution: Execution
    """How the clients are trained."""
    account: Account | None
    """On rank 0 what the job spends of privacy, if it says so."""

    @property
    def architectures(self) -> list[str]:
        """The name of each client's."""
        family = self.world.family
        return [family.names[number] for number in family.of] if family else [self.name] * len(self.world.everyone)

    @property
    def batched(self) -> Batched | None:
        """Trains many clients as one program; None where they are trained one after the other."""
        return self.execution.batched

    @property
    def fingerprint(self) -> str:
        """Equal on ranks that hold the same clients and the same first model."""
        state = hashlib.sha256(self.owner.tobytes())
        state.update(self.world.counts.tobytes())
        family = self.world.family
        for initial in (self.world.initial, *(family.initials if family else ())):
            state.update(initial.cpu().numpy().tobytes())
        return state.hexdigest()[:16]

    def evaluate(self, batch_size: int) -> Callable[[Tensor], tuple[float, float]]:
        """w -> (loss, accuracy) on the test set."""
        return lambda w: self.trainer.evaluate(w, self.test, batch_size)


def assemble(job: JobFile, device: torch.device, *, trains: bool, serves: bool) -> Parts:
    """Build the job's parts for a rank that trains clients, serves (evaluates), or does both."""
    spec = job.spec
    reach_modules(job)
    torch.set_num_threads(spec.threads)
    enter(spec.device, device)
    if spec.reproducible:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
        torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms would import PyTorch's compiler
        torch.utils.deterministic.fill_uninitialized_memory = False  # costs time; nothing here reads such memory
        torch.backends.cudnn.benchmark = False
    strategy = build_strategy(spec)
    schedule = build_schedule(spec)
    require_rounds(spec, strategy, schedule)
    dataset = load(
        spec.data.name, root=find_root(spec.data.root, os.environ), params=spec.data.params,
        cache=find_cache(spec.data.cache, os.environ), stage=find_stage(spec.data.stage, os.environ),
    )  # fmt: skip
    labels = Labels(dataset.y_train, dataset.classes, dataset.holders)
    dealt = deal_samples(spec, labels, strategy.pooled)
    parts, held_out = hold_out(spec, dataset.y_train, dealt)
    parts = cut(spec, parts)
    strategy = impose(spec, strategy, len(parts) - spec.client.test_clients)
    schedule = unforeseen(spec, strategy, schedule)
    models, of = deal_models(spec, len(parts))
    key = "client.models" if spec.client.models else "model"
    modules = [build_model(spec, key, model, dataset) for model in models]
    layout, family = Layout.of(modules[0]), build_family(spec, strategy, models, of, modules, device)
    world = build_world(
        spec, schedule, class_counts(dataset.y_train, parts, dataset.classes),
        4 * np.array([family.averaged(number) for number in of]) if family else 4 * layout.size,
        pooled=strategy.pooled, travels=functools.partial(strategy.travels, layout),
        layout=layout, initial=family.initial if family else layout.pack(modules[0]).to(device), family=family,
        draw=lambda number: layout.pack(build_model(spec, key, models[0], dataset, number)).to(device),
        held_out=np.array([len(part) for part in held_out]) if spec.client.test_size else None,
    )  # fmt: skip
    last = all(wants_channels_last(spec.device, device, module, dataset.shape) for module in modules)
    sampled = dataset.mean, dataset.std, device, last
    if spec.device.precision == "bf16":
        for module in modules:
            narrow(module)
    train = Samples(dataset.x_train, dataset.y_train, *sampled) if trains else None
    test = Samples(dataset.x_test, dataset.y_test, *sampled) if serves or family else None
    if spec.device.compile:
        for module in modules:
            compile_module(module, (train or test).batch(slice(spec.client.batch_size))[0])
    trainer = Trainer(
        world, strategy, modules[0], build_recipe(spec, dataset.classes), train, parts, device,
        held_out if spec.client.test_size else None, spec.server.test_batch_size, modules[1:], test,
    )  # fmt: skip
    if isinstance(strategy, Adapter):
        strategy.begin(world, trainer, serves)
    trainer.stacks, trainer.splits = stacks_learners(spec, trainer), spec.client.out_of_memory == "split"
    execution = Execution(trainer, choose(spec, schedule, trainer))
    if trains and device.type == "cuda":
        execution.take(world, spec.device, Accelerator())
    owner = owners(dealt, len(dataset.y_train))
    account = build_account(spec, schedule, world) if serves and spec.privacy else None
    return Parts(world, strategy, schedule, trainer, test, dataset.labels, models[0].name, owner, execution, account)


def build_strategy(spec: JobSpec) -> Any:
    """The algorithm, from its own fields; what it uploads is checked here, where the mistake is one message."""
    strategy = adapt(spec) or build_algorithm(spec)
    if missing := [name for name in HOOKS if not hasattr(strategy, name)]:
        raise JobError(f"strategy = {spec.strategy.name!r}: lacks {', '.join(missing)}; derive it from hpcfl's FedAvg")
    for name, how in strategy.uploads.items():
        if how not in UPLOADS:
            raise JobError(
                f"strategy = {spec.strategy.name!r}: uploads[{name!r}] = {how!r}; valid: {', '.join(UPLOADS)}"
            )
    return strategy


def build_algorithm(spec: JobSpec) -> Any:
    """What the name stands for, built; those of its fields that are optimizers are built first."""
    target, params = combined(spec.strategy.name), dict(spec.strategy.params)
    for field in getattr(target, "optimizers", ()):
        if field in params:
            key = f"strategy.{field}"
            params[field] = optimizer_of(key, component(key, params[field]))
    return construct("strategy", target, params)


def combined(name: str) -> Any:
    """The class of an algorithm, or of several with a + between them, if no two change the same hook."""
    named = [locate("strategy", part.strip(), STRATEGIES) for part in name.split("+")]
    classes = [target for target in named if target is not FedAvg]  # which changes nothing
    if len(classes) <= 1:
        return (classes or named)[0]
    changed: dict[str, str] = {}
    for target in classes:
        if not (isinstance(target, type) and issubclass(target, FedAvg)):
            raise JobError(f"strategy = {name!r}: only algorithms derived from hpcfl's FedAvg can be combined")
        for change in its_own(target):
            if change in changed:
                what = "change" if change in HOOKS else "have"
                raise JobError(
                    f"strategy = {name!r}: {changed[change]} and {target.__name__} both {what} {change!r}; only "
                    "algorithms that change different things can be combined"
                )
            changed[change] = target.__name__
    return dataclasses.dataclass(frozen=True)(type("+".join(target.__name__ for target in classes), tuple(classes), {}))


def its_own(target: type) -> list[str]:
    """The names of an algorithm's fields and of what it has beside or instead of FedAvg's, the hooks first."""
    names = {field.name for field in dataclasses.fields(target)}
    for base in set(target.__mro__) - set(FedAvg.__mro__):
        names |= {name for name in vars(base) if not name.startswith("_") or name == "__post_init__"}
    return sorted(names, key=lambda name: (name not in HOOKS, name))


def build_family(
    spec: JobSpec, strategy: Any, models: list[Model], of: list[int], modules: list[nn.Module], device: torch.device
) -> Family | None:
    """The architectures and what the algorithm averages of them; None where all models are alike."""
    if len(models) == 1:
        return None
    if not hasattr(strategy, "groups"):
        able = ", ".join(name for name, target in STRATEGIES.items() if hasattr(target, "groups"))
        raise JobError(
            f"client.models: strategy = {spec.strategy.name!r} averages models that are alike, and there are "
            f"{len(models)} different ones; valid: {able}"
        )
    said = [model.name for model in models]
    names = [name if said.count(name) == 1 else f"{name}-{1 + said[:k].count(name)}" for k, name in enumerate(said)]
    layouts = [Layout.of(module) for module in modules]
    initials = [layout.pack(module).to(device) for layout, module in zip(layouts, modules)]
    return Family.plan(names, layouts, initials, of, strategy.groups)


def build_model(spec: JobSpec, key: str, model: Model, dataset: Dataset, number: int = 0) -> nn.Module:
    """A module of the job, initialised from the seed (and a `number`), and tried on two samples' worth of zeros."""
    torch.manual_seed(seed64(spec.seed, "model", *([number] if number else [])))
    given = (dataset.shape, dataset.classes) if model.name in MODELS else ()
    if given and "tokens" in inspect.signature(MODELS[model.name]).parameters:
        given += (dataset.tokens,)  # a model that reads text
    module = make(key, model, MODELS, *given)
    if not isinstance(module, nn.Module):
        raise JobError(f"{key} = {model.name!r}: gives a {type(module).__name__}, not a torch.nn.Module")
    if model.init:
        make(f"{key}.init", model.init, INITIALISERS, module)
    try:
        with torch.no_grad():
            out = module.eval()(torch.zeros(2, *dataset.shape, dtype=torch.int64 if dataset.tokens else torch.float32))
    except Exception as failure:
        raise JobError(
            f"{key} = {model.name!r}: does not take samples of shape {tuple(dataset.shape)} "
            f"({spec.data.name}): {first_line(failure)}"
        ) from None
    if not isinstance(out, Tensor) or tuple(out.shape) != (2, dataset.classes):
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise JobError(
            f"{key} = {model.name!r}: two samples give {shape}, but {dataset.classes} classes need "
            f"(2, {dataset.classes}); many models take params = {{num_classes = {dataset.classes}}}"
        )
    return module


def choose_device(kind: str, placement: Placement, gpus: list[int]) -> torch.device:
    """This rank's device; `gpus` is how many each rank sees.

    One GPU per rank by its place on the node. Where the node of rank 0 has a rank too many, the server shares the
    last GPU, so that every client has one of its own.
    """
    if kind == "cuda" and min(gpus) == 0:
        raise LaunchError(f"device.kind = 'cuda', but rank {gpus.index(0)} sees no GPU; use --set device.kind=cpu")
    if kind == "cpu" or min(gpus) == 0:
        return torch.device("cpu")
    mine = gpus[placement.rank]
    crowded = placement.local_size > mine and placement.rank - placement.local_rank == 0
    return torch.device("cuda", (placement.local_rank - (1 if crowded else 0)) % mine)


def result_path(spec: JobSpec) -> Path:
    """Where the results go: the job's path, or the first free one of results/NAME.h5, results/NAME-2.h5, ...

    A job that may go on from a checkpoint takes the newest of these, if that run has not finished.
    """
    if spec.results.path:
        return Path(spec.results.path)
    if spec.checkpoint.resume != "no" and (latest := latest_result(Path("results"), spec.name)):
        return latest
    number = 1
    while (path := Path("results") / f"{spec.name}{'' if number == 1 else f'-{number}'}.h5").exists():
        number += 1
    return path
