"""Runs side by side: their curves, what a target accuracy took, how well they end; and saved choices of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.exc import IntegrityError

from hpcfl.analysis.quantities import AXES
from hpcfl.dashboard.catalogue import Run, stamp
from hpcfl.dashboard.charts import CURVES, Chart, overlay
from hpcfl.dashboard.comparison import compared
from hpcfl.dashboard.database import SavedComparison, db
from hpcfl.dashboard.saved import own_comparison, own_comparisons
from hpcfl.dashboard.site import find_run, site
from hpcfl.dashboard.studies import Scheme, outcome, studies
from hpcfl.results import Reader, open_results

__all__ = ["page"]

page = Blueprint("compare", __name__)

MOST_RUNS = 60
LONGEST_NAME = 80
REMEMBERED = 64
"""Comparisons that are kept until their files change."""


@page.get("/compare")
def show() -> str:
    """`?run=ID&run=ID...`, with `target=` an accuracy in percent."""
    return _page(_asked())


@page.get("/compare/study/<slug>")
def study(slug: str) -> str:
    """A ready-made comparison."""
    every = [run for run in site.catalogue.runs() if run.readable]
    found = next((study for study in studies(every) if study.slug == slug), None) or abort(404)
    runs = found.runs[:MOST_RUNS]
    return _page(runs, study=found, schemes=_outcome(_stamped(runs)))


@page.get("/compare/saved/<int:number>")
def saved(number: int) -> str:
    found = own_comparison(number)
    known = {run.id: run for run in site.catalogue.runs()}
    gone = sum(run not in known for run in found.runs)
    if gone:
        flash(f"{gone} of its runs {'is' if gone == 1 else 'are'} gone.")
    return _page([known[run] for run in found.runs if run in known and known[run].readable], kept=found)


@page.post("/compare/saved")
def save() -> ResponseReturnValue:
    """Keep the runs under a name; one that the person has already then means these."""
    name, runs = (request.form.get("name") or "").strip(), _known(request.form.getlist("run"))
    if not 1 <= len(name) <= LONGEST_NAME or not runs:
        abort(422, f"A comparison needs a name of at most {LONGEST_NAME} letters, and runs.")
    ids = [run.id for run in runs]
    found = next((mine for mine in own_comparisons() if mine.name == name), None)
    if found is None:
        found = SavedComparison(user_id=current_user.id, name=name)
        db.session.add(found)
    found.runs = ids
    try:
        db.session.commit()
    except IntegrityError:  # saved twice in one instant
        db.session.rollback()
        abort(409, "It has just been saved.")
    flash(f"Saved as {name}.")
    return redirect(url_for("compare.saved", number=found.id))


@page.get("/compare/data")
def data() -> Response:
    """The curves of the runs, of one column of /rounds."""
    what, over = request.args.get("what", "accuracy"), request.args.get("over", "round")
    if what not in COLUMNS or over not in AXES:
        abort(400)
    runs = _asked()
    chart = _overlaid(_stamped(runs), what, over, "owners" in request.args)
    return jsonify(live=any(run.live for run in runs), chart=chart)


COLUMNS = {column: f"{what}, {name}" for what, columns in CURVES.items() for column, name in columns.items()}
"""What can be overlaid, and what it is called."""


def _asked() -> list[Run]:
    return _known(request.args.getlist("run"))


def _known(ids: Sequence[str]) -> list[Run]:
    """The runs of these ids, each once; "not found" for one that is not there, or has no round."""
    if len(ids) > MOST_RUNS:
        abort(422, f"{len(ids)} runs are too many: {MOST_RUNS} are the most.")
    runs = [find_run(number) for number in dict.fromkeys(ids)]
    return runs if all(run.readable for run in runs) else abort(404)


Stamped = tuple[tuple[Path, str], ...]
"""Files, each as it is at its stamp."""


def _stamped(runs: Sequence[Run]) -> Stamped:
    return tuple((run.path, stamp(run.path)) for run in runs)


@lru_cache(REMEMBERED)
def _overlaid(files: Stamped, what: str, over: str, owners: bool) -> Chart:
    with _open(files) as runs:
        return overlay(runs, what, over, owners)


@lru_cache(REMEMBERED)
def _outcome(files: Stamped) -> list[Scheme]:
    with _open(files) as runs:
        return outcome(runs)


@contextmanager
def _open(files: Stamped) -> Iterator[list[Reader]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_results(path)) for path, _ in files]


def _page(runs: list[Run], kept: SavedComparison | None = None, **more: Any) -> str:
    every = [run for run in site.catalogue.runs() if run.readable]
    target = request.args.get("target", type=float)
    if target is not None and not 0 < target <= 100:
        target = None
    return render_template(
        "compare.html", runs=runs, every=every, kept=kept, saved=own_comparisons(), studies=studies(every),
        columns=COLUMNS, axes=AXES, target=target, most=MOST_RUNS, **more,
        found=compared([run.path for run in runs], None if target is None else target / 100) if runs else None,
    )  # fmt: skip
