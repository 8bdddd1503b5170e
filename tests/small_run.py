"""A small run with everything in it that a result file can hold."""

import numpy as np

JOB = {"name": "small", "seed": 3, "rounds": 4, "strategy": {"name": "fedprox", "params": {"mu": 0.1}}}
ENVIRONMENT = {"hpcfl": "0.1.0", "ranks": 3, "hosts": ["n1", "n1", "n2"], "seconds": 0.5, "root": True, "mpi": None}
CLIENTS = {
    "examples": np.array([6, 4]),
    "classes": np.array([[1, 2, 3], [4, 0, 0]]),
    "held_out": np.array([2, 1]),
    "delay": np.array([0.0, 2.5]),
    "architecture": np.array(["cnn", "résnet"]),
}
OWNER = np.array([0, 1, -1, 0, 0, 1])
VECTOR = np.arange(10, dtype=np.float32)
LAYOUT = [
    ("bn.weight", (3,), "parameter", 4),
    ("bn.running_mean", (3,), "buffer", 7),
    ("bn.num_batches_tracked", (), "constant", np.int64(5)),
    ("fc.weight", (2, 2), "parameter", 0),
    ("tied.weight", (2, 2), "parameter", 0),
]


def round_row(step):
    return {
        "step": step, "time": 1.5 * step, "wall": 0.25 * step, "accuracy": 1 - 1 / (step + 1), "loss": 1 / step,
        "client_accuracy": 1 - 1 / (step + 2), "client_accuracy_low": 0.25, "unseen_accuracy": 0.125,
        "client_loss": 3 / step, "train_loss": 2 / step, "examples": 10, "clients": 2, "failures": 0,
        "epsilon": 0.75 * step, "staleness": 0.5, "bytes_up": 2**40, "bytes_down": 40,
        "client_bytes_up": 80, "client_bytes_down": 80, "training": 0.5, "communicating": 0.25,
        "aggregating": 0.125, "evaluating": 0.0625,
    }  # fmt: skip


def event(step, client, status="ok", **more):
    return {
        "client": client, "version": step - 1, "start": 1.5 * step, "finish": 1.5 * step + 1, "rank": 1 + client,
        "examples": 6, "steps": 3, "loss": 0.5, "status": status,
    } | more  # fmt: skip


def write_steps(writer, first, last):
    for step in range(first, last + 1):
        writer.step(round_row(step), [event(step, 0), event(step, 1)])
