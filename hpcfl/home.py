"""What clients keep at home from job to job, on the rank where they live."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from hpcfl.flat import largest

__all__ = ["Homes"]

State = dict[str, Tensor]


class Homes:
    """The private state of this rank's clients.

    A rank may train a client ahead of the server, which then asks how the client stood some jobs ago: with `history`
    older states are kept until it has asked for a newer one.
    """

    def __init__(self, first: State, history: bool, each: Sequence[State] = ()):
        """`first`: what a client has at first; `each`: so client by client, where that differs."""
        self._first, self._each, self.history = first, each, history
        self._jobs: dict[int, int] = {}
        self._states: dict[int, list[tuple[int, State]]] = {}

    def begin(self, client: int, again: bool = False) -> State:
        """What the client has as its next job begins, or one `again`: a dict of its own, of tensors that are not."""
        self._jobs[client] = self._jobs.get(client, 0) + (not again)
        return dict(self.latest(client))

    def after(self, client: int, jobs: int) -> State:
        """What it had after so many of its jobs; older states are forgotten."""
        states = self._states.get(client, [])
        while len(states) > 1 and states[1][0] <= jobs:
            states.pop(0)
        return dict(states[0][1] if states and states[0][0] <= jobs else self._begun(client))

    def clear(self) -> None:
        """Every client is as at first."""
        self._jobs.clear()
        self._states.clear()

    def stand(self, jobs: Sequence[int]) -> dict[int, tuple[list[str], State]]:
        """Each client that keeps something, after `jobs[client]` of its jobs: which names it has as all have at first,
        and what is its own. Older states are forgotten.
        """
        found = {}
        for client in sorted(self._states):
            state = self.after(client, jobs[client])
            common = [name for name, tensor in state.items() if tensor is self._begun(client).get(name)]
            found[client] = common, {name: tensor for name, tensor in state.items() if name not in common}
        return found

    def settle(self, client: int, jobs: int, common: Sequence[str] | None = None, own: State | None = None) -> None:
        """The client comes from somewhere else, after so many jobs, with what `stand` said of it."""
        self._jobs[client] = jobs
        if own is not None:
            self._states[client] = [(jobs, {**{name: self._begun(client)[name] for name in common}, **own})]

    def keep(self, client: int, state: State) -> None:
        """Store what it has as the job ends: copies, since a vector of the work space ends with the job."""
        before = self.latest(client)
        for name, tensor in state.items():
            if not math.isfinite(largest(tensor, 1.0)):
                raise ValueError(f"non-finite values in the client's state {name!r}")
        kept = {name: tensor if tensor is before.get(name) else tensor.clone() for name, tensor in state.items()}
        states = self._states.setdefault(client, [])
        if not self.history:
            states.clear()
        states.append((self._jobs[client], kept))

    def replace(self, client: int, name: str, tensor: Tensor) -> None:
        """After a job that ended well: put another tensor in the place of one that it has."""
        jobs, state = self._states[client][-1]
        self._states[client][-1] = jobs, {**state, name: tensor}

    def latest(self, client: int) -> State:
        """What it has by now, not to be changed."""
        states = self._states.get(client)
        return states[-1][1] if states else self._begun(client)

    def _begun(self, client: int) -> State:
        return self._each[client] if self._each else self._first
