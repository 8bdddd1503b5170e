"""The threads of rank 0 that tend the client ranks: for each, one feeds it what is due, the other hears its answers.

A rank has its next job in hand while it trains one, so that it never waits for a model that is under way.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from threading import Condition, Lock, Thread
from time import perf_counter
from typing import Any

import torch

from hpcfl.answers import Answer, hear_answer
from hpcfl.checkpoint.vault import Report
from hpcfl.core import Job
from hpcfl.errors import LostRankError
from hpcfl.orders import IDLE, STOP, Keep, Order, say_order

__all__ = ["Tenders", "Queue"]

Queue = list[tuple[Any, ...]]
"""A heap of (due, client, version, visit, order)."""


class Tenders:
    """What is to be sent to whom, and the threads that send and hear.

    `queues` has every worker's, which several may share. What comes is given to `arrive(job, answer)`,
    `examined(rows)` and `kept(report)`, in a thread that holds the lock of `changed`.
    """

    def __init__(
        self,
        queues: dict[int, Queue],
        channels: dict[int, Any],
        names: list[str],
        timeout_s: float,
        least_waiting: float,
        arrive: Callable[[Job, Answer], None],
        examined: Callable[[list[list[float]]], None],
        kept: Callable[[Report], None],
        figures: int,
    ):
        """`least_waiting`: how many orders must wait for a rank to get one ahead, while it still has one to do.
        `figures`: how many numbers come of a client that is examined."""
        self._queues, self._channels, self._names = queues, channels, names
        self._timeout_s, self._least_waiting = timeout_s, least_waiting
        self._arrive, self._examined, self._kept, self._figures = arrive, examined, kept, figures
        # orders that were sent, but not answered yet, each with when it was, and when it is due
        self._hands: dict[int, deque[tuple[Order | Keep, float, float]]] = {rank: deque() for rank in queues}
        self._lost: set[int] = set()
        self._lock = Lock()
        self.changed = Condition(self._lock)
        """Something came, or failed: for the main thread."""
        self._eligible = {rank: Condition(self._lock) for rank in queues}
        self.failure: Exception | None = None
        self._closing = False
        self._threads = [thread for rank in channels for thread in self._tending(rank)]

    def _tending(self, rank: int) -> list[Thread]:
        return [Thread(target=self._watch, args=(tend, rank), daemon=True) for tend in (self._feed, self._hear)]

    def start(self) -> None:
        """Begin; only on rank 0."""
        for thread in self._threads:
            thread.start()

    def add(self, rank: int, channel: Any, queue: Queue) -> bool:
        """Tend another rank, which shares the queue; False if that is too late."""
        with self.changed:
            if self._closing or self.failure:
                return False
            self._queues[rank], self._channels[rank], self._hands[rank] = queue, channel, deque()
            self._eligible[rank] = Condition(self._lock)
            self._least_waiting += 1
            threads = self._tending(rank)
            self._threads += threads
        for thread in threads:
            thread.start()
        return True

    def close(self) -> None:
        """Send no more orders, and wait until the ranks know and have answered all that they were sent."""
        with self.changed:
            self._closing = True
            self._wake()
        for thread in self._threads:
            thread.join()

    def put(self, orders: Sequence[tuple[int, float, Order | Keep]]) -> None:
        """Queue orders: for each a worker in whose queue it goes, and when it is due."""
        with self.changed:
            for rank, due, order in orders:
                heappush(self._queues[rank], (due, *order.key, order))
            self._wake()

    def _watch(self, tend: Callable[[int], None], rank: int) -> None:
        """Tend a rank; whatever goes wrong, the main thread waits for this one and must know."""
        try:
            tend(rank)
        except LostRankError as failure:
            self._lose(rank, failure)
        except Exception as failure:
            with self.changed:
                self.failure = self.failure or failure
                self._wake()
                self.changed.notify_all()

    def _lose(self, rank: int, failure: LostRankError) -> None:
        """A rank is gone: what it had in hand goes to those that share its queue; without any it is a failure."""
        with self.changed:
            if rank in self._lost:
                return
            self._lost.add(rank)
            queue, hand = self._queues[rank], self._hands[rank]
            if any(self._queues[other] is queue for other in self._queues.keys() - self._lost):
                for order, _, due in hand:
                    heappush(queue, (due, *order.key, order))
                hand.clear()
            else:
                self.failure = self.failure or failure
            self._wake()
            self._eligible[rank].notify_all()
            self.changed.notify_all()

    def _feed(self, rank: int) -> None:
        """Send one rank what is due, until the end."""
        send = self._channels[rank].send
        while not self.failure and rank not in self._lost:
            order = self._take(rank)
            if order is None and self._closing:
                say_order(STOP, send)
                return
            # if idle, a sign of life: a rank that waits for work has a limit too
            say_order(IDLE if order is None else order, send)

    def _take(self, rank: int) -> Order | Keep | None:
        """What is due first among what the rank may do; None if there is nothing for a while, or at the end."""
        eligible = self._eligible[rank]
        with self.changed:
            eligible.wait_for(
                lambda: self._may(rank) or self._closing or self.failure or rank in self._lost, self._timeout_s / 4
            )
            if self._closing or self.failure or not self._may(rank):
                return None
            due, *_, order = heappop(self._queues[rank])
            self._hands[rank].append((order, perf_counter(), due))
            eligible.notify_all()
            return order

    def _may(self, rank: int) -> bool:
        """Whether the rank gets an order: if it is idle; or ahead, with one in hand."""
        if rank in self._lost:
            return False
        waiting, hand = len(self._queues[rank]), len(self._hands[rank])
        return waiting > 0 if hand == 0 else hand == 1 and waiting >= self._least_waiting

    def _wake(self) -> None:
        """The threads that have something to do now."""
        for rank, eligible in self._eligible.items():
            if self._closing or self.failure or self._may(rank):
                eligible.notify_all()

    def _hear(self, rank: int) -> None:
        """Take in one rank's answers, until the end and until all have come."""
        channel, hand, heard = self._channels[rank], self._hands[rank], -math.inf
        while True:
            with self.changed:
                self._eligible[rank].wait_for(lambda: hand or self._closing or self.failure or rank in self._lost)
                if not hand:
                    return
                order, sent, _ = hand[0]
            if isinstance(order, Keep):
                report = Report.blank()
                channel.recv(report)
            elif order.after:
                rows = torch.zeros(len(order.jobs), 1 + self._figures, dtype=torch.float64)
                channel.recv(rows)
            else:
                answered = hear_answer(channel, self._names)
            begin, heard = max(sent, heard), perf_counter()
            with self.changed:
                if rank in self._lost:
                    return  # another rank does it
                if isinstance(order, Keep):
                    self._kept(Report.decode(report, rank))
                elif order.after:
                    self._examined(rows.tolist())
                else:
                    self._arrive(order.jobs[0], Answer(*answered, rank, heard - begin, order.bytes))
                hand.popleft()
                self._wake()
                self.changed.notify_all()
