"""The site that answers: its settings, its catalogue of runs, and a run or "not found"."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from flask import Flask, Request, abort, current_app

from hpcfl.dashboard.catalogue import Catalogue, Run
from hpcfl.dashboard.settings import Settings

__all__ = ["Site", "find_run", "site"]


class InMemory(Request):
    """A request whose files stay in memory: nothing that is uploaded reaches a disk."""

    def _get_file_stream(self, *_: Any, **__: Any) -> BytesIO:
        return BytesIO()


class Site(Flask):
    """The application."""

    request_class = InMemory
    settings: Settings
    catalogue: Catalogue


site = cast(Site, current_app)
"""The one that answers this request."""


def find_run(run_id: str) -> Run:
    """The run with this id, as it stands; the answer is "not found" where there is none that can be shown,
    and "not now" while the folder is looked through for the first time."""
    run = site.catalogue.find(run_id)
    if run is None:
        abort(404 if site.catalogue.complete else 503)
    return run
