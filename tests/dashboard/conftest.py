"""A site over a folder of runs, and people in it."""

import pytest
from people import Person
from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, OWNER, VECTOR, write_steps

from hpcfl.dashboard.app import create_app
from hpcfl.dashboard.settings import Settings
from hpcfl.results import Writer


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    """Hashes with the smallest parameters: what they cost is argon2's affair, and not tested here."""
    from argon2 import PasswordHasher

    monkeypatch.setattr("hpcfl.dashboard.accounts.HASHER", PasswordHasher(1, 8, 1))


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def write(results):
    """Write a run of some steps into the folder; `finish`: how it ended, or nothing if it was killed."""

    def written(name="run", /, steps=4, finish="finished", text='name = "small"\n', **keys):
        path = results / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Writer(path) as writer:
            writer.start(text, {**JOB, **keys}, ENVIRONMENT, CLIENTS, ["cat", "dog", "øl"], OWNER)
            write_steps(writer, 1, steps)
            if steps:
                writer.model(steps, VECTOR, LAYOUT)
            if finish:
                writer.finish(finish)
            there = path.read_bytes()
        if not finish:
            path.write_bytes(there)
        return path

    return written


@pytest.fixture
def make_site(results, tmp_path):
    """The site, with settings that are to be different."""

    def made(**settings):
        return create_app(Settings(**{"results": results, "state": tmp_path / "state", **settings}))

    return made


@pytest.fixture
def app(make_site):
    return make_site()


@pytest.fixture
def person(app):
    """Somebody of a role, logged in; nobody in particular without one."""

    def made(role="", login=None, site=None):
        return Person(site or app, login or role, role)

    return made
