"""What the file and `hpcfl show` say of clients with different architectures."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console
from small_run import ENVIRONMENT, round_row
from torch import nn

from hpcfl.family import Family
from hpcfl.flat import Layout
from hpcfl.report import show
from hpcfl.results import Writer, open_results
from hpcfl.strategies import STRATEGIES

JOB = {"name": "s", "rounds": 1, "client": {"models": [{"name": "one", "count": 2}, {"name": "two", "count": 1}]}}
ACCURACY = np.array([0.5, 0.25, 0.125])


@pytest.fixture
def written(tmp_path):
    """Writes the file of a scheme's run."""

    def write(scheme, held_out=True):
        modules = [nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))]
        layouts = [Layout.of(module) for module in modules]
        initials = [layout.pack(module) for layout, module in zip(layouts, modules)]
        family = Family.plan(("one", "two"), layouts, initials, (0, 0, 1), STRATEGIES[scheme]().groups)
        clients = {"examples": np.array([3, 3, 3]), "architecture": np.array(["one", "one", "two"], dtype=object)}
        path = tmp_path / "x.h5"
        with Writer(path, overwrite=True) as writer:
            writer.start("", JOB, ENVIRONMENT, clients, family=family)
            own = ACCURACY if held_out else np.full(3, np.nan)
            writer.clients(1, own, own, ACCURACY / 2, ACCURACY / 4)
            writer.step(round_row(1))
            writer.model(1, torch.zeros(4).numpy(), [("a", (4,), "parameter", 0)], "one")
            writer.finish()
        return path

    return write


def printed(path, **how):
    console = Console(width=200, highlight=False, file=io.StringIO())
    show(path, console, **how)
    return console.file.getvalue()


def test_the_file_says_which_tensors_are_averaged_by_whom(written):
    with open_results(written("basic_common")) as found:
        assert found.sharing["architecture"].tolist() == ["one", "two"]
        assert found.sharing["clients"].tolist() == [2, 1]
        assert found.sharing["tensor"].tolist() == ["0.weight", "0.bias", "1.weight", "1.bias", "1.weight", "1.bias"]
        assert found.sharing["shape"].tolist() == ["3x2", "3", "1x3", "1", "4x3", "4"]
        assert found.sharing["numbers"].tolist() == [6, 3, 3, 1, 12, 4]
        assert found.sharing["averaged"].tolist() == [1, 1, 0, 0, 0, 0]
        assert found.sharing["architectures"].tolist() == [[1, 1], [1, 1], [1, 0], [1, 0], [0, 1], [0, 1]]
        assert found.own["test_accuracy"].tolist() == [(ACCURACY / 4).tolist()]
        assert found.model(name="one")["a"].tolist() == [0.0] * 4


def test_xarray_opens_it(written):
    xarray = pytest.importorskip("xarray", reason="analysis tools are not installed")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(written("basic_common"), group="sharing", engine="h5netcdf") as sharing:
        assert sharing["architectures"].dims == ("tensor", "architecture")
        assert sharing["numbers"].values.tolist() == [6, 3, 3, 1, 12, 4]


@pytest.mark.parametrize(
    ("scheme", "lines"),
    [
        ("basic_common", [
            "0.weight ... 0.bias (2) 9 one, two (3 clients)",
            "1.weight ... 1.bias (2) 4 nobody: at home with one (2 clients)",
            "1.weight ... 1.bias (2) 16 nobody: at home with two (1 clients)",
        ]),
        ("max_common", [
            "0.weight ... 0.bias (2) 9 one, two (3 clients)",
            "1.weight ... 1.bias (2) 4 one (2 clients)",
            "1.weight ... 1.bias (2) 16 two (1 clients)",
        ]),
        ("standalone", [
            "0.weight ... 0.bias (2) 9 nobody: at home with one, two (3 clients)",
            "1.weight ... 1.bias (2) 4 nobody: at home with one (2 clients)",
            "1.weight ... 1.bias (2) 16 nobody: at home with two (1 clients)",
        ]),
    ],
)  # fmt: skip
def test_sharing_is_a_row_per_run_of_tensors(written, scheme, lines):
    rows = printed(written(scheme), shared=True).splitlines()
    assert [" ".join(row.split()) for row in rows[1:]] == lines


def test_each_architecture_has_the_mean_of_its_clients(written):
    text = " ".join(printed(written("basic_common")).split())
    assert "model one (count=2), two (count=1)" in text
    assert "one 2 13 9 0.3750 0.0938 two 1 25 9 0.1250 0.0312" in text
    assert "one 2 13 13 - 0.0938" in " ".join(printed(written("max_common", held_out=False)).split())


def test_a_run_of_one_architecture_says_so(tmp_path):
    with Writer(tmp_path / "x.h5") as writer:
        writer.start("", JOB, ENVIRONMENT, {"examples": np.array([3])})
        writer.step(round_row(1))
    assert "the same architecture" in printed(tmp_path / "x.h5", shared=True)
    assert "architectures" not in printed(tmp_path / "x.h5")
