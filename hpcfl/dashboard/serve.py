"""The site at work: the server, the first look through the folder, and the link for the first administrator."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading

import click
from sqlalchemy import select
from waitress import create_server

from hpcfl.dashboard.accounts import make_link
from hpcfl.dashboard.app import create_app
from hpcfl.dashboard.database import User, db
from hpcfl.dashboard.settings import Settings
from hpcfl.dashboard.site import Site
from hpcfl.errors import JobError

__all__ = ["serve"]

THREADS = 8
MOST_BYTES = 32 * 1024 * 1024
"""Of a request, before the application has seen it; pages allow less."""


def serve(settings: Settings, host: str, port: int, admin_link: bool) -> None:
    """Serve until Ctrl-C. JobError where the address cannot be had, or accounts cannot be kept."""
    app = create_app(settings)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a browser asks for ten files at once
    try:
        server = create_server(
            app, host=host, port=port, threads=THREADS, ident=None, max_request_body_size=MOST_BYTES,
            clear_untrusted_proxy_headers=not settings.proxied,
        )  # fmt: skip
    except ValueError:
        raise JobError(f"--host {host}: is no address of this machine; 127.0.0.1 is its own, 0.0.0.0 all") from None
    except OSError as failure:
        raise JobError(f"--host {host} --port {port}: {failure.strerror}; --port 0 takes one that is free") from None
    address = f"http://{_spelled(host)}:{_port(server)}"
    click.echo(f"runs in {settings.results} at {address}{settings.prefix}/")
    if (link := _first_link(app, admin_link)) is not None:
        click.echo(f"make {'another' if admin_link else 'the first'} administrator, once and within a day:")
        click.echo(f"  {address}{settings.prefix}/welcome/{link}")
    click.echo("Ctrl-C ends it")
    threading.Thread(target=app.catalogue.runs, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.run()
    finally:
        server.close()


def _first_link(app: Site, wanted: bool) -> str | None:
    """A link for an administrator, where there is none or one is asked for."""
    with app.app_context():
        known = db.session.scalar(select(User.id).where(User.role == "admin").limit(1))
        return make_link("admin") if wanted or known is None else None


def _port(server: object) -> int:
    """The one that it listens on; a name may have several addresses."""
    return getattr(server, "effective_port", 0) or server.effective_listen[0][1]


def _spelled(host: str) -> str:
    """A host as addresses have it; that of all is this one's."""
    if host in ("0.0.0.0", "::", "*"):
        return socket.getfqdn()
    return f"[{host}]" if ":" in host else host
