"""Synchronous rounds whose clients the strategy chooses, from the model that the last one made."""

from __future__ import annotations

from typing import Any

from hpcfl.core import World
from hpcfl.errors import JobError
from hpcfl.schedule import Rounds, Synchronous

__all__ = ["ChosenRounds"]


class ChosenRounds(Rounds):
    """As the job's synchronous schedule, but that `strategy.choose` says who trains in a round, for how many epochs and
    with which learning rate. It is asked when the round begins, so nothing can be told ahead."""

    def __init__(self, strategy: Any, closing: Any, retries: int = 0):
        if not isinstance(closing, Synchronous):
            raise JobError(f"schedule: {type(closing).__name__}: a Flower strategy works in rounds: take synchronous")
        if closing != Synchronous(deadline=closing.deadline, first=closing.first):
            raise JobError("schedule.c_ratio and schedule.choose: a Flower strategy chooses its clients itself, say "
                           "by fraction_fit; leave them out")  # fmt: skip
        super().__init__(closing, retries)
        self._strategy = strategy

    def choose(self, world: World, state: Any, index: int, attempt: int) -> dict[int, dict[str, Any]]:
        chosen = self._strategy.choose(state, index + 1)
        return {client: {"epochs": order.epochs, "lr": order.lr} for client, order in chosen.items()}
