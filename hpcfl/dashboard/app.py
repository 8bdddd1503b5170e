"""The application: settings in, pages out."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager
from flask_wtf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from hpcfl.dashboard.accounts import SESSION_S, by_session
from hpcfl.dashboard.catalogue import Catalogue
from hpcfl.dashboard.contents import MENU, PAGES
from hpcfl.dashboard.database import ROLES, db, make_tables, reserve
from hpcfl.dashboard.errors import explain
from hpcfl.dashboard.guard import admit, limit
from hpcfl.dashboard.headers import protect
from hpcfl.dashboard.proxy import Below
from hpcfl.dashboard.settings import Settings, secret
from hpcfl.dashboard.site import Site
from hpcfl.dashboard.words import FILTERS

__all__ = ["create_app"]

COOKIE = "hpcfl_session"
"""Its name goes on differently at each site: cookies do not tell ports apart."""


class Cookies(SecureCookieSessionInterface):
    """Cookies that stay below the site's prefix, and on https where the site is reached so."""

    def get_cookie_path(self, app: Flask) -> str:
        return request.script_root or "/"

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


class Number(IntegerConverter):
    """A number in an address: one with more digits is in no table, nor could SQLite be asked for it."""

    regex = r"\d{1,18}"


def create_app(settings: Settings) -> Site:
    """The site over `settings.results`. JobError where its accounts cannot be kept."""
    app = Site("hpcfl.dashboard")
    app.settings, app.catalogue = settings, Catalogue(settings.results)
    key = secret(settings.state)
    database = settings.state / "site.sqlite"
    app.config.update(
        SECRET_KEY=key,
        SQLALCHEMY_DATABASE_URI=reserve(database),
        SESSION_COOKIE_NAME=f"{COOKIE}_{sha256(key).hexdigest()[:8]}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,  # a session ends a time after its login
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=SESSION_S),
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a page stays open all day
        WTF_CSRF_SSL_STRICT=False,  # the token is enough; a proxy need not keep the host's name
    )
    app.session_interface = Cookies()
    app.url_map.converters["int"] = Number
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(site=app, ROLES=ROLES, menu=MENU)
    db.init_app(app)
    login = LoginManager(app)
    login.user_loader(by_session)
    login.session_protection = None  # a laptop changes networks
    app.before_request(limit)
    app.before_request(admit)  # before forms are read: a stranger's is refused unread
    CSRFProtect(app)
    app.after_request(protect)
    explain(app)
    for page in PAGES:
        app.register_blueprint(page)
    if settings.proxied:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)
    app.wsgi_app = Below(app.wsgi_app, settings.prefix, settings.proxied)
    with app.app_context():
        make_tables(database)
    return app
