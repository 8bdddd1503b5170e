"""The runs in the folder: filtered, searched, those that go on first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from flask import Blueprint, Response, make_response, render_template, request

from hpcfl.dashboard.catalogue import Run
from hpcfl.dashboard.site import site

__all__ = ["page"]

page = Blueprint("home", __name__)

FILTERS: dict[str, Callable[[Run], str]] = {
    "strategy": lambda run: run.summary.strategy,
    "dataset": lambda run: run.summary.dataset,
    "seed": lambda run: "" if run.summary.seed is None else str(run.summary.seed),
    "status": lambda run: run.status,
}
"""Key of the address -> what a run has there."""
PER_PAGE = 50
DIGITS = 20
"""A number that is sorted as one has fewer."""


@page.get("/")
def show() -> str:
    return render_template("home.html", **_chosen())


@page.get("/rows")
def rows() -> Response:
    """The table alone, for the page that brings itself up to date; nothing where it is as it was."""
    answer = make_response(render_template("rows.html", **_chosen()))
    answer.add_etag()
    answer.headers["Cache-Control"] = "no-cache, private"
    return answer.make_conditional(request)


def _chosen() -> dict[str, object]:
    runs = site.catalogue.runs()
    wanted = {key: request.args.get(key, "") for key in FILTERS}
    words = request.args.get("q", "").lower().split()
    found = [run for run in runs if _fits(run, wanted, words)]
    pages = max(1, -(-len(found) // PER_PAGE))
    at = min(max(1, request.args.get("page", 1, type=int)), pages)
    return {
        "runs": found[(at - 1) * PER_PAGE : at * PER_PAGE],
        "found": len(found),
        "total": len(runs),
        "live": sum(run.live for run in runs),
        "choices": {key: _values(runs, value) for key, value in FILTERS.items()},
        "wanted": wanted,
        "words": request.args.get("q", ""),
        "at": at,
        "pages": pages,
        "query": {key: value for key in (*FILTERS, "q") if (value := request.args.get(key))},
    }


def _fits(run: Run, wanted: dict[str, str], words: Sequence[str]) -> bool:
    if any(value and FILTERS[key](run) != value for key, value in wanted.items()):
        return False
    if not words:
        return True
    summary = run.summary
    text = " ".join((run.name, summary.title, summary.strategy, summary.dataset, summary.model, run.status)).lower()
    return all(word in text for word in words)


def _values(runs: Sequence[Run], value: Callable[[Run], str]) -> list[str]:
    """What there is to choose from; numbers in their order."""
    return sorted({value(run) for run in runs} - {""}, key=lambda text: (_number(text), text))


def _number(text: str) -> float:
    """What stands there; infinity for a word, and for digits that nobody means as a number."""
    return int(text) if text.isdecimal() and len(text) < DIGITS else math.inf
