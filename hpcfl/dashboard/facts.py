"""What a run was and where it ran, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpcfl.report.runs import told
from hpcfl.report.show import as_bytes, component
from hpcfl.results import Reader

__all__ = ["facts", "places"]

COMPONENTS = {
    "strategy": "Strategy",
    "model": "Model",
    "data": "Data",
    "partition": "Partition",
    "schedule": "Schedule",
}
LOCAL = ("epochs", "batch_size", "lr")
TRAFFIC = {"Clients' traffic": "client_bytes", "Between ranks": "bytes"}


def facts(run: Reader) -> dict[str, str]:
    """What was computed, by name."""
    job, client = run.job, run.job.get("client")
    client = client if isinstance(client, Mapping) else {}
    found = {key.capitalize(): component(job.get(key)) for key in COMPONENTS}
    if isinstance(models := client.get("models"), list) and models:
        found["Model"] = ", ".join(map(component, models))
    found["Clients"] = _clients(run)
    found["Local training"] = ", ".join(f"{key} {client[key]}" for key in LOCAL if key in client)
    found["Seed"] = str(job.get("seed", ""))
    for title, column in TRAFFIC.items():
        up, down = (int(run.rounds[f"{column}_{way}"].sum()) for way in ("up", "down"))
        found[title] = f"{as_bytes(up)} up, {as_bytes(down)} down" if up or down else ""
    return {title: text for title, text in found.items() if text}


def places(run: Reader) -> dict[str, str]:
    """Where it ran: the environment as the file has it, and each later start."""
    found = _told(run.environment)
    for number, restart in enumerate(run.restarts, 1):
        step = restart.get("step")
        found[f"resumed ({number})"] = f"{restart.get('time')} after round {step}, on {restart.get('ranks')} ranks"
    return found


def _told(environment: Mapping[str, Any]) -> dict[str, str]:
    """Lists with how often an item is there; a command line as it was typed."""
    return {
        name: " ".join(value) if name == "argv" and isinstance(value, list) else told(value)
        for name, value in sorted(environment.items())
        if value not in (None, "", [])
    }


def _clients(run: Reader) -> str:
    if "client" not in run.clients:
        return ""
    count = f"{len(run.clients['client']):,}"
    if "examples" not in run.clients:
        return count
    examples = np.asarray(run.clients["examples"])
    return f"{count}, with {examples.min():,} to {examples.max():,} examples each"
