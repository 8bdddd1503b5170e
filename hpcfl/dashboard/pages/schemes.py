"""Starting a scheme, where the site's owner allows it: how far it is, what it said, and its end."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from hpcfl.dashboard import starts
from hpcfl.dashboard.database import Start, db
from hpcfl.dashboard.forms import Begin
from hpcfl.dashboard.guard import open_to
from hpcfl.dashboard.schemes import find_scheme, schemes
from hpcfl.dashboard.site import site
from hpcfl.errors import HpcflError

__all__ = ["page"]

page = Blueprint("schemes", __name__)

SHOWN = 30
"""Of what was started, the latest."""
OVER = "is over already."
REFUSED = {"ended": OVER, "cancelled": OVER, "away": "runs on another machine: cancel it from the site there."}
"""State -> why it cannot be cancelled."""


@page.before_request
def only_where_allowed() -> None:
    if site.settings.jobs is None:
        abort(404)


@page.get("/schemes")
@open_to("runner")
def show() -> str:
    return render_template("schemes.html", schemes=schemes(site.settings.jobs), form=_form(), **_started())


@page.get("/schemes/started")
@open_to("runner")
def rows() -> str:
    """The table alone, for the page that brings itself up to date."""
    return render_template("started.html", **_started())


@page.post("/schemes/<scheme_id>")
@open_to("runner")
def begin(scheme_id: str) -> ResponseReturnValue:
    scheme = find_scheme(site.settings.jobs, scheme_id) or abort(404)
    form = _form()
    if not form.validate_on_submit():
        abort(400, " ".join(f"{form[name].label.text}: {errors[0]}" for name, errors in form.errors.items()))
    try:
        row = starts.start(site.settings, current_user, scheme, form.seed.data, form.ranks.data, form.place.data)
        flash(f"{scheme.name} with seed {row.seed} is started.")
    except HpcflError as failure:
        flash(str(failure))
    return redirect(url_for("schemes.show"))


@page.post("/schemes/started/<int:number>/cancel")
@open_to("runner")
def cancel(number: int) -> ResponseReturnValue:
    """By whoever started it, or an administrator; with `kill` at once."""
    row = _row(number)
    if row.user_id != current_user.id and not current_user.may("admin"):
        abort(403)
    if refused := REFUSED.get(starts.look(row)):
        flash(f"{row.scheme} {refused}")
    else:
        kill = "kill" in request.form
        starts.cancel(row, kill=kill)
        flash(f"{row.scheme} is {'killed' if kill else 'asked to end'}.")
    return redirect(url_for("schemes.show"))


@page.get("/schemes/started/<int:number>/log")
@open_to("runner")
def log(number: int) -> str:
    row = _row(number)
    return render_template("log.html", row=row, text=starts.last_words(site.settings, row))


def _form() -> Begin:
    form = Begin()
    form.place.choices = starts.places()
    return form


def _row(number: int) -> Start:
    return db.session.get(Start, number) or abort(404)


def _started() -> dict[str, object]:
    rows = starts.started()[:SHOWN]
    return {"started": [(row, starts.look(row), site.catalogue.find(starts.run_of(row))) for row in rows]}
