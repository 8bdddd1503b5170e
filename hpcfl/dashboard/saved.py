"""Saved comparisons: everybody has their own, and sees nobody else's."""

from __future__ import annotations

from flask import abort
from flask_login import current_user
from sqlalchemy import select

from hpcfl.dashboard.database import SavedComparison, db

__all__ = ["own_comparison", "own_comparisons"]


def own_comparison(number: int) -> SavedComparison:
    """The person's comparison of this number; "not found" for somebody else's, as for none."""
    found = db.session.get(SavedComparison, number)
    if found is None or found.user_id != current_user.id:
        abort(404)
    return found


def own_comparisons() -> list[SavedComparison]:
    """All of the person's, by name."""
    mine = select(SavedComparison).where(SavedComparison.user_id == current_user.id)
    return list(db.session.scalars(mine.order_by(SavedComparison.name)))
