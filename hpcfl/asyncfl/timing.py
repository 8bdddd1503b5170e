"""When an Async-FL file lets the server step, and how late its clients are."""

from __future__ import annotations

from typing import Any

from hpcfl.asyncfl import kinds, names
from hpcfl.asyncfl.section import Section, check_number, check_sum, component, short
from hpcfl.errors import JobError

MEANT = {"synchronous": "synchronous", "buffered": "asynchronous", "tiered": "semi-asynchronous"}


def find_schedule(root: Section, clients: int) -> dict[str, Any]:
    """The table of `schedule`."""
    scheduler, updater = root.section("server").section("scheduler"), root.section("server").section("updater")
    pace, pulls = _pace(root)
    schedule = scheduler.section("schedule")
    choose = schedule.own(names.SCHEDULES)
    if choose not in names.SCHEDULES.values():
        scheduler.leave("schedule_interval", "schedule_delay")
        updater.leave("num_generator")
        return component(choose, schedule.params())
    share = _share(schedule, choose)
    if pace != "tiered":
        root.section("group_manager").leave("group_method")
    if pace == "buffered":
        return _buffered(root, "no" if pulls else choose, share, clients)
    scheduler.leave("schedule_interval", "schedule_delay")
    updater.leave("num_generator")
    root.section("client").leave("acquire_model_delay")
    share = {"c_ratio": 1.0} if choose == "full" else share
    share |= {"choose": "round_robin"} if choose == "round_robin" else {}
    if pace == "synchronous":
        return {"name": "synchronous", **share}
    return {"name": "tiered", **share, **_group(root.section("group_manager"))}


def _pace(root: Section) -> tuple[str, bool]:
    """(synchronous, buffered or tiered; whether clients pull): all that say it must agree."""
    server, client = root.section("server"), root.section("client")
    scheduler, updater = server.section("scheduler"), server.section("updater")
    says: list[tuple[Section, str, str]] = []
    for section, table in ((updater, names.UPDATERS), (server, names.SERVERS), (scheduler, names.SCHEDULERS)):
        if "path" in section and (pace := section.chosen(table)):
            says.append((section, "path", pace))
    if mode := _mode(root.section("global")):
        says.append((root.section("global"), "mode", mode))
    if client.known(names.CLIENTS) == names.ACTIVE:
        says.append((client, "path", "pulled"))
    schedule = scheduler.section("schedule")
    if schedule.known(names.SCHEDULES) == "schedule.NoSchedule.NoSchedule":
        says.append((schedule, "path", "pulled"))
    if not says:
        raise JobError(f"{updater.name('path')}: required, but missing; valid: {', '.join(names.UPDATERS)}")
    paces = ["buffered" if pace == "pulled" else pace for *_, pace in says]
    for (section, name, _), pace in zip(says, paces):
        if pace != paces[0]:
            first, key, _ = says[0]
            raise JobError(
                f"{first.told(key)} is {MEANT[paces[0]]}, but {section.told(name)} is {MEANT[pace]}; "
                "one of them has to change"
            )
    return paces[0], any(pace == "pulled" for *_, pace in says)


def _mode(everything: Section) -> str | None:
    """What `mode` says of the schedule: older files do, in newer ones it is the kind of processes."""
    mode = everything.get("mode", kinds.ANY, "process")
    if isinstance(mode, dict):
        everything.section("mode").get("path", kinds.PATH)
    elif not isinstance(mode, str) or mode not in names.MODES:
        raise everything.refuse("mode", f"valid: {', '.join(names.MODES)}")
    pace = None if isinstance(mode, dict) else names.MODES[mode]
    if pace is None:
        everything.leave("mode")
    return pace


def _share(schedule: Section, choose: str) -> dict[str, Any]:
    """{"c_ratio": its value}, or nothing where all are chosen."""
    params = schedule.section("params")
    params.only("c_ratio", "schedule_interval")
    params.leave("schedule_interval")
    needed = choose == "random" or "c_ratio" in params
    return {"c_ratio": params.get("c_ratio", kinds.SHARE)} if needed else {}


