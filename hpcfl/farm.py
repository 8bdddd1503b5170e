"""The Farm pool: any free rank gets the next job by a message, and its update comes back when it comes.

On rank 0 two threads tend each client rank: one feeds it with what is due first, the other hears its answers, while the
main thread combines, evaluates and writes. A rank has its next job in hand while it trains one. With one rank the main
thread does the jobs itself, when it needs them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from queue import SimpleQueue
from threading import Condition, Event, Lock, Thread
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hpcfl.answers import Answer, hear_answer, send_answer
from hpcfl.core import Cohort, Job, Send, Step, Update, World, shares
from hpcfl.errors import JobError
from hpcfl.messages import IDLE, STOP, Order, hear_order, say_order
from hpcfl.share import Share, Sums, examine
from hpcfl.training import Trainer
from hpcfl.transport.group import Transport

__all__ = ["Farm"]

OVER = "the run was over"
"""What a rank answers in place of the jobs that it had in hand at the end."""


class Farm:
    """Jobs done by whoever is free: in order of their virtual finish, on the wall clock in order of their start."""

    def __init__(
        self,
        transport: Transport,
        trainer: Trainer,
        world: World,
        reproducible: bool,
        timeout_s: float,
        wall_clock: bool = False,
    ):
        self._wall_clock = wall_clock
        self._transport, self._trainer, self._world = transport, trainer, world
        self._names = sorted(trainer.strategy.uploads)
        self._sums = Sums(reproducible, trainer.device)
        self._timeout_s = timeout_s
        self._workers = range(1, transport.size) if transport.size > 1 else range(1)
        shared: list[Any] = []
        private = trainer.strategy.private
        self._queues = {rank: [] if private else shared for rank in self._workers}
        self._answers: dict[tuple[int, int, int], Answer] = {}
        self._arrived: list[Job] = []
        self._examined: list[list[float]] = []
        self._given_up: set[tuple[int, int, int]] = set()
        self._failure: Exception | None = None
        self._closing = False
        # sent, but not answered yet: with when they were; private clients' jobs could go to no other rank anyway
        self._hands: dict[int, deque[tuple[Order, float]]] = {rank: deque() for rank in self._workers}
        self._least_waiting = math.inf if wall_clock else 1 if private else transport.size - 1
        lock = Lock()
        self._changed = Condition(lock)
        self._eligible = {rank: Condition(lock) for rank in self._workers}
        self._channels = transport.channels(timeout_s)
        self._tenders = [
            Thread(target=self._watch, args=(tend, rank), daemon=True)
            for rank in self._channels
            for tend in (self._feed, self._hear)
        ]
        if transport.rank == 0:
            for tender in self._tenders:
                tender.start()
        self.seconds = {"training": 0.0, "communicating": 0.0}
        """Of the last step's updates: training and waiting for messages, per client rank."""
        self.bytes_down = self.bytes_up = 0
        """What the messages of the last step's updates carried; small headers are not counted."""

    # on rank 0
    def submit(self, jobs: Sequence[Job], send: Send) -> None:
        """Queue jobs; each is sent when a rank is free for it."""
        with self._changed:
            for job in jobs:
                due = job.start if self._wall_clock else job.finish
                self._queue(due, Order.of([job], send))
            self._wake()

    def collect(self, step: Step) -> Cohort:
        """The updates of the jobs that the step combines, in the step's order; blocks until they are in."""
        if self._wall_clock:  # on the virtual clock such jobs were never sent
            self._give_up(job for job, _ in step.lost)
        if not step.done:
            return Cohort((), step=step.index, group=step.group)
        answers = [self._await(job) for job in step.done]
        updates = [
            Update(job, answer.rank, int(answer.row[0]), *answer.row[1:], step.staleness(job), failure=answer.reason)
            for job, answer in zip(step.done, answers)
        ]
        arrived = [(update, answer.uploads) for update, answer in zip(updates, answers) if update.failure is None]
        self._account(answers)
        return Cohort(
            tuple(update for update, _ in arrived),
            tuple(update for update in updates if update.failure is not None),
            *self._combined(step, arrived),
            step=step.index,
            group=step.group,
        )

    def examine(self, jobs: Sequence[Job], send: Send, after: dict[int, int]) -> dict[int, tuple[float, float]]:
        """client -> (loss, accuracy) of its own model on its held-out share, after so many of its jobs.

        The jobs say who is asked, and from which server step's model. It goes before all that waits to be trained.
        """
        hands = [list(jobs)]
        if self._trainer.strategy.private:
            hands = [[job for job in jobs if self._home(job) == rank] for rank in self._workers]
        elif self._transport.size > 1:
            hands = shares(jobs, len(self._workers))
        orders = [Order.of(hand, send, after) for hand in hands if hand]
        if self._transport.size == 1:
            rows = examine(orders[0], jobs, self._trainer)
        else:
            with self._changed:
                for order in orders:
                    self._queue(-math.inf, order)
                self._wake()
                self._changed.wait_for(lambda: len(self._examined) == len(jobs) or self._failure)
                self._raise_failure()
                rows, self._examined = self._examined, []
            self.bytes_down += sum(_bytes(order) for order in orders)
        return {int(client): (loss, accuracy) for client, loss, accuracy in rows}

    def arrival(self, timeout_s: float) -> Job | None:
        """The job whose update came first among those not told yet; None if none comes in time (0: if none is here)."""
        if timeout_s > 0 and self._transport.size == 1 and not self._arrived and self._queues[0]:
            self._do_next()
        with self._changed:
            # a wait without end would not see Ctrl-C on some systems; nothing is lost by waking up
            limit = max(0.0, min(timeout_s, self._timeout_s))
            self._changed.wait_for(lambda: self._arrived or self._failure, limit)
            self._raise_failure()
            return self._arrived.pop(0) if self._arrived else None

    def rest(self, seconds: float) -> None:
        """Let time pass, as long as nothing fails."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure, seconds)
            self._raise_failure()

    def close(self) -> None:
        """No more jobs: the other ranks leave `serve`."""
        with self._changed:
            self._closing = True
            self._wake()
        for tender in self._tenders:
            tender.join()
        self._raise_failure()

    # on the other ranks
    def serve(self) -> None:
        """Train what rank 0 sends until it closes."""
        channel, orders, over = self._channels[0], SimpleQueue(), Event()
        Thread(target=self._receive, args=(channel, orders, over), daemon=True).start()
        while (order := orders.get()) is not None:
            if isinstance(order, Exception):
                raise order
            if order.after:
                rows = examine(order, order.jobs, self._trainer)
                channel.send(torch.tensor(rows, dtype=torch.float64))
            elif over.is_set():
                send_answer(channel, self._names, [0.0, math.nan, 0.0], {}, OVER)
            else:
                send_answer(channel, self._names, *self._train(order))

    def _receive(self, channel: Any, orders: SimpleQueue, over: Event) -> None:
        """Put what rank 0 sends into the queue while the main thread trains; None at the end."""
        try:
            while (order := hear_order(channel.recv, self._world, self._trainer.device)) != STOP:
                if order != IDLE:
                    orders.put(order)
            over.set()
            orders.put(None)
        except Exception as failure:  # the main thread meets it when it has done what is in hand
            orders.put(failure)

    def _train(self, order: Order) -> tuple[list[float], dict[str, Tensor], str | None]:
        """Train the one job of an order: [steps, loss, seconds], its uploads, why it failed."""
        share = Share(order, self._trainer, self._sums, keep=True)
        share.train(order.jobs[0])
        _, *row, failed = share.rows[0]
        if failed:
            return row, {}, share.reasons[0]
        return row, {name: kept[0] for name, kept in share.kept.items()}, None

    # the threads of rank 0
    def _watch(self, tend: Callable[[int], None], rank: int) -> None:
        """Tend a rank; whatever goes wrong, the main thread waits for this one and must know."""
        try:
            tend(rank)
        except Exception as failure:
            with self._changed:
                self._failure = self._failure or failure
                self._wake()
                self._changed.notify_all()

    def _feed(self, rank: int) -> None:
        """Send one rank what is due, until the pool closes."""
        channel = self._channels[rank]
        while not self._failure:
            order = self._take(rank)
            if order is None and self._closing:
                say_order(STOP, channel.send)
                return
            # if idle, a sign of life: a rank that waits for work has a limit too
            say_order(IDLE if order is None else order, channel.send)

    def _take(self, rank: int) -> Order | None:
        """What is due first among what the rank may do; None if there is nothing for a while, or at the end."""
        with self._changed:
            eligible = self._eligible[rank]
            eligible.wait_for(lambda: self._may(rank) or self._closing or self._failure, self._timeout_s / 4)
            if self._closing or self._failure or not self._may(rank):
                return None
            order = heappop(self._queues[rank])[-1]
            self._hands[rank].append((order, perf_counter()))
            eligible.notify_all()
            return order

    def _may(self, rank: int) -> bool:
        """Whether the rank gets another job: if it is idle, or, ahead, if there is one for whoever is idle next too.

        Never ahead on the wall clock: there a job in the hands of a slow rank would come late, and another might do it.
        """
        waiting, hand = len(self._queues[rank]), len(self._hands[rank])
        return waiting > 0 if hand == 0 else hand == 1 and waiting >= self._least_waiting

    def _wake(self) -> None:
        """The threads that now have something to do."""
        for rank, eligible in self._eligible.items():
            if self._closing or self._failure or self._may(rank):
                eligible.notify_all()

    def _hear(self, rank: int) -> None:
        """Take in one rank's answers until the pool closes and all have come."""
        channel, hand, heard = self._channels[rank], self._hands[rank], 0.0
        while True:
            with self._changed:
                self._eligible[rank].wait_for(lambda: hand or self._closing or self._failure)
                if not hand:
                    return
                order, sent = hand[0]
            if order.after:
                self._hear_examined(channel, len(order.jobs))
            else:
                answered = hear_answer(channel, self._names)
                begin, heard = max(sent, heard), perf_counter()
                self._arrive(order.jobs[0], Answer(*answered, rank, heard - begin, _bytes(order)))
            with self._changed:
                hand.popleft()
                self._wake()

    def _hear_examined(self, channel: Any, clients: int) -> None:
        rows = torch.zeros(clients, 3, dtype=torch.float64)
        channel.recv(rows)
        with self._changed:
            self._examined += rows.tolist()
            self._changed.notify_all()

    def _arrive(self, job: Job, answer: Answer) -> None:
        with self._changed:
            self._arrived.append(job)
            if job.key in self._given_up:
                self._given_up.remove(job.key)
            else:
                self._answers[job.key] = answer
            self._changed.notify_all()

    def _give_up(self, jobs: Iterable[Job]) -> None:
        """Keep no answer of these jobs, come or to come."""
        with self._changed:
            for job in jobs:
                if not job.dropped and self._answers.pop(job.key, None) is None:
                    self._given_up.add(job.key)

    # in the main thread
    def _queue(self, due: float, order: Order) -> None:
        """Put it in the queue of its rank, if it has one."""
        first = order.jobs[0]
        heappush(self._queues[self._home(first)], (due, *first.key, order))

    def _home(self, job: Job) -> int:
        """The rank in whose queue the job goes: a client with private state stays where that is."""
        return self._workers[job.client % len(self._workers)]

    def _await(self, job: Job) -> Answer:
        """The answer to one job, and the end of the pool's memory of it."""
        while self._transport.size == 1 and job.key not in self._answers:
            self._do_next()
        with self._changed:
            self._changed.wait_for(lambda: job.key in self._answers or self._failure)
            self._raise_failure()
            if job in self._arrived:
                self._arrived.remove(job)
            return self._answers.pop(job.key)

    def _do_next(self) -> None:
        """With one rank: do the job that is due first, here and now."""
        order = heappop(self._queues[0])[-1]
        row, uploads, reason = self._train(order)
        uploads = {name: value.clone() for name, value in uploads.items()}
        self._arrive(order.jobs[0], Answer(row, uploads, reason, 0, row[2], _bytes(order)))

    def _combined(
        self, step: Step, arrived: list[tuple[Update, dict[str, Tensor]]]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Means and gathered uploads, with the bits that the Collective gives them."""
        means: dict[str, Tensor] = {}
        each: dict[str, Tensor] = {}
        device = self._trainer.device
        for name, how in self._trainer.strategy.uploads.items():
            values = [uploads[name].to(device) for _, uploads in arrived]
            if not values:
                continue
            if how == "each":
                if len({value.shape for value in values}) > 1:
                    raise JobError(
                        f"strategy: upload {name!r} has different shapes in step {step.index}, from jobs of different "
                        "versions: this algorithm needs a synchronous schedule"
                    )
                each[name] = values[0].unsqueeze(0) if len(values) == 1 else torch.stack(values)
                continue
            counts = [update.job.counts(how) for update, _ in arrived]
            planned = sum(job.counts(how) for job in step.done)
            total = self._sums.fresh(name, tuple(values[0].shape))
            for value, count in zip(values, counts):
                total.add(value, count / planned)
            total.settle()
            by_client = sorted((update.job.client, count / planned) for (update, _), count in zip(arrived, counts))
            means[name] = total.mean(sum(weight for _, weight in by_client))
        return means, each

    def _account(self, answers: list[Answer]) -> None:
        """Seconds and bytes of the step."""
        training = sum(answer.row[2] for answer in answers)
        self.seconds["training"] = training / len(self._workers)
        self.seconds["communicating"] = (sum(answer.seconds for answer in answers) - training) / len(self._workers)
        several = self._transport.size > 1
        self.bytes_down = several * sum(answer.sent_bytes for answer in answers)
        up = [value for answer in answers for value in answer.uploads.values()]
        self.bytes_up = several * sum(value.numel() * value.element_size() for value in up)

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure


def _bytes(order: Order) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in order.tensors())
