"""A person's own page: name, password, saved comparisons, sessions."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from hpcfl.dashboard.accounts import check, end_others, set_password
from hpcfl.dashboard.database import db
from hpcfl.dashboard.forms import Name, PasswordChange
from hpcfl.dashboard.guard import open_to
from hpcfl.dashboard.saved import own_comparison, own_comparisons
from hpcfl.dashboard.throttle import caller, enter, forgive

__all__ = ["page"]

page = Blueprint("profile", __name__)


@page.get("/profile")
@open_to("waiting")
def show() -> str:
    return _page(Name(obj=current_user), PasswordChange(formdata=None))


@page.post("/profile/name")
@open_to("waiting")
def rename() -> ResponseReturnValue:
    form = Name()
    if not form.validate_on_submit():
        return _page(form, PasswordChange(formdata=None))
    current_user.name = form.name.data
    db.session.commit()
    flash("Your name is changed.")
    return redirect(url_for("profile.show"))


@page.post("/profile/password")
@open_to("waiting")
def change_password() -> ResponseReturnValue:
    """A guess of the old one counts as a login that failed."""
    form = PasswordChange()
    form.owner = current_user.login
    if form.validate_on_submit():
        if enter(caller(), current_user.login) > 0:
            form.old.errors = ["Too many attempts have failed. Wait a little."]
        elif check(current_user.login, form.old.data) is None:
            form.old.errors = ["That is not your present password."]
        else:
            forgive(caller(), current_user.login)
            set_password(current_user, form.password.data)
            db.session.commit()
            end_others(current_user, keep=current_user.session)
            flash("Your password is changed, and your other sessions are ended.")
            return redirect(url_for("profile.show"))
    return _page(Name(formdata=None, obj=current_user), form)


@page.post("/profile/sessions")
@open_to("waiting")
def end_sessions() -> ResponseReturnValue:
    end_others(current_user, keep=current_user.session)
    flash("Your other sessions are ended.")
    return redirect(url_for("profile.show"))


@page.post("/profile/comparisons/<int:number>/delete")
def forget_comparison(number: int) -> ResponseReturnValue:
    db.session.delete(own_comparison(number))
    db.session.commit()
    flash("The comparison is deleted.")
    return redirect(url_for("profile.show"))


def _page(name: Name, password: PasswordChange) -> str:
    return render_template("profile.html", name=name, password=password, saved=own_comparisons())
