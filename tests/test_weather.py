"""The weather study: its job files are the cells of its sweep, and an owner alone trains alone."""

from pathlib import Path

import pytest

from hpcfl.checkpoint.identity import flat
from hpcfl.clock import VirtualClock
from hpcfl.errors import JobError
from hpcfl.federation import foresee
from hpcfl.jobfile import read
from hpcfl.sweep.file import read_sweep

FOLDER = Path(__file__).parents[1] / "jobs/weather"
JOBS = ["centralized1_1", "centralized1_2", "centralized1_3", "f3", "f5", "f10", "centralized_all"]


def meant(spec):
    """All that the job says, but for its name, its seed and where its results go."""
    said = flat(spec.resolved())
    return {key: value for key, value in said.items() if key not in ("name", "seed", "results.path")}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_file_is_a_cell_of_the_study(name):
    cells = {cell.name: cell for cell in read_sweep(str(FOLDER / "study.toml")).cells}
    assert len(cells) == 3 * len(JOBS)
    job = meant(read(str(FOLDER / f"{name}.toml")).spec)
    for seed in range(3):
        assert meant(cells[f"{name}-seed{seed}"].job.spec) == job


def test_both_models_have_the_same_cells():
    small, large = (read_sweep(str(FOLDER / f"{name}.toml")) for name in ("study", "study_resnet18"))
    assert [cell.name for cell in small.cells] == [cell.name for cell in large.cells]
    assert {cell.job.spec.model.name for cell in large.cells} == {"torchvision.models.resnet18"}


@pytest.mark.parametrize("owner", [1, 3])
def test_an_owner_alone_trains_alone(owner):
    job = read(str(FOLDER / "centralized1_1.toml"), ['data={name="digits"}', f"schedule.owner={owner}", "rounds=4"])
    schedule, world = foresee(job)
    steps = list(schedule(world, VirtualClock()))
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert [[done.key for done in step.done] for step in steps] == [[], *([(owner - 1, at, 0)] for at in range(4))]
    assert world.clients == 3


def test_an_owner_that_is_not_there():
    job = read(str(FOLDER / "centralized1_1.toml"), ['data={name="digits"}', "schedule.owner=4"])
    with pytest.raises(JobError, match=r"schedule.owner = 4: there are 3 \(partition.clients\)"):
        foresee(job)
