"""A client whose update is longer than it may be has failed: one that diverged, say, or lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hpcfl.errors import JobError, TrainingError
from hpcfl.faults import CHANGE, MODEL, unmeasured

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["limit"]


class Limited:
    """Goes before an algorithm: what its clients upload is measured before it is taken."""

    max_norm: ClassVar[float]

    def local(self, fit: Any, sent: dict[str, Tensor], client: Any) -> dict[str, Tensor]:
        uploads = super().local(fit, sent, client)
        for name in [name for name in (MODEL, CHANGE) if name in uploads]:
            change = uploads[name] - client.part(sent[MODEL]) if name == MODEL else uploads[name]
            if (norm := change.double().norm().item()) > self.max_norm:
                raise TrainingError(f"its change has norm {norm:.4g}, more than server.max_norm = {self.max_norm:g}")
        return uploads


def limit(strategy: Any, max_norm: float) -> Any:
    """The algorithm with its clients' changes limited; JobError if they upload none."""
    if missing := unmeasured(strategy.uploads):
        raise JobError(f"server.max_norm = {max_norm:g}: {missing}, so that none can be measured")
    kind = type(strategy)
    limited = object.__new__(type(kind.__name__, (Limited, kind), {"max_norm": max_norm}))
    vars(limited).update(vars(strategy))  # a frozen dataclass has no other way in
    return limited
