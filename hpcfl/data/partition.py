"""Partitions: which of the virtual clients holds which training sample.

Each is a function from the labels to one number per sample: the client that holds it, or -1 if nobody does.
No sample can be dealt twice, then.
"""

from typing import Annotated, Any

import numpy as np

from hpcfl.data.params import COUNT, POSITIVE, bind, locate, nearest
from hpcfl.data.sample import stratified
from hpcfl.errors import JobError


def iid(labels: np.ndarray, clients: int, rng: np.random.Generator) -> np.ndarray:
    """Each class split evenly: the samples, in order of class, are dealt like cards until none is left.

    A client's count of a class differs from another's by at most one, and so does its total.
    """
    owner = np.empty(len(labels), np.int64)
    owner[_by_class(labels, rng)] = np.arange(len(labels)) % clients
    return owner


def dirichlet(
    labels: np.ndarray,
    clients: int,
    rng: np.random.Generator,
    *,
    beta: Annotated[float, POSITIVE],
    min_examples: Annotated[int, COUNT] = 1,
) -> np.ndarray:
    """For each class, the clients' shares are drawn from Dir(beta) (Yurochkin 2019, Hsu 2019); all samples are used.

    A small `beta` gives a client few classes, a large one approaches iid. A draw that leaves a client fewer than
    `min_examples` samples is drawn again, up to 50 times. With many clients and a small `beta` none may ever do: then
    the draw that came nearest is taken, and the client that holds most gives single samples, drawn at random, to those
    short of them.
    """
    if clients * min_examples > len(labels):
        raise JobError(
            f"partition.min_examples = {min_examples}: {clients:,} clients would need {clients * min_examples:,} "
            f"training samples, there are {len(labels):,}; at most {len(labels) // clients} each"
        )
    present = np.bincount(labels)
    best, least = None, np.inf
    for _ in range(50):
        bounds = np.cumsum(rng.dirichlet(np.full(clients, float(beta)), len(present)), axis=1) * present[:, None]
        bounds = np.floor(bounds).astype(np.int64)
        bounds[:, -1] = present
        counts = np.diff(bounds, axis=1, prepend=0)
        short = np.maximum(min_examples - counts.sum(0), 0).sum()
        if short < least:
            best, least = counts, short
        if least == 0:
            break
    owner = np.empty(len(labels), np.int64)
    owner[_by_class(labels, rng)] = np.repeat(np.tile(np.arange(clients), len(present)), best.ravel())
    return _fill_up(owner, clients, min_examples, rng)


def shards(
    labels: np.ndarray, clients: int, rng: np.random.Generator, *, shards_per_client: Annotated[int, COUNT] = 2
) -> np.ndarray:
    """Sorted by label, cut into clients x shards_per_client equal stretches, which are dealt at random (McMahan 2017).

    Shards differ by at most one sample in size, and all samples are used.
    """
    count = clients * shards_per_client
    if count > len(labels):
        raise JobError(
            f"partition.shards_per_client = {shards_per_client}: {clients:,} clients would need {count:,} shards of at "
            f"least one sample, there are {len(labels):,} training samples; at most {len(labels) // clients} each"
        )
    ends = np.arange(count + 1) * len(labels) // count
    holders = rng.permutation(np.repeat(np.arange(clients), shards_per_client))
    owner = np.empty(len(labels), np.int64)
    owner[_by_class(labels, rng)] = np.repeat(holders, np.diff(ends))
    return owner


PARTITIONS = {"iid": iid, "dirichlet": dirichlet, "shards": shards}


def deal(name: str, labels: np.ndarray, clients: int, rng: np.random.Generator, /, **params: Any) -> list[np.ndarray]:
    """The sample indices of each client: `clients` disjoint sorted int64 arrays, none of them empty.

    `name` is in the table, or the dotted path of a function (labels, clients, rng, **params) -> owners. Every partition
    takes `examples_per_client`: a client that is dealt more keeps that many, drawn from its classes in proportion.
    JobError names the key of a mistake, as `partition.beta = -1: must be greater than 0`.
    """
    if name not in PARTITIONS and "." not in name:
        raise nearest("partition.name", name, PARTITIONS)
    partition = PARTITIONS[name] if name in PARTITIONS else locate(name, "partition.name")
    params = bind(partition, params, "partition", skip=3, also={"examples_per_client": COUNT})
    limit = params.pop("examples_per_client", None)
    _check_sizes(len(labels), clients, limit, params.get("min_examples", 1))
    owner = np.asarray(partition(labels, clients, rng, **params))
    _check_owner(owner, name, len(labels), clients)
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(clients + 1))
    parts = [order[start:end] for start, end in zip(ends, ends[1:])]
    if limit is not None:
        parts = [part[stratified(labels[part], limit, rng)] if len(part) > limit else part for part in parts]
    return parts


def class_counts(labels: np.ndarray, parts: list[np.ndarray], classes: int) -> np.ndarray:
    """(clients, classes) int64: how many samples of each class each client holds."""
    return np.stack([np.bincount(labels[part], minlength=classes) for part in parts]).astype(np.int64)


def _check_sizes(samples: int, clients: int, limit: int | None, min_examples: int) -> None:
    COUNT.check(clients, "partition.clients")
    if clients > samples:
        raise JobError(
            f"partition.clients = {clients}: there are only {samples:,} training samples, and every client needs one"
        )
    if limit is None:
        return
    if limit * clients > samples:
        raise JobError(
            f"partition.examples_per_client = {limit}: {clients:,} clients would need {limit * clients:,} training "
            f"samples, there are {samples:,}; at most {samples // clients} each"
        )
    if limit < min_examples:
        raise JobError(
            f"partition.examples_per_client = {limit}: must not be less than partition.min_examples = {min_examples}"
        )


def _check_owner(owner: np.ndarray, name: str, samples: int, clients: int) -> None:
    if owner.shape != (samples,) or owner.dtype.kind not in "iu" or owner.min() < -1 or owner.max() >= clients:
        raise JobError(
            f"partition.name = {name!r}: returned {owner.dtype} {owner.shape}; valid is one whole number for each of "
            f"the {samples:,} samples, the client that holds it (0 to {clients - 1}) or -1"
        )
    if idle := np.setdiff1d(np.arange(clients), owner).tolist():
        some = ", ".join(map(str, idle[:5])) + (", ..." if len(idle) > 5 else "")
        raise JobError(f"partition.name = {name!r}: leaves {len(idle)} of {clients} clients without samples ({some})")


def _by_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All sample indices in order of class, at random within each."""
    order = rng.permutation(len(labels))
    return order[np.argsort(labels[order], kind="stable")]


def _fill_up(owner: np.ndarray, clients: int, least: int, rng: np.random.Generator) -> np.ndarray:
    """Move samples, one by one, from whoever holds most to those with fewer than `least`."""
    sizes = np.bincount(owner, minlength=clients)
    for client in np.flatnonzero(sizes < least):
        while sizes[client] < least:
            giver = sizes.argmax()
            owner[rng.choice(np.flatnonzero(owner == giver))] = client
            sizes[giver] -= 1
            sizes[client] += 1
    return owner
