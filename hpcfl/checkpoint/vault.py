"""A rank's own file of a checkpoint: what its clients keep at home."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hpcfl.checkpoint.folder import Checkpoint, Piece, place, seal
from hpcfl.checkpoint.tensors import Shelf, open_to_read, open_to_write
from hpcfl.messages import REASON, decode_reason, encode_reason
from hpcfl.results.files import reason

__all__ = ["Report", "Vault", "home"]


def home(client: int, ranks: int) -> int:
    """The rank where a client's private state is: with several ranks any but 0."""
    return 1 + client % (ranks - 1) if ranks > 1 else 0


class Report(NamedTuple):
    """How it went: the file, or why there is none."""

    piece: Piece | None
    failure: str = ""
    where: int = 0
    """In the first or the second of the folders."""

    def encode(self) -> Tensor:
        """(words,) int64, for a message."""
        words = [-1, 0, 0] if self.piece is None else [self.piece.bytes, self.piece.crc32, self.where]
        return torch.cat([torch.tensor(words), encode_reason(self.failure).view(torch.int64)])

    @classmethod
    def decode(cls, words: Tensor, rank: int) -> Report:
        """What a rank reported."""
        size, crc32, where = words[:3].tolist()
        if size < 0:
            return cls(None, decode_reason(words[3:].view(torch.uint8)))
        return cls(Piece(name_of(rank), size, crc32), where=where)

    @staticmethod
    def blank() -> Tensor:
        """Room for one."""
        return torch.zeros(3 + REASON // 8, dtype=torch.int64)


class Vault:
    """Where a rank puts its clients' private state, and finds it again."""

    def __init__(
        self, folder: Path, homes: Any, rank: int, ranks: int, device: torch.device, second: Path | None = None
    ):
        self._homes, self._rank, self._ranks, self._device = homes, rank, ranks, device
        self._folders = (folder, second) if second else (folder,)

    def keep(self, step: int, jobs: Sequence[int]) -> Report:
        """Write what each client had after so many of its jobs, into the first folder where that works."""
        for where, folder in enumerate(self._folders):
            report = self._write(folder, step, jobs)
            if report.piece:
                return report._replace(where=where)
        return report

    def _write(self, folder: Path, step: int, jobs: Sequence[int]) -> Report:
        path, shelf = place(folder, step) / name_of(self._rank), Shelf()
        aside = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_to_write(aside) as file:
                for client, (common, own) in self._homes.stand(jobs).items():
                    group = file.create_group(str(client))
                    group.attrs["common"] = json.dumps(common)
                    shelf.write(group, own)
            return Report(seal(aside, path))
        except (OSError, RuntimeError) as failure:
            return Report(None, f"rank {self._rank}: {reason(failure)}")

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take in the clients that live here now, whatever rank they lived on."""
        jobs = checkpoint.facts["jobs"]
        for client, count in enumerate(jobs):
            self._homes.settle(client, count)
        for piece in checkpoint.facts["files"]:
            if not piece["name"].startswith("rank-"):
                continue
            shelf = Shelf()
            with open_to_read(checkpoint.path / piece["name"]) as file:
                for client, group in file.items():
                    if home(int(client), self._ranks) == self._rank:
                        common, own = json.loads(group.attrs["common"]), shelf.read(group, self._device)
                        self._homes.settle(int(client), jobs[int(client)], common, own)


def name_of(rank: int) -> str:
    """The rank's file."""
    return f"rank-{rank}.h5"
