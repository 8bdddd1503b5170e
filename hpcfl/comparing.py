"""The commands that look at several runs, or at one while it goes on: compare, table, watch."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["compare", "table", "watch"]

SHARE = click.FloatRange(0, 1)
results = click.argument("results", nargs=-1, required=True, metavar="RESULTS...")
target = click.option("--target", type=SHARE, help="The accuracy to reach. [the best that all reach]")
of = click.option(
    "--of", type=click.Choice(["global", "own"]),
    help="Whose accuracy: the global model's, or that of the clients' own models. [global where all have it]",
)  # fmt: skip


@click.command()
@results
@target
@of
@click.option("--over", type=click.Choice(["rounds", "time", "wall", "bytes"]), default="rounds", show_default=True,
              help="Under which curve the area is taken.")  # fmt: skip
def compare(results: tuple[str, ...], target: float | None, of: str | None, over: str) -> None:
    """Print runs side by side, result files or folders of them.

    What a target accuracy took in rounds, time and traffic; final and best accuracy and the mean on the way (the area
    under the curve); how even the clients' own models are; and every key in which the jobs differ.
    """
    from rich.console import Console

    from hpcfl.report.compare import compare as show_comparison

    show_comparison([Path(path) for path in results], Console(highlight=False), target, of, over)


@click.command()
@results
@click.option("--format", "form", type=click.Choice(["text", "markdown", "latex"]), default="text", show_default=True)
def table(results: tuple[str, ...], form: str) -> None:
    """Print the table of many runs, result files or folders of them: dataset, model and scheme against V1, V2, ...

    Accuracies are in percent, with mean and standard deviation over the seeds: of each architecture over its clients.
    """
    from hpcfl.report.grid import FORMATS
    from hpcfl.report.table import tabulate

    grid, notes = tabulate([Path(path) for path in results])
    click.echo(FORMATS[form](grid))
    for note in notes:
        click.echo(note, err=True)


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--wait", type=click.FloatRange(0), default=60.0, show_default=True, metavar="SECONDS",
              help="How long nothing may come, while no process writes the file.")  # fmt: skip
@click.option("--every", type=click.FloatRange(0.05), default=1.0, show_default=True, metavar="SECONDS",
              help="How often to look.")  # fmt: skip
def watch(file: str, wait: float, every: float) -> None:
    """Follow the run that writes FILE, which may not be there yet: curve, rounds, time left; plain lines in a log.

    Ends with the run: with exit code 0 if it finished, 1 if it was interrupted, failed, or was killed.
    """
    from rich.console import Console

    from hpcfl.report.watch import watch as follow

    sys.exit(0 if follow(Path(file), Console(highlight=False), wait, every) else 1)
