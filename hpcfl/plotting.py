"""The command that draws: plot."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import click

__all__ = ["KINDS", "plot"]

KINDS = {
    "accuracy": ("many", ("over", "labels")),
    "loss": ("many", ("over", "labels")),
    "clients": ("many", ("labels",)),
    "labels": ("one", ("style", "clients")),
    "staleness": ("many", ("labels", "rounds")),
    "gantt": ("one", ("by", "rounds")),
    "times": ("many", ("labels", "rounds")),
    "confusion": ("one", ("step", "trust")),
    "study": ("many", ("labels", "own")),
}
"""Kind of figure -> how many files it draws, and its options."""

SPELLED = {"labels": "label"}
COUNT = click.IntRange(1)
INCHES = click.FloatRange(1, 40)


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)), metavar="KIND")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option("-o", "--out", metavar="FILE", help="A .pdf, .svg or .png. [KIND.pdf]")
@click.option(
    "--over",
    type=click.Choice(["round", "time", "wall", "bytes"]),
    help="accuracy, loss: the horizontal axis: rounds, the job's clock, real time, or traffic. [round]",
)
@click.option("--label", "labels", multiple=True, help="Name of a series, in the order of the files; repeatable.")
@click.option("--style", type=click.Choice(["bubbles", "bars"]), help="labels: how they are drawn. [bubbles]")
@click.option("--clients", type=COUNT, help="labels: draw so many clients. [30 bubbles, 100 bars]")
@click.option("--by", type=click.Choice(["client", "rank"]), help="gantt: what a lane is. [client]")
@click.option("--rounds", metavar="A-B", help="gantt, staleness, times: only these. [all; gantt the first 400 jobs']")
@click.option("--step", type=COUNT, help="confusion: the model after this round. [the last one kept]")
@click.option("--trust", is_flag=True, help="confusion: run the code that the job in the file names by dotted paths.")
@click.option("--own", is_flag=True, help="study: accuracy on the owners' own test parts.")
@click.option("--width", type=INCHES, help="Inches. [3.4, one column]")
@click.option("--height", type=INCHES, help="Inches. [2.4, or as many rows need]")
def plot(
    kind: str, files: tuple[str, ...], out: str | None, width: float | None, height: float | None, **given: Any
) -> None:  # fmt: skip
    """Draw a figure of result files.

    \b
    accuracy, loss  curves against rounds, time or traffic; a band over the seeds
    clients         accuracy of each client's own model
    labels          which labels each client holds
    staleness       histogram of the updates' staleness
    gantt           who trained when
    times           where each round's real time went
    confusion       classes and predictions of the stored model on the job's test set
    study           one owner alone, together, all data in one place

    Runs that differ only in their seed are one series.
    """
    number, options = KINDS[kind]
    chosen = {name: value for name, value in given.items() if value not in (None, (), False)}
    for name in chosen:
        if name not in options:
            raise click.UsageError(f"--{SPELLED.get(name, name)} is not for {kind}; it takes {_told(options)}")
    if number == "one" and len(files) > 1:
        raise click.UsageError(f"{kind} draws one file, {len(files)} are given")
    if "rounds" in chosen:
        chosen["rounds"] = _rounds(chosen["rounds"])
    from hpcfl.errors import JobError

    if find_spec("matplotlib") is None:
        raise JobError("figures need matplotlib: pip install 'hpcfl[plot]'")
    from hpcfl.plots.command import draw

    print(draw(kind, files, out or f"{kind}.pdf", (width, height), chosen))


def _told(options: tuple[str, ...]) -> str:
    return ", ".join(f"--{SPELLED.get(name, name)}" for name in options)


def _rounds(text: str) -> tuple[int, int]:
    """A-B, or A alone."""
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit() and 1 <= int(first) <= int(last or first)):
        raise click.UsageError(f"--rounds {text}: should be A-B, say 1-20")
    return int(first), int(last or first)
