"""Runs side by side."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from hpcfl.dashboard.saved import own_comparison
from hpcfl.dashboard.site import find_run

__all__ = ["page"]

page = Blueprint("compare", __name__)


@page.get("/compare")
def show() -> str:
    """`?run=ID&run=ID...`"""
    return render_template("compare.html", runs=[find_run(number) for number in request.args.getlist("run")])


@page.get("/compare/saved/<int:number>")
def saved(number: int) -> str:
    return render_template("compare.html", runs=[find_run(run) for run in own_comparison(number).runs])
