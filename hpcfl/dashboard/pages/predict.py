"""A finished run's model judges a picture."""

from __future__ import annotations

from base64 import b64encode

from flask import Blueprint, abort, current_app, render_template, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from hpcfl.dashboard.guard import takes
from hpcfl.dashboard.judge import Judge
from hpcfl.dashboard.pictured import judges
from hpcfl.dashboard.pictures import FORMATS, MOST_BYTES, MOST_PIXELS, sample
from hpcfl.dashboard.site import find_run, site
from hpcfl.errors import DataError

__all__ = ["page"]

page = Blueprint("predict", __name__)

FORM_BYTES = 16 * 1024
"""What a form has beside its picture."""


@page.record_once
def appoint(state: BlueprintSetupState) -> None:
    """Each site has its own judge."""
    state.app.extensions["judge"] = Judge()


@page.get("/predict")
def show() -> str:
    return render_template(
        "predict.html", runs=[run for run in site.catalogue.runs() if judges(run)], chosen=request.args.get("run", ""),
        formats=FORMATS, most_bytes=MOST_BYTES, most_pixels=MOST_PIXELS,
    )  # fmt: skip


@page.post("/predict")
@takes(MOST_BYTES + FORM_BYTES)
def judge() -> ResponseReturnValue:
    """JSON: the probability of each class, and the picture as the model sees it. 422 where there is no opinion."""
    run, picture = find_run(request.form.get("run", "")), request.files.get("picture")
    if not judges(run):
        abort(422, "This run has no finished model that takes pictures.")
    if picture is None or not picture.filename:
        abort(422, "Choose a picture first.")
    asked: Judge = current_app.extensions["judge"]
    try:
        shape, labels = asked.kind(run.path)
        image = sample(picture.stream, shape)
        probabilities = asked.probabilities(run.path, image)
    except DataError as failure:
        abort(422, str(failure).replace(str(run.path), run.name))
    ranked = sorted(zip(labels, probabilities), key=lambda pair: -pair[1])
    return {
        "classes": [{"name": name, "probability": probability} for name, probability in ranked],
        "seen": {"shape": shape, "pixels": b64encode(image.tobytes()).decode()},
    }
