"""Models that clients mix with their neighbours': from rank to rank, past rank 0.

Of an upload that is mixed among "neighbours" a client's home rank keeps what came out, under the same name in what the
client has at home. All ranks know the weights, and so who needs whose model, without asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter

import torch
from torch import Tensor

from hpcfl.checkpoint.vault import home
from hpcfl.core import World
from hpcfl.errors import JobError
from hpcfl.share import Sums
from hpcfl.training import Trainer
from hpcfl.transport.group import Transport

__all__ = ["Mixer"]

BLOCK = {"cpu": 1 << 16, "cuda": 1 << 24}
"""Numbers that are mixed at a time, by kind of device: on a CPU their 512 KiB in float64 stay in the cache."""


class Mixer:
    """A rank's side of the exchange, for the clients that live there."""

    def __init__(self, transport: Transport, trainer: Trainer, world: World, sums: Sums):
        self._transport, self._trainer, self._world, self._sums = transport, trainer, world, sums
        uploads: Mapping[str, str] = trainer.strategy.uploads
        self.names = [name for name, how in uploads.items() if how == "neighbours"]
        """Of the uploads that are mixed."""
        self._lives = torch.tensor([home(client, transport.size) for client in range(world.clients)])
        self.bytes = 0
        """What the ranks sent one another for the last mixing, and rank 0 for the means."""
        self.seconds = 0.0
        """That it took, from the first message to the means."""
        self._neighbours: dict[int, int] = {}

    def peers(self, client: int) -> int:
        """To how many neighbours the client's model went, of as many as it got theirs; 1 where a server takes it."""
        return self._neighbours.get(client, 0) if self.names else 1

    def mix(self, there: Sequence[int], trained: Mapping[str, Mapping[int, Tensor]]) -> dict[str, Tensor]:
        """Mix among the clients that are `there`, in ascending order; `trained` are this rank's models of them, by name
        and client.

        On rank 0 by name the means over all clients, weighted by their samples; who is not there counts as it was.
        """
        self.bytes, self.seconds, self._neighbours, means = 0, 0.0, {}, {}
        if not there:
            return means
        begin, weights = perf_counter(), self._weights(there)
        lives, reaches = self._lives[list(there)], weights != 0
        self._neighbours = dict(zip(there, (reaches.sum(0) - reaches.diagonal().long()).tolist()))
        for name in self.names:
            own = {place: trained[name][client] for place, client in enumerate(there) if client in trained[name]}
            models = self._exchange(own, lives, reaches, self._shape(name))
            self._settle(name, there, lives, weights, models)
            means[name] = self._mean(name)
        self.seconds = perf_counter() - begin
        return means

    def _weights(self, there: Sequence[int]) -> Tensor:
        """(n, n) float64 as the strategy says; JobError where a row is no average."""
        weights = self._trainer.strategy.mixing(self._world, there)
        shares = weights.dim() == 2 and bool((weights >= 0).all()) and (weights.sum(1) - 1).abs().amax() < 1e-9
        if weights.shape != (len(there), len(there)) or not shares:
            raise JobError(
                f"strategy: `mixing` gives weights {tuple(weights.shape)} for {len(there)} clients; should be a row "
                "for each, of numbers that are not negative and add up to 1"
            )
        return weights.double().cpu()

    def _exchange(
        self, own: Mapping[int, Tensor], lives: Tensor, reaches: Tensor, shape: torch.Size
    ) -> dict[int, Tensor]:
        """Place in the cohort -> the model, of this rank's clients and of those whom these need.

        In every turn the ranks meet in pairs: those whose numbers add up to it, so that each pair meets once and nobody
        waits in a circle. One message goes each way, of all models that the other one needs.
        """
        rank, size = self._transport.rank, self._transport.size
        needs = torch.stack([reaches[lives == other].any(0) for other in range(size)])  # (ranks, n)
        models = dict(own)
        for turn in range(size):
            other = (turn - rank) % size
            if other == rank:
                continue
            gives = (needs[other] & (lives == rank)).nonzero()[:, 0].tolist()
            takes = (needs[rank] & (lives == other)).nonzero()[:, 0].tolist()
            for sends in (rank < other, rank > other):  # the lower one first
                if sends and gives:
                    self._transport.send(torch.stack([models[place] for place in gives]), other)
                elif not sends and takes:
                    message = torch.empty(len(takes), *shape, device=self._trainer.device)
                    self._transport.recv(message, other)
                    models.update(zip(takes, message))
        abroad = lives != torch.arange(size)[:, None]
        self.bytes += 4 * shape.numel() * int((needs & abroad).sum())
        return models

    def _settle(
        self, name: str, there: Sequence[int], lives: Tensor, weights: Tensor, models: Mapping[int, Tensor]
    ) -> None:
        """Give this rank's clients what they have from now on."""
        mine, size = (lives == self._transport.rank).nonzero()[:, 0], self._shape(name).numel()
        for rows in mine.split(max(1, BLOCK[self._trainer.device.type] // size)) if len(mine) else ():
            for place, model in zip(rows.tolist(), mixed(weights[rows], models)):
                self._trainer.homes.replace(there[place], name, model.clone())

    def _mean(self, name: str) -> Tensor:
        """Over all clients, reduced to rank 0."""
        total = self._sums.fresh(name, tuple(self._shape(name)))
        shares = self._world.counts.sum(1) / self._world.counts.sum()
        for client in (self._lives == self._transport.rank).nonzero()[:, 0].tolist():
            total.add(self._trainer.homes.latest(client)[name], float(shares[client]))
        total.settle()
        self._transport.reduce(total.total)
        self.bytes += total.total.nbytes
        return total.mean(1.0)

    def _shape(self, name: str) -> torch.Size:
        """Of one client's, which it has at home from the start."""
        return self._trainer.homes.latest(0)[name].shape


def mixed(weights: Tensor, models: Mapping[int, Tensor]) -> Tensor:
    """(rows, ...) float32 the rows of `weights` times the models, by their columns: in float64, one after the other,
    and rounded after each multiplication and addition, for the same bits wherever a row is computed."""
    columns = (weights != 0).any(0).nonzero()[:, 0].tolist()
    flat, like = [models[place].reshape(-1) for place in columns], models[columns[0]]
    shares = weights[:, columns].T[:, :, None].to(like.device)
    found = like.new_empty(len(weights), like.numel())
    width = max(1, BLOCK[like.device.type] // len(weights))
    for stretch, *parts in zip(found.split(width, 1), *(model.split(width) for model in flat)):
        total = torch.zeros_like(stretch, dtype=torch.float64)
        for share, part in zip(shares, parts):
            total.add_(share * part)
        stretch.copy_(total)
    return found.view(-1, *like.shape)
