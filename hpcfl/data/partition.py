"""Partitions: which of the virtual clients holds which training sample.

Each is a function from the labels to one number per sample: the client that holds it, or -1 if nobody does.
No sample can be dealt twice, then.
"""

import inspect
import reprlib
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np

from hpcfl.core import first_line
from hpcfl.data.amounts import AMOUNTS, draw_amounts, equal, spread
from hpcfl.data.by_label import by_label
from hpcfl.data.pachinko import pachinko
from hpcfl.data.params import COUNT, POSITIVE, bind, locate, nearest
from hpcfl.data.sample import by_class, stratified
from hpcfl.data.stored import stored
from hpcfl.errors import HpcflError, JobError


def iid(
    labels: np.ndarray, clients: int, rng: np.random.Generator, *, amounts: Annotated[Any, AMOUNTS] = None
) -> np.ndarray:
    """Each class split evenly: the samples, in order of class, are dealt like cards until none is left.

    A client's count of a class differs from another's by at most one, and so does its total. With `amounts` (see
    data/amounts.py) each client is dealt that many instead, of each class in proportion, and the rest stays out.
    """
    owner = np.full(len(labels), -1, np.int64)
    if equal(amounts):
        owner[by_class(labels, rng)] = np.arange(len(labels)) % clients
        return owner
    sizes = draw_amounts(amounts, clients, rng)
    if sizes.sum() > len(labels):
        raise JobError(
            f"partition.amounts = {reprlib.repr(amounts)}: the {clients:,} clients ask for {sizes.sum():,} samples, "
            f"there are {len(labels):,} training samples; ask for less, or lower partition.clients"
        )
    chosen = stratified(labels, sizes.sum(), rng)
    owner[chosen[by_class(labels[chosen], rng)]] = spread(sizes, rng)
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
    owner[by_class(labels, rng)] = np.repeat(np.tile(np.arange(clients), len(present)), best.ravel())
    return _fill_up(owner, clients, min_examples, rng)


def cluster_dirichlet(
    labels: np.ndarray,
    clients: int,
    rng: np.random.Generator,
    *,
    beta: Annotated[float, POSITIVE],
    clusters: Annotated[int, COUNT] = 3,
    min_examples: Annotated[int, COUNT] = 1,
) -> np.ndarray:
    """As `dirichlet`, of groups of classes instead of classes (Marfoq 2021).

    Classes are shuffled into `clusters` groups of equal size, or one more, and of each group the clients' shares are
    drawn from Dir(beta).
    """
    classes = labels.max() + 1
    if clusters > classes:
        raise JobError(f"partition.clusters = {clusters}: more than the {classes} classes there are")
    cluster = rng.permutation(np.arange(classes) % clusters)
    return dirichlet(cluster[labels], clients, rng, beta=beta, min_examples=min_examples)


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
    owner[by_class(labels, rng)] = np.repeat(holders, np.diff(ends))
    return owner


def natural(
    labels: np.ndarray,
    clients: int | None,
    rng: np.random.Generator,
    *,
    holders: np.ndarray | None,
    min_examples: Annotated[int, COUNT] = 1,
) -> np.ndarray:
    """Every writer, speaker or subject that the dataset knows is a client, in the order of `holders`.

    Those with fewer than `min_examples` samples are left out; a number of `clients` draws that many of the others.
    """
    if holders is None:
        raise JobError(
            "partition.name = 'natural': this dataset does not say whom its samples come from; it can be dealt by "
            f"{', '.join(name for name in PARTITIONS if name != 'natural')}, and an .npz or a function of yours can "
            "give `holders`"
        )
    sizes = np.bincount(holders)
    kept = np.flatnonzero(sizes >= min_examples)
    if not len(kept):
        raise JobError(
            f"partition.min_examples = {min_examples}: no holder has that many; the largest has {sizes.max()}"
        )
    if clients is not None:
        if clients > len(kept):
            raise JobError(
                f"partition.clients = {clients}: there are {len(kept):,} natural holders with at least {min_examples} "
                "training samples; without partition.clients each of them is a client"
            )
        kept = np.sort(rng.choice(kept, clients, replace=False))
    client = np.full(len(sizes), -1)
    client[kept] = np.arange(len(kept))
    return client[holders]


PARTITIONS = {
    "iid": iid,
    "dirichlet": dirichlet,
    "cluster_dirichlet": cluster_dirichlet,
    "pachinko": pachinko,
    "shards": shards,
    "labels": by_label,
    "natural": natural,
    "file": stored,
}

AS_THEY_ARE = ("natural", "file")
"""Partitions that say themselves how many clients there are and how much they hold: a limit may be one for few."""


def deal(
    name: str,
    labels: np.ndarray,
    clients: int | None,
    rng: np.random.Generator,
    holders: np.ndarray | None = None,
    /,
    **params: Any,
) -> list[np.ndarray]:
    """The sample indices of each client: `clients` disjoint sorted int64 arrays, none of them empty.

    `name` is in the table, or the dotted path of a function (labels, clients, rng, **params) -> owners; one that has a
    parameter `holders` is given the dataset's. `clients` may be None for `natural` and `file`, which know how many
    there are. Every partition takes `examples_per_client`: a client that is dealt more keeps that many, drawn from its
    classes in proportion. JobError names the key of a mistake, as `partition.beta = -1: must be greater than 0`.
    """
    if name not in PARTITIONS and "." not in name:
        raise nearest("partition.name", name, PARTITIONS)
    partition = PARTITIONS[name] if name in PARTITIONS else locate(name, "partition.name")
    known = {"holders": holders} if _takes_holders(partition) else {}
    params = bind(partition, params, "partition", skip=3, also={"examples_per_client": COUNT}, apart=known)
    limit = params.pop("examples_per_client", None)
    if clients is not None:
        _check_clients(clients, len(labels))
    if limit is not None:
        _check_limit(limit, 0 if name in AS_THEY_ARE else clients, len(labels), params.get("min_examples", 1))
    try:
        owner = np.asarray(partition(labels, clients, rng, **params, **known))
    except Exception as failure:
        if name in PARTITIONS or isinstance(failure, HpcflError):
            raise
        raise JobError(f"partition.name = {name!r}: failed: {first_line(failure)}") from None
    clients = clients or owner.max() + 1
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


def owners(parts: list[np.ndarray], samples: int) -> np.ndarray:
    """(samples,) int32: the client that holds each training sample, or -1; what the partition `file` reads."""
    owner = np.full(samples, -1, np.int32)
    for client, part in enumerate(parts):
        owner[part] = client
    return owner


def _takes_holders(partition: Callable) -> bool:
    try:
        return "holders" in inspect.signature(partition).parameters
    except ValueError:  # compiled functions may hide their signature
        return False


def _check_clients(clients: int, samples: int) -> None:
    COUNT.check(clients, "partition.clients")
    if clients > samples:
        raise JobError(
            f"partition.clients = {clients}: there are only {samples:,} training samples, and every client needs one"
        )


def _check_limit(limit: int, clients: int, samples: int, min_examples: int) -> None:
    """`clients` is 0 where sizes are what they are, and a limit larger than most is none for them."""
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
