"""Central differential privacy (McMahan et al. 2018, ICLR): clients clip what they change, the server adds noise to it.

    d_k = (w_k - w) min(1, clip / |w_k - w|);   mean = w + (sum d_k + N(0, (noise clip)^2 I)) / m

of the m clients of a step, which count alike whatever their samples; the algorithm goes on with that mean. If all the
data of one client is replaced, the sum moves by 2 clip at most, so that noise / 2 is what the accountant is told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from hpcfl.core import Cohort, World
from hpcfl.errors import JobError
from hpcfl.overlay import MODEL, overlay
from hpcfl.plan import overlaps
from hpcfl.rng import stream
from hpcfl.schedule import Synchronous
from hpcfl.schedule.cohort import part
from hpcfl.schema import JobSpec, Privacy

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Account", "build_account", "make_private"]

ORDERS = (*range(2, 33), 40, 48, 64, 96, 128)
"""Renyi orders at which a draw of clients is accounted for: more of them lower epsilon little, and take longer."""


class Private:
    """Goes before an algorithm: its clients clip what they change, and its server sees the noised mean alone."""

    uploads: ClassVar[dict[str, str]] = {MODEL: "clients"}
    privacy: ClassVar[Privacy]
    seed: ClassVar[int]

    def local(self, fit: Any, sent: dict[str, Tensor], client: Any) -> dict[str, Tensor]:
        uploads = super().local(fit, sent, client)
        change = uploads[MODEL] - sent[MODEL]
        norm = change.double().norm().item()
        return {**uploads, MODEL: sent[MODEL] + change * min(1.0, self.privacy.clip / norm) if norm else sent[MODEL]}

    def combine(self, state: dict[str, Tensor], updates: Cohort) -> dict[str, Tensor]:
        mean = updates.mean(MODEL)
        if self.privacy.noise:
            draws = stream(self.seed, "privacy", updates.step).standard_normal(len(mean), dtype="float32")
            mean = mean + mean.new_tensor(draws) * (self.privacy.noise * self.privacy.clip / len(updates))
        return super().combine(state, replace(updates, means={**updates.means, MODEL: mean}))


def make_private(strategy: Any, spec: JobSpec, able: list[str]) -> Any:
    """The algorithm with clipped clients and a noised mean; JobError if that would protect nobody.

    `able`: names of algorithms that can be.
    """
    name, privacy = spec.strategy.name, spec.privacy
    if strategy.uploads not in ({MODEL: "examples"}, {MODEL: "clients"}):
        uploads = ", ".join(f"{upload!r} ({how})" for upload, how in strategy.uploads.items())
        raise JobError(
            f"privacy: strategy = {name!r} uploads {uploads}; what can be protected is a mean of models, {MODEL!r}, "
            f"and nothing beside it; valid: {', '.join(able)}"
        )
    if strategy.pooled:
        raise JobError(
            f"privacy: strategy = {name!r} trains on everybody's data at once: there are no clients to protect"
        )
    if spec.client.models:
        raise JobError("privacy: client.models has clients average different parts of their models; give one `model`")
    if (given := spec.communication.compression.name) != "none":
        raise JobError(
            f"privacy: communication.compression = {given!r} changes the clipped updates' norms; take 'none'"
        )
    private = overlay(strategy, Private, privacy=privacy, seed=spec.seed)
    vars(private).pop("uploads", None)  # clients count alike, whatever the algorithm itself has
    return private


def build_account(spec: JobSpec, schedule: Any, world: World) -> Account:
    """The account of what the job spends; JobError if it cannot be told."""
    if overlaps(schedule):
        raise JobError(
            f"privacy: schedule = {spec.schedule.name!r} is asynchronous: clients would change other models than they "
            "started from, and epsilon is accounted for round by round; valid: synchronous"
        )
    if buffers := [entry.name for entry in world.layout.entries if entry.kind == "buffer"]:
        raise JobError(
            f"privacy: the model has running statistics ({buffers[0]}, ...), which noise can make negative; take one "
            "without, or with other normalisation"
        )
    if spec.privacy.delta * world.clients >= 1:
        raise JobError(
            f"privacy.delta = {spec.privacy.delta}: must be less than 1 / {world.clients}, the number of clients: "
            "with more, to publish one client's data would count as private"
        )
    drawn = type(schedule) is Synchronous and schedule.choose == "random"
    return Account(spec.privacy, world.clients, part(schedule.c_ratio, world.clients) if drawn else world.clients)


class Account:
    """Epsilon after each step: what all models so far tell of any one client, at the job's delta."""

    def __init__(self, privacy: Privacy, clients: int, cohort: int):
        """`cohort` of the `clients` are drawn for each step, at random; all, where who takes part is known before."""
        self._privacy, self._steps, self._spent = privacy, 0, None
        if not privacy.noise:
            return
        try:
            import dp_accounting
            from dp_accounting.rdp import RdpAccountant
        except ImportError:
            raise JobError("privacy: needs the package dp-accounting; pip install 'hpcfl[privacy]'") from None
        self._event = dp_accounting.GaussianDpEvent(privacy.noise / 2)
        if cohort < clients:
            self._event = dp_accounting.SampledWithoutReplacementDpEvent(clients, cohort, self._event)
        self._spent = RdpAccountant(ORDERS if cohort < clients else None, dp_accounting.NeighboringRelation.REPLACE_ONE)

    def epsilon(self, step: int) -> float:
        """After so many steps, of which none was asked for before a smaller number; infinite without noise."""
        if self._spent is None:
            return float("inf")
        if step > self._steps:
            self._spent.compose(self._event, step - self._steps)
            self._steps = step
        return float(self._spent.get_epsilon(self._privacy.delta))
