"""`table` of any keys: cells, means, the best, and tests against a baseline."""

import csv
import subprocess
import sys

import pytest
from scipy import stats
from written import NAN, job, write

from hpcfl.errors import ResultError
from hpcfl.report.grid import FORMATS
from hpcfl.report.layout import Wish, arrange

SCORES = {
    ("fedavg", 0.1): [0.50, 0.52, 0.51, 0.49, 0.53, 0.50],
    ("fedavg", 0.5): [0.70, 0.71, 0.69, 0.72, 0.70, 0.73],
    ("fedprox", 0.1): [0.55, 0.56, 0.57, 0.53, 0.59, 0.58],
    ("fedprox", 0.5): [0.70, 0.71, 0.70, 0.70, 0.71, 0.72],
}
"""Accuracies by strategy and beta, for seeds from 0."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for (strategy, beta), scores in SCORES.items():
        for seed, score in enumerate(scores):
            partition = {"name": "dirichlet", "beta": beta}
            name = {"name": strategy, **({"mu": 0.1} if strategy == "fedprox" else {})}
            write(folder / f"{strategy}-{beta}-{seed}.h5", [score / 2, score], strategy=name, seed=seed,
                  partition=partition)  # fmt: skip
    return folder


GENERAL = Wish(rows=("strategy",), columns=("partition.beta",), baseline={"strategy": "fedavg"})


def test_keys_in_rows_and_columns(study):
    grid, notes = arrange([study], GENERAL)
    assert notes == []
    assert grid.lines() == [
        ["strategy", "beta=0.1", "beta=0.5"],
        ["fedavg", "50.8 ± 1.5", "70.8 ± 1.5"],
        ["fedprox", "56.3 ± 2.2 †", "70.7 ± 0.8"],
    ]
    assert grid.best == {(("fedprox",), "beta=0.1"), (("fedavg",), "beta=0.5")}
    assert grid.caption == "accuracy [%], mean ± standard deviation over 6 seeds"


def test_the_tests_are_scipys_paired_by_seed(study):
    grid, _ = arrange([study], GENERAL)
    for beta in (0.1, 0.5):
        pair = grid.pairs[("fedprox",), f"beta={beta}"]
        mine, base = SCORES["fedprox", beta], SCORES["fedavg", beta]
        assert pair.pairs == 6
        assert pair.t == pytest.approx(stats.ttest_rel(mine, base).pvalue, rel=1e-12)
        rounded = [round(a - b, 9) for a, b in zip(mine, base)]
        signed = stats.wilcoxon(rounded).pvalue if sum(map(bool, rounded)) >= 6 else NAN
        assert pair.wilcoxon == pytest.approx(signed, rel=1e-12, nan_ok=True)
    assert grid.findings[0] == "† differs from strategy=fedavg: p < 0.05, paired t test"
    assert grid.findings[1].startswith("fedprox, beta=0.1 against strategy=fedavg: +5.50 over 6 seeds, t p = ")


def test_the_interval_is_scipys(study):
    grid, _ = arrange([study], Wish(rows=("strategy",), columns=("partition.beta",), spread="ci"))
    scores = SCORES["fedavg", 0.1]
    low, high = stats.t.interval(0.95, 5, sum(scores) / 6, stats.sem(scores))
    assert grid.lines()[1][1] == f"50.8 ± {50 * (high - low):.1f}"
    assert "95 % interval (Student's t) over 6 seeds" in grid.caption


def test_columns_are_compared_along_the_row(study):
    grid, _ = arrange([study], Wish(columns=("strategy",)))
    assert grid.heads == ("partition.beta",)
    assert grid.columns == ["fedavg", "fedprox"]
    assert grid.best == {(("0.1",), "fedprox"), (("0.5",), "fedavg")}


def test_without_keys_those_that_differ_and_the_compared_last(study):
    grid, _ = arrange([study], Wish(measures=("accuracy", "rounds"), target=0.6))
    assert grid.heads == ("partition.beta", "strategy")
    assert grid.columns == ["accuracy [%]", "rounds"]
    assert [line[:2] + line[3:] for line in grid.lines()[1:]] == [
        ["0.1", "fedavg", ""],
        ["0.1", "fedprox", ""],
        ["0.5", "fedavg", "2.0 ± 0.0"],
        ["0.5", "fedprox", "2.0 ± 0.0"],
    ]


def test_less_is_better_of_what_it_costs_and_targets_that_not_all_reach(tmp_path):
    for strategy, curves in {"fedavg": ([0.5, 0.75], [0.5, 0.625]), "fedprox": ([0.75], [0.5, 0.75])}.items():
        for seed, curve in enumerate(curves):
            write(tmp_path / f"{strategy}{seed}.h5", curve, job(strategy, seed, rounds=3))
    grid, _ = arrange([tmp_path], Wish(rows=("strategy",), measures=("rounds",), target=0.75))
    assert grid.lines()[1:] == [["fedavg", "2.0 (1 of 2)"], ["fedprox", "1.5 ± 0.7"]]
    assert grid.best == set()
    grid, _ = arrange([tmp_path], Wish(rows=("strategy",), measures=("rounds",), target=0.6))
    assert grid.best == {(("fedprox",), "rounds")}
    grid, _ = arrange([tmp_path], Wish(rows=("strategy",), measures=("own",)))
    assert grid.lines()[1:] == [["fedavg", ""], ["fedprox", ""]]


def test_pairs_are_the_seeds_that_both_have(tmp_path):
    for strategy, seeds in {"fedavg": (0, 1, 2), "fedprox": (1, 2, 3)}.items():
        for seed in seeds:
            write(
                tmp_path / f"{strategy}{seed}.h5",
                [0.1 * seed + (strategy == "fedprox") * 0.125],
                job(strategy, seed, rounds=1),
            )
    grid, _ = arrange([tmp_path], Wish(rows=("strategy",), baseline={"strategy": "fedavg"}))
    (pair,) = grid.pairs.values()
    assert (pair.pairs, round(pair.difference, 12)) == (2, 0.125)
    for seed in (1, 2):
        (tmp_path / f"fedavg{seed}.h5").unlink()
    with pytest.raises(
        ResultError, match="fedprox and the baseline strategy=fedavg have no seed in common: 1, 2, 3 and 0"
    ) as failure:
        arrange([tmp_path], Wish(rows=("strategy",), baseline={"strategy": "fedavg"}))
    assert failure.value.exit_code == 2


def test_a_baseline_of_which_there_are_no_runs_on_some_data(tmp_path):
    write(tmp_path / "a.h5", [0.5], data="digits")
    write(tmp_path / "b.h5", [0.5], data="digits", strategy="fedprox")
    write(tmp_path / "c.h5", [0.5], data="mnist", strategy="fedprox")
    _, notes = arrange([tmp_path], Wish(baseline={"strategy": "fedavg"}))
    assert notes == ["note: there is no run of strategy=fedavg to compare mnist, fedprox with"]


def test_what_the_table_does_not_show_is_noted(tmp_path):
    write(tmp_path / "a.h5", [0.5], client={"lr": 0.5})
    write(tmp_path / "b.h5", [0.5], strategy="fedprox")
    _, notes = arrange([tmp_path], Wish(rows=("strategy",)))
    assert notes == ["note: the runs differ also in client.lr"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(rows=("strateggy",)), "strateggy: no job has this key; did you mean strategy"),
        (Wish(rows=("lr",)), "did you mean client.lr"),
        (
            Wish(columns=("xyz",)),
            "xyz: no job has this key; the runs differ in partition.beta, seed, strategy, strategy.mu",
        ),
        (
            Wish(rows=("strategy",)),
            "differ in more than seed: partition.beta is 0.1, 0.5; .*--rows strategy,partition.b",
        ),
        (Wish(measures=("acuracy",)), "acuracy: no such measure; did you mean accuracy"),
        (Wish(baseline={"strategy": "fedsgd"}), "strategy=fedsgd: no run is of it; strategy is fedavg, fedprox"),
        (Wish(baseline={"client.lr": "1"}, rows=("strategy", "partition.beta")), "client.lr is neither in the rows"),
        (Wish(rows=("strategy", "partition.beta"), over=("client.lr",)), "differ in more than client.lr: seed is 0, 1"),
        (Wish(of="own"), "not all have the accuracy of the clients' own models"),
    ],
)
def test_wishes_that_cannot_be_granted(study, wish, words):
    with pytest.raises(ResultError, match=words):
        arrange([study], wish)


def test_several_baselines_in_one(tmp_path):
    for mu in (0.1, 0.2):
        write(tmp_path / f"{mu}.h5", [mu], strategy={"name": "fedprox", "mu": mu})
    write(tmp_path / "avg.h5", [0.5])
    rows = ("strategy", "strategy.mu")
    grid, _ = arrange([tmp_path], Wish(rows=rows, baseline={"strategy": "fedavg"}))
    assert [round(pair.difference, 12) for pair in grid.pairs.values()] == [-0.4, -0.3]
    with pytest.raises(ResultError, match="2 cells are of it; say also strategy.mu=..."):
        arrange([tmp_path], Wish(rows=rows, baseline={"strategy": "fedprox"}))
    grid, _ = arrange([tmp_path], Wish(rows=rows, baseline={"strategy": "fedprox", "strategy.mu": "0.10"}))
    assert [round(pair.difference, 12) for pair in grid.pairs.values()] == [0.4, 0.1]


def test_the_formats_show_the_best_and_what_differs(study):
    grid, _ = arrange([study], GENERAL)
    text = FORMATS["text"](grid).splitlines()
    assert text[0] == "strategy       beta=0.1     beta=0.5"
    assert text[3] == "fedprox   *56.3 ± 2.2 †   70.7 ± 0.8"
    assert text[5] == "accuracy [%], mean ± standard deviation over 6 seeds; * the best"
    assert "| fedprox | **56.3 ± 2.2 †** | 70.7 ± 0.8 |" in FORMATS["markdown"](grid)
    assert r"fedprox & \textbf{56.3 $\pm$ 2.2 $\dagger$} & 70.7 $\pm$ 0.8 \\" in FORMATS["latex"](grid)


def test_the_comma_separated_numbers_are_exact(study):
    grid, _ = arrange([study], GENERAL)
    lines = {(line["strategy"], line["column"]): line for line in csv.DictReader(FORMATS["csv"](grid).splitlines())}
    for (strategy, beta), scores in SCORES.items():
        line = lines[strategy, f"beta={beta}"]
        assert (line["runs"], line["known"]) == ("6", "6")
        assert float(line["mean"]) == pytest.approx(sum(scores) / 6, rel=1e-12)
        assert float(line["std"]) == pytest.approx(stats.tstd(scores), rel=1e-12)
    assert lines["fedavg", "beta=0.1"]["p_t"] == ""
    assert lines["fedprox", "beta=0.1"]["best"] == "1"
    p = stats.ttest_rel(SCORES["fedprox", 0.1], SCORES["fedavg", 0.1]).pvalue
    assert float(lines["fedprox", "beta=0.1"]["p_t"]) == pytest.approx(p, rel=1e-12)


def test_the_command(study):
    command = [sys.executable, "-m", "hpcfl", "table", str(study), "--columns", "partition.beta"]
    done = subprocess.run([*command, "--rows", "strategy", "--format", "csv"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "strategy,column,runs,known,mean,std,ci95,best"
    done = subprocess.run([*command, "--rows", "strateggy"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hpcfl: error: strateggy: no job has this key; did you mean strategy")
