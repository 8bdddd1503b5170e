"""The command line. Nothing heavy is imported before a command needs it: `hpcfl --help` answers at once."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from hpcfl import __version__
from hpcfl.analysing import export, repair, verify
from hpcfl.comparing import compare, table, watch
from hpcfl.memory import importing, keep_freed_memory
from hpcfl.options import changes
from hpcfl.plotting import plot
from hpcfl.queueing import cancel, status, submit
from hpcfl.serving import dashboard
from hpcfl.sweeping import sweep

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(invoke_without_command=True, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="hpcfl")
@click.pass_context
def cli(context: click.Context) -> None:
    """Federated learning as an HPC job.

    Rank 0 is the server, the other ranks train clients, results go to one HDF5 file. Start it alone, with mpirun,
    srun or torchrun. Without a command it runs the quickstart job.
    """
    if context.invoked_subcommand is None:
        context.invoke(run)


@cli.command()
@click.argument("job", required=False)
@changes
@click.option("--out", metavar="FILE", help="Where to write the results (results.path of the job).")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint (checkpoint.resume=must).")
def run(job: str | None = None, overrides: tuple[str, ...] = (), out: str | None = None, resume: bool = False) -> None:
    """Run JOB, a TOML file or one of Async-FL's JSON files; without one, the quickstart.

    Alone it runs in one process, where breakpoints work; mpirun, srun or torchrun make it many. No key chooses.
    """
    from hpcfl.launch import detect
    from hpcfl.warden import stand_by

    overrides = (*overrides, *(["checkpoint.resume=must"] if resume else []))
    steady = stand_by(detect(os.environ), job, overrides, out)
    placement, outlook = take_place()
    outlook.steady = steady
    from hpcfl.runner import run_job

    run_job(placement, outlook, job, overrides, out)


@cli.command()
@click.argument("address", metavar="FILE.join | HOST:PORT/SECRET")
def join(address: str) -> None:
    """Join a run as one more client rank: the address is in the file beside its results.

    The job says server.joinable = true. Started by srun or mpirun, each task is a rank.
    """
    from hpcfl.transport.door import Address

    where = Address.parse(address)
    placement, outlook = take_place()
    outlook.place = "while it had joined a run"
    with importing():
        from hpcfl.joining import join_run

    join_run(placement, where)


@cli.command()
@click.argument("job")
@changes
def validate(job: str, overrides: tuple[str, ...]) -> None:
    """Check JOB without running it: keys, components, data, model."""
    with importing():
        from hpcfl.validate import validate_job

    validate_job(job, overrides)


@cli.command()
@click.argument("file", metavar="FILE.json")
@changes
def convert(file: str, overrides: tuple[str, ...]) -> None:
    """Print what FILE.json, written for Async-FL, means as a TOML job."""
    from pathlib import Path

    from hpcfl.asyncfl.document import document
    from hpcfl.jobfile import draft
    from hpcfl.schema import JobSpec

    if not file.lower().endswith(".json"):
        raise click.UsageError(f"{file}: should be one of Async-FL's JSON files; other jobs are TOML already")
    job = draft(file, overrides)
    JobSpec.parse(job.table, job.name)
    click.echo(document(job.table, (f"Converted from {Path(file).name}.", *job.notes)), nl=False)


@cli.command()
@click.argument("job")
@changes
@click.option(
    "--model-bytes", default=0.0, type=click.FloatRange(0), help="Size of the model, for client.device's bandwidths."
)
@click.option("--ranks", type=click.IntRange(1), help="Estimate memory, traffic and time on so many ranks.")
@click.option("--step-time", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Of one local step.")
@click.option("--calibrate", is_flag=True, help="Measure a few steps here first; later plans know them too.")
def plan(job: str, overrides: tuple[str, ...], model_bytes: float, ranks: int | None, step_time: float | None,
         calibrate: bool) -> None:  # fmt: skip
    """Print when JOB's clients would train: its steps, their staleness, a timeline. Nothing is trained.

    With --ranks, --step-time or --calibrate also what it will take, how many ranks are worth it, and which time limit
    to ask for.
    """
    from rich.console import Console

    from hpcfl.jobfile import read
    from hpcfl.preflight.command import Asked, foretold, judge
    from hpcfl.report.plan import show_plan
    from hpcfl.report.preflight import show_estimate

    file, asked, console = (
        read(job, overrides),
        Asked(ranks, model_bytes, step_time, calibrate),
        Console(highlight=False),
    )
    schedule, world, steps, costs = foretold(file, asked)
    device = file.spec.client.device
    free = (device.download_bandwidth or device.upload_bandwidth) and not (costs.model_bytes if costs else model_bytes)
    note = "transfers take no time here: give --model-bytes for the bandwidths" if free else ""
    show_plan(file.spec, world, steps, console, note)
    if costs:
        show_estimate(judge(file, schedule, world, steps, costs, ranks or 1), costs, console, file.spec.clock)


@cli.command()
@click.argument("file", metavar="FILE")
@click.option("--sharing", is_flag=True, help="Print which tensors the clients' architectures average with which.")
def show(file: str, sharing: bool) -> None:
    """Print what ran, where, and how it went."""
    from pathlib import Path

    from rich.console import Console

    from hpcfl.report import show as show_results

    show_results(Path(file), Console(highlight=False), shared=sharing)


@cli.command()
def doctor() -> None:
    """Tell what was detected: launcher, ranks, nodes, devices, libraries; and try the connection between all ranks."""
    placement, _ = take_place()
    from hpcfl.doctor import examine
    from hpcfl.transport.rendezvous import meet

    examine(placement, meet(placement))


@cli.command()
@click.argument("wanted", nargs=-1, metavar="[WORKLOAD | JOB] ...")
@changes
@click.option(
    "--repeats", type=click.IntRange(1), help="Rounds measured of each; medians are shown. [the workload's own]"
)
@click.option("--profile", is_flag=True, help="Also tell where a round's time goes.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench(
    wanted: tuple[str, ...], overrides: tuple[str, ...], repeats: int | None, profile: bool, as_json: bool
) -> None:
    """Measure hpcfl against plain loops that make the same steps, in this launch.

    Workloads: w1, bound by training; w2, by overhead; w3, by memory; traffic; async; all of these where none is named.
    cifar, for a GPU, on CIFAR-10 or synthetic data; vgg, deep.
    For a JOB file its settings of `execution` are compared. checkpoint times rounds with one each (in the folder at
    hand), flower a strategy of flwr, startup (alone) the way to the first round.
    """
    placement, _ = take_place()
    from hpcfl.transport.rendezvous import meet

    rendezvous = meet(placement)
    with importing():
        from hpcfl.bench import measure  # imports PyTorch: a wrong launch is told before

    measure(placement, rendezvous, wanted, overrides, repeats, as_json, profile)


for command in (compare, table, watch, plot, export, verify, repair, sweep, dashboard, submit, status, cancel):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; what the user did wrong is one message, never a traceback."""
    from hpcfl.errors import HpcflError, Refused

    try:
        cli.main(arguments, prog_name="hpcfl", standalone_mode=False)
    except click.ClickException as failure:
        # usage errors come before the ranks know one another, and alike on all of them: the first one speaks
        if first_rank():
            failure.show()
        sys.exit(failure.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except Refused as refused:
        sys.exit(refused.exit_code)
    except HpcflError as failure:
        print(f"hpcfl: error: {failure}", file=sys.stderr, flush=True)
        sys.exit(failure.exit_code)
    except BrokenPipeError:  # `hpcfl show FILE | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def take_place() -> tuple[Any, Any]:
    """This process's place among the ranks, with Ctrl-C and SIGTERM taken care of.

    Call it before importing what imports NumPy: its threads must start after the signals were blocked.
    """
    from hpcfl.launch import detect
    from hpcfl.signals import Outlook, end_on_signals

    # PyTorch's C++ warns of host names that do not resolve and of peers that left: hpcfl says what matters itself
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    keep_freed_memory()
    placement = detect(os.environ)
    outlook = Outlook(placement.rank)
    end_on_signals(outlook)
    return placement, outlook


def first_rank() -> bool:
    """Whether this process may speak for all."""
    from hpcfl.errors import HpcflError
    from hpcfl.launch import detect

    try:
        return detect(os.environ).rank == 0
    except HpcflError:
        return True
