"""What a start takes over from the run before it: the ranks agree on a checkpoint, and each takes its part."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import hpcfl
from hpcfl.build import Parts, result_path
from hpcfl.checkpoint.folder import Checkpoint, folder_of, load, require_room, second_of
from hpcfl.checkpoint.keeper import Keeper, Standing, continued, replay
from hpcfl.checkpoint.resume import Before, find
from hpcfl.checkpoint.server import Flight, read_server
from hpcfl.checkpoint.vault import Vault
from hpcfl.clock import VirtualClock
from hpcfl.core import Step
from hpcfl.errors import JobError, Refused
from hpcfl.jobfile import JobFile
from hpcfl.launch import Placement
from hpcfl.plan import foretell, overlaps
from hpcfl.runner import agree
from hpcfl.schema import JobSpec
from hpcfl.timelimit import TimeLimit
from hpcfl.wallclock import WallClock

__all__ = ["Past", "recall"]


class Ahead(NamedTuple):
    """How the run goes on."""

    at: Standing
    steps: Iterator[Step] | None
    """Those that are left; None on the real clock, where they show."""
    flight: Flight
    wanted: Sequence[tuple[int, int, int]]
    """The jobs in flight that some step combines."""


@dataclass(frozen=True)
class Past:
    """The same on every rank."""

    spec: JobSpec
    folder: Path
    """Where this run's checkpoints go."""
    checkpoint: Checkpoint | None
    """The one to go on from."""
    overwrite: bool
    """The run before it came to none: its result file is begun anew."""
    second: Path | None = None
    """Where each goes too."""
    ahead: list[Ahead] = field(default_factory=list)
    """On rank 0 what the checkpoint has of the run, where it was read before anything was changed."""

    @property
    def facts(self) -> Mapping[str, Any] | None:
        """What the checkpoint's marker says."""
        return self.checkpoint.facts if self.checkpoint else None

    def vault(self, parts: Parts, rank: int, ranks: int) -> Vault | None:
        """Where this rank keeps its clients' private state, if they have any."""
        if not parts.strategy.private:
            return None
        return Vault(self.folder, parts.trainer.homes, rank, ranks, parts.world.initial.device, self.second)

    def back(self, checkpoint: str) -> Past:
        """What the run goes back to when private state was lost: a checkpoint of its own; without any its beginning."""
        return replace(self, checkpoint=load(Path(checkpoint)) if checkpoint else None, ahead=[])

    def take_over(self, parts: Parts, vault: Vault | None, serves: bool) -> None:
        """Make this rank's parts as the checkpoint has them: its clients' state, and how they are trained.

        Rank 0 reads all of it here: what cannot be gone on from is told while the result file is still as it was.
        """
        if self.checkpoint is None:
            return
        if (count := len(self.facts["jobs"])) != parts.world.clients:
            raise JobError(f"checkpoint {self.checkpoint.path}: is of {count} clients, not of {parts.world.clients}")
        if serves:
            self.ahead.append(self._look_ahead(parts))
        device, size = parts.world.initial.device.type, self.facts["execution"]
        if serves and self.facts["device"] != device:
            tell(f"the checkpoint was made on {self.facts['device']}, the run goes on on {device}: other bits")
        if vault:
            vault.restore(self.checkpoint)
        parts.execution.take_over(size)

    def require_room(self, parts: Parts) -> None:
        """ResultError if checkpoints cannot be written."""
        world, given = parts.world, self.spec.checkpoint
        if given.every:
            tensors = {id(tensor): tensor for tensor in parts.strategy.init(world).values()}.values()
            one = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        else:
            one = 4 * len(world.initial)
        for folder in (self.folder, self.second):
            if folder:
                require_room(folder, (given.keep + 1) * one if given.every else one)

    def keeper(
        self, parts: Parts, pool: Any, record: Any, writer: Any, say: Callable[[str], None], asked: Callable[[], int]
    ) -> Keeper:
        """What makes the checkpoints of the run."""
        given, wall_clock = self.spec.checkpoint, self.spec.clock == "wall"
        facts = {
            "run": writer.run, "job": self.spec.resolved(), "hpcfl": hpcfl.__version__,
            "device": parts.world.initial.device.type, "execution": parts.batched.size if parts.batched else 0,
        }  # fmt: skip
        return Keeper(
            self.folder, writer.path, given.every, given.keep, parts.world.rounds,
            facts=facts, pool=pool, private=parts.strategy.private,
            ahead=overlaps(parts.schedule) and not wall_clock, counted=record.counted,
            limit=TimeLimit(os.environ, given.margin_s, self.facts["step_s"] if self.facts else 0.0),
            asked=asked, say=say, begin=self.checkpoint, second=self.second, results=writer,
        )  # fmt: skip

    def steps(self, parts: Parts, pool: Any, keeper: Keeper) -> tuple[Iterator[Step], Standing | None]:
        """The steps that are left, and how the loop stands before them; jobs in flight are submitted again.

        On the virtual clock the plan is made again and its beginning left out: it follows from the job alone. On the
        real clock the schedule begins anew at the checkpoint's step, and so do all clients.
        """
        world, begin, wall_clock = parts.world, self.checkpoint, self.spec.clock == "wall"
        if begin is None:
            return (
                parts.schedule(world, WallClock(pool, world)) if wall_clock else foretell(parts.schedule, world)
            ), None
        at, steps, flight, wanted = self.ahead.pop() if self.ahead else self._look_ahead(parts)
        if wall_clock:
            clock = WallClock(pool, world, since=self.facts["time"])
            return continued(parts.schedule(replace(world, first=begin.step), clock), begin), at
        for job, parcel in (flight[key] for key in wanted):
            pool.submit((job,), lambda client, parcel=parcel: parcel)
        if overlaps(parts.schedule):
            keeper.flight = flight
        return steps, at

    def _look_ahead(self, parts: Parts) -> Ahead:
        """What the checkpoint's file of rank 0 has, if the plan can go on from there."""
        world, begin = parts.world, self.checkpoint
        state, flight = read_server(begin, world, parts.strategy.init(world))
        at = Standing(state, self.facts["failed_in_a_row"], self.facts["combined"])
        if self.spec.clock == "wall":
            return Ahead(at, None, {}, ())
        if getattr(parts.schedule, "asks", False):  # its rounds end with their steps: it can begin anew there
            clock = VirtualClock(since=self.facts["time"])
            return Ahead(at, continued(parts.schedule(replace(world, first=begin.step), clock), begin), {}, ())
        steps = replay(foretell(parts.schedule, world), begin)
        if not overlaps(parts.schedule):
            return Ahead(at, chain([next(steps)], steps), {}, ())
        left = list(steps)
        wanted = {job.key for step in left for job in step.done} - {job.key for step in left for job in step.start}
        if lacking := wanted - flight.keys():
            raise JobError(f"checkpoint {begin.path}: lacks the job {min(lacking)} (client, version, visit)")
        return Ahead(at, iter(left), flight, [key for key in flight if key in wanted])


