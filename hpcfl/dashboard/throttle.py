"""Logins that fail too often must wait: counted in the database, so that a restart forgets none."""

from __future__ import annotations

import threading
import time

from flask import request
from sqlalchemy import delete, func, select

from hpcfl.dashboard.database import Attempt, db
from hpcfl.dashboard.site import site

__all__ = ["caller", "enter", "forgive"]

WINDOW_S = 900.0
"""Attempts are remembered for so long."""
FREE = {"login": 5, "address": 30}
"""Failures of a login name, and from an address, before one must wait."""
FIRST_S = 15.0
"""The first wait; each later failure doubles it, up to the window."""
HERE = ("127.0.0.1", "::1")
COUNTING = threading.Lock()


def caller() -> str:
    """The address that a request comes from; nothing for this machine, from which all come who use a tunnel: whoever
    else is on it could lock them out."""
    address = request.remote_addr or ""
    return "" if address in HERE and not site.settings.proxied else address


def enter(address: str, login: str = "") -> float:
    """Seconds until this login may be tried from that address, of which one may be nothing: 0 for now.

    Then it counts as failed until it is forgiven: of many guesses at once none goes uncounted.
    """
    with COUNTING:
        left = max(_left(key, FREE[kind]) for kind, key in _keys(address, login).items())
        if left <= 0:
            db.session.execute(delete(Attempt).where(Attempt.at < time.time() - WINDOW_S))
            db.session.add_all(Attempt(key=key) for key in _keys(address, login).values())
            db.session.commit()
    return max(0.0, left)


def forgive(address: str, login: str) -> None:
    """The attempt succeeded: the login begins anew, and the address has one less."""
    keys = _keys(address, login)
    db.session.execute(delete(Attempt).where(Attempt.key == keys["login"]))
    last = select(func.max(Attempt.id)).where(Attempt.key == keys.get("address")).scalar_subquery()
    db.session.execute(delete(Attempt).where(Attempt.id == last))
    db.session.commit()


def _keys(address: str, login: str) -> dict[str, str]:
    given = {"address": address, "login": login.strip().lower()[:64]}
    return {kind: f"{kind} {what}" for kind, what in given.items() if what}


def _left(key: str, free: int) -> float:
    recent = select(func.count(), func.max(Attempt.at)).where(Attempt.key == key, Attempt.at > time.time() - WINDOW_S)
    count, last = db.session.execute(recent).one()
    if count < free:
        return 0.0
    return last + min(WINDOW_S, FIRST_S * 2 ** (count - free)) - time.time()
