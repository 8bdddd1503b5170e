"""The sample files: one for each algorithm of Async-FL, each beside the TOML that it means."""

import json
from copy import deepcopy
from pathlib import Path

FOLDER = Path(__file__).parent / "configs"
SAMPLES = sorted(FOLDER.glob("*.json"))


def sample(name, **changes):
    """The sample's object with keys changed, say {"client.epochs": 3}; None takes a key out."""
    table = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        inner = table
        for word in sections:
            inner = inner.setdefault(word, {})
        if value is None:
            inner.pop(last)
        else:
            inner[last] = deepcopy(value)
    return table
