"""People in front of browsers."""

import re

from hpcfl.dashboard.accounts import hash_password
from hpcfl.dashboard.database import User, db

__all__ = ["PASSWORD", "Person"]

PASSWORD = "correct horse battery"


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
