"""The tables of the site: people, their sessions, one-time links, failed logins, saved comparisons, started schemes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, URL, ForeignKey, UniqueConstraint, event, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hpcfl.errors import JobError

__all__ = ["ROLES", "Attempt", "Link", "SavedComparison", "Session", "Start", "User", "db", "make_tables", "reserve"]

ROLES = {
    "waiting": "registered, and not let in yet",
    "viewer": "sees runs, compares them and tries their models",
    "runner": "may start schemes too",
    "admin": "may also say who may what",
}
"""What a person may do; each may what those before it may."""
VERSION = 1
"""Of the tables, in SQLite's user_version."""
BUSY_S = 10


class Table(DeclarativeBase):
    """What all tables share."""


db = SQLAlchemy(model_class=Table)


class User(UserMixin, db.Model):
    """A person."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    """Small letters, digits and . _ -"""
    name: Mapped[str]
    """What others call them."""
    password: Mapped[str]
    """Its argon2 hash."""
    role: Mapped[str]
    """A key of ROLES."""
    since: Mapped[float] = mapped_column(default=time.time)
    session: str | None = None
    """The session that this request came with."""
    __allow_unmapped__ = True

    def may(self, role: str) -> bool:
        """Whether they have this role, or one that may more."""
        order = list(ROLES)
        return order.index(self.role) >= order.index(role)

    def get_id(self) -> str:
        """What the cookie names: the session, so that it can be ended from here."""
        return str(self.session)


class Session(db.Model):
    """Somebody logged in; without the row the cookie is worth nothing."""

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    since: Mapped[float] = mapped_column(default=time.time)
    user: Mapped[User] = relationship()


class Link(db.Model):
    """A link that works once: it makes an account, or gives an account a new password."""

    __tablename__ = "link"

    digest: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of the secret in it."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    """Whose password it sets; none for a new account."""
    role: Mapped[str]
    """Of a new account."""
    until: Mapped[float]
    user: Mapped[User | None] = relationship()


class Attempt(db.Model):
    """A login that failed."""

    __tablename__ = "attempt"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(index=True)
    """Whose, or from where."""
    at: Mapped[float] = mapped_column(default=time.time)


class SavedComparison(db.Model):
    """Runs that somebody wants to see side by side again."""

    __tablename__ = "comparison"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    runs: Mapped[list[str]] = mapped_column(JSON)
    """Ids of runs."""
    since: Mapped[float] = mapped_column(default=time.time)
    user: Mapped[User] = relationship()


class Start(db.Model):
    """A scheme that somebody started."""

    __tablename__ = "start"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    scheme: Mapped[str]
    """Its name."""
    seed: Mapped[int]
    ranks: Mapped[int]
    place: Mapped[str]
    """local or slurm."""
    number: Mapped[str]
    """The process, or the job in Slurm."""
    began: Mapped[str]
    """When the kernel says that the process began, so that a later one of the same number is not taken for it."""
    result: Mapped[str]
    """The result file, from the folder of runs."""
    log: Mapped[str]
    cancelled: Mapped[bool] = mapped_column(default=False)
    ended: Mapped[bool] = mapped_column(default=False)
    """Whether it was seen to be over."""
    since: Mapped[float] = mapped_column(default=time.time)
    user: Mapped[User | None] = relationship()


def reserve(path: Path) -> URL:
    """The address of the database at `path`, a file that nobody else may read."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    return URL.create("sqlite", database=str(path))


def make_tables(path: Path) -> None:
    """Make the tables that are missing. JobError for those of a newer hpcfl."""
    event.listen(db.engine, "connect", _connected)
    with db.engine.connect() as connection:
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        if version > VERSION:
            raise JobError(f"{path} is of a newer hpcfl: use that one, or say --state FOLDER for new accounts")
        db.create_all()
        connection.execute(text(f"PRAGMA user_version = {VERSION}"))


def _connected(connection: Any, _: Any) -> None:
    """References are checked, and a writer waits for the one before it."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
