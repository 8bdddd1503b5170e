"""One run: how it goes, what it was, where it ran, and its file."""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template, request, send_file
from flask.typing import ResponseReturnValue

from hpcfl.analysis.quantities import AXES
from hpcfl.dashboard.catalogue import stamp
from hpcfl.dashboard.charts import CHARTS
from hpcfl.dashboard.facts import facts, places
from hpcfl.dashboard.pictured import judges
from hpcfl.dashboard.site import find_run, site
from hpcfl.errors import ResultError
from hpcfl.results import open_results

__all__ = ["page"]

page = Blueprint("run", __name__, url_prefix="/run/<run_id>")

CHOICES = {
    "curves": {"over": tuple(AXES)},
    "gantt": {"by": ("client", "rank"), "part": ("latest", "first")},
}
"""Chart -> what may be asked of it: key of the address and its values, the usual one first."""
REMEMBERED = 128
"""Charts that are kept until their files change."""
REASONS = 5


@page.get("")
def show(run_id: str) -> str:
    run = find_run(run_id)
    more: dict[str, Any] = {}
    if run.readable:
        with open_results(run.path) as file:
            more = {
                "facts": facts(file),
                "places": places(file),
                "job_text": file.job_text,
                "failures": Counter(file.failures["reason"].tolist()).most_common(REASONS),
            }
    return render_template("run.html", run=run, judges=judges(run), **more)


@page.get("/state")
def state(run_id: str) -> Response:
    """The part of the page that changes while the run goes on."""
    answer = make_response(render_template("state.html", run=find_run(run_id)))
    answer.add_etag()
    answer.headers["Cache-Control"] = "no-cache, private"
    return answer.make_conditional(request)


@page.get("/data/<kind>")
def data(run_id: str, kind: str) -> ResponseReturnValue:
    """A chart's numbers as JSON; nothing (204) where the file is as it was at `?since=`."""
    run = find_run(run_id)
    if kind not in CHARTS:
        abort(404)
    options = {key: _choice(key, valid) for key, valid in CHOICES.get(kind, {}).items()}
    now = stamp(run.path)
    told = {"stamp": now, "live": run.live, "status": run.status}
    if request.args.get("since") == now:
        return "", 204
    try:
        chart = _drawn(run.path, now, kind, tuple(options.items()))
    except ResultError as failure:
        return {**told, "empty": str(failure).replace(str(run.path), run.name)}
    return Response(f'{json.dumps(told)[:-1]}, "chart": {chart}}}', mimetype="application/json")


@page.get("/file")
def download(run_id: str) -> Response:
    """The result file, once nobody writes it: half of a change would be no file."""
    run = find_run(run_id)
    if run.live:
        abort(409, "The run goes on: its file can be downloaded once it has ended.")
    if not run.readable:
        abort(404)
    content = site.catalogue.content(run)
    answer = send_file(
        content, "application/x-hdf5", as_attachment=True, download_name=f"{PurePath(run.name).name}.h5",
        last_modified=run.changed, etag=stamp(run.path),
    )  # fmt: skip
    answer.content_length = os.fstat(content.fileno()).st_size
    return answer


@lru_cache(REMEMBERED)
def _drawn(path: Path, _: str, kind: str, options: tuple[tuple[str, str], ...]) -> str:
    """The chart of the file as it is at this stamp. ResultError where there is nothing to show."""
    with open_results(path) as run:
        return json.dumps(CHARTS[kind](run, **dict(options)), allow_nan=False)


def _choice(key: str, valid: tuple[str, ...]) -> str:
    given = request.args.get(key, valid[0])
    return given if given in valid else abort(400)
