"""A finished run's model judges a picture."""

from __future__ import annotations

from flask import Blueprint, render_template

from hpcfl.dashboard.site import site

__all__ = ["page"]

page = Blueprint("predict", __name__)


@page.get("/predict")
def show() -> str:
    return render_template("predict.html", runs=[run for run in site.catalogue.runs() if run.summary.kept])