def recall(placement: Placement, rendezvous: Any, job: JobFile) -> tuple[Path, Past]:
    """Where the results go, and what there is to go on from: rank 0 looks, the others believe it.

    Refused, with exit code 0, if the run is finished already.
    """
    spec, serves = job.spec, placement.rank == 0

    def look() -> tuple[Path, Before]:
        path = result_path(spec)
        return path, find(spec, path, tell)

    path, before = agree(placement, rendezvous, look if serves else lambda: (Path(), Before()))
    folder = folder_of(path, spec.checkpoint.path)
    said = rendezvous.exchange(json.dumps(
        [str(path), str(folder), str(before.checkpoint.path) if before.checkpoint else "", before.finished,
         before.overwrite]
    ))[0]  # fmt: skip
    path, folder, checkpoint, finished, overwrite = json.loads(said)
    if finished:
        if serves:
            print(f"{path} is finished: all {spec.rounds} rounds are made, nothing is left to do")
        raise Refused(0)
    found = agree(placement, rendezvous, lambda: load(Path(checkpoint)) if checkpoint else None)
    return Path(path), Past(spec, Path(folder), found, overwrite, second_of(Path(path), spec.checkpoint.second))


def tell(line: str) -> None:
    """A note to the user, on stderr."""
    print(f"note: {line}", file=sys.stderr, flush=True)
