"""Clients of different architectures: which tensors these have in common, and one vector of all that is averaged.

Two tensors are the same one where their names and shapes agree, and those of all tensors before them (Wang et al.
2023): architectures are paths through one prefix tree. Which of the architectures that pass a node average it, is the
algorithm's choice; what any of them average lies in one vector, once for those that average it together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from hpcfl.flat import Entry, Layout

__all__ = ["Family", "Groups", "Piece", "Slot", "cut"]

Members = tuple[int, ...]
"""Architectures by number, ascending."""
Groups = Callable[[Members, int], Sequence[Members]]
"""(architectures that pass a node, how many there are) -> those that average it together; it stays at home with the
others."""


class Slot(NamedTuple):
    """A tensor, as some architectures have it in common."""

    name: str
    shape: tuple[int, ...]
    members: Members
    averaged: bool
    """Whether their clients average it; if not, it stays at home with each of them."""

    @property
    def size(self) -> int:
        return torch.Size(self.shape).numel()


class Piece(NamedTuple):
    """A stretch of an architecture's vector that is averaged."""

    begin: int
    """Where it begins in that vector."""
    place: int
    """Where it begins in the vector of all that is averaged."""
    size: int


class Stretch(NamedTuple):
    """A stretch of the vector of all that is averaged, over the clients of the same architectures."""

    begin: int
    end: int
    members: Members


@dataclass(frozen=True)
class Family:
    """The architectures of a run, who has which, and what they average."""

    names: tuple[str, ...]
    layouts: tuple[Layout, ...]
    initials: tuple[Tensor, ...]
    """The vector that each starts from."""
    of: tuple[int, ...]
    """Each client's architecture, by number."""
    slots: tuple[Slot, ...]
    """Every tensor of the tree; those that are averaged in the order in which they lie in the vector of these."""
    pieces: tuple[tuple[Piece, ...], ...]
    """What of each architecture's vector is averaged, in its order."""

    @classmethod
    def plan(
        cls,
        names: Sequence[str],
        layouts: Sequence[Layout],
        initials: Sequence[Tensor],
        of: Sequence[int],
        groups: Groups,
    ) -> Family:
        """With what the algorithm averages."""
        paths, passing = tree(layouts)
        averaging = [groups(tuple(members), len(layouts)) for members in passing]
        places: dict[tuple[int, Members], int] = {}
        slots: dict[tuple[int, Members], Slot] = {}
        size, pieces = 0, []
        for number, path in enumerate(paths):
            mine: list[Piece] = []
            for entry, node in sorted(path, key=lambda step: step[0].offset):
                members = next((group for group in averaging[node] if number in group), None)
                if members is None:
                    others = {other for group in averaging[node] for other in group}
                    alone = tuple(other for other in passing[node] if other not in others)
                    slots.setdefault((node, alone), Slot(entry.name, entry.shape, alone, averaged=False))
                    continue
                key = node, tuple(members)
                if key not in places:
                    places[key], slots[key] = size, Slot(entry.name, entry.shape, key[1], averaged=True)
                    size += entry.size
                append(mine, Piece(entry.offset, places[key], entry.size))
            pieces.append(tuple(mine))
        return cls(tuple(names), tuple(layouts), tuple(initials), tuple(of), tuple(slots.values()), tuple(pieces))

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """The vector of all that is averaged, cut where others average."""
        found: list[Stretch] = []
        averaged = [slot for slot in self.slots if slot.averaged]
        for slot, end in zip(averaged, accumulate(slot.size for slot in averaged)):
            if found and found[-1].members == slot.members:
                found[-1] = found[-1]._replace(end=end)
            else:
                found.append(Stretch(end - slot.size, end, slot.members))
        return tuple(found)

    @property
    def size(self) -> int:
        """Length of the vector of all that is averaged."""
        return self.stretches[-1].end if self.stretches else 0

    @cached_property
    def initial(self) -> Tensor:
        """(size,) that vector as a run begins; an architecture's own values yield to those of one before it."""
        vector = self.initials[0].new_empty(self.size)
        for initial, pieces in reversed(list(zip(self.initials, self.pieces))):
            for begin, place, size in pieces:
                vector[place : place + size] = initial[begin : begin + size]
        return vector

    def places(self, client: int) -> list[tuple[int, int]]:
        """(place, size) of each stretch of that vector that belongs to the client's architecture."""
        return [(piece.place, piece.size) for piece in self.pieces[self.of[client]]]

    def averaged(self, architecture: int) -> int:
        """How many numbers of an architecture's vector are averaged."""
        return sum(piece.size for piece in self.pieces[architecture])

    def at_server(self, architecture: int, shared: Tensor) -> tuple[Tensor, dict[str, int]]:
        """What the vector of all that is averaged has of an architecture, and where in that each tensor begins."""
        pieces = self.pieces[architecture]
        starts = list(accumulate((piece.size for piece in pieces), initial=0))
        return cut(shared, [(piece.place, piece.size) for piece in pieces]), {
            entry.name: start + entry.offset - piece.begin
            for entry in self.layouts[architecture].entries
            for piece, start in zip(pieces, starts)
            if entry.kind != "constant" and piece.begin <= entry.offset < piece.begin + piece.size
        }

    @property
    def clients(self) -> list[int]:
        """How many have each architecture."""
        return [self.of.count(number) for number in range(len(self.names))]

    @property
    def note(self) -> str:
        """What the user may not expect, or nothing."""
        if len(self.names) == 1 or any(len(members) > 1 for members in tree(self.layouts)[1]):
            return ""
        return (
            f"client.models: {', '.join(self.names)} have no tensor in common (their first ones differ in name or "
            "shape): nothing is averaged between them"
        )


def tree(layouts: Sequence[Layout]) -> tuple[list[list[tuple[Entry, int]]], list[list[int]]]:
    """For each architecture its tensors with their nodes of the prefix tree; for each node who passes it.

    A tensor that has a second name (tied weights) lies at the node of the first one, and only there.
    """
    known: dict[tuple[int, str, tuple[int, ...]], int] = {}
    paths, passing = [], []
    for number, layout in enumerate(layouts):
        node, path, seen = -1, [], set()
        for entry in layout.entries:
            if entry.kind == "constant":
                continue
            node = known.setdefault((node, entry.name, entry.shape), len(known))
            if node == len(passing):
                passing.append([])
            if entry.offset not in seen:
                passing[node].append(number)
                path.append((entry, node))
            seen.add(entry.offset)
        paths.append(path)
    return paths, passing


def append(pieces: list[Piece], piece: Piece) -> None:
    """Add a piece, to the last one where both vectors have it right behind that."""
    if pieces and (last := pieces[-1]).begin + last.size == piece.begin and last.place + last.size == piece.place:
        pieces[-1] = last._replace(size=last.size + piece.size)
    else:
        pieces.append(piece)


def cut(vector: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """(n,) the stretches (begin, size) of a vector, one behind the other; the vector itself where that is all of it."""
    if list(spans) == [(0, len(vector))]:
        return vector
    return torch.cat([vector[:0], *(vector[begin : begin + size] for begin, size in spans)])
