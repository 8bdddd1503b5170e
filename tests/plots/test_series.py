"""Runs that differ only in their seed are one series, and labels say what tells the others apart."""

import pytest

from hpcfl.analysis.series import series
from hpcfl.errors import JobError
from hpcfl.results import open_results

FEDAVG = {"strategy": {"name": "fedavg", "params": {}}}
PROX = {"strategy": {"name": "fedprox", "params": {"mu": 0.1}}}
STRONG = {"strategy": {"name": "fedprox", "params": {"mu": 1.0}}}


@pytest.mark.parametrize(
    ("jobs", "labels"),
    [
        ([{}], ["run0"]),
        ([FEDAVG], ["run0"]),
        ([FEDAVG, PROX], ["fedavg", "fedprox"]),
        ([FEDAVG, PROX, STRONG], ["fedavg", "fedprox, mu 0.1", "fedprox, mu 1"]),
        ([PROX, STRONG], ["mu 0.1", "mu 1"]),
        ([{"client": {"lr": 0.1, "epochs": 1}}, {"client": {"lr": 0.5, "epochs": 2}}], ["epochs 1", "epochs 2"]),
        ([{"model": {"name": "mlp", "params": {"hidden": [8]}}}, {"model": {"name": "mlp", "params": {"hidden": []}}}],
         ["hidden [8]", "hidden []"]),
        ([{"model": {"name": "mymodels.Net"}}, {"model": {"name": "cnn"}}], ["Net", "cnn"]),
        ([{"client": {"shuffle": True}}, {"client": {"shuffle": False}}], ["shuffle True", "shuffle False"]),
        ([{key: key == other for key in "abcdef"} | {"name": "same"} for other in "abcdef"],
         [f"run{number}" for number in range(6)]),
        ([FEDAVG, FEDAVG | {"seed": 1}, FEDAVG | {"results": {"path": "x"}, "seed": 2}], ["run0 (3 seeds)"]),
    ],
)  # fmt: skip
def test_labels(write, jobs, labels):
    runs = [open_results(write(f"run{number}", [0.5], **job)) for number, job in enumerate(jobs)]
    assert [one.legend for one in series(runs)] == labels


def test_names_of_ones_own(write):
    runs = [open_results(write(name, [0.5], **job)) for name, job in (("a", FEDAVG), ("b", PROX))]
    assert [one.label for one in series(runs, ("Mine", "Theirs"))] == ["Mine", "Theirs"]
    with pytest.raises(JobError, match="--label: given 1 times for 2 series"):
        series(runs, ("Mine",))
