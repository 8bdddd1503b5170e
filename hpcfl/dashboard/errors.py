"""What goes wrong, as a page or, for a script, as JSON."""

from __future__ import annotations

import os

from flask import Flask, jsonify, render_template
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from hpcfl.dashboard.guard import wants_json
from hpcfl.dashboard.site import site
from hpcfl.errors import HpcflError

__all__ = ["explain"]

SAID = {
    400: "This request cannot be understood.",
    403: "This is not for you. An administrator says who may what.",
    404: "There is no such page, or the run is gone.",
    405: "This page cannot be asked like that.",
    413: "That is too large.",
    429: "Too many attempts. Wait a little.",
    500: "Something failed that should not. The terminal of the site says what.",
    503: "The runs are being looked through for the first time: try again in a moment.",
}


def explain(app: Flask) -> None:
    """Let the site answer errors in its own words."""

    def told(code: int, message: str) -> ResponseReturnValue:
        if wants_json():
            return jsonify(error=message), code
        return render_template("error.html", code=code, message=message), code

    def http(failure: HTTPException) -> ResponseReturnValue:
        code = failure.code or 500
        if code < 400:
            return failure.get_response()
        given = failure.description if failure.description != type(failure).description else None
        answer, _ = told(code, given or SAID.get(code, failure.name))
        response = app.make_response((answer, code))
        for name, value in failure.get_headers():
            if name in ("Retry-After", "Allow"):
                response.headers[name] = value
        return response

    def forged(_: CSRFError) -> ResponseReturnValue:
        return told(400, "This form is too old, or was not made by this site. Load the page again.")

    def ours(failure: HpcflError) -> ResponseReturnValue:
        return told(422, str(failure).replace(f"{site.catalogue.folder}{os.sep}", ""))

    app.register_error_handler(CSRFError, forged)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(HpcflError, ours)
