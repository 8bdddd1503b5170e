"""A real run with something for every kind of figure, and small written ones."""

from pathlib import Path

import numpy as np
import pytest
from launcher import Launcher
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hpcfl.results import Writer, open_results

JOB = """
rounds = 6
data = "digits"
partition = {name = "dirichlet", clients = 6, beta = 0.5}
model = {name = "mlp", hidden = [16]}
schedule = {name = "buffered", num_generator = 2, in_flight = 4}
[client]
batch_size = 20
lr = 0.1
test_size = 0.2
device = {dropout = 0.1, speed = {name = "lognormal", sigma = 0.5}}
"""


COUNTS = ("examples", "clients", "failures", "bytes_up", "bytes_down", "client_bytes_up", "client_bytes_down")
ROW = dict.fromkeys(COUNTS, 0)


@pytest.fixture(scope="session")
def real_path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    (folder / "real.toml").write_text(JOB)
    done = Launcher(folder)(1, "run", "real.toml", "--out", "real.h5")
    assert done.returncode == 0, done.stderr
    return folder / "real.h5"


@pytest.fixture
def real(real_path):
    with open_results(real_path) as run:
        yield run


@pytest.fixture
def axes():
    figure = Figure(figsize=(3.4, 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


@pytest.fixture
def write(tmp_path):
    """write(name, accuracies, trains=(0,), owners=1, **changes of the job): the path of a run that says little else.

    accuracies: of each step; a step lasts `pace` seconds.
    """

    def made(name, accuracies, /, trains=(0,), owners=1, pace=1.0, **job):
        path = tmp_path / f"{name}.h5"
        job = {"name": name, "seed": 0, "rounds": len(accuracies), **job}
        with Writer(path) as writer:
            writer.start("", job, {}, {"examples": np.full(owners, 5)})
            for step, accuracy in enumerate(accuracies, 1):
                writer.step({**ROW, "step": step, "time": pace * step, "wall": step, "accuracy": accuracy}, [
                    {"client": client, "version": step - 1, "rank": 0, "examples": 5, "steps": 1, "status": "ok"}
                    for client in trains
                ])  # fmt: skip
            writer.finish()
        return path

    return made
