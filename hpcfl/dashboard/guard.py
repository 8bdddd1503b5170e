"""Who may see what: every page needs a login and a role, unless it says otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from flask import Response, abort, current_app, redirect, request, url_for
from flask_login import current_user

__all__ = ["ANYONE", "admit", "limit", "open_to", "takes", "wants_json"]

ANYONE = "anyone"
DEFAULT_ROLE = "viewer"
FORM_BYTES = 64 * 1024
"""What a form may send, unless its page says otherwise."""
View = TypeVar("View", bound=Callable)


def open_to(role: str) -> Callable[[View], View]:
    """A page for people of this role and those that may more, or for ANYONE; without it one is for viewers."""

    def mark(view: View) -> View:
        view.role = role
        return view

    return mark


def takes(size: int) -> Callable[[View], View]:
    """A page to which a browser may send so many bytes."""

    def mark(view: View) -> View:
        view.takes = size
        return view

    return mark


def limit() -> None:
    """Before a request is read: how much it may bring."""
    request.max_content_length = getattr(_view(), "takes", FORM_BYTES)


def admit() -> Response | None:
    """Before a request: where somebody is sent who may not see the page; nowhere if they may."""
    if request.endpoint == "static":
        return None
    role = getattr(_view(), "role", DEFAULT_ROLE)
    if role == ANYONE:
        return None
    if not current_user.is_authenticated:
        if wants_json():
            return Response(json.dumps({"error": "log in first"}), 401, mimetype="application/json")
        back = request.full_path.rstrip("?") if request.method == "GET" and request.endpoint else None
        return redirect(url_for("account.login", next=back))
    if not current_user.may(role):
        if current_user.role == "waiting" and not wants_json():
            return redirect(url_for("account.waiting"))
        abort(403)
    return None


def wants_json() -> bool:
    """Whether a script asks, and not somebody who follows a link."""
    return request.accept_mimetypes.best == "application/json" or request.headers.get("X-Requested-With") == "fetch"


def _view() -> Callable | None:
    return current_app.view_functions.get(request.endpoint or "")
