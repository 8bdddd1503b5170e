"""The Collective pool: one broadcast, local training of each rank's share, one reduce; where neighbours mix, a mixing.

Every rank runs the same `_work`. With several ranks rank 0's share is empty: it serves. With one rank it does
everything, and the verbs of the transport do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hpcfl.batched import Batched
from hpcfl.checkpoint.vault import Report, Vault, home
from hpcfl.core import Cohort, Job, Program, Send, Step, Update, World, deal, programs, singly
from hpcfl.errors import LostRankError, RankError
from hpcfl.hindsight import Hindsight, Lane
from hpcfl.messages import alike, decode_reason, decode_shape, empty, encode_reason
from hpcfl.mixing import Mixer
from hpcfl.orders import STOP, Keep, Order, hear_order, say_order
from hpcfl.share import Share, Sums, examine
from hpcfl.training import Trainer
from hpcfl.transport.group import Transport

__all__ = ["Collective"]

LENT = 16
"""Most tensors of an order that are lent to the ranks of a node: each takes memory of its own until the next order."""

Account = list[list[float]]
"""A rank's account of a step: [jobs, seconds training, seconds communicating], then a row per job as in `Share`."""


class Collective:
    """Synchronous rounds over all ranks."""

    def __init__(
        self,
        transport: Transport,
        trainer: Trainer,
        world: World,
        reproducible: bool,
        batched: Batched | None = None,
        vault: Vault | None = None,
        lanes: Sequence[Lane] = (),
    ):
        trainer.homes.history = False  # nobody is ahead of the server
        self._vault, self._lanes = vault, lanes
        self._transport, self._trainer, self._world, self._batched = transport, trainer, world, batched
        self._reproducible = reproducible
        self._sums = self._room()
        self._mixer = Mixer(transport, trainer, world, self._sums)
        self._several = transport.size > 1
        self._order = Order((), (), {})
        self._broadcast_s = 0.0
        self._lent: list[Tensor] = []
        """What the other ranks read while they work."""
        self.seconds = {"training": 0.0, "communicating": 0.0}
        """Of the last step: the busiest rank's training, and what broadcast, reduce and mixing took by themselves."""
        self.bytes_down = self.bytes_up = 0
        """What the last step's broadcasts, reductions and mixings carried, each tensor counted once, what client ranks
        sent one another as up; small headers are not counted."""

    # on rank 0
    def submit(self, jobs: Sequence[Job], send: Send) -> None:
        """Start jobs: broadcast the models they need, each once."""
        if not jobs:
            return
        self._order = Order.of(jobs, send)
        self._tell(self._order)

    def collect(self, step: Step) -> Cohort:
        """The updates of the jobs that were submitted last, by client id; blocks until all are in."""
        if not step.done:
            return Cohort((), step=step.index)
        share, hands, reports, each, reasons = self._done(self._order, self._work)
        means = self._mix(self._order, share, set(_clients(reports, 0)))
        updates = [
            Update(
                job, self._transport.ranks[rank], int(steps), loss, seconds, step.staleness(job),
                failure=reasons.get(job.client), peers=self._mixer.peers(job.client),
            )
            for rank, job, (_, steps, loss, seconds, _) in _rows(hands, reports)
        ]  # fmt: skip
        updates.sort(key=lambda update: update.job.client)
        arrived = tuple(update for update in updates if update.failure is None)
        for name, total in share.sums.items():
            if whole := sum(share.weight(name, update.job) for update in arrived):
                means[name] = total.mean(whole)
        self._account(share, reports, each)
        failed = tuple(update for update in updates if update.failure is not None)
        return Cohort(arrived, failed, means, each, step=step.index, group=step.group)

    def examine(self, jobs: Sequence[Job], send: Send, after: dict[int, int]) -> dict[int, list[float]]:
        """client -> what `Trainer.examine` finds, after so many of its jobs.

        The jobs say who is asked, and from which server step's model. Not while jobs are under way.
        """
        order = Order.of(jobs, send, after)
        self._tell(order)
        self.bytes_down += self._several * sum(map(_bytes, order.tensors()))
        return self._done(order, self._examine)

    def keep(self, step: int, jobs: Sequence[int]) -> Callable[[], list[Report]]:
        """Let the ranks write their clients' private state after so many of their jobs. Not while any are under way."""
        keep = Keep(step, tuple(jobs))
        self._tell(keep)
        reports = self._keep(keep)
        return lambda: reports

    def close(self) -> None:
        """No more jobs: the other ranks leave `serve`."""
        with suppress(RankError):  # all is done, whoever is lost now
            self._tell(STOP)

    def _tell(self, order: Order | Keep | int) -> None:
        """Say it to every rank; once more to those that are left, where one is lost."""
        while True:
            try:
                return self._say(order)
            except LostRankError:
                self._mend()

    def _done(self, order: Order, work: Callable[[Order], Any]) -> Any:
        """What comes of an order that was told; where a rank is lost, those left do it anew, to the same bits."""
        while True:
            try:
                return work(order)
            except LostRankError:
                self._mend()
                self._tell(order)

    def _mend(self) -> None:
        """Where a rank was lost, go on with the others; if clients lived there, the run has to go back for them."""
        if self._trainer.strategy.private:
            raise  # noqa: PLE0704 - it is called for one that was caught
        self._transport.mend()
        self._sums = self._room()

    def _room(self) -> Sums:
        return Sums(self._reproducible, self._trainer.device, self._transport.empty, self._trainer.stay)

    def _say(self, order: Order | Keep | int) -> None:
        begin = perf_counter()
        if self._several:
            self._lent = []
            lent = isinstance(order, Order) and len(order.tensors()) <= LENT
            say_order(order, lambda tensor: self._lent.append(self._transport.broadcast(tensor, lent=lent)))
        self._broadcast_s = perf_counter() - begin

    # on the other ranks
    def serve(self) -> None:
        """Train what rank 0 orders until it closes."""
        while self.serve_step():
            pass

    def serve_step(self) -> bool:
        """Train what rank 0 orders next; False if it closed instead."""
        began: list[float] = []

        def recv(tensor: Tensor) -> None:
            self._transport.broadcast(tensor, lent=True)
            began.append(perf_counter())  # the first of them waited for rank 0

        order = hear_order(recv, self._world, self._trainer.device)
        self._broadcast_s = perf_counter() - began[0]
        if isinstance(order, int):
            return False
        if isinstance(order, Keep):
            self._keep(order)
        elif order.after:
            self._examine(order)
        else:
            self._mix(order, self._work(order)[0])
        return True

    # on every rank
    def _work(
        self, order: Order
    ) -> tuple[Share, list[list[Job]], list[Account], dict[str, list[Tensor]], dict[int, str]]:
        """Train this rank's share, sum it up, reduce; on rank 0 also what the others report and send."""
        share = self._share(order)
        dealt = self._hands(order, self._batched.size if self._batched else 1)
        for program in dealt[self._transport.rank]:
            share.train(program, self._batched)
        share.finish()
        hands = singly(dealt)
        begin = perf_counter()
        for total in share.sums.values():
            part, empty = total.part()
            self._transport.reduce(part, empty=empty)
        communicating = self._broadcast_s + perf_counter() - begin
        reports = self._report(hands, share, communicating)
        device, uploads = self._trainer.device, self._trainer.strategy.uploads
        each = {
            name: [
                value.to(device) for value in self._bring(reports, kept, failed=False, text=uploads[name] == "bytes")
            ]
            for name, kept in share.kept.items()
            if name not in self._mixer.names
        }
        reasons = self._bring(reports, [encode_reason(reason) for reason in share.reasons], failed=True, text=True)
        return (
            share,
            hands,
            reports,
            each,
            {client: decode_reason(row) for client, row in zip(_clients(reports, 1), reasons)},
        )

    def _mix(self, order: Order, share: Share, came: Collection[int] = ()) -> dict[str, Tensor]:
        """Let neighbours mix, if the strategy does; rank 0 knows whose training succeeded, and has the means."""
        if not self._mixer.names:
            return {}
        succeeded = torch.tensor([job.client in came for job in order.jobs], dtype=torch.uint8)
        self._transport.broadcast(succeeded)
        there = sorted(job.client for job, good in zip(order.jobs, succeeded.tolist()) if good)
        mine = [int(row[0]) for row in share.rows if not row[4]]
        return self._mixer.mix(there, {name: dict(zip(mine, share.kept[name])) for name in self._mixer.names})

    def _share(self, order: Order) -> Share:
        """On a GPU one that does not look at a client before the end, where no client's state at home needs a look."""
        trainer = self._trainer
        if trainer.device.type == "cpu" or trainer.strategy.private:
            return Share(order, trainer, self._sums)
        return Hindsight(order, trainer, self._sums, self._lanes)

    def _examine(self, order: Order) -> dict[int, list[float]]:
        """Examine this rank's share; on rank 0 everybody's answers."""
        hands = singly(self._hands(order, 1))
        rows = examine(order, hands[self._transport.rank], self._trainer)
        table = torch.full((max(map(len, hands)), 1 + self._trainer.figures), -1.0, dtype=torch.float64)
        table[: len(rows)] = torch.tensor(rows, dtype=torch.float64).view(-1, table.shape[1])
        answers = [row for report in self._transport.gather(table) for row in report.tolist() if row[0] >= 0]
        return {int(client): found for client, *found in answers}

    def _keep(self, keep: Keep) -> list[Report]:
        """Write this rank's file; on rank 0 how that went everywhere."""
        serves = self._several and self._transport.rank == 0
        report = Report.blank() if serves else self._vault.keep(keep.step, keep.jobs).encode()
        rows = self._transport.gather(report)
        return [Report.decode(row, rank) for rank, row in enumerate(rows) if rank or not self._several]

    def _hands(self, order: Order, size: int) -> list[list[Program]]:
        """Every rank's jobs, in programs of `size`, by rank; computed alike everywhere.

        A client with private state stays with one rank.
        """
        workers, together = self._transport.size - 1, programs(order.jobs, size)
        if not self._several:
            return [together]
        if self._trainer.strategy.private:
            size = self._transport.size
            return [[[job] for job in order.jobs if home(job.client, size) == rank] for rank in range(size)]
        return [[], *deal(together, workers)]

    def _report(self, hands: list[list[Job]], share: Share, communicating: float) -> list[Account]:
        """Every rank's report, on rank 0."""
        longest = max(map(len, hands))
        table = torch.zeros(longest + 1, 5, dtype=torch.float64)
        rows = [[len(share.rows), share.seconds, communicating, 0, 0], *share.rows]
        table[: len(rows)] = torch.tensor(rows, dtype=torch.float64)
        gathered = self._transport.gather(table)
        return [_heard(rank, hand, report) for rank, (hand, report) in enumerate(zip(hands, gathered))]

    def _bring(self, reports: list[Account], own: list[Tensor], failed: bool, text: bool) -> list[Tensor]:
        """On rank 0 a tensor from each client that succeeded (or failed), by client id, where it arrived: no copy.

        Each rank that has any, as rank 0 knows from the reports, sends its own in one piece. `text`: of bytes, shorter
        ones with zeros behind them.
        """
        if self._transport.rank:
            if own:
                stacked = torch.stack(alike(own) if text else own)
                self._transport.send(torch.tensor([stacked.dim(), *stacked.shape, *[0] * 8][:8]), 0)
                self._transport.send(stacked, 0)
            return []
        rows = list(own)
        for rank, report in enumerate(reports):
            if rank and _clients([report], failed):
                shape = torch.zeros(8, dtype=torch.int64)
                self._transport.recv(shape, rank)
                piece = empty(decode_shape(shape.tolist()), torch.uint8 if text else torch.float32)
                self._transport.recv(piece, rank)
                rows.extend(piece)
        came = [int(row[0]) for report in reports for row in report[1:] if row[4] == failed]
        rows = alike(rows) if text and rows else rows
        return [rows[place] for place in sorted(range(len(came)), key=came.__getitem__)]

    def _account(self, share: Share, reports: list[Account], each: dict[str, list[Tensor]]) -> None:
        """Seconds and bytes of the step, on rank 0."""
        busy = [report[0] for report in reports if report[0][0]]
        self.seconds["training"] = max(seconds for _, seconds, *_ in busy)
        # the rank that comes last waits for nobody: its calls are the pure cost
        self.seconds["communicating"] = min(row[2] for row in busy) + self._mixer.seconds if self._several else 0.0
        self.bytes_down = self._several * sum(map(_bytes, self._order.tensors()))
        up = [*(total.total for total in share.sums.values()), *(row for rows in each.values() for row in rows)]
        self.bytes_up = self._several * (sum(map(_bytes, up)) + self._mixer.bytes)


def _heard(rank: int, hand: list[Job], report: Tensor) -> Account:
    """A rank's report, without its padding; ValueError where it is not of the jobs that the rank was given."""
    rows = report[: 1 + len(hand)].tolist()
    if rows[0][0] != len(hand) or [row[0] for row in rows[1:]] != [job.client for job in hand]:
        raise ValueError(f"rank {rank} reports other jobs than the {len(hand)} it was given")
    return rows


def _rows(hands: list[list[Job]], reports: list[Account]) -> list[tuple[int, Job, list[float]]]:
    """(rank, job, row) of every job, on rank 0."""
    ranks = enumerate(zip(hands, reports))
    return [(rank, *pair) for rank, (hand, report) in ranks for pair in zip(hand, report[1:])]


def _clients(reports: list[Account], failed: int) -> list[int]:
    """The clients whose job failed (or did not), by id."""
    return sorted(int(row[0]) for report in reports for row in report[1:] if row[4] == failed)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
