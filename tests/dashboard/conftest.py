"""A site over a folder of runs, and people in it."""

import re

import pytest
from small_run import CLIENTS, ENVIRONMENT, JOB, LAYOUT, OWNER, VECTOR, write_steps

from hpcfl.dashboard.accounts import hash_password
from hpcfl.dashboard.app import create_app
from hpcfl.dashboard.database import User, db
from hpcfl.dashboard.settings import Settings
from hpcfl.results import Writer

PASSWORD = "correct horse battery"


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
    """Write a run of some steps into the folder: its name, its job's keys, and whether it has ended."""

    def written(name="run", steps=4, finish="finished", text='name = "small"\n', **keys):
        path = results / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Writer(path) as writer:
            writer.start(text, {**JOB, **keys}, ENVIRONMENT, CLIENTS, ["cat", "dog", "øl"], OWNER)
            write_steps(writer, 1, steps)
            if steps:
                writer.model(steps, VECTOR, LAYOUT)
            if finish:
                writer.finish(finish)
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


class Person:
    """Somebody with a browser."""

    def __init__(self, app, login="", role="", base_url="http://localhost"):
        self.app, self.login, self.role, self.base_url = app, login, role, base_url
        self.browser = app.test_client()
        if login:
            with app.app_context():
                db.session.add(User(login=login, name=login.title(), password=hash_password(PASSWORD), role=role))
                db.session.commit()
            assert self.post("/login", login=login, password=PASSWORD).status_code == 302

    def get(self, path, **more):
        return self.browser.get(path, base_url=self.base_url, **more)

    def token(self, path="/login"):
        """A token, as a page of the site has it."""
        return re.search(r'name="csrf-token" content="([^"]+)"', self.get(path, follow_redirects=True).text)[1]

    def post(self, path, page="/login", **fields):
        """Fill in a form of the site."""
        fields = {"csrf_token": self.token(page), **fields}
        return self.browser.post(path, data=fields, base_url=self.base_url)


@pytest.fixture
def person(app):
    """Somebody of a role, logged in; nobody in particular without one."""

    def made(role="", login=None, site=None):
        return Person(site or app, login or role, role)

    return made
