"""Registering, logging in and out, and the links that work once."""

from __future__ import annotations

import math
from urllib.parse import unquote, urlsplit

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from hpcfl.dashboard.accounts import begin, check, end, end_others, hash_password, open_link, set_password
from hpcfl.dashboard.database import Link, User, db
from hpcfl.dashboard.forms import Login, NewPassword, Register
from hpcfl.dashboard.guard import ANYONE, open_to
from hpcfl.dashboard.site import site
from hpcfl.dashboard.throttle import caller, enter, forgive

__all__ = ["page"]

page = Blueprint("account", __name__)

WRONG = "The login name or the password is wrong."


@page.route("/login", methods=["GET", "POST"])
@open_to(ANYONE)
def login() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(_back())
    form = Login()
    back = request.args.get("next", "")
    if not form.validate_on_submit():
        return render_template("login.html", form=form, back=back)
    if (left := enter(caller(), form.login.data)) > 0:
        message = f"Too many attempts have failed. Wait {math.ceil(left)} s."
        answer = render_template("login.html", form=form, back=back, message=message)
        return answer, 429, {"Retry-After": str(math.ceil(left))}
    user = check(form.login.data, form.password.data)
    if user is None:
        return render_template("login.html", form=form, back=back, message=WRONG), 403
    forgive(caller(), form.login.data)
    begin(user)
    return redirect(_back())


@page.route("/register", methods=["GET", "POST"])
@open_to(ANYONE)
def register() -> ResponseReturnValue:
    if site.settings.registration == "closed":
        abort(403, "An administrator of this site makes accounts: ask one for a link.")
    form = Register()
    # counted before it is looked at: the answer tells which login names there are
    if form.is_submitted() and (left := enter(f"{request.remote_addr} registering")) > 0:
        abort(429, f"Too many accounts were asked for from there. Wait {math.ceil(left)} s.")
    if form.validate_on_submit():
        role = "viewer" if site.settings.registration == "open" else "waiting"
        if (user := _new(form, role)) is not None:
            db.session.commit()
            begin(user)
            return redirect(url_for("home.show"))
    return render_template("register.html", form=form, link=None)


@page.route("/welcome/<number>", methods=["GET", "POST"])
@open_to(ANYONE)
def welcome(number: str) -> ResponseReturnValue:
    """The page behind a link: a new account, or a new password."""
    link = open_link(number)
    if link is None:
        abort(404, "This link has been used, or is too old. An administrator can make a new one.")
    form = NewPassword() if link.user else Register()
    form.owner = link.user.login if link.user else ""
    if form.validate_on_submit():
        user = link.user or _new(form, link.role)
        if user is not None:
            # whoever deletes the row has the link: two at once are one
            if not db.session.execute(delete(Link).where(Link.digest == link.digest)).rowcount:
                db.session.rollback()
                abort(404)
            if link.user:
                set_password(user, form.password.data)
            db.session.commit()
            end_others(user)
            forgive(caller(), user.login)
            begin(user)
            return redirect(url_for("home.show"))
    return render_template("register.html", form=form, link=link)


@page.post("/logout")
@open_to("waiting")
def logout() -> ResponseReturnValue:
    end()
    flash("You are logged out.")
    return redirect(url_for("account.login"))


@page.get("/waiting")
@open_to("waiting")
def waiting() -> ResponseReturnValue:
    if current_user.may("viewer"):
        return redirect(url_for("home.show"))
    return render_template("waiting.html")


def _new(form: Register, role: str) -> User | None:
    """The new person, in the database but not committed; None if somebody took the name in this instant."""
    login = form.login.data
    user = User(login=login, name=form.name.data or login, password=hash_password(form.password.data), role=role)
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        form.login.errors = [*form.login.errors, "Somebody has this login name."]
        return None
    return user


def _back() -> str:
    """Where somebody came from, if it lies on this site."""
    back = request.args.get("next", "")
    if not back.startswith("/") or back.startswith("//") or "\\" in back or not back.isprintable():
        return url_for("home.show")
    if ".." in unquote(urlsplit(back).path).split("/"):  # which leads out of a prefix
        return url_for("home.show")
    return request.script_root + back
