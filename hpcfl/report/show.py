"""One run in a terminal: what ran, where, how it went round by round, and what it cost."""

from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpcfl.report.metrics import metrics
from hpcfl.report.sharing import sharing, versions
from hpcfl.results import Reader, open_results
from hpcfl.results.format import COMBINED, STATUS

__all__ = ["show"]

BARS = 10
"""Most bars of the staleness histogram."""
ROWS = 20

UNSEEN = "unseen_accuracy"
OWN = ("client_accuracy", "client_accuracy_low")

PARTS = ("training", "communicating", "aggregating", "evaluating")

VERSIONS = ("hpcfl", "python", "torch", "numpy", "h5py", "hdf5", "mpi")

ENDINGS = {
    "finished": "finished",
    "interrupted": "NOT FINISHED: it was interrupted",
    "failed": "NOT FINISHED: it ended with an error",
    "running": "NOT FINISHED: it is still running, or was killed",
}


def show(path: Path, console: Console, *, shared: bool = False) -> None:
    """Print the run in the result file at `path`. Raises ResultError if there is no such run.

    `shared`: only which tensors its clients average, where their architectures differ.
    """
    with open_results(path) as run:
        if shared:
            table = sharing(run)
            console.print(table if table.row_count else "all clients have the same architecture, and nothing apart")
            return
        sections = {
            "": summary(run),
            "architectures": versions(run),
            "rounds": rounds(run),
            "metrics": metrics(run),
            "failures": failures(run),
            "staleness": staleness(run),
            "time and traffic": costs(run),
        }
    for title, section in sections.items():
        if section.row_count:
            if title:
                console.print(Text(f"\n{title}", style="bold"))
            console.print(section)


def summary(run: Reader) -> Table:
    """What ran, where, and how it ended."""
    job, environment = run.job, run.environment
    accuracy, step = run.rounds["accuracy"], run.rounds["step"]
    table = fact_table()
    fact(table, "run", job.get("name"), style="bold")
    fact(table, "ended", _ending(run, len(step), job.get("rounds")))
    evaluated = np.flatnonzero(~np.isnan(accuracy))
    if len(evaluated):
        best, last = evaluated[accuracy[evaluated].argmax()], evaluated[-1]
        fact(table, "best accuracy", f"{accuracy[best]:.4f} after round {step[best]}", style="bold")
        fact(table, "last accuracy", f"{accuracy[last]:.4f} after round {step[last]}")
    own, low = (run.rounds[name] if name in run.rounds else np.zeros(0) for name in OWN)
    if len(asked := np.flatnonzero(~np.isnan(own))):
        last = asked[-1]
        fact(table, "clients' own", f"{own[last]:.4f} on their held-out samples, nine of ten at least {low[last]:.4f}")
    unseen = run.rounds[UNSEEN] if UNSEEN in run.rounds else np.zeros(0)
    if len(asked := np.flatnonzero(~np.isnan(unseen))):
        fact(table, "never trained", f"{unseen[asked[-1]]:.4f} on the held-out samples of clients that only adapt")
    fact(table, "strategy", component(job.get("strategy")))
    if privacy := job.get("privacy"):
        epsilon = f"{run.rounds['epsilon'][-1]:.4g}" if "epsilon" in run.rounds else "unknown"
        spent = f"epsilon {epsilon} at delta {privacy['delta']:g}"
        fact(table, "privacy", f"{spent} (clip={privacy['clip']:g}, noise={privacy['noise']:g})")
    models = (job.get("client") or {}).get("models") or [job.get("model")]
    fact(table, "model", ", ".join(component(model) for model in models))
    fact(table, "data", component(job.get("data")))
    fact(table, "partition", component(job.get("partition")))
    fact(table, "schedule", component(job.get("schedule")))
    if "client" in run.clients:
        examples = run.clients["examples"] if "examples" in run.clients else np.zeros(0, np.int64)
        each = f", {examples.min():,} to {examples.max():,} examples each" if len(examples) else ""
        fact(table, "clients", f"{len(run.clients['client']):,}{each}")
    if "byzantine" in run.clients and (liars := int(run.clients["byzantine"].sum())):
        fact(table, "Byzantine", f"{liars:,} of them: {component((job.get('faults') or {}).get('attack'))}")
    fact(table, "local training", _settings(job.get("client"), ("epochs", "batch_size", "lr")))
    fact(table, "seed", job.get("seed"))
    launcher, ranks = environment.get("launcher"), environment.get("ranks")
    startup = environment.get("startup")
    ready = f", first round after {startup:.1f} s" if startup else ""
    fact(table, "started", f"{run.start_time[:19].replace('T', ' ')}{run.start_time[23:]}{ready}")
    for restart in run.restarts:
        went_on = "" if restart.get("exact") else ", on the real clock: the model went on"
        again = (
            f"{restart['time'][:19].replace('T', ' ')} after round {restart['step']}, on {restart.get('ranks')} rank(s)"
        )
        fact(table, "resumed", f"{again}{went_on}")
    for loss in run.losses:
        fact(table, "lost", f"{loss['reason']}, in round {loss['step']}; the others went on")
    for join in run.joins:
        fact(table, "joined", f"rank {join['rank']} of {join['host']}, in round {join['step']}")
    fact(table, "ranks", f"{ranks} ({launcher})" if launcher and ranks else ranks)
    fact(table, "hosts", _counted(environment.get("hosts")))
    fact(table, "devices", _counted(environment.get("devices")))
    fact(table, "backend", environment.get("backend"))
    fact(table, "slurm job", environment.get("slurm_job_id"))
    fact(table, "versions", ", ".join(f"{name} {environment[name]}" for name in VERSIONS if environment.get(name)))
    fact(table, "commit", environment.get("git_commit"))
    return table


