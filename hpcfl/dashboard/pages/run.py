"""One run: what it was, how it went."""

from __future__ import annotations

from flask import Blueprint, render_template

from hpcfl.dashboard.site import find_run

__all__ = ["page"]

page = Blueprint("run", __name__)


@page.get("/run/<run_id>")
def show(run_id: str) -> str:
    return render_template("run.html", run=find_run(run_id))
