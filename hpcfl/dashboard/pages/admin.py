"""Administrators: who may what, and links for new people and forgotten passwords."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import aliased

from hpcfl.dashboard.accounts import make_link
from hpcfl.dashboard.database import ROLES, User, db
from hpcfl.dashboard.guard import open_to

__all__ = ["page"]

page = Blueprint("admin", __name__)

DIRECT = {"synchronize_session": False}
"""What is written is read again after the commit."""
STAYS = "The last administrator stays one: make somebody else one first."
INVITED = ("viewer", "runner", "admin")
"""Roles that a link may give."""


@page.get("/admin")
@open_to("admin")
def show() -> str:
    return _page()


@page.post("/admin/users/<int:number>/role")
@open_to("admin")
def give_role(number: int) -> ResponseReturnValue:
    user, role = _user(number), request.form.get("role")
    if role not in ROLES:
        abort(400)
    given = db.session.execute(update(User).where(_spared(user, role)).values(role=role), execution_options=DIRECT)
    db.session.commit()
    flash(f"{user.name} is now {role}." if given.rowcount else STAYS)
    return redirect(url_for("admin.show"))


@page.post("/admin/users/<int:number>/link")
@open_to("admin")
def link_for(number: int) -> str:
    """Shown once: a link by which the person sets a new password."""
    user = _user(number)
    return _page(link=make_link(user.role, user), whose=f"a new password of {user.name}")


@page.post("/admin/links")
@open_to("admin")
def invite() -> str:
    """Shown once: a link by which somebody makes an account."""
    role = request.form.get("role")
    if role not in INVITED:
        abort(400)
    return _page(link=make_link(role), whose=f"a new {role}")


@page.post("/admin/users/<int:number>/delete")
@open_to("admin")
def remove(number: int) -> ResponseReturnValue:
    user = _user(number)
    if user.id == current_user.id:
        flash("You cannot delete yourself: another administrator can.")
        return redirect(url_for("admin.show"))
    name = user.name
    gone = db.session.execute(delete(User).where(_spared(user)), execution_options=DIRECT)
    db.session.commit()
    flash(f"{name} is deleted." if gone.rowcount else STAYS)
    return redirect(url_for("admin.show"))


def _user(number: int) -> User:
    return db.session.get(User, number) or abort(404)


def _spared(user: User, role: str = "") -> ColumnElement[bool]:
    """The person, unless no administrator were left: said in the statement that writes, since two administrators may
    write of one another at once."""
    other = aliased(User)
    another = select(other.id).where(other.role == "admin", other.id != user.id).exists()
    return and_(User.id == user.id, or_(User.role != "admin", another, role == "admin"))


def _page(link: str | None = None, whose: str = "") -> str:
    users = list(db.session.scalars(select(User).order_by(User.role != "waiting", User.login)))
    address = request.host_url.rstrip("/") + url_for("account.welcome", number=link) if link else ""
    return render_template("admin.html", users=users, link=address, whose=whose, invited=INVITED)
