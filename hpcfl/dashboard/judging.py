"""The process that judges: it rebuilds models with PyTorch, which the site itself never imports.

A line of JSON in is one question, a line out its answer: {"run": path} for what the model takes, and with "pixels"
(base64 of uint8, (C, H, W)) for the probabilities.
"""

from __future__ import annotations

import json
import os
import sys
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpcfl.analysis.predictions import Rebuilt, rebuild
from hpcfl.errors import DataError, HpcflError
from hpcfl.results import open_results

__all__ = ["answer", "main"]

KEPT = 2
"""Models that stay in memory."""


def main() -> None:
    """Answer until the site closes the pipe."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    models: dict[tuple[str, int], Rebuilt] = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), models)), file=answers, flush=True)


def answer(question: Mapping[str, Any], models: dict[tuple[str, int], Rebuilt]) -> dict[str, Any]:
    """The answer to a question; `models` are those rebuilt before, the last used at the end."""
    try:
        model = _model(Path(question["run"]), models)
    except (HpcflError, FileNotFoundError) as failure:
        return {"trouble": str(failure)}
    if "pixels" not in question:
        return {"shape": model.shape, "labels": model.labels}
    image = np.frombuffer(b64decode(question["pixels"]), np.uint8).reshape(model.shape)
    probabilities = model.probabilities(image)
    if not np.isfinite(probabilities).all():
        return {"trouble": "The model's numbers are not finite."}
    return {"probabilities": probabilities.tolist()}


def _model(path: Path, models: dict[tuple[str, int], Rebuilt]) -> Rebuilt:
    key = str(path), path.stat().st_mtime_ns
    if key in models:
        models[key] = models.pop(key)
        return models[key]
    with open_results(path) as run:
        found = rebuild(run)
    if not found.images or found.shape[0] not in (1, 3):
        raise DataError("The model of this run takes no pictures.")
    models[key] = found
    for old in list(models)[:-KEPT]:
        del models[old]
    return found


if __name__ == "__main__":
    main()
