"""From an Async-FL file to a job's table: every section of the one read, every key of the other written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpcfl.asyncfl import kinds, names
from hpcfl.asyncfl.algorithm import find_strategy
from hpcfl.asyncfl.dealing import find_clients, find_partition
from hpcfl.asyncfl.older import find, lift
from hpcfl.asyncfl.section import File, Section, check_keys, component, join, short
from hpcfl.asyncfl.timing import find_schedule, find_stale
from hpcfl.errors import JobError
from hpcfl.schema import plain_name

SECONDS_PER_STEP = 0.01
"""Async-FL waits its `stale` seconds beside training that really takes milliseconds a step."""


class Conversion(NamedTuple):
    """What an Async-FL file means."""

    job: dict[str, Any]
    notes: tuple[str, ...]
    """What its user should be told."""
    keys: dict[str, str]
    """Keys of the job -> the file's keys that say it."""


def convert(table: Any, folder: Path | None = None) -> Conversion:
    """The job that an Async-FL file means.

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
    return Conversion(job, (*idle, *dict.fromkeys(file.remarks)), _spoken(root))


def _spoken(root: Section) -> dict[str, str]:
    """The keys that the file has, as it spells them."""
    keys = {}
    for ours, theirs in {**names.SPOKEN, **root.file.keys}.items():
        for key in (root.name(f"{theirs}.path"), root.name(theirs)):
            if find(root.file.written, key) is not None:
                keys[ours] = key
    return keys


def _job(root: Section) -> dict[str, Any]:
    everything, server, client = root.section("global"), root.section("server"), root.section("client")
    data, model = _data(everything, client), _same_model(server, client, everything)
    clients = find_clients(everything)
    partition = find_partition(everything, clients)
    strategy, loss = find_strategy(root)
    schedule = find_schedule(root, clients)
    job = {
        **_name(everything),
        "seed": everything.get("seed", kinds.SEED, 0),
        "rounds": server.get("epochs", kinds.POSITIVE),
        "data": data,
        "partition": partition,
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


def _client(client: Section) -> dict[str, Any]:
    path = client.known(names.CLIENTS)
    if path:
        client.section("params").only("straggler", "local_epoch")
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

    A share of stragglers means what true means, as in Async-FL's code; without `local_epoch` E is `epochs`. What a
    client of one's own makes of its params is its own affair.
    """
    if path is None:
        return client.get("epochs", kinds.POSITIVE)
    epochs, params = client.get("epochs", kinds.POSITIVE), client.section("params")
    straggler = params.get("straggler", kinds.STRAGGLER, False)
    longest = params.get("local_epoch", kinds.POSITIVE, epochs)
    if path == names.PROX and straggler:
        if straggler is not True:
            params.remark(f"{params.told('straggler')} is taken as true: all clients draw 1 to {longest} epochs")
        if longest != epochs:
            client.remark(f"{client.told('epochs')} is not used: clients draw 1 to {params.name('local_epoch')} epochs")
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
