"""From a sweep's file to its cells' jobs: patterns, inline jobs, and mistakes that name the cell and the key."""

import pytest

from hpcfl.errors import JobError
from hpcfl.jobfile import read
from hpcfl.sweep.file import read_sweep

INLINE = """
[job]
rounds = 2
data = {name = "synthetic", samples = 40, test_samples = 10, shape = [4], classes = 2}
[job.strategy]
name = "fedprox"
mu = 0.5
[grid]
seed = [0, 1]
"""


def complaint(*given, **settings):
    with pytest.raises(JobError) as caught:
        read_sweep(*given, **settings)
    return str(caught.value)


def test_a_cell_is_the_job_with_its_changes(write):
    path = write("[grid]\nseed = [0, 7]\n[[cells]]\nstrategy = {name = 'fedprox', mu = 0.2}\n")
    sweep = read_sweep(path, ["rounds=9"], ranks=3, parallel=None)
    cell = sweep.cells[1]
    assert (sweep.name, sweep.run.ranks, sweep.run.parallel) == ("many", 3, 1)
    assert (cell.name, str(cell.path)) == ("fedprox-mu0.2-seed7", "results/many/fedprox-mu0.2-seed7.h5")
    assert (cell.job.spec.seed, cell.job.spec.rounds, cell.job.spec.name) == (7, 9, cell.name)
    assert cell.job.spec.strategy.params == {"mu": 0.2}
    words = cell.arguments
    changes = [word for before, word in zip(words, words[1:]) if before == "--set"]
    assert read(words[1], changes, words[-1]).digest == cell.job.digest  # the command line says the same


def test_a_job_inside_the_sweep_s_file(write, tmp_path):
    path = write(INLINE)
    sweep = read_sweep(path)
    assert [cell.name for cell in sweep.cells] == ["many-seed0", "many-seed1"]
    assert sweep.cells[1].source == f"{path}#job"
    assert sweep.cells[1].job.folder == tmp_path.resolve()
    assert sweep.cells[1].job.spec.strategy.params == {"mu": 0.5}
    with pytest.raises(JobError, match=r"many.toml: has no table \[jib\]"):
        read(f"{path}#jib")


@pytest.mark.parametrize(
    "pattern, named",
    [("{strategy.name}-{strategy.mu}-s{seed}", "fedprox-0.5-s1"), ("run {client.epochs}/{seed}", "run-1-1")],
)
def test_names_by_a_pattern(write, pattern, named):
    assert read_sweep(write(f'{INLINE}[run]\nname = "{pattern}"\n')).cells[1].name == named


@pytest.mark.parametrize(
    "text, said",
    [
        ("[grids]\nseed = [1]", "grids: unknown key; did you mean grid?"),
        ("[run]\nrank = 2", "run.rank: unknown key; did you mean ranks?"),
        ("[run]\nranks = 0", "run.ranks = 0: should be greater than 0"),
        ("job = 3", "job = 3: should be a job file"),
        ("job = 'nowhere.toml'", "nowhere.toml does not exist"),
        ("grid", "not valid TOML"),
        ("[grid]\nseed = 3", "many.toml: grid.seed = 3: should be a list"),
        ("[grid]\nseed = [0, -1]", "1 of 2 cells cannot run:\n  cell base-seed-1: "),
        ("[grid]\nseed = [0, -1]", "seed = -1: should be greater than or equal to 0"),
        ("[grid]\nsead = [0, 1]", "2 of 2 cells cannot run:\n  cell base-sead0, base-sead1: "),
        ("[grid]\nsead = [0, 1]", "sead: unknown key; did you mean seed?"),
        ("[grid]\nseed = [0, 1]\n[run]\nname = 'same'", "run.name gives two cells the name 'same'"),
        ("[grid]\nseed = [0]\n[run]\nname = '{sead}'", "run.name = '{sead}': the job does not say sead"),
        ("[grid]\nseed = [0]\n[run]\nname = '{client}'", "run.name = '{client}': client is not one value"),
    ],
)
def test_mistakes(write, text, said):
    assert said in complaint(write(text))


@pytest.mark.parametrize("change", ["strategy.mu=1", "strategy=fedavg"])
def test_what_the_sweep_changes_is_not_changed_beside_it(write, change):
    said = complaint(write("[grid]\nstrategy.mu = [0, 1]"), [change])
    assert said.startswith(f"--set {change}: the sweep changes strategy.mu from cell to cell")
