"""What one rank does from the moment the ranks agree on the job: the server's life, and a client rank's."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch

from hpcfl import build, engine
from hpcfl.checkpoint.vault import Vault
from hpcfl.collective import Collective
from hpcfl.core import first_line
from hpcfl.data import fetch, find_root
from hpcfl.ending import conclude
from hpcfl.environment import describe
from hpcfl.errors import HpcflError, LostRankError, RankError, Refused
from hpcfl.farm import Farm
from hpcfl.faults import byzantine, damaged, mortal, require_mortals
from hpcfl.federation import build_compression
from hpcfl.flower.adapter import Adapter
from hpcfl.flower.evaluation import Evaluation
from hpcfl.jobfile import JobFile
from hpcfl.launch import Placement
from hpcfl.past import Past, recall
from hpcfl.plan import overlaps
from hpcfl.progress import Reporter
from hpcfl.record import Recorder
from hpcfl.results import Lasting, Writer
from hpcfl.runner import DOWNLOAD_S, agree, agree_device, connect
from hpcfl.schema import JobSpec
from hpcfl.signals import Outlook, say_once_more
from hpcfl.survival import follow, note_losses, require_roaming, require_way_back
from hpcfl.tracking import Trackers, require
from hpcfl.welcome import doorway

__all__ = ["run_rank"]


def run_rank(placement: Placement, rendezvous: Any, job: JobFile, outlook: Outlook) -> None:
    """Build this rank's parts, and train or serve until the job is done."""
    spec, serves = job.spec, placement.rank == 0
    path, past = recall(placement, rendezvous, job)
    if spec.data.download:
        agree(placement, rendezvous, lambda: download(placement, spec.data), limit_s=DOWNLOAD_S)
    device = agree_device(placement, rendezvous, spec.device.kind)
    trains = placement.size == 1 or not serves
    parts = agree(
        placement, rendezvous,
        lambda: job.explain(build.assemble, job, device, trains=trains, serves=serves), lambda parts: parts.fingerprint,
        limit_s=spec.server.timeout_s,
    )  # fmt: skip
    agree(placement, rendezvous, lambda: job.explain(require_way_back, spec, parts.strategy))
    agree(placement, rendezvous, lambda: job.explain(require_roaming, spec, parts.strategy))
    agree(placement, rendezvous, lambda: job.explain(require_mortals, spec, placement.size))
    parts.trainer.begin = mortal(spec.faults, placement.rank, past.checkpoint.step if past.checkpoint else 0)
    vault = past.vault(parts, placement.rank, placement.size)
    agree(placement, rendezvous, lambda: past.take_over(parts, vault, serves), limit_s=spec.server.timeout_s)
    parts.execution.settle(rendezvous.exchange(parts.execution.graphs))
    described = rendezvous.exchange(f"{os.uname().nodename} {device} {torch.__version__}")
    writer = agree(placement, rendezvous, lambda: job.explain(open_results, job, path, past, parts) if serves else None)
    silence_s = spec.server.heartbeat_s if spec.server.on_rank_failure == "continue" else None
    transport = connect(
        placement, rendezvous, device, spec.server.timeout_s, spec.device.interface, silence_s, spec.server.joinable
    )
    outlook.steady(*transport.address)
    orderly, code = True, 0
    with transport:
        try:
            pool = build_pool(spec, parts, transport, vault)
            if serves:
                outlook.file = str(path)
                environment = describe(placement, rendezvous.mpi, transport.backend, described, spec.threads)
                environment["execution"] = str(parts.execution)
                orderly, code = serve(job, parts, pool, writer, environment, outlook, past, transport)
            else:
                outlook.patience_s, outlook.ask = spec.server.timeout_s, transport.ask
                follow(pool, transport, lambda found: renew(spec, parts, past.back(found), transport))
        except Exception as failure:
            fail(transport, placement, failure)
    if not orderly:
        sys.stdout.flush()
        os._exit(code)  # at a normal exit wandb waits for its own process, which may hang
    if code:
        raise Refused(code)


