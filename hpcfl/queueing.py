"""The commands that deal with Slurm: submit, status, cancel."""

from __future__ import annotations

from typing import Any

import click

from hpcfl.options import changes, resources, site_file

__all__ = ["cancel", "status", "submit"]


@click.command()
@click.argument("job", required=False)
@changes
@click.option("--out", metavar="FILE", help="Where to write the results. [results/NAME-JOBID.h5]")
@resources
@click.option("--array", metavar="INDICES", help="A run per index, say 0-9%2; %a in --set and --out is the index.")
@site_file
@click.option("--dry-run", is_flag=True, help="Check the job and print the batch script.")
def submit(
    job: str | None, overrides: tuple[str, ...], out: str | None, site: str | None, dry_run: bool, **wanted: Any
) -> None:
    """Check JOB and hand it in to Slurm."""
    import os

    from hpcfl.slurm.site import read_site
    from hpcfl.slurm.submit import submit as hand_in

    hand_in(job, overrides, out, wanted, read_site(site, os.environ), dry_run)


@click.command()
@click.option("--last", type=click.IntRange(0), default=10, show_default=True, help="How many that ended to show.")
def status(last: int) -> None:
    """Show our jobs in Slurm's queue, and the last ones that ended: round, accuracy, time left."""
    import sys

    from rich.console import Console

    from hpcfl.slurm.status import show_status

    # a pipe has no width: paths must not be broken there
    show_status(Console(highlight=False, width=None if sys.stdout.isatty() else 200), last)


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOBID|NAME ...")
def cancel(jobs: tuple[str, ...]) -> None:
    """Cancel jobs that were handed in with submit."""
    from hpcfl.slurm.status import cancel as cancel_jobs

    click.echo(f"cancelled: {', '.join(cancel_jobs(jobs))}")
