"""FlexiFed (Wang et al. 2023, WWW): clients of different architectures average the tensors that these have in common.

    max_common:        w'_s = sum n_k w_k,s / sum n_k over all clients k whose model has the tensor s
    clustered_common:  so where every client has s; else over the clients of the same architecture
    basic_common:      so where every client has s; else s stays at home
    clustered_fl:      over the clients of the same architecture

Two architectures have a tensor in common if it agrees in name and shape, and so do all before it. With one architecture
each of them is FedAvg.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from hpcfl.core import Cohort, World
from hpcfl.strategies.fedavg import FedAvg, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcfl.training import Client, Fit

Members = tuple[int, ...]


@dataclass(frozen=True)
class MaxCommon(FedAvg):
    """Each tensor is averaged over all that have it. `state["w"]` is the vector of all tensors that are averaged."""

    def groups(self, members: Members, architectures: int) -> Sequence[Members]:
        """Of the architectures that have a tensor, those that average it together; it stays at home with the others."""
        return [members]

    def init(self, world: World) -> State:
        if (family := world.family) is None:
            return super().init(world)
        ends = torch.tensor([stretch[:2] for stretch in family.stretches], dtype=torch.int64).view(-1, 2)
        averages = torch.zeros(len(family.stretches), len(family.names), dtype=torch.bool)
        for row, stretch in zip(averages, family.stretches):
            row[list(stretch.members)] = True
        return {"w": world.initial, "architecture": torch.tensor(family.of), "stretches": ends, "averages": averages}

    def combine(self, state: State, updates: Cohort) -> State:
        if "stretches" not in state:
            return super().combine(state, updates)
        mean, w = updates.mean("w"), state["w"].clone()
        examples = torch.zeros(state["averages"].shape[1], dtype=torch.int64)
        for update in updates:
            examples[state["architecture"][update.job.client]] += update.job.examples
        for (begin, end), averages in zip(state["stretches"].tolist(), state["averages"]):
            if came := int(examples[averages].sum()):
                w[begin:end] = mean[begin:end] * (int(examples.sum()) / came)
        return {**state, "w": w}

    def local(self, fit: Fit, sent: State, client: Client) -> State:
        w = fit(self.personal(fit, sent, client))
        if self.private:
            client.state["w"] = w
        return {"w": client.upload(w)}

    def personal(self, fit: Fit, sent: State, client: Client) -> Tensor:
        return client.download(sent["w"])


@dataclass(frozen=True)
class ClusteredFL(MaxCommon):
    """FedAvg among the clients of each architecture, the paper's baseline."""

    def groups(self, members: Members, architectures: int) -> Sequence[Members]:
        return [(member,) for member in members]


@dataclass(frozen=True)
class ClusteredCommon(MaxCommon):
    """What all have is averaged over all, the rest among the clients of each architecture."""

    def groups(self, members: Members, architectures: int) -> Sequence[Members]:
        return [members] if len(members) == architectures else [(member,) for member in members]


@dataclass(frozen=True)
class BasicCommon(MaxCommon):
    """What all have is averaged over all, the rest stays at home."""

    private: ClassVar[bool] = True

    def groups(self, members: Members, architectures: int) -> Sequence[Members]:
        return [members] if len(members) == architectures else []
