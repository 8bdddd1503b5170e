"""Older spellings of Async-FL's files, lifted to the newest: `data_file` and `data_name` became one `dataset.path`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAIRS = (
    ("global.data_file", "global.data_name", "dataset", "global.dataset.path"),
    ("server.model_file", "server.model_name", "model", "server.model.path"),
    ("server.scheduler.schedule_file", "server.scheduler.schedule_name", "schedule", "server.scheduler.schedule.path"),
    ("server.updater.update_file", "server.updater.update_name", "update", "server.updater.update.path"),
    (
        "client_manager.checker.checker_file", "client_manager.checker.checker_name", "checker",
        "queue_manager.checker.path",
    ),
    ("client_manager.client_file", "client_manager.client_name", "client", "client.path"),
    ("server.receiver.receiver_file", "server.receiver.receiver_name", "receiver", "queue_manager.receiver.path"),
    (
        "server.scheduler.receiver.receiver_file", "server.scheduler.receiver.receiver_name", "receiver",
        "queue_manager.receiver.path",
    ),
    ("client.model_file", "client.model_name", "model", "client.model.path"),
    ("client.loss.loss_file", "client.loss.loss_name", "loss", "client.loss.path"),
)  # fmt: skip
"""File, class, the package both lie in, and the key of the dotted path that says it today."""

MOVES = (
    ("global.dataset_path", "global.dataset.path"),
    ("server.scheduler.scheduler_path", "server.scheduler.schedule.path"),
    ("server.scheduler.scheduler_interval", "server.scheduler.schedule_interval"),
    ("server.scheduler.params", "server.scheduler.schedule.params"),
    ("server.scheduler.receiver.receiver_path", "queue_manager.receiver.path"),
    ("server.scheduler.receiver.params", "queue_manager.receiver.params"),
    ("server.receiver.receiver_path", "queue_manager.receiver.path"),
    ("server.receiver.params", "queue_manager.receiver.params"),
    ("server.updater.updater_path", "server.updater.update.path"),
    ("client_manager.client_path", "client.path"),
    ("client_manager.checker.checker_path", "queue_manager.checker.path"),
    ("client_manager.checker.params", "queue_manager.checker.params"),
)
EMPTIED = ("server.scheduler.receiver", "server.receiver", "client_manager.checker")
"""Sections that nothing is left of."""


def lift(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The file in today's spelling, and for each key that was moved the one that the file has."""
    table, spelled = _copy(table), {}

    def move(old: str, new: str, value: Any) -> None:
        if _put(table, new, value):
            spelled[new] = old

    for file, name, package, new in PAIRS:
        if isinstance(find(table, file), str) and isinstance(find(table, name), str):
            move(file, new, f"{package}.{_pop(table, file)}.{_pop(table, name)}")
    for old, new in MOVES:
        if find(table, old) is not None:
            move(old, new, _pop(table, old))
    if "server.updater.update.path" in spelled and find(table, "server.updater.params") is not None:
        move("server.updater.params", "server.updater.update.params", _pop(table, "server.updater.params"))
    interval = spelled.get("server.scheduler.schedule_interval")
    if interval and type(waiting := find(table, "server.scheduler.schedule_interval")) is int:
        move(interval, "server.scheduler.schedule_delay", 2 * waiting)  # it was fixed in the scheduler then
    for section in EMPTIED:
        if find(table, section) == {}:
            _pop(table, section)
    _lift_optimizer(table, spelled)
    return table, spelled


def _lift_optimizer(table: dict[str, Any], spelled: dict[str, str]) -> None:
    """{name, lr, ...} or {path, lr, ...} -> {path, params}."""
    key = "client.optimizer"
    given = find(table, key)
    if not isinstance(given, dict) or "params" in given or not given.keys() - {"path"}:
        return
    params = {name: value for name, value in given.items() if name not in ("name", "path")}
    lifted = {"params": params, **({"path": given["path"]} if "path" in given else {})}
    if isinstance(given.get("name"), str):
        lifted["path"] = f"torch.optim.{given['name']}"
        spelled[f"{key}.path"] = f"{key}.name"
    spelled.update({f"{key}.params.{name}": f"{key}.{name}" for name in {"lr", *params}})
    _put(table, key, lifted, over=True)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def find(table: Any, key: str) -> Any:
    """The value at a dotted key, or None."""
    for word in key.split("."):
        table = table.get(word) if isinstance(table, dict) else None
    return table


def _pop(table: dict[str, Any], key: str) -> Any:
    section, _, name = key.rpartition(".")
    return find(table, section).pop(name)


def _put(table: dict[str, Any], key: str, value: Any, over: bool = False) -> bool:
    """Whether there was room: a key that the file has in today's spelling too stays."""
    *sections, name = key.split(".")
    for word in sections:
        table = table.setdefault(word, {})
        if not isinstance(table, dict):
            return False
    if name in table and not over:
        return False
    table[name] = value
    return True
