"""The commands that look at several runs, or at one while it goes on: compare, table, watch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

__all__ = ["compare", "table", "watch"]

SHARE = click.FloatRange(0, 1)
OPTIONS = ("rows", "columns", "measures", "over", "spread", "baseline", "test", "target", "of")
"""Those of `table` that make it more than the paper's."""
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
@click.option("--rows", metavar="KEYS", help="Keys of the job whose values are rows, say data,strategy.")
@click.option("--columns", metavar="KEYS", help="Keys whose values are columns, say partition.beta.")
@click.option(
    "--value",
    "measures",
    metavar="MEASURES",
    help="accuracy, best, area, loss; rounds, time, wall, bytes (to --target); own, own_low, own_std. [accuracy]",
)
@click.option("--over", default="seed", show_default=True, metavar="KEYS", help="Over which means are taken.")
@click.option(
    "--spread",
    type=click.Choice(["std", "ci"]),
    default="std",
    show_default=True,
    help="Standard deviation, or 95 % interval by Student's t.",
)
@click.option(
    "--baseline", metavar="KEY=VALUE", multiple=True, help="Test against it, say strategy=fedavg; repeatable."
)
@click.option("--test", type=click.Choice(["t", "wilcoxon"]), default="t", show_default=True, help="Which one marks.")
@target
@of
@click.option("--format", "form", type=click.Choice(["text", "markdown", "latex", "csv"]), default="text",
              show_default=True)  # fmt: skip
def table(
    results: tuple[str, ...], rows: str | None, columns: str | None, measures: str | None, over: str,
    baseline: tuple[str, ...], form: str, **more: Any,
) -> None:  # fmt: skip
    """Print the table of many finished runs, result files or folders of them.

    Rows and columns are any keys of the jobs; runs that differ in the seed alone share a cell, with mean and spread,
    and the best is bold. Without any of these options: dataset, model and scheme against V1, V2, ..., the mean accuracy
    of each architecture over its clients.
    """
    from hpcfl.report.grid import FORMATS
    from hpcfl.report.layout import Wish, arrange
    from hpcfl.report.table import tabulate

    paths = [Path(path) for path in results]
    plain = click.get_current_context().get_parameter_source
    if all(plain(name) is click.core.ParameterSource.DEFAULT for name in OPTIONS):
        grid, notes = tabulate(paths)
    else:
        grid, notes = arrange(
            paths,
            Wish(_listed(rows), _listed(columns), _listed(measures) or ("accuracy",), _listed(over),
                 baseline=_pairs(baseline), **more),
        )  # fmt: skip
    click.echo(FORMATS[form](grid))
    for note in notes:
        click.echo(note, err=True)


def _listed(keys: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key.strip() for key in (keys or "").split(",") if key.strip()))


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if "=" not in text.strip("="):
            raise click.UsageError(f"--baseline {text}: should be KEY=VALUE, say strategy=fedavg")
    return {key.strip(): value.strip() for key, _, value in (text.partition("=") for text in given)}


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