def rounds(run: Reader) -> Table:
    """A row per round, thinned evenly if they are many; the first, the last and the best are always there."""
    columns = {name: run.rounds[name] for name in run.rounds}
    count, accuracy = len(columns["step"]), columns["accuracy"]
    keep = set(np.linspace(0, count - 1, min(count, ROWS)).round().astype(int).tolist())
    best = None if np.isnan(accuracy).all() else int(np.nanargmax(accuracy))
    if best is not None:
        keep.add(best)
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = {
        "round": ("step", "{:d}"),
        "time [s]": ("time", "{:,.1f}"),
        "wall [s]": ("wall", "{:,.1f}"),
        "accuracy": ("accuracy", "{:.4f}"),
        "clients' own": ("client_accuracy", "{:.4f}"),
        "loss": ("loss", "{:.4f}"),
        "train loss": ("train_loss", "{:.4f}"),
        "clients": ("clients", "{:d}"),
        "failures": ("failures", "{:d}"),
        "epsilon": ("epsilon", "{:.3g}"),
        "staleness": ("staleness", "{:.2f}"),
    }
    # Many a run has nothing to say in these; a file of an older version may lack them.
    for title in ("failures", "epsilon", "staleness", "clients' own"):
        if not np.nansum(columns.get(shown[title][0], 0)):
            del shown[title]
    for title in shown:
        table.add_column(Text(title), justify="right")
    for row in sorted(keep):
        cells = [_number(columns[name][row], form) for name, form in shown.values()]
        table.add_row(*cells, style="bold" if row == best else None)
    return table


def failures(run: Reader) -> Table:
    """The updates that could not be used, or were damaged on purpose, by how they ended and why."""
    counts = [int((run.events["status"] == code).sum()) for code in STATUS.values()]
    table = fact_table()
    for word, code in STATUS.items():
        if word != "ok" and counts[code]:
            clients = len(np.unique(run.events["client"][run.events["status"] == code]))
            of = "client" if clients == 1 else "clients"
            fact(table, word, f"{counts[code]:,} of {sum(counts):,} updates, of {clients:,} {of}")
    for reason, count in Counter(run.failures["reason"]).most_common(5):
        fact(table, f"{count:,} x", reason)
    return table


def staleness(run: Reader) -> Table:
    """How many server steps the updates were behind; nothing for a run in which none was."""
    table = fact_table()
    used = np.isin(run.events["status"], [STATUS[word] for word in COMBINED])
    behind = (run.events["step"].astype(np.int64) - 1 - run.events["version"])[used]
    if not len(behind) or behind.max() < 1:
        return table
    middle, late = np.median(behind), np.percentile(behind, 90, method="inverted_cdf")
    fact(table, "mean", f"{behind.mean():.2f}, median {middle:g}, 90 % at most {late}, most {behind.max()}")
    edges = np.unique(np.linspace(0, behind.max() + 1, min(behind.max() + 1, BARS) + 1).round().astype(int))
    counts, _ = np.histogram(behind, edges)
    for low, high, count in zip(edges, edges[1:], counts):
        steps = f"{low}" if high == low + 1 else f"{low} to {high - 1}"
        fact(table, steps, f"{'#' * round(40 * count / counts.max()):40} {count:,}")
    return table


def costs(run: Reader) -> Table:
    """Where the time went, and what was sent."""
    table = fact_table()
    wall = float(np.nanmax(run.rounds["wall"]))
    seconds = {part: float(np.nansum(run.rounds[part])) for part in PARTS}
    total = sum(seconds.values())
    for part, spent in seconds.items():
        if total:
            fact(table, part, f"{spent:>10,.2f} s {spent / total:>6.1%}")
    fact(table, "wall", f"{wall:>10,.2f} s")
    for title, prefix in (("between ranks", "bytes"), ("clients would", "client_bytes")):
        up, down = (int(run.rounds[f"{prefix}_{way}"].sum()) for way in ("up", "down"))
        fact(table, title, f"{as_bytes(up)} to the server, {as_bytes(down)} from it")
    return table


def fact_table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def fact(table: Table, name: str, value: object, style: str = "") -> None:
    """Tell a fact that is known. Text from the file is not markup."""
    if value not in (None, ""):
        table.add_row(Text(name), Text(str(value), style=style))


def _ending(run: Reader, rounds: int, planned: int | None) -> str:
    count = f"{rounds:,} of {planned:,} rounds" if planned else f"{rounds:,} rounds"
    return f"{ENDINGS.get(run.status, run.status)}, after {count}"


def component(section: object) -> str:
    """A component of the job and its parameters, say "fedprox (mu=0.1)"."""
    if not isinstance(section, dict):
        return str(section or "")
    params = section.get("params")
    params = dict(params) if isinstance(params, dict) else {}
    params |= {name: value for name, value in section.items() if isinstance(value, int | float) and value is not False}
    text = ", ".join(f"{name}={value}" for name, value in params.items())
    return f"{section.get('name', '')} ({text})" if text else str(section.get("name", ""))


def _settings(section: object, names: tuple[str, ...]) -> str:
    return (
        ", ".join(f"{name}={section[name]}" for name in names if name in section) if isinstance(section, dict) else ""
    )


def _counted(values: object) -> str:
    """A list with its repetitions counted: "8 x cuda:0, cpu"."""
    if not isinstance(values, list):
        return str(values or "")
    counts = Counter(values).most_common()
    told = ", ".join(f"{count} x {value}" if count > 1 else str(value) for value, count in counts[:8])
    return told if len(counts) <= 8 else f"{told} and {len(counts) - 8:,} others"


def _number(value: float, form: str) -> str:
    return "-" if np.isnan(value) else form.format(value)


def as_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
