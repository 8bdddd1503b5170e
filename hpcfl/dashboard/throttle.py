"""Logins that fail too often must wait: counted in the database, so that a restart forgets none."""

from __future__ import annotations

import time

from sqlalchemy import delete, func, select

from hpcfl.dashboard.database import Attempt, db

__all__ = ["forgive", "note_failure", "wait_s"]

WINDOW_S = 900.0
"""Failures are remembered for so long."""
FREE = {"login": 5, "address": 30}
"""Failures of a login name, and from an address, before one must wait. Behind a tunnel all come from one address."""
FIRST_S = 15.0
"""The first wait; each later failure doubles it, up to the window."""


def wait_s(login: str, address: str) -> float:
    """Seconds until this may be tried (again)."""
    return max(_left(key, FREE[kind]) for kind, key in _keys(login, address).items())


def note_failure(login: str, address: str) -> None:
    """A login failed."""
    db.session.execute(delete(Attempt).where(Attempt.at < time.time() - WINDOW_S))
    db.session.add_all(Attempt(key=key) for key in _keys(login, address).values())
    db.session.commit()


def forgive(login: str) -> None:
    """A login succeeded: this name begins anew."""
    db.session.execute(delete(Attempt).where(Attempt.key == _keys(login, "")["login"]))
    db.session.commit()


def _keys(login: str, address: str) -> dict[str, str]:
    return {"login": f"login {login.strip().lower()[:64]}", "address": f"address {address}"}


def _left(key: str, free: int) -> float:
    recent = select(func.count(), func.max(Attempt.at)).where(Attempt.key == key, Attempt.at > time.time() - WINDOW_S)
    count, last = db.session.execute(recent).one()
    if count < free:
        return 0.0
    return max(0.0, last + min(WINDOW_S, FIRST_S * 2 ** (count - free)) - time.time())
