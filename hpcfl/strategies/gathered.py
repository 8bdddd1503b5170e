"""What the robust algorithms share: clients' vectors block by block, how far apart they are, and how many it takes.

Only a block of coordinates is ever copied: beside the clients' own vectors, memory stays small at any model size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hpcfl.errors import JobError

BLOCK = 2**22
"""Numbers in a block of all clients' vectors: 16 MB of float32."""


def blocks(vectors: Sequence[Tensor]) -> list[slice]:
    """The coordinates of n vectors (P,) in runs of which n together have about BLOCK numbers."""
    size, step = len(vectors[0]), max(1, BLOCK // len(vectors))
    return [slice(begin, min(begin + step, size)) for begin in range(0, size, step)]


def columnwise(vectors: Sequence[Tensor], reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """(P,) `reduce` of the vectors' numbers at each coordinate: it is given (n, block), and gives (block,)."""
    result = torch.empty_like(vectors[0])
    for block in blocks(vectors):
        result[block] = reduce(torch.stack([vector[block] for vector in vectors]))
    return result


def distances(vectors: Sequence[Tensor]) -> Tensor:
    """(n, n) float64 squared distances. From differences of each two: products of far ones would cancel the rest."""
    total = torch.zeros(len(vectors), len(vectors), dtype=torch.float64, device=vectors[0].device)
    for block in blocks(vectors):
        rows = torch.stack([vector[block] for vector in vectors]).double()
        total += torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square_()
    return total


def scores(apart: Tensor, byzantine: int) -> Tensor:
    """(n,) Krum's: the sum of the squared distances to the n - f - 2 nearest others, of which one at least counts."""
    nearest = max(1, len(apart) - byzantine - 2)
    return apart.sort(1).values[:, 1 : 1 + nearest].sum(1)


def require(clients: int, byzantine: int, times: int, where: str) -> None:
    """JobError if so many clients, as there are `where`, are fewer than times * f + 3; where f = 0 any will do."""
    if byzantine and clients < times * byzantine + 3:
        most = max(0, (clients - 3) // times)
        raise JobError(
            f"strategy.byzantine = {byzantine}: needs {times} * {byzantine} + 3 = {times * byzantine + 3} clients in a "
            f"step, but there are {clients} {where}; valid for so many: 0{f' to {most}' if most else ''}"
        )
