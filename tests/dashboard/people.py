"""People in front of browsers."""

import re

from hpcfl.dashboard.accounts import hash_password
from hpcfl.dashboard.database import User, db

__all__ = ["PASSWORD", "Person"]

PASSWORD = "correct horse battery"


class Person:
    """Somebody with a browser."""

    def __init__(self, app, login="", role="", path=""):
        self.app, self.login, self.role = app, login, role
        self.browser = app.test_client()
        if login:
            with app.app_context():
                db.session.add(User(login=login, name=login.title(), password=hash_password(PASSWORD), role=role))
                db.session.commit()
            assert self.post(f"{path}/login", page=f"{path}/login", login=login, password=PASSWORD).status_code == 302

    def get(self, path, **more):
        return self.browser.get(path, **more)

    def token(self, path="/login"):
        """A token, as a page of the site has it."""
        return re.search(r'name="csrf-token" content="([^"]+)"', self.get(path, follow_redirects=True).text)[1]

    def post(self, path, page="/login", **fields):
        """Fill in a form of the site."""
        fields = {"csrf_token": self.token(page), **fields}
        return self.browser.post(path, data=fields)
