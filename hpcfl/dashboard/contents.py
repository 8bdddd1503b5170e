"""The table of contents: every page of the site, and what the menu shows of them."""

from hpcfl.dashboard.pages import account, admin, compare, home, predict, profile, run, schemes

__all__ = ["MENU", "PAGES"]

PAGES = (
    home.page,
    run.page,
    compare.page,
    predict.page,
    schemes.page,
    profile.page,
    admin.page,
    account.page,
)
MENU = (
    ("home.show", "Runs", "viewer"),
    ("compare.show", "Compare", "viewer"),
    ("predict.show", "Predict", "viewer"),
    ("schemes.show", "Start", "runner"),
    ("admin.show", "People", "admin"),
)
"""Page, what the menu calls it, and the role that sees it there."""
