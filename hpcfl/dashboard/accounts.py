"""People: their passwords, their sessions, and links that work once."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import session
from flask_login import current_user, login_user, logout_user
from sqlalchemy import delete, select

from hpcfl.dashboard.database import Link, Session, User, db

__all__ = [
    "begin", "by_session", "check", "complain", "end", "end_others", "hash_password", "make_link", "open_link",
    "set_password",
]  # fmt: skip

SESSION_S = 7 * 86400
"""A session ends so long after its login."""
LINK_S = 86400
"""A link works for so long."""
LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
SHORTEST, LONGEST = 10, 200
"""Characters of a password."""
LEAST_DIFFERENT = 5

HASHER = PasswordHasher()


def hash_password(password: str) -> str:
    """Its argon2id hash, with parameters and salt."""
    return HASHER.hash(password)


def check(login: str, password: str) -> User | None:
    """The person of this login if the password is theirs. It takes as long where there is no such person."""
    user = db.session.scalar(select(User).where(User.login == login.strip().lower()))
    try:
        HASHER.verify(user.password if user else _nobody(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return None
    if user and HASHER.check_needs_rehash(user.password):
        user.password = hash_password(password)
        db.session.commit()
    return user


@cache
def _nobody() -> str:
    return hash_password(secrets.token_urlsafe())


def complain(login: str, password: str) -> str:
    """What is wrong with a new password; nothing if it will do."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"A password has {SHORTEST} to {LONGEST} characters."
    if login and login.lower() in password.lower():
        return "The password has the login name in it."
    if len(set(password)) < LEAST_DIFFERENT:
        return "The password repeats too few characters."
    return ""


def set_password(user: User, password: str) -> None:
    """Give the person a new one, not committed; links that would give another end."""
    user.password = hash_password(password)
    db.session.execute(delete(Link).where(Link.user_id == user.id))


def begin(user: User) -> None:
    """Log the person in: a new session, with nothing of the one before."""
    session.clear()
    session.permanent = True
    user.session = secrets.token_urlsafe()
    db.session.execute(delete(Session).where(Session.since < time.time() - SESSION_S))
    db.session.add(Session(id=user.session, user_id=user.id))
    db.session.commit()
    login_user(user)


def by_session(number: str) -> User | None:
    """Whose session it is; nobody's if it has ended."""
    found = db.session.get(Session, number)
    if found is None or found.since < time.time() - SESSION_S:
        return None
    found.user.session = number
    return found.user


def end() -> None:
    """Log out: the session ends here too, so that a copy of the cookie is worth nothing."""
    db.session.execute(delete(Session).where(Session.id == current_user.session))
    db.session.commit()
    logout_user()
    session.clear()


def end_others(user: User, keep: str | None = None) -> None:
    """End the person's sessions, but for one."""
    db.session.execute(delete(Session).where(Session.user_id == user.id, Session.id != (keep or "")))
    db.session.commit()


def make_link(role: str, user: User | None = None) -> str:
    """The secret of a new link: for an account of this role, or for the person's new password. Of a person, and of
    administrators to come, there is one at a time."""
    number = secrets.token_urlsafe()
    db.session.execute(delete(Link).where(Link.until < time.time()))
    if user:
        db.session.execute(delete(Link).where(Link.user_id == user.id))
    elif role == "admin":
        db.session.execute(delete(Link).where(Link.user_id.is_(None), Link.role == role))
    until = time.time() + LINK_S
    db.session.add(Link(digest=_digest(number), user_id=user.id if user else None, role=role, until=until))
    db.session.commit()
    return number


def open_link(number: str) -> Link | None:
    """The link with this secret, if it still works."""
    found = db.session.get(Link, _digest(number))
    return found if found and found.until > time.time() else None


def _digest(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()
