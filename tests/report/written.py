"""Result files with runs that a test describes in a line."""

import numpy as np

from hpcfl.results import Writer
from hpcfl.schema import JobSpec

NAN = float("nan")


def job(strategy="fedavg", seed=0, **more):
    given = {"data": "digits", "strategy": strategy, "seed": seed, **more}
    return JobSpec.parse(given, "job.toml").resolved()


def row(step, accuracy, **more):
    """Rounds take 2 s of the job's clock and 0.5 s of real time; clients send 1 MB and get 3 MB in each."""
    return {
        "step": step, "time": 2.0 * step, "wall": 0.5 * step, "accuracy": accuracy, "loss": 1 / step, "examples": 9,
        "clients": 2, "failures": 0, "bytes_up": 0, "bytes_down": 0, "client_bytes_up": 10**6,
        "client_bytes_down": 3 * 10**6,
    } | more  # fmt: skip


def write(
    path,
    accuracies,
    resolved=None,
    own=(),
    finish="finished",
    environment=None,
    client_accuracy=NAN,
    tested=None,
    **keys,
):
    """A run with these accuracies by step; `own` are those of the clients' own models in the last one."""
    resolved = resolved or job(rounds=len(accuracies), **keys)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(path) as writer:
        writer.start("", resolved, environment or {}, {"examples": np.full(max(len(own), 2), 9)})
        for step, accuracy in enumerate(accuracies, 1):
            if len(own) and step == len(accuracies):
                on_test = [np.zeros(len(own)), np.array(tested)] if tested else []
                writer.clients(step, np.zeros(len(own)), np.array(own), *on_test)
            writer.step(row(step, accuracy, client_accuracy=client_accuracy), [])
        writer.finish(finish)
    return path
