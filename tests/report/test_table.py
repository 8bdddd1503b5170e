"""`table`: the layout of a paper's table, from result files."""

import csv
import subprocess
import sys

import numpy as np
import pytest

from hpcfl.errors import ResultError
from hpcfl.report.grid import FORMATS, Grid
from hpcfl.report.table import tabulate
from hpcfl.results import Writer
from hpcfl.schema import JobSpec

VGG = ["vgg11", "vgg11", "vgg13", "vgg13"]


def write(
    path,
    accuracies,
    scheme="max_common",
    seed=0,
    models=VGG,
    data="cifar10",
    finish=True,
    earlier=0,
    tested=None,
    **client,
):
    """A run of a round or two; in the last one the clients' own models have these accuracies."""
    job = {"rounds": 2, "seed": seed, "data": data, "strategy": scheme, "client": {"test_size": 0.2, **client}}
    clients = {"examples": np.full(len(models), 9), "architecture": np.array(models, object)}
    row = {
        "time": 1.0, "wall": 1.0, "accuracy": 0.25, "loss": 1.0, "client_accuracy_low": 0.125, "examples": 9,
        "clients": 4, "failures": 0, "bytes_up": 0, "bytes_down": 0, "client_bytes_up": 0, "client_bytes_down": 0,
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    with Writer(path) as writer:
        writer.start("", JobSpec.parse(job, "job.toml").resolved(), {}, clients)
        for step, values in enumerate(([earlier] * len(models), accuracies), 1):
            if accuracies:
                on_test = [np.zeros(len(models)), np.array(tested)] if tested else []
                writer.clients(step, np.zeros(len(models)), np.array(values), *on_test)
            writer.step(row | {"step": step}, [])
        if finish:
            writer.finish()
    return path


def rows(*paths):
    grid, _ = tabulate(paths)
    return grid.lines()


def test_versions_are_means_over_their_clients_in_the_last_evaluation(tmp_path):
    path = write(tmp_path / "a.h5", [0.5, 0.75, 0.125, np.nan], earlier=1.0)
    assert rows(path) == [
        ["Dataset", "Model", "Scheme", "V1", "V2"],
        ["CIFAR-10", "VGG", "Max-Common", "62.5", "12.5"],
    ]


def test_seeds_share_a_row(tmp_path):
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write(tmp_path / f"{seed}.h5", [accuracy] * 2 + [0.5] * 2, seed=seed)
    (_, row) = rows(tmp_path)
    assert row[3:] == ["60.0 ± 10.0", "50.0 ± 0.0"]


def test_the_best_scheme_of_a_model_is_bold(tmp_path):
    write(tmp_path / "a.h5", [0.5, 0.5, 0.75, 0.75], "standalone")
    write(tmp_path / "b.h5", [0.625, 0.625, 0.7504, 0.7504], "max_common")
    write(tmp_path / "c.h5", [0.25, 0.25], "standalone", models=["resnet20", "resnet32"])
    grid, _ = tabulate([tmp_path])
    assert FORMATS["markdown"](grid).splitlines()[2:5] == [
        "| CIFAR-10 | VGG | Standalone | 50.0 | 75.0 |",
        "| CIFAR-10 | VGG | Max-Common | **62.5** | 75.0 |",
        "| CIFAR-10 | ResNet | Standalone | 25.0 | 25.0 |",
    ]


def test_rows_are_in_the_order_of_the_paper(tmp_path):
    wanted = [
        ("cifar10", "vgg11", "standalone"),
        ("cifar10", "vgg11", "clustered_fl"),
        ("cifar10", "vgg11", "basic_common"),
        ("cifar10", "vgg11", "clustered_common"),
        ("cifar10", "vgg11", "max_common"),
        ("cifar10", "resnet20", "max_common"),
        ("ag_news", "charcnn3", "standalone"),
        ("omniglot", "mine", "fedavg"),
        ("omniglot", "mine", "mine.Own"),
    ]
    for place in np.random.default_rng(0).permutation(len(wanted)):
        data, model, scheme = wanted[place]
        write(tmp_path / f"{place}.h5", [0.5, 0.5], scheme, models=[model, f"{model[:-1]}9"], data=data)
    table = rows(tmp_path)
    assert [row[:3] for row in table[1:6]] == [
        ["CIFAR-10", "VGG", scheme]
        for scheme in ("Standalone", "Clustered-FL", "Basic-Common", "Clustered-Common", "Max-Common")
    ]
    assert [row[:3] for row in table[6:]] == [
        ["CIFAR-10", "ResNet", "Max-Common"],
        ["AG News", "CharCNN", "Standalone"],
        ["omniglot", "mine/min9", "FedAvg"],
        ["omniglot", "mine/min9", "mine.Own"],
    ]


def test_one_architecture_and_none_of_their_own(tmp_path):
    own = write(tmp_path / "own.h5", [0.5, 0.75], "ditto", models=["cnn", "cnn"])
    shared = write(tmp_path / "shared.h5", [], "fedavg", models=["cnn", "cnn"])
    assert rows(shared, own) == [
        ["Dataset", "Model", "Scheme", "Accuracy", "Mean", "Lowest decile"],
        ["CIFAR-10", "cnn", "FedAvg", "25.0", "", ""],
        ["CIFAR-10", "cnn", "ditto", "", "62.5", "12.5"],
    ]


def test_clients_that_kept_nothing_back_are_tested_on_the_test_set(tmp_path):
    tested = write(tmp_path / "a.h5", [np.nan] * 4, tested=[0.5, 0.75, 0.25, 0.5])
    assert rows(tested)[1][3:] == ["62.5", "37.5"]
    both = write(tmp_path / "b.h5", [0.25] * 4, tested=[0.5, 0.75, 0.25, 0.5])
    assert rows(both)[1][3:] == ["25.0", "25.0"]


def test_what_cannot_be_told_apart_is_refused(tmp_path):
    first = write(tmp_path / "a.h5", [0.5] * 4)
    with pytest.raises(ResultError, match="a.h5 and .*b.h5 would share the row CIFAR-10, VGG, Max-Common, but have"):
        tabulate([first, write(tmp_path / "b.h5", [0.5] * 4)])
    other = write(tmp_path / "c.h5", [0.5] * 4, seed=1, lr=0.5)
    with pytest.raises(ResultError, match="but differ in more than the seed: client.lr is 0.01 and 0.5; give one"):
        tabulate([first, other])


def test_runs_that_have_not_finished(tmp_path):
    done = write(tmp_path / "runs/done.h5", [0.5] * 4)
    killed = write(tmp_path / "runs/killed.h5", [0.5] * 4, seed=1, finish=False)
    (tmp_path / "runs/empty.h5").write_text("")
    with pytest.raises(ResultError, match="killed.h5 is of a run that has not finished"):
        tabulate([done, killed])
    grid, notes = tabulate([tmp_path / "runs"])
    assert len(grid.rows) == 1
    assert [note.partition(".h5 ")[0].rpartition("/")[2] for note in notes] == ["empty", "killed"]
    done.unlink()
    with pytest.raises(ResultError, match="no result files to be taken in .*runs\nleft out: .*empty.h5 is empty"):
        tabulate([tmp_path / "runs"])
    with pytest.raises(ResultError, match="there is no file"):
        tabulate([tmp_path / "nothing.h5"])


GRID = Grid(("Data", "Scheme"))
for _key, _figures in {
    ("A_1", "one"): [{"V1": 0.5}, {"V1": 0.75}],
    ("A_1", "two|"): [{"V1": 0.625, "V2": 1.0}],
    ("B", "one"): [{"V2": float("nan")}],
}.items():
    for _run in _figures:
        GRID.enter(_key, _run)

TEXT = """\
Data  Scheme           V1     V2
--------------------------------
A_1   one     62.5 ± 17.7
      two|           62.5  100.0
--------------------------------
B     one
--------------------------------
accuracy [%], mean ± standard deviation over 1 to 2 seeds"""

MARKDOWN = r"""| Data | Scheme | V1 | V2 |
| --- | --- | ---: | ---: |
| A_1 | one | 62.5 ± 17.7 |  |
| A_1 | two\| | 62.5 | 100.0 |
| B | one |  |  |

Accuracy [%], mean ± standard deviation over 1 to 2 seeds."""

LATEX = r"""% accuracy [%], mean ± standard deviation over 1 to 2 seeds
\begin{tabular}{llrr}
\toprule
Data & Scheme & V1 & V2 \\
\midrule
A\_1 & one & 62.5 $\pm$ 17.7 &  \\
 & two\textbar{} & 62.5 & 100.0 \\
\midrule
B & one &  &  \\
\bottomrule
\end{tabular}"""


@pytest.mark.parametrize(("form", "expected"), [("text", TEXT), ("markdown", MARKDOWN), ("latex", LATEX)])
def test_each_format_as_it_is_written(form, expected):
    assert FORMATS[form](GRID) == expected


STRANGE = r"_a_b [1] * ` \ | & %$#{}~^<>"


def test_what_a_format_takes_for_its_own_is_escaped():
    grid = Grid(
        ("Key",), rows={("[1, 10]",): {"V": [0.5]}, ("*",): {"V": [0.25]}, (STRANGE,): {"V": [0.25]}}, columns=["V"]
    )
    latex = FORMATS["latex"](grid)
    assert r"{}[1, 10] & 50.0 \\" in latex  # after \midrule and \\ a bracket would begin an option
    assert r"{}* & 25.0 \\" in latex
    assert (
        r"\_a\_b [1] * ` \textbackslash{} \textbar{} \& \%\$\#\{\}\textasciitilde{}\textasciicircum{}"
        r"\textless{}\textgreater{} & 25.0 \\"
    ) in latex
    assert r"| \_a_b [1] \* \` \\ \| & %$#{}~^\<> | 25.0 |" in FORMATS["markdown"](grid)
    head, *_, last = csv.reader(FORMATS["csv"](grid).splitlines())
    assert (head[0], last[0]) == ("Key", STRANGE)


@pytest.mark.parametrize(
    ("job", "lacks"),
    [
        ({"data": {"name": "digits"}}, "model and no strategy and no seed"),
        ({"data": "name", "model": None, "strategy": {"name": "fedavg"}, "seed": 1}, "data and no model"),
        ({key: {"name": "x"} for key in ("data", "model", "strategy")}, "seed"),
    ],
)
def test_a_job_that_says_too_little(tmp_path, job, lacks):
    path = tmp_path / "a.h5"
    with Writer(path) as writer:
        writer.start("", job, {}, {"examples": np.array([9])})
        counts = ("examples", "clients", "failures", "bytes_up", "bytes_down", "client_bytes_up", "client_bytes_down")
        writer.step({"step": 1, **dict.fromkeys(counts, 0)}, [])
        writer.finish()
    with pytest.raises(ResultError, match=f"a.h5 cannot stand in the table: its job names no {lacks}$"):
        tabulate([path])


def test_the_command(tmp_path):
    write(tmp_path / "a.h5", [0.5] * 4)
    (tmp_path / "b.h5").write_text("")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hpcfl", "table", str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[2] == "CIFAR-10  VGG    Max-Common  50.0  50.0"
    assert f"left out: {tmp_path / 'b.h5'} is empty" in done.stderr
    assert "torch" not in done.stderr
