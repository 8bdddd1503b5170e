"""How a client trains: the loss, the optimizer, the learning rates and the augmentation that a job names, built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hpcfl.components import check_signature, construct, locate, make
from hpcfl.core import first_line
from hpcfl.errors import JobError
from hpcfl.schema import Component, JobSpec
from hpcfl.sgd import SGD
from hpcfl.training import Recipe
from hpcfl.transforms import TRANSFORMS

__all__ = ["build_loss", "build_recipe", "learning_rates", "optimizer_of"]

LOSSES = {"cross_entropy": nn.CrossEntropyLoss}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
CLIENT_OPTIMIZERS = {**OPTIMIZERS, "sgd": SGD}
LR_SCHEDULES = {
    "step": torch.optim.lr_scheduler.StepLR,
    "multistep": torch.optim.lr_scheduler.MultiStepLR,
    "exponential": torch.optim.lr_scheduler.ExponentialLR,
    "cosine": torch.optim.lr_scheduler.CosineAnnealingLR,
}


def build_recipe(spec: JobSpec, classes: int) -> Recipe:
    """Loss, optimizer, learning rates and augmentation."""
    client = spec.client
    if "lr" in client.optimizer.params:
        raise JobError(f"client.optimizer.lr = {client.optimizer.params['lr']!r}: the learning rate is client.lr")
    given = "client.optimizer", client.optimizer
    transform = spec.data.transform
    return Recipe(
        optimizer=optimizer_of(*given, CLIENT_OPTIMIZERS, lr=client.lr),
        loss=build_loss(client.loss, classes),
        rates=learning_rates(spec, optimizer_of(*given, lr=client.lr)),
        transform=make("data.transform", transform, TRANSFORMS) if transform else None,
        shuffle=client.shuffle,
    )


def optimizer_of(
    key: str, given: Component, table: Mapping[str, Any] = OPTIMIZERS, **also: float
) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """parameters -> an optimizer of torch, or of the `table`, with the component's params and `also`."""
    target, params = locate(key, given.name, table), {**also, **given.params}
    check_signature(key, target, params, given=1)
    return lambda parameters: construct(key, target, params, parameters)


def build_loss(loss: Component, classes: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A class, or a function that takes no logits and labels, is called with its params and gives the loss; any other
    function is the loss, and keeps them for its calls. It is tried on two samples' logits."""
    found = locate("client.loss", loss.name, LOSSES)
    if inspect.isclass(found) or not takes_two(found):
        built = construct("client.loss", found, loss.params)
    else:
        check_signature("client.loss", found, loss.params, given=2)
        built = functools.partial(found, **loss.params) if loss.params else found
    try:
        value = built(torch.zeros(2, classes), torch.zeros(2, dtype=torch.int64))
    except Exception as failure:
        raise JobError(
            f"client.loss = {loss.name!r}: cannot be called with logits (2, {classes}) and labels (2,): "
            f"{first_line(failure)}"
        ) from None
    if not isinstance(value, Tensor) or value.numel() != 1:
        given = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise JobError(f"client.loss = {loss.name!r}: gives {given} for two samples; it should be one number, a tensor")
    return built


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether it can be called with two positional arguments, as a loss is; one written in C is taken to."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    positional = [parameter for parameter in parameters if parameter.kind in (parameter.POSITIONAL_ONLY,
                  parameter.POSITIONAL_OR_KEYWORD)]  # fmt: skip
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return True
    return len(positional) >= 2 and all(parameter.default is parameter.empty for parameter in positional[:2])


def learning_rates(spec: JobSpec, optimizer: Callable[..., torch.optim.Optimizer]) -> tuple[float, ...]:
    """The rate of every server step: a torch scheduler run ahead on a dummy, so that any job knows its own."""
    schedule = spec.client.lr_schedule
    if schedule is None:
        return (spec.client.lr,)
    dummy = optimizer([nn.Parameter(torch.zeros(1))])
    params = {"T_max": spec.rounds, **schedule.params} if schedule.name == "cosine" else schedule.params
    scheduler = construct(
        "client.lr_schedule", locate("client.lr_schedule", schedule.name, LR_SCHEDULES), params, dummy
    )
    rates = []
    try:
        for _ in range(spec.rounds):
            rates.append(float(dummy.param_groups[0]["lr"]))
            dummy.step()
            scheduler.step()
    except Exception as failure:  # it wants a metric, say, or ends after fewer steps
        raise JobError(
            f"client.lr_schedule = {schedule.name!r}: fails after {len(rates)} server steps: {first_line(failure)}"
        ) from None
    return tuple(rates)