def serve(
    job: JobFile, parts: build.Parts, pool: Collective | Farm, writer: Writer, environment: dict, outlook: Outlook,
    past: Past, transport: Any,
) -> tuple[bool, int]:  # fmt: skip
    """Rank 0: the round loop, with the result file open and progress shown.

    Whether every tracker came to its end, and the exit code.
    """
    spec, world, checkpoint = job.spec, parts.world, past.checkpoint
    liars = [*byzantine(spec.faults, spec.seed, world.clients)]
    clients = {
        "examples": world.everyone.sum(axis=1),
        "classes": world.everyone,
        "delay": world.devices.delay_s,
        **({} if world.held_out is None else {"held_out": world.held_out}),
        **({"unseen": 1 * (np.arange(len(world.everyone)) >= world.clients)} if world.unseen is not None else {}),
        **({"byzantine": 1 * np.isin(range(len(world.everyone)), liars)} if spec.faults else {}),
        "architecture": np.array(parts.architectures, dtype=object),
    }
    # Open MPI gives rank 0 a terminal of its own, whatever its output really goes to
    live = environment["launcher"] != "openmpi"
    with (
        Reporter(world.rounds, live=live) as progress,
        Trackers(spec, progress.line) as trackers,
        writer,
        ExitStack() as last,
    ):
        outlook.ask = say_once_more
        writer.say = progress.line
        if checkpoint:
            writer.resume(checkpoint.step, job.text, spec.resolved(), environment, spec.clock == "virtual")
            outlook.place = f"after round {checkpoint.step} of {world.rounds}"
            progress.line(f"goes on after round {checkpoint.step} of {outlook.file}")
        else:
            writer.start(job.text, spec.resolved(), environment, clients, parts.labels, parts.owner, parts.world.family)
        if world.family and world.family.note:
            progress.line(f"note: {world.family.note}")
        noted = partial(note_losses, transport, writer, progress.line)
        last.callback(noted)
        last.enter_context(doorway(job, parts, transport, writer.path, progress.line, isinstance(pool, Farm)))
        while True:
            record = Recorder(
                world, pool, writer, progress, parts.evaluate(spec.server.test_batch_size),
                [version.constants() for version in parts.trainer.versions],
                trackers=trackers, send=parts.strategy.send, recorded=parts.strategy.recorded,
                evaluate_every=spec.server.evaluate_every,
                keep_every=spec.results.keep_every, upload_bytes=build_compression(spec).bytes,
                outlook=outlook, wall_clock=spec.clock == "wall", before=past.facts,
                damaged=lambda job: damaged(spec.faults, spec.seed, job),
                **({"epsilon": parts.account.epsilon} if parts.account else {}),
                serverless="neighbours" in parts.strategy.uploads.values(), note_losses=noted,
            )  # fmt: skip
            keeper = past.keeper(parts, pool, record, writer, progress.line, lambda: outlook.asked or transport.asked())
            steps, at = past.steps(parts, pool, keeper)
            least = 0 if overlaps(parts.schedule) else spec.server.min_clients
            examine = record.examine
            if isinstance(parts.strategy, Adapter):
                examine = Evaluation(parts.strategy, world, pool, writer.metrics, record.examine)
            try:
                with keeper:
                    engine.run(world, parts.strategy, steps, pool, record, least, examine, keeper, at)
                break
            except LostRankError:  # and with it what its clients kept: all go back to the newest checkpoint
                transport.mend(keeper.newest)
                past = past.back(keeper.newest)
                pool = renew(spec, parts, past, transport)
            noted()
            environment["ranks"], step = transport.size, past.checkpoint.step if past.checkpoint else 0
            writer.resume(step, job.text, spec.resolved(), environment, spec.clock == "virtual")
            progress.line(f"goes back to after round {step} with {transport.size - 1} client ranks")
        outlook.ask = say_once_more if keeper.ends else None
        pool.close()
        if not keeper.ends:
            writer.finish()
            outlook.file = str(writer.path)
            progress.line(f"results: {outlook.file}")
            progress.line(f"look into it: hpcfl show {outlook.file}")
    outlook.file = str(writer.path)
    return not trackers.lost, conclude(keeper, outlook, spec.checkpoint, os.environ, sys.argv) if keeper.ends else 0


def build_pool(spec: JobSpec, parts: build.Parts, transport: Any, vault: Vault | None = None) -> Collective | Farm:
    """The Collective where every step ends all that was started, else the Farm."""
    wall_clock, given = spec.clock == "wall", (transport, parts.trainer, parts.world, spec.reproducible)
    if wall_clock or overlaps(parts.schedule):
        return Farm(*given, spec.server.timeout_s, wall_clock, vault)
    return Collective(*given, parts.batched, vault, parts.execution.lanes)


def renew(spec: JobSpec, parts: build.Parts, past: Past, transport: Any) -> Collective | Farm:
    """The pool of the ranks that are left, with the clients' private state as the checkpoint has it."""
    parts.trainer.homes.clear()
    vault = past.vault(parts, transport.rank, transport.size)
    if vault and past.checkpoint:
        vault.restore(past.checkpoint)
    return build_pool(spec, parts, transport, vault)


def open_results(job: JobFile, path: Any, past: Past, parts: build.Parts) -> Writer:
    """The result file, made before any rank trains: what cannot be written, or tracked, is known now."""
    require(job.spec.tracking)
    kept = 1 + (job.spec.rounds // job.spec.results.keep_every if job.spec.results.keep_every else 0)
    expected = kept * 4 * len(parts.world.initial) + job.spec.rounds * 200 + parts.owner.nbytes
    if parts.world.held_out is not None or parts.world.family:
        expected += 32 * len(parts.world.everyone) * (1 + job.spec.rounds // job.spec.server.evaluate_every)
    overwrite, resumes = job.spec.results.overwrite or past.overwrite, past.checkpoint is not None
    kind, options = Writer, {}
    if job.spec.results.on_storage_failure == "continue":
        kind, options = Lasting, {"second": past.second.parent if past.second else None}
    writer = kind(path, overwrite=overwrite, expected_bytes=expected, resumes=resumes, **options)
    try:
        past.require_room(parts)
    except BaseException:
        writer.close()
        raise
    return writer


def download(placement: Placement, data: Any) -> None:
    """The first rank of each node fetches; the others wait in the agreement that follows."""
    if placement.local_rank == 0:
        fetch(data.name, find_root(data.root, os.environ), data.params)


def fail(transport: Any, placement: Placement, failure: Exception) -> None:
    """End this rank, and with it the job: rank 0 says the reason, once."""
    ours = isinstance(failure, HpcflError)
    if not ours:
        traceback.print_exc()
    reason = str(failure) if ours else first_line(failure)
    code = failure.exit_code if ours else 1
    if placement.rank == 0:
        print(f"hpcfl: error: {reason}", file=sys.stderr, flush=True)
        if placement.size > 1:
            transport.told()
    else:
        transport.report(None if isinstance(failure, RankError) else reason, mistake=ours)
    sys.stdout.flush()
    # not sys.exit: MPI_Finalize and a process group in use would wait for ranks that may be gone
    os._exit(code)
