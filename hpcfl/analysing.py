"""The commands about result files: export, verify, repair."""

from __future__ import annotations

import sys

import click

__all__ = ["export", "repair", "verify"]

TABLES = ("rounds", "events", "failures", "clients", "classes", "own", "metrics")
FORMATS = ("csv", "json", "parquet")


@click.command()
@click.argument("files", metavar="FILE ...", nargs=-1, required=True)
@click.option("--table", type=click.Choice(TABLES), help="What to write. [rounds; in JSON all of them]")
@click.option("--format", "form", type=click.Choice(FORMATS), help="[the ending of --out; csv without one]")
@click.option("-o", "--out", metavar="FILE", help="Where to; else it is printed.")
def export(files: tuple[str, ...], table: str | None, form: str | None, out: str | None) -> None:
    """Write a table of FILE as CSV or Parquet, or the whole run as JSON; of several files one table.

    Patterns in quotes ("results/*.h5") and folders are understood. Parquet needs pip install 'hpcfl[analysis]'.
    """
    from pathlib import Path

    ending = Path(out).suffix.lstrip(".").lower() if out else "csv"
    if form is None and ending not in FORMATS:
        raise click.UsageError(f"--out {out}: ends with none of .csv, .json, .parquet; say --format")
    from hpcfl.analysis.export import export as write
    from hpcfl.results.finding import find

    write(find(files), table, form or ending, Path(out) if out else None, sys.stdout)


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
def verify(a: str, b: str) -> None:
    """Tell whether the runs A and B are the same bits, and if not, at which round, client and tensor they part.

    Exit code: 0 if they are, 1 if not, 2 if a file cannot be read. Real times and ranks are not compared.
    """
    from pathlib import Path

    from hpcfl.analysis.parting import told
    from hpcfl.results import open_results

    with open_results(Path(a)) as one, open_results(Path(b)) as other:
        same, lines = told(one, other)
    click.echo("\n".join(lines))
    sys.exit(0 if same else 1)


@click.command()
@click.argument("file", metavar="FILE")
@click.option("-o", "--out", metavar="FILE", help="Where to. [FILE with .repaired before its ending]")
def repair(file: str, out: str | None) -> None:
    """Save what is left of a damaged FILE: a new file with every step that is whole. FILE itself stays as it is."""
    from pathlib import Path

    from hpcfl.results.repair import repair as save

    path = Path(file)
    click.echo("\n".join(save(path, Path(out) if out else path.with_suffix(f".repaired{path.suffix}"))))
