"""How an Async-FL file deals the training samples to its clients."""

from __future__ import annotations

from typing import Any

from hpcfl.asyncfl import kinds
from hpcfl.asyncfl.section import REQUIRED, Section, check_number, check_sum, component


def find_clients(everything: Section) -> int:
    """How many clients there are."""
    if isinstance(everything.values.get("client_num"), dict):
        return everything.section("client_num").get("all_clients", kinds.POSITIVE)
    return everything.get("client_num", kinds.POSITIVE)


def find_partition(everything: Section, clients: int) -> dict[str, Any]:
    """The table of `partition`, from a bool, {beta}, {path, params}, or labels and amounts in one of three spellings.

    JobError where numbers do not add up to the clients.
    """
    iid = everything.get("iid", kinds.ANY)
    if isinstance(iid, bool):
        if iid:
            return _partition("iid", clients)
        everything.remark(
            f"{everything.name('iid')} = false is taken as Dirichlet shares with beta 0.5, which Async-FL's code deals "
            'evenly, like true; {"beta": b} says how uneven they should be'
        )
        return _partition("dirichlet", clients, beta=0.5)
    if not isinstance(iid, dict):
        raise everything.refuse("iid", 'should be true, false, {"beta": b}, or {"label": ..., "data": ...}')
    given = everything.section("iid")
    if "path" in given:
        given.only("path", "params")
        own = component(given.own({}), given.params(), ("clients",))
        return _partition(own.pop("name"), clients, **own)
    if isinstance(given.values.get("customize"), dict):
        given.only("customize")
        given = given.section("customize")
    elif "customize" in given and not given.get("customize", kinds.FLAG):
        given.only("customize", "label", "data", "beta")
        given.leave("label", "data")
        return _partition("dirichlet", clients, beta=given.get("beta", kinds.RATE))
    if "beta" in given and "label" not in given:
        given.only("beta")
        return _partition("dirichlet", clients, beta=given.get("beta", kinds.RATE))
    given.only("customize", "label", "data")
    amounts = _amounts(given, clients)
    labels = given.get("label", kinds.LISTED, {} if amounts else REQUIRED)
    dealt = {"amounts": amounts} if amounts else {}
    given.file.keys |= {"partition.labels": given.name("label"), "partition.amounts": given.name("data")}
    if not labels:
        return _partition("iid", clients, **dealt)
    return _partition("labels", clients, labels=_labels(given, clients), **dealt)


def _partition(name: str, clients: int, **params: Any) -> dict[str, Any]:
    return {"name": name, "clients": clients, **params}


def _labels(given: Section, clients: int) -> dict[str, Any]:
    """{"step": s, "list": numbers of clients}, {"list": numbers of labels}, or the labels of each client."""
    if isinstance(given.values["label"], list):
        counts = given.get("label", kinds.COUNTS)
        check_number(given, "label", len(counts), "numbers of labels", clients)
        return {"list": counts}
    labels = given.section("label")
    if not {"list", "step", "shuffle"} & labels.values.keys():
        for client in labels.values:
            if not (client.isdecimal() and len(client) < 20 and int(client) < clients and client == str(int(client))):
                raise labels.refuse(client, f"no client, as global.client_num = {clients}: they are 0 to {clients - 1}")
        check_number(given, "label", len(labels.values), "of the clients", clients)
        return dict(labels.values)
    labels.only("list", "step", "shuffle")
    counts = labels.get("list", kinds.COUNTS)
    labels.get("shuffle", kinds.FLAG, False)
    if labels.get("step", kinds.POSITIVE, None):
        check_sum(labels, "list", counts, clients)
    else:
        check_number(labels, "list", len(counts), "numbers of labels", clients)
    return dict(labels.values)


def _amounts(given: Section, clients: int) -> Any:
    """A list with each client's number of samples, {"min": a, "max": b}, or a distribution; nothing: all alike."""
    amounts = given.get("data", kinds.LISTED, {})
    if isinstance(amounts, list) and amounts:
        check_number(given, "data", len(given.get("data", kinds.COUNTS)), "numbers of samples", clients)
    elif amounts:
        data = given.section("data")
        least, most = (data.get(name, kinds.POSITIVE, None) for name in ("min", "max"))
        if least and most and least > most:
            raise data.refuse("min", f"must not be larger than {data.told('max')}")
    return amounts
