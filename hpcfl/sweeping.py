"""The command that runs many jobs: sweep."""

from __future__ import annotations

import sys
from typing import Any

import click

from hpcfl.options import changes, resources, site_file

__all__ = ["sweep"]

SETTINGS = ("ranks", "parallel", "pack", "launcher")
"""Options that stand for keys of the sweep's [run]."""
COUNT = click.IntRange(1)


@click.command()
@click.argument("file", metavar="FILE.toml")
@changes
@click.option("--parallel", type=COUNT, help="Cells that run at a time. [run.parallel]")
@click.option("--ranks", type=COUNT, help="Ranks of each cell. [run.ranks]")
@click.option("--pack", type=COUNT, help="Cells of each Slurm task. [run.pack]")
@click.option("--launcher", type=click.Choice(["auto", "mpirun", "srun"]), help="Starts the ranks. [run.launcher]")
@click.option("--dry-run", is_flag=True, help="Check all cells, and tell what would be run; or print the batch script.")
@click.option("--submit", is_flag=True, help="Hand the missing cells in to Slurm, as one array.")
@resources
@site_file
@click.option("--task", type=click.IntRange(0), help="Run the cells of this task of the array, here.")
def sweep(
    file: str, overrides: tuple[str, ...], dry_run: bool, submit: bool, task: int | None, requeue: bool,
    site: str | None, **given: Any,
) -> None:  # fmt: skip
    """Run the jobs of a sweep FILE.toml: a grid or a list over any keys of a job.

    Every cell is checked before the first one runs. Run again, it does only what is missing or failed.
    """
    settings = {name: given.pop(name) for name in SETTINGS}
    spare = [name for name, value in given.items() if value not in (None, (), 0, 1)]
    if spare and not submit:
        raise click.UsageError(f"--{spare[0].replace('_', '-')} is for --submit")
    if submit and task is not None:
        raise click.UsageError("--task runs cells here, --submit hands them in: give one of them")
    from hpcfl.sweep.command import Wish
    from hpcfl.sweep.command import sweep as run_sweep

    wish = Wish(task, dry_run, submit, requeue, given, site)
    sys.exit(run_sweep(file, overrides, wish, **settings))
