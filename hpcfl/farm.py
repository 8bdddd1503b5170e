"""The Farm pool: any free rank gets the next job by a message, and its update comes back when it comes.

On rank 0 a thread tends each client rank: it takes the job that is due first, sends it, and waits for the answer, while
the main thread combines, evaluates and writes. With one rank the main thread does the jobs itself, when it needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from threading import Condition, Thread
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hpcfl.core import Cohort, Job, Send, Step, Update, World
from hpcfl.errors import JobError
from hpcfl.messages import Order, decode, decode_reason, encode, encode_reason
from hpcfl.share import Share, Sums
from hpcfl.training import Trainer
from hpcfl.transport.group import Transport

__all__ = ["Farm"]

STOP = -1
SHAPE = 8
"""Words of an upload's shape in an answer: the number of dimensions, then their sizes."""


class Answer(NamedTuple):
    """What came back for a job."""

    row: list[float]
    """[steps, loss, seconds]."""
    uploads: dict[str, Tensor]
    reason: str | None
    """Why there are no uploads, or None."""
    rank: int
    seconds: float
    """From sending the job to having it all."""
    sent_bytes: int


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
        self._given_up: set[tuple[int, int, int]] = set()
        self._failure: Exception | None = None
        self._closing = False
        self._changed = Condition()
        self._channels = transport.channels(timeout_s)
        self._tenders = [Thread(target=self._tend, args=(rank,), daemon=True) for rank in self._channels]
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
                sent = send(job.client)
                due = job.start if self._wall_clock else job.finish
                heappush(self._queues[self._home(job)], (due, *job.key, job, sent))
            self._changed.notify_all()

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
            self._changed.notify_all()
        for tender in self._tenders:
            tender.join()
        self._raise_failure()

    # on the other ranks
    def serve(self) -> None:
        """Train what rank 0 sends until it closes."""
        channel = self._channels[0]
        while True:
            counts = torch.zeros(4, dtype=torch.int64)
            channel.recv(counts)
            if counts[0] == STOP:
                return
            if counts[0]:
                body = torch.zeros(int(counts[3]), dtype=torch.int64)
                channel.recv(body)
                order = decode(counts, body, self._world, self._trainer.device)
                for tensor in order.tensors():
                    channel.recv(tensor)
                self._answer(channel, *self._train(order))

    def _train(self, order: Order) -> tuple[list[float], dict[str, Tensor], str | None]:
        """Train the one job of an order: [steps, loss, seconds], its uploads, why it failed."""
        share = Share(order, self._trainer, self._sums, keep=True)
        share.train(order.jobs[0])
        _, *row, failed = share.rows[0]
        if failed:
            return row, {}, share.reasons[0]
        return row, {name: kept[0] for name, kept in share.kept.items()}, None

    def _answer(self, channel: Any, row: list[float], uploads: dict[str, Tensor], reason: str | None) -> None:
        """One header with the shapes of all uploads, then these, or the reason why there are none."""
        shapes = [[value.dim(), *value.shape, *[0] * SHAPE][:SHAPE] for _, value in sorted(uploads.items())]
        header = [float(reason is not None), *row, *(word for shape in shapes for word in shape)]
        padding = [0.0] * (4 + SHAPE * len(self._names) - len(header))
        channel.send(torch.tensor([*header, *padding], dtype=torch.float64))
        if reason is not None:
            channel.send(encode_reason(reason))
        for _, value in sorted(uploads.items()):
            channel.send(value)

    # the threads of rank 0
    def _tend(self, rank: int) -> None:
        """Keep one rank busy until the pool closes."""
        channel = self._channels[rank]
        try:
            while True:
                task = self._take(rank)
                if self._closing and task is None:
                    channel.send(torch.tensor([STOP, 0, 0, 0]))
                    return
                if task is None:  # a sign of life: a rank that waits for work has a limit too
                    channel.send(torch.zeros(4, dtype=torch.int64))
                    continue
                job, sent = task
                begin = perf_counter()
                order = Order.of([job], lambda client, sent=sent: sent)
                for tensor in (*encode(order), *order.tensors()):
                    channel.send(tensor)
                heard = self._hear(channel)
                self._arrive(job, Answer(*heard, rank, perf_counter() - begin, _bytes(sent)))
        except Exception as failure:  # whatever it is, the main thread waits for this one and must know
            with self._changed:
                self._failure = self._failure or failure
                self._changed.notify_all()

    def _take(self, rank: int) -> tuple[Job, dict[str, Tensor]] | None:
        """The job that is due first among those the rank may do; None if there is none for a while, or at the end."""
        queue = self._queues[rank]
        with self._changed:
            self._changed.wait_for(lambda: queue or self._closing or self._failure, self._timeout_s / 4)
            if self._closing or self._failure or not queue:
                return None
            *_, job, sent = heappop(queue)
            return job, sent

    def _hear(self, channel: Any) -> tuple[list[float], dict[str, Tensor], str | None]:
        header = torch.zeros(4 + SHAPE * len(self._names), dtype=torch.float64)
        channel.recv(header)
        failed, *row = header[:4].tolist()
        if failed:
            text = encode_reason("")
            channel.recv(text)
            return row, {}, decode_reason(text)
        uploads = {}
        for name, shape in zip(self._names, header[4:].view(-1, SHAPE).long().tolist()):
            uploads[name] = torch.empty(shape[1 : 1 + shape[0]])
            channel.recv(uploads[name])
        return row, uploads, None

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
        *_, job, sent = heappop(self._queues[0])
        row, uploads, reason = self._train(Order.of([job], lambda client: sent))
        uploads = {name: value.clone() for name, value in uploads.items()}
        self._arrive(job, Answer(row, uploads, reason, 0, row[2], _bytes(sent)))

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
        self.bytes_up = several * sum(_bytes(answer.uploads) for answer in answers)

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure


def _bytes(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
