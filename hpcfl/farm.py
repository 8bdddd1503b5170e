"""The Farm pool: any free rank gets the next job by a message, and its update comes back when it comes.

On rank 0 `Tenders` feed the client ranks and hear them, while the main thread combines, evaluates and writes. With one
rank the main thread does the jobs itself, when it needs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from heapq import heappop
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import torch
from torch import Tensor

from hpcfl.answers import Answer, send_answer
from hpcfl.checkpoint.vault import Report, Vault, home
from hpcfl.core import Cohort, Job, Send, Step, Update, World, shares
from hpcfl.errors import JobError, LostRankError
from hpcfl.messages import alike
from hpcfl.orders import IDLE, STOP, Keep, Order, hear_order
from hpcfl.share import Share, Sums, examine, places
from hpcfl.tenders import Queue, Tenders
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
        vault: Vault | None = None,
    ):
        self._wall_clock, self._vault = wall_clock, vault
        self._transport, self._trainer, self._world = transport, trainer, world
        if vault is not None and not wall_clock:
            trainer.homes.history = True  # ranks are ahead of the server
        self._names = sorted(trainer.strategy.uploads)
        self._sums = Sums(reproducible, trainer.device)
        self._timeout_s = timeout_s
        workers = range(1, transport.size) if transport.size > 1 else range(1)
        shared: list[Any] = []
        private = trainer.strategy.private
        self._queues: dict[int, Queue] = {rank: [] if private else shared for rank in workers}
        self._answers: dict[tuple[int, int, int], Answer] = {}
        self._arrived: list[Job] = []
        self._examined: list[list[float]] = []
        self._kept: list[Report] = []
        self._combined: dict[int, int] = {}
        self._given_up: set[tuple[int, int, int]] = set()
        self._channels = transport.channels(timeout_s)
        # Ahead only where whoever is idle next finds an order too, or where nobody else may do it; and never on the
        # wall clock, where a job in the hands of a slow rank comes late.
        least_waiting = math.inf if wall_clock else 1 if private else len(workers)
        self._tenders = Tenders(
            self._queues, self._channels, self._names, timeout_s, least_waiting,
            self._arrive, self._examined.extend, self._kept.append, trainer.figures,
        )  # fmt: skip
        self._changed = self._tenders.changed
        if transport.rank == 0:
            self._tenders.start()
            transport.expect(self._take_in)
        self.seconds = {"training": 0.0, "communicating": 0.0}
        """Of the last step's updates: training and waiting for messages, per client rank."""
        self.bytes_down = self.bytes_up = 0
        """What the messages of the last step's updates carried; small headers are not counted."""

    # on rank 0
    def submit(self, jobs: Sequence[Job], send: Send) -> None:
        """Queue jobs; each is sent when a rank is free for it."""
        combined = self._combined
        self._tenders.put([
            (self._home(job), job.start if self._wall_clock else job.finish,
             replace(Order.of([job], send), combined={job.client: combined.get(job.client, 0)}))
            for job in jobs
        ])  # fmt: skip

    def collect(self, step: Step) -> Cohort:
        """The updates of the jobs that the step combines, in the step's order; blocks until they are in."""
        if self._wall_clock:  # on the virtual clock such jobs were never sent
            self._give_up(job for job, _ in step.lost)
        if not step.done:
            return Cohort((), step=step.index, group=step.group)
        answers = [self._await(job) for job in step.done]
        updates = [
            Update(
                job, self._transport.ranks[answer.rank], int(answer.row[0]), *answer.row[1:], step.staleness(job),
                failure=answer.reason,
            )
            for job, answer in zip(step.done, answers)
        ]  # fmt: skip
        for job in step.done:
            self._combined[job.client] = self._combined.get(job.client, 0) + 1
        arrived = [(update, answer.uploads) for update, answer in zip(updates, answers) if update.failure is None]
        self._account(answers)
        return Cohort(
            tuple(update for update, _ in arrived),
            tuple(update for update in updates if update.failure is not None),
            *self._combine(step, arrived),
            step=step.index,
            group=step.group,
        )

    def examine(self, jobs: Sequence[Job], send: Send, after: dict[int, int]) -> dict[int, list[float]]:
        """client -> what `Trainer.examine` finds, after so many of its jobs.

        The jobs say who is asked, and from which server step's model. It goes before all that waits to be trained.
        """
        hands = [list(jobs)]
        if self._trainer.strategy.private:
            hands = [[job for job in jobs if self._home(job) == rank] for rank in self._queues]
        elif self._transport.size > 1:
            hands = shares(jobs, len(self._queues))
        orders = [Order.of(hand, send, after) for hand in hands if hand]
        if self._transport.size == 1:
            rows = examine(orders[0], jobs, self._trainer)
        else:
            self._tenders.put([(self._home(order.jobs[0]), -math.inf, order) for order in orders])
            with self._changed:
                self._changed.wait_for(lambda: len(self._examined) == len(jobs) or self._failure)
                self._raise_failure()
                rows = list(self._examined)
                self._examined.clear()
            self.bytes_down += sum(order.bytes for order in orders)
        return {int(client): found for client, *found in rows}

    def keep(self, step: int, jobs: Sequence[int]) -> Callable[[], list[Report]]:
        """Let the ranks write their clients' private state after so many of their jobs; what is given waits for that.

        It goes before all that waits, once the last one has been waited for.
        """
        self._combined = dict(enumerate(jobs))
        if self._transport.size == 1:
            report = self._vault.keep(step, jobs)
            return lambda: [report]
        self._kept.clear()
        self._tenders.put([(rank, -math.inf, Keep(step, tuple(jobs))) for rank in self._queues])
        return self._reports

    def _reports(self) -> list[Report]:
        with self._changed:
            self._changed.wait_for(lambda: len(self._kept) == len(self._queues) or self._failure)
            self._raise_failure()
            return list(self._kept)

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
        self._tenders.close()
        if not isinstance(self._failure, LostRankError):  # all is done, whoever is lost now
            self._raise_failure()

    # on the other ranks
    def serve(self) -> None:
        """Train what rank 0 sends until it closes."""
        channel, orders, over = self._channels[0], SimpleQueue(), Event()
        Thread(target=self._receive, args=(channel, orders, over), daemon=True).start()
        while (order := orders.get()) is not None:
            if isinstance(order, Exception):
                raise order
            if isinstance(order, Keep):
                channel.send(self._vault.keep(order.step, order.jobs).encode())
            elif order.after:
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
        for client, combined in order.combined.items():
            self._trainer.homes.after(client, combined)  # what was before may be forgotten
        share = Share(order, self._trainer, self._sums, keep=True)
        share.train(list(order.jobs))
        _, *row, failed = share.rows[0]
        if failed:
            return row, {}, share.reasons[0]
        return row, {name: kept[0] for name, kept in share.kept.items()}, None

    # in the threads of rank 0
    def _arrive(self, job: Job, answer: Answer) -> None:
        self._arrived.append(job)
        if job.key in self._given_up:
            self._given_up.remove(job.key)
        else:
            self._answers[job.key] = answer

    def _take_in(self, channel: Any) -> bool:
        """A rank joined: it does what the others do, as no client has state that keeps it where it is."""
        return self._tenders.add(channel.rank, channel, self._queues[1])

    # in the main thread
    def _give_up(self, jobs: Iterable[Job]) -> None:
        """Keep no answer of these jobs, come or to come."""
        with self._changed:
            for job in jobs:
                if not job.dropped and self._answers.pop(job.key, None) is None:
                    self._given_up.add(job.key)

    def _home(self, job: Job) -> int:
        """The rank in whose queue the job goes: a client with private state stays where that is."""
        return home(job.client, self._transport.size)

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
        self._arrive(order.jobs[0], Answer(row, uploads, reason, 0, row[2], order.bytes))

    def _combine(
        self, step: Step, arrived: list[tuple[Update, dict[str, Tensor]]]
    ) -> tuple[dict[str, Tensor], dict[str, list[Tensor]]]:
        """Means and gathered uploads. A single update is its own mean; several have the bits of the Collective's."""
        means: dict[str, Tensor] = {}
        each: dict[str, list[Tensor]] = {}
        device = self._trainer.device
        for name, how in self._trainer.strategy.uploads.items():
            values = [uploads[name].to(device) for _, uploads in arrived]
            if not values:
                continue
            if how == "bytes":  # which came as float32
                each[name] = alike([value.to(torch.uint8) for value in values])
                continue
            if how == "each":
                if len({value.shape for value in values}) > 1:
                    raise JobError(
                        f"strategy: upload {name!r} has different shapes in step {step.index}, from jobs of different "
                        "versions: this algorithm needs a synchronous schedule"
                    )
                each[name] = values
                continue
            family = self._trainer.family
            if len(values) == 1 and not family:
                means[name] = values[0].float()
                continue
            counts = [update.job.counts(how) for update, _ in arrived]
            planned = sum(job.counts(how) for job in step.done)
            total = self._sums.fresh(name, (family.size,) if family else tuple(values[0].shape))
            for (update, _), value, count in zip(arrived, values, counts):
                total.add(value, count / planned, places(family, update.job))
            total.settle()
            by_client = sorted((update.job.client, count / planned) for (update, _), count in zip(arrived, counts))
            means[name] = total.mean(sum(weight for _, weight in by_client))
        return means, each

    def _account(self, answers: list[Answer]) -> None:
        """Seconds and bytes of the step."""
        training = sum(answer.row[2] for answer in answers)
        self.seconds["training"] = training / len(self._queues)
        self.seconds["communicating"] = (sum(answer.seconds for answer in answers) - training) / len(self._queues)
        several = self._transport.size > 1
        self.bytes_down = several * sum(answer.sent_bytes for answer in answers)
        up = [value for answer in answers for value in answer.uploads.values()]
        self.bytes_up = several * sum(value.numel() * value.element_size() for value in up)

    @property
    def _failure(self) -> Exception | None:
        return self._tenders.failure

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure
