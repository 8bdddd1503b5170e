"""A scheme that the dashboard hands in to a real Slurm."""

import time

import pytest
from sqlalchemy import select

from hpcfl.dashboard import starts
from hpcfl.dashboard.app import create_app
from hpcfl.dashboard.database import User, db
from hpcfl.dashboard.schemes import schemes
from hpcfl.dashboard.settings import Settings

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

JOB = """
rounds = {rounds}
data = {{name = "synthetic", samples = 40, test_samples = 10, shape = [4], classes = 2}}
partition = {{clients = 2}}
model = "mlp"
"""
LIMIT_S = 120


@pytest.fixture
def site(slurm, monkeypatch):
    monkeypatch.setattr(starts, "TOLD_S", 0.0)
    for name, rounds in (("quick", 2), ("endless", 10**7)):
        folder = slurm.folder / "jobs"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.toml").write_text(JOB.format(rounds=rounds))
    (slurm.folder / "results").mkdir()
    app = create_app(Settings(slurm.folder / "results", slurm.folder / "state", jobs=slurm.folder / "jobs"))
    with app.app_context():
        db.session.add(User(login="ada", name="Ada", password="", role="runner"))
        db.session.commit()
        yield app


def begin(site, name):
    (scheme,) = (each for each in schemes(site.settings.jobs) if each.name == name)
    return starts.start(site.settings, db.session.scalar(select(User)), scheme, 7, 2, "slurm")


def wait(row, *states):
    end = time.monotonic() + LIMIT_S
    while starts.look(row) not in states:
        assert time.monotonic() < end, starts.look(row)
        time.sleep(0.2)
    return starts.look(row)


def test_it_runs_through_the_queue(site):
    row = begin(site, "quick")
    assert row.number.isdigit()
    assert wait(row, "ended") == "ended"
    run = site.catalogue.find(starts.run_of(row))
    assert run is not None, starts.last_words(site.settings, row)
    assert (run.status, run.summary.step, run.summary.seed) == ("finished", 2, 7)


def test_it_is_cancelled_in_the_queue(site):
    row = begin(site, "endless")
    wait(row, "running")
    starts.cancel(row)
    assert wait(row, "cancelled") == "cancelled"
