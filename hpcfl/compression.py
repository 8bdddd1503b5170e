"""What clients upload, made smaller: each keeps at home what was lost, and adds it to its next upload.

    y = (w_k - w) + e_k;   upload w + C(y);   e_k' = y - C(y)

Error feedback (Stich et al. 2018, NeurIPS; Karimireddy et al. 2019, ICML): no change is lost for good, it only comes
later. It needs C to be a contraction, |y - C(y)| < |y|, as all of these are. The server's sums and the traffic between
ranks stay as they are: what is modelled is the clients' own uplink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from annotated_types import Ge, Gt, Le

from hpcfl.errors import JobError
from hpcfl.overlay import CHANGE, MODEL, bases, overlay

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["COMPRESSIONS", "Compression", "feed_back"]


class Compression(Protocol):
    """A way to make a vector smaller."""

    def __call__(self, y: Tensor, rng: np.random.Generator) -> Tensor:
        """(n,) float32 what the server makes of it; `rng` is the client's own."""

    def bytes(self, elements: int) -> float:
        """How much travels for a vector of so many elements."""


@dataclass(frozen=True)
class Whole:
    """As it is."""

    def __call__(self, y: Tensor, rng: np.random.Generator) -> Tensor:
        return y

    def bytes(self, elements: int) -> float:
        return 4 * elements


@dataclass(frozen=True)
class Half:
    """IEEE half precision; what is beyond its largest number comes in several uploads."""

    largest: ClassVar[float] = 65504.0

    def __call__(self, y: Tensor, rng: np.random.Generator) -> Tensor:
        return y.clamp(-self.largest, self.largest).half().float()

    def bytes(self, elements: int) -> float:
        return 2 * elements


@dataclass(frozen=True)
class BrainFloat:
    """bfloat16: the range of float32, 8 bits of precision."""

    def __call__(self, y: Tensor, rng: np.random.Generator) -> Tensor:
        return y.bfloat16().float()

    def bytes(self, elements: int) -> float:
        return 2 * elements


@dataclass(frozen=True)
class QSGD:
    """QSGD (Alistarh et al. 2017, NeurIPS): sign and level of |y| / max |y| in every bucket, rounded at random.

    The expectation of the rounding is the value itself. By the largest magnitude instead of the norm, as the paper's
    experiments have it. Its error is at most bucket / (4 levels^2) of |y|^2, a contraction from 4 bits on.
    """

    bucket: ClassVar[int] = 128

    bits: Annotated[int, Ge(4), Le(8)] = 8
    """Bits per element, one of them the sign; the paper tries 2, 4 and 8."""

    def __call__(self, y: Tensor, rng: np.random.Generator) -> Tensor:
        levels = 2 ** (self.bits - 1) - 1
        rows = y.new_zeros(math.ceil(len(y) / self.bucket), self.bucket)
        rows.view(-1)[: len(y)] = y
        unit = rows.abs().amax(1, keepdim=True) / levels
        scaled = (rows / unit).nan_to_num_(0.0)  # 0 / 0 in a bucket of zeros
        draws = y.new_tensor(rng.random(rows.numel(), dtype="float32")).view_as(rows)
        return ((scaled + draws).floor_().clamp_(-levels, levels) * unit).view(-1)[: len(y)]

    def bytes(self, elements: int) -> float:
        return elements * self.bits / 8 + 4 * math.ceil(elements / self.bucket)


@dataclass(frozen=True)
class TopK:
    """The largest elements only, each with its place (Stich et al. 2018, NeurIPS)."""

    share: Annotated[float, Gt(0), Le(1)] = 0.01
    """Share of the elements that travel, one at least; the paper goes below 1 %."""

    def count(self, elements: int) -> int:
        """How many of so many elements travel."""
        return max(1, round(self.share * elements))

    def __call__(self, y: Tensor, rng: np.random.Generator) -> Tensor:
        places = y.abs().topk(self.count(len(y))).indices
        return y.new_zeros(len(y)).index_copy_(0, places, y[places])

    def bytes(self, elements: int) -> float:
        return 8 * self.count(elements)


COMPRESSIONS = {"none": Whole, "fp16": Half, "bf16": BrainFloat, "qsgd": QSGD, "topk": TopK}


class Feedback:
    """Goes before an algorithm: its clients compress what `local` uploads, and keep the rest for their next job."""

    private: ClassVar[bool] = True
    compression: ClassVar[Compression]

    def local(self, fit: Any, sent: dict[str, Tensor], client: Any) -> dict[str, Tensor]:
        uploads = dict(super().local(fit, sent, client))
        for name, base in bases(self, uploads, sent, client).items():
            y = uploads[name] - base
            if not y.numel():
                continue
            if (kept := f"left of {name}") in client.state:
                y = y + client.state[kept]
            arrives = self.compression(y.flatten(), client.stream(f"compression of {name}")).view_as(y)
            client.state[kept] = y - arrives
            uploads[name] = base + arrives
        return uploads


def feed_back(strategy: Any, name: str, compression: Compression) -> Any:
    """The algorithm with its uploads compressed; JobError if it has none that can be. `name` is the compression's."""
    if not {MODEL, CHANGE} & strategy.uploads.keys():
        raise JobError(
            f"communication.compression = {name!r}: the algorithm uploads {', '.join(strategy.uploads)}; only "
            f"{MODEL!r} and {CHANGE!r} can be compressed"
        )
    if strategy.uploads.get(MODEL) == "neighbours":
        raise JobError(
            f"communication.compression = {name!r}: the algorithm's clients send their models to neighbours, who do "
            "not know the model that a compressed difference would start from"
        )
    return overlay(strategy, Feedback, compression=compression)
