"""From an Async-FL file to a job's table: every section of the one read, every key of the other written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcfl.asyncfl import kinds, names
from hpcfl.asyncfl.algorithm import find_strategy
from hpcfl.asyncfl.older import lift
from hpcfl.asyncfl.section import File, Section, check_keys, component, join, short
from hpcfl.asyncfl.timing import find_schedule, find_stale
from hpcfl.errors import JobError
from hpcfl.schema import plain_name

SECONDS_PER_STEP = 0.01
"""Async-FL waits its `stale` seconds beside training that really takes milliseconds a step."""


def convert(table: Any, folder: Path | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The job that an Async-FL file means, and what its user should be told.

    `table` is the parsed JSON, `folder` where modules beside it lie. The first mistake is a JobError with its key.
    """
    if not isinstance(table, dict):
        raise JobError(f"should be an object with Async-FL's sections, not {table!r}"[:200])
    file = File(folder, table)
    table = _clean(table, "", file)
    table, file.spelled = lift(table)
    root = Section(file, "", table)
    check_keys(root)
    job = _job(root)
    idle = [f"Async-FL's {', '.join(sorted(set(file.idle)))} need no setting here"] if file.idle else []
    return job, (*idle, *dict.fromkeys(file.remarks))


def _job(root: Section) -> dict[str, Any]:
    everything, server, client = root.section("global"), root.section("server"), root.section("client")
    data, model = _data(everything, client), _same_model(server, client, everything)
    clients, partition = _clients(everything), _partition(everything)
    strategy, loss = find_strategy(root)
    schedule = find_schedule(root, clients)
    job = {
        **_name(everything),
        "seed": everything.get("seed", kinds.SEED, 0),
        "rounds": server.get("epochs", kinds.POSITIVE),
        "data": data,
        "partition": {"name": partition.pop("name"), "clients": clients, **partition},
        "model": model,
        "client": {**_client(client), **({"loss": loss} if loss != "cross_entropy" else {})},
        "strategy": strategy,
        "schedule": schedule,
        **_server(client),
        **_tracking(root.section("wandb")),
    }
    job["client"]["device"] = {"seconds_per_step": SECONDS_PER_STEP, "stale": find_stale(everything, clients)}
    if "seed" not in everything:
        everything.remark("global.seed is not given, so it is 0: Async-FL draws one from the clock")
    _plumbing(root)
    return job


def _name(everything: Section) -> dict[str, str]:
    name = plain_name(everything.get("experiment", kinds.TEXT, ""))
    return {"name": name} if name else {}


def _clients(everything: Section) -> int:
    if isinstance(everything.values.get("client_num"), dict):
        return everything.section("client_num").get("all_clients", kinds.POSITIVE)
    return everything.get("client_num", kinds.POSITIVE)


def _data(everything: Section, client: Section) -> dict[str, Any]:
    dataset = everything.section("dataset")
    name, params, arguments = dataset.own(names.DATASETS), dataset.params(), dataset.section("params")
    if name in names.DATASETS.values():
        arguments.leave(*(key for key in params if (name, key) != ("emnist", "split")))
        params = {"split": arguments.get("split", kinds.TEXT)} if name == "emnist" else {}
    if name == "emnist" and params["split"] not in names.EMNIST_CLASSES:
        raise arguments.refuse("split", f"valid: {', '.join(names.EMNIST_CLASSES)}")
    table = component(name, params, ("root", "download", "transform"))
    if "transform" in client:
        transform = client.section("transform")
        params = transform.params()
        named = transform.own(names.TRANSFORMS)
        table["transform"] = component(named, {"padding": 4, **params} if named == "crop_flip" else params)
    return table


def _same_model(server: Section, client: Section, everything: Section) -> dict[str, Any]:
    """The one model of both sides; JobError if they differ."""
    ours, theirs = _model(server.section("model"), everything), _model(client.section("model"), everything)
    if ours != theirs:
        raise JobError(
            f"{client.section('model').name('path')} differs from {server.section('model').name('path')}, or its "
            f"params do: {client.values.get('model')!r} and {server.values.get('model')!r}; both sides train one model"
        )
    return ours


def _model(model: Section, everything: Section) -> dict[str, Any]:
    name, params = model.own(names.MODELS), model.params()
    if name == names.MODELS["model.ResNet.ResNet18"] and "num_classes" not in params:
        dataset = everything.section("dataset")
        known = names.DATASETS.get(dataset.known(names.DATASETS) or "")
        if known is None:
            raise JobError(
                f"{model.name('params')}.num_classes: required, as {dataset.told('path')} does not say how many "
                "classes there are"
            )
        classes = names.EMNIST_CLASSES[dataset.params()["split"]] if known == "emnist" else names.CLASSES[known]
        params = {"num_classes": classes, **params}
        model.remark(f"{names.MODELS['model.ResNet.ResNet18']} is taken for model.ResNet.ResNet18")
    return component(name, params)


