"""A client whose update is longer than it may be has failed: one that diverged, say, or lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hpcfl.errors import JobError, TrainingError
from hpcfl.faults import unmeasured
from hpcfl.overlay import bases, overlay

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["limit"]


class Limited:
    """Goes before an algorithm: what its clients upload is measured before it is taken."""

    max_norm: ClassVar[float]

    def local(self, fit: Any, sent: dict[str, Tensor], client: Any) -> dict[str, Tensor]:
        uploads = super().local(fit, sent, client)
        for name, base in bases(self, uploads, sent, client).items():
            if (norm := (uploads[name] - base).double().norm().item()) > self.max_norm:
                raise TrainingError(f"its change has norm {norm:.4g}, more than server.max_norm = {self.max_norm:g}")
        return uploads


def limit(strategy: Any, max_norm: float) -> Any:
    """The algorithm with its clients' changes limited; JobError if they upload none."""
    if missing := unmeasured(strategy.uploads):
        raise JobError(f"server.max_norm = {max_norm:g}: {missing}, so that none can be measured")
    return overlay(strategy, Limited, max_norm=max_norm)
