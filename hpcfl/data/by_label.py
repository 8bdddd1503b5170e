"""Few labels per client: which labels each client has, and how many samples of each (Async-FL's `customize`)."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import numpy as np

from hpcfl.data.amounts import AMOUNTS, draw_amounts, equal
from hpcfl.data.params import COUNT, FLAG, WHOLE, Kind, bind
from hpcfl.data.sample import by_class
from hpcfl.errors import JobError

KEY = "partition.labels"
FORMS = (
    "{list = [numbers of labels, one per client]}, {step = s, list = [numbers of clients with 1, 1 + s, 1 + 2s, ... "
    "labels]}, both with shuffle = true if labels are to come from shuffled decks, or {0 = [labels], 1 = [labels], ...}"
)
LABELS = Kind(f"a table: {FORMS}", lambda value: isinstance(value, Mapping))
NUMBERS = Kind(
    "a list of whole numbers",
    lambda value: isinstance(value, list | tuple) and all(map(WHOLE.fits, value)),
    "0 or greater throughout, and not empty",
    lambda value: bool(value) and min(value) >= 0,
)


def by_label(
    y: np.ndarray,
    clients: int,
    rng: np.random.Generator,
    *,
    labels: Annotated[dict, LABELS],
    amounts: Annotated[Any, AMOUNTS] = None,
) -> np.ndarray:
    """Each client has some labels, and its amount is divided over them: evenly, the remainder to the last one.

    `labels` takes three forms (`draw_labels`). Equal amounts are samples // clients; where they ask more of a label
    than there is, those who share it get in proportion of what there is. Any other `amounts` are met exactly, or it is
    a JobError. Samples that nobody asks for stay out.
    """
    there = np.bincount(y)
    hands = draw_labels(labels, clients, np.flatnonzero(there), rng)
    shared = equal(amounts)
    sizes = np.full(clients, len(y) // clients) if shared else draw_amounts(amounts, clients, rng)
    dealt = divide(sizes, hands, len(there), amounts)
    for label in np.flatnonzero(dealt.sum(axis=0) > there):
        if not shared:
            raise JobError(
                f"partition.amounts = {reprlib.repr(amounts)}: {np.count_nonzero(dealt[:, label])} clients ask for "
                f"{dealt[:, label].sum():,} samples of label {label}, there are {there[label]:,}; ask for less, give "
                "the label to fewer clients, or leave partition.amounts out to share what there is"
            )
        dealt[:, label] = share(dealt[:, label], there[label])
    owner = np.full(len(y), -1, np.int64)
    for label, samples in enumerate(np.split(by_class(y, rng), np.cumsum(there)[:-1])):
        owner[samples[: dealt[:, label].sum()]] = np.repeat(np.arange(clients), dealt[:, label])
    return owner


def draw_labels(given: Mapping, clients: int, present: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The labels of each client, without repetition, from any form of the key `partition.labels`.

    {"step": s, "list": [a, b, c]}: the first a clients have 1 label, the next b have 1 + s, the next c 1 + 2s.
    {"list": [n0, n1, ...]}: how many each client has. {"0": [labels], "1": [labels], ...}: the labels themselves.
    In the first two each client draws its own from those `present`; with "shuffle": true they are dealt from a shuffled
    deck of all, a new one when it is used up, so that every label is used before any is used again.
    JobError for anything else.
    """
    if {"list", "step", "shuffle"} & given.keys():
        return _drawn(clients, present, rng, **bind(_drawn, given, KEY, skip=3))
    return _listed(given, clients, present)


def _drawn(
    clients: int,
    present: np.ndarray,
    rng: np.random.Generator,
    *,
    list: Annotated[list, NUMBERS],
    step: Annotated[int | None, COUNT] = None,
    shuffle: Annotated[bool, FLAG] = False,
) -> list[np.ndarray]:
    said, numbers = f"{KEY}.list = {reprlib.repr(list)}", list
    if step is not None:
        if sum(list) != clients:
            raise JobError(f"{said}: adds up to {sum(list)} clients, but partition.clients = {clients}")
        numbers = [1 + step * group for group, count in enumerate(list) for _ in range(count)]
    elif len(list) != clients:
        raise JobError(
            f"{said}: has {len(list)} numbers, but partition.clients = {clients}: give one number of labels each, or "
            f"{KEY}.step for numbers of clients"
        )
    if not 1 <= min(numbers) <= max(numbers) <= len(present):
        worst = min(numbers) and max(numbers)
        raise JobError(f"{said}: gives a client {worst} labels; valid are 1 to {len(present)}, as many as there are")
    if shuffle:
        return _from_decks(numbers, present, rng)
    return [rng.choice(present, number, replace=False) for number in numbers]


def _from_decks(numbers: Iterable[int], present: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    deck, hands = [], []
    for number in numbers:
        hand, back = [], []
        while len(hand) < number:
            if not deck:
                deck = rng.permutation(present).tolist()
            card = deck.pop()
            (back if card in hand else hand).append(card)
        deck += back  # for the next client
        hands.append(np.array(hand))
    return hands


def _listed(given: Mapping, clients: int, present: np.ndarray) -> list[np.ndarray]:
    wanted = [str(client) for client in range(clients)]
    if unknown := [key for key in given if key not in set(wanted)]:
        raise JobError(f"{KEY}.{unknown[0]}: unknown key, as partition.clients = {clients}; valid: {FORMS}")
    if missing := [key for key in wanted if key not in given]:
        raise JobError(f"{KEY}.{missing[0]}: required, but missing, as partition.clients = {clients}; valid: {FORMS}")
    valid = Kind(
        "a list of labels",
        NUMBERS.fits,
        f"some of the labels that training samples have, {_span(present)}, each once",
        lambda labels: bool(labels) and len(set(labels)) == len(labels) and set(labels) <= set(present.tolist()),
    )
    for key in wanted:
        valid.check(given[key], f"{KEY}.{key}")
    return [np.array(given[key]) for key in wanted]


def _span(present: np.ndarray) -> str:
    """Labels in words: 0 to 9, or where some are missing, all of them."""
    first, last = present[[0, -1]]
    return f"{first} to {last}" if len(present) == last - first + 1 else ", ".join(map(str, present))


def divide(sizes: np.ndarray, hands: list[np.ndarray], labels: int, amounts: Any) -> np.ndarray:
    """(clients, labels) int64: each client's size divided over its labels, the remainder to the last."""
    dealt = np.zeros((len(hands), labels), np.int64)
    for client, (size, hand) in enumerate(zip(sizes, hands)):
        if size < len(hand):
            said = "partition.amounts" if equal(amounts) else f"partition.amounts = {reprlib.repr(amounts)}"
            raise JobError(
                f"{said}: client {client} is dealt {size} samples, but has {len(hand)} labels and needs one of each; "
                "deal more, or give it fewer labels"
            )
        dealt[client, hand] = size // len(hand)
        dealt[client, hand[-1]] += size % len(hand)
    return dealt


def share(asked: np.ndarray, there: int) -> np.ndarray:
    """(clients,) what each gets of a label of which more is asked than there is.

    Its proportional part, rounded down but at least 1; those who have most give for the ones, until it adds up.
    """
    got = np.maximum(asked * there // asked.sum(), asked > 0)
    for _ in range(got.sum() - there):
        got[got.argmax()] -= 1
    return got