def _partition(everything: Section) -> dict[str, Any]:
    """From `iid`: a bool, {beta}, {path, params}, or labels and amounts in one of three spellings."""
    iid = everything.get("iid", kinds.ANY)
    if isinstance(iid, bool):
        if iid:
            return {"name": "iid"}
        everything.remark(
            f"{everything.name('iid')} = false is taken as Dirichlet shares with beta 0.5, which Async-FL's code deals "
            'evenly, like true; {"beta": b} says how uneven they should be'
        )
        return {"name": "dirichlet", "beta": 0.5}
    if not isinstance(iid, dict):
        raise everything.refuse("iid", 'should be true, false, {"beta": b}, or {"label": ..., "data": ...}')
    given = everything.section("iid")
    if "path" in given:
        given.only("path", "params")
        return component(given.own({}), given.params(), ("clients",))
    if isinstance(given.values.get("customize"), dict):
        given.only("customize")
        given = given.section("customize")
    elif "customize" in given and not given.get("customize", kinds.FLAG):
        given.only("customize", "label", "data", "beta")
        given.leave("label", "data")
        return {"name": "dirichlet", "beta": given.get("beta", kinds.RATE)}
    if "beta" in given and "label" not in given:
        given.only("beta")
        return {"name": "dirichlet", "beta": given.get("beta", kinds.RATE)}
    given.only("customize", "label", "data")
    labels, amounts = given.get("label", kinds.LISTED), given.get("data", kinds.LISTED, {})
    labels = {"list": labels} if isinstance(labels, list) else labels
    return {"name": "labels", "labels": labels, **({"amounts": amounts} if amounts else {})}


def _client(client: Section) -> dict[str, Any]:
    path = client.known(names.CLIENTS)
    optimizer = client.section("optimizer")
    table: dict[str, Any] = {
        "epochs": _epochs(client, path),
        "batch_size": client.get("batch_size", kinds.POSITIVE),
        "lr": optimizer.section("params").get("lr", kinds.RATE),
    }
    name = optimizer.own(names.OPTIMIZERS)
    params = {key: value for key, value in optimizer.params().items() if key != "lr"}
    if params or name != "sgd":
        table["optimizer"] = short(component(name, params))
    if "scheduler" in client and client.get("scheduler", kinds.OBJECT):
        scheduler = client.section("scheduler")
        table["lr_schedule"] = short(component(scheduler.own(names.LR_SCHEDULES), scheduler.params()))
    if path in names.TESTING:
        table["test_size"] = client.get("test_size", kinds.PART)
    else:
        client.get("test_size", kinds.NOT_NEGATIVE, 0)
        client.leave("test_size")
    return table


def _epochs(client: Section, path: str | None) -> int | list[int]:
    """[1, E] where FedProx has stragglers: all clients then draw up to E = `local_epoch`, and `epochs` is not used.

    A share of stragglers means what true means, as in Async-FL's code; without `local_epoch` E is `epochs`.
    """
    epochs, params = client.get("epochs", kinds.POSITIVE), client.section("params")
    straggler = params.get("straggler", kinds.STRAGGLER, False)
    longest = params.get("local_epoch", kinds.POSITIVE, epochs)
    if path == names.PROX and straggler:
        return [1, longest] if longest > 1 else 1
    if path != names.PROX:
        params.leave("straggler")
    params.leave("local_epoch")
    return epochs


def _server(client: Section) -> dict[str, Any]:
    size = client.get("test_batch_size", kinds.POSITIVE, None)
    client.get("test_every", kinds.POSITIVE, None)
    client.leave("test_every")
    if client.known(names.CLIENTS) in names.TESTING and size:
        return {"server": {"test_batch_size": size}}
    client.leave("test_batch_size")
    return {}


def _tracking(wandb: Section) -> dict[str, Any]:
    if not wandb.get("enabled", kinds.FLAG, False):
        return {}
    named = {name: wandb.get(name, kinds.TEXT) for name in ("project", "name") if name in wandb}
    return {"tracking": {"wandb": {**named, **wandb.params()}}}


def _plumbing(root: Section) -> None:
    """What carries messages in Async-FL: checked, and left out."""
    everything, queue, group = root.section("global"), root.section("queue_manager"), root.section("group_manager")
    for section, table in (
        (queue, names.QUEUE_MANAGERS),
        (queue.section("receiver"), names.RECEIVERS),
        (group, names.GROUP_MANAGERS),
        (root.section("client_manager"), names.CLIENT_MANAGERS),
    ):
        if "path" in section:
            section.chosen(table)
    everything.leave("dataset_pre_load", "use_file_system", "multi_gpu", "save")
    root.section("server").section("scheduler").leave("other")
    if root.section("server").section("updater").params():
        root.section("server").section("updater").leave("params")
    if "path" in queue:
        root.leave("queue_manager")
    else:  # older files had its parts elsewhere
        queue.section("receiver").leave("path")
    group.leave("path")
    root.section("client_manager").leave("path")


def _clean(value: Any, key: str, file: File) -> Any:
    """The value without what TOML does not have: a null leaves its key out; JobError for infinities and such."""
    if isinstance(value, Mapping):
        inner = {name: _clean(found, join(key, name), file) for name, found in value.items()}
        file.remarks.extend(f"{join(key, name)} = null is left out" for name in inner if inner[name] is None)
        return {name: found for name, found in inner.items() if found is not None}
    if isinstance(value, list):
        if None in value:
            raise JobError(f"{key}: null has no meaning in a list")
        return [_clean(found, key, file) for found in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise JobError(f"{key} = {value}: should be a finite number")
    if isinstance(value, str) and value.encode("utf-8", "ignore").decode() != value:
        raise JobError(f"{key} = {value!r}: is no valid text")
    return value