def _buffered(root: Section, choose: str, share: dict[str, Any], clients: int) -> dict[str, Any]:
    scheduler, updater = root.section("server").section("scheduler"), root.section("server").section("updater")
    table: dict[str, Any] = {"name": "buffered", "num_generator": _number(updater)}
    path = scheduler.known(names.SCHEDULERS) if "path" in scheduler else None
    interval = scheduler.get("schedule_interval", kinds.POSITIVE, 1)
    delay = scheduler.get("schedule_delay", kinds.COUNT, None)
    if choose == "no":
        scheduler.leave("schedule_interval", "schedule_delay")
        delay = None
        table |= {"choose": "no", **share}
        table["acquire_model_delay"] = root.section("client").get("acquire_model_delay", kinds.NOT_NEGATIVE, 0)
    else:
        root.section("client").leave("acquire_model_delay")
        if path == names.ONE_UPDATE:
            table["choose"] = "random" if choose == "full" else choose
            table["in_flight"] = clients if choose == "full" else max(1, round(share.get("c_ratio", 1) * clients))
            scheduler.leave("schedule_interval")
        else:
            table |= {"choose": choose, **({} if choose == "full" else share)}
            table["schedule_interval"] = _steps(scheduler, interval, table["num_generator"], path == names.WITH_UPDATE)
    if delay is not None:
        table["schedule_delay"] = delay
    checker = root.section("queue_manager").section("checker")
    if "path" in checker and checker.chosen(names.CHECKERS) == "current":
        table["checker"] = "current"
    return table


def _steps(scheduler: Section, interval: int, number: Any, counts_updates: bool) -> int:
    """Server steps between two choices, from an interval that may count updates."""
    if not counts_updates or number == 1:
        return interval
    if type(number) is not int or interval % number:
        scheduler.remark(
            f"{scheduler.name('schedule_interval')} counts updates, which are rounded to server steps here"
        )
    return max(1, round(interval / number)) if type(number) is int else interval


def _number(updater: Section) -> Any:
    """Updates per step: a whole number, or a component."""
    if isinstance(updater.values.get("num_generator"), dict):
        inner = updater.section("num_generator")
        return short(component(inner.own({}), inner.params()))
    return updater.get("num_generator", kinds.POSITIVE, 1)


def _group(manager: Section) -> dict[str, Any]:
    if "group_method" not in manager:
        return {"group": "one"}
    method = manager.section("group_method")
    name = method.own(names.GROUPS)
    if name == "delay":
        return {"group": {"name": "delay", "step": method.section("params").get("step", kinds.RATE)}}
    return {"group": name if name == "one" else short(component(name, method.params()))}


def find_stale(everything: Section, clients: int) -> Any:
    """The value of `client.device.stale`."""
    stale = everything.get("stale", kinds.ANY, False)
    if isinstance(stale, bool):
        if stale:
            everything.remark(f"{everything.name('stale')} = true is taken as false: it gives no delays")
        return False
    if isinstance(stale, dict):
        return _drawn(everything.section("stale"), clients)
    check_number(everything, "stale", len(everything.get("stale", kinds.DELAYS)), "delays", clients)
    return stale


def _drawn(stale: Section, clients: int) -> Any:
    if "path" in stale:
        stale.only("path", "params")
        if given := stale.params():
            raise JobError(
                f"{stale.name('params')} = {given!r}: should be empty; the function is given the clients' number"
            )
        return stale.own({})
    stale.only("step", "shuffle", "list")
    step, shuffle = stale.get("step", kinds.RATE), stale.get("shuffle", kinds.FLAG, False)
    counts = stale.get("list", kinds.COUNTS)
    check_sum(stale, "list", counts, clients)
    return {"step": step, "shuffle": shuffle, "list": counts}
