"""Which algorithm an Async-FL file means: its client's part and its server's, joined by a plus."""

from __future__ import annotations

from typing import Any

from hpcfl.asyncfl import kinds, names
from hpcfl.asyncfl.section import Section, component, short
from hpcfl.errors import JobError

BOTH_SIDES = ("feddl", "fednova", "scaffold", "twafl")
"""Algorithms whose client and whose update belong together."""


def find_strategy(root: Section) -> tuple[dict[str, Any], Any]:
    """(the table of `strategy`, the component of `client.loss`)."""
    client, updater = root.section("client"), root.section("server").section("updater")
    loss, loss_params = find_loss(client)
    section, update, params = _update(updater)
    parts: dict[str, dict[str, Any]] = {}
    owner, mu = client.own(names.CLIENTS), client.get("mu", kinds.NOT_NEGATIVE, 0)
    if update == "fedat":
        params["mu"] = mu
    elif mu or owner == "fedprox":
        parts["fedprox"] = {"mu": mu}
    if loss == "fedlc":
        parts["fedlc"] = loss_params
    if owner == "fedbn":
        parts["fedbn"] = {}
    if client.known(names.CLIENTS) is None:  # a strategy of the user's
        parts[owner] = client.params()
        client.file.keys["strategy"] = client.name("path")
    if owner in BOTH_SIDES and update not in ("fedavg", owner):
        raise JobError(f"{client.told('path')} and {section.told('path')}: the client belongs to another algorithm")
    if owner in BOTH_SIDES:
        update = owner
    if update == "feddl":
        params["alpha"] = client.get("alpha", kinds.NOT_NEGATIVE)
    else:
        client.leave("alpha")
    if "optimizer" in updater:
        update, params = "fedopt", _optimizer(updater, section, update)
    if update != "fedavg":
        parts[update] = {**parts.get(update, {}), **params}
    given = "cross_entropy" if loss == "fedlc" else short(component(loss, loss_params))
    _compare_losses(updater, given)
    return _joined(parts, section), given


def find_loss(section: Section) -> tuple[str, dict[str, Any]]:
    """(name, params) of a loss: a dotted path, a function's name alone, or {path, params} with or without a type.

    A type says no more than the path: what `path` leads to shows whether it is the loss or, with its params, makes one.
    """
    given = section.get("loss", kinds.ANY)
    if isinstance(given, dict):
        inner = section.section("loss")
        inner.get("type", kinds.LOSS_TYPE, None)
        name = inner.own(names.LOSSES)
        return name, _arguments(inner, name) if name == "fedlc" else inner.params()
    name = section.get("loss", kinds.TEXT)
    if "." not in name:  # older files name a function of torch.nn.functional alone
        section = Section(section.file, section.key, {**section.values, "loss": f"torch.nn.functional.{name}"})
    return section.own(names.LOSSES, "loss"), {}


def _update(updater: Section) -> tuple[Section, str, dict[str, Any]]:
    """The section, name and params of the server's rule; for tiers it may stand in `update` or in `group`."""
    found = [_rule(updater.section(name)) for name in ("update", "group") if name in updater]
    if not found:
        raise JobError(f"{updater.section('update').name('path')}: required, but missing")
    special = [rule for rule in found if rule[1] != "fedavg"] or found[:1]
    if len({rule[1] for rule in special}) > 1:
        keys = " and ".join(section.told("path") for section, *_ in special)
        raise JobError(f"{keys}: two rules of the server; one of them should be update.FedAvg.FedAvg")
    return special[0]


def _rule(section: Section) -> tuple[Section, str, dict[str, Any]]:
    name = section.own(names.UPDATES)
    if name not in names.UPDATE_PARAMS:
        return section, name, section.params()
    params = _arguments(section, name)
    return section, name, {**params, "staleness": "hinge"} if name == "fedasync" else params


def _arguments(section: Section, name: str) -> dict[str, Any]:
    """The algorithm's params, by their native names; JobError for one that it does not have."""
    params, valid = section.section("params"), names.UPDATE_PARAMS[name]
    params.only(*valid)
    return {valid[key]: params.get(key, kinds.ANY if key == "deep" else kinds.NUMBER) for key in params.values}


def _optimizer(updater: Section, section: Section, update: str) -> dict[str, Any]:
    """FedOpt: the mean change of the clients, given to an optimizer of the server."""
    if update != "fedavg":
        raise JobError(
            f"{updater.name('optimizer')} and {section.told('path')}: both step the server's model; an optimizer goes "
            "with update.FedAvg.FedAvg"
        )
    optimizer = updater.section("optimizer")
    optimizer.section("params").get("lr", kinds.RATE)
    return {"optimizer": component(optimizer.own({}), optimizer.params())}


def _compare_losses(updater: Section, loss: Any) -> None:
    """One loss serves training and evaluation: say so where the file has two."""
    if "loss" not in updater:
        return
    other = short(component(*find_loss(updater)))
    if other != loss:
        updater.remark(f"{updater.name('loss')} differs from client.loss, which is taken for the evaluation too")


def _joined(parts: dict[str, dict[str, Any]], section: Section) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for own in parts.values():
        if twice := sorted(params.keys() & own.keys()):
            raise section.refuse("path", f"{', '.join(twice)} belongs to two algorithms here, {' and '.join(parts)}")
        params |= own
    return component("+".join(parts) or "fedavg", params)
