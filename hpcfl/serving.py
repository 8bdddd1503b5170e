"""The command that serves: dashboard."""

from __future__ import annotations

from importlib.util import find_spec

import click

__all__ = ["dashboard"]

NEEDED = ("flask", "flask_login", "flask_sqlalchemy", "flask_wtf", "argon2", "waitress", "PIL")
"""What the extra `dashboard` installs, as Python names it."""


@click.command()
@click.argument("results", metavar="RESULTS_DIR")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is everybody's.")
@click.option("--port", default=8050, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--prefix", default="", metavar="PATH", help="What a proxy puts before every path, say /node/n1/8050.")
@click.option("--proxied", is_flag=True, help="Believe the X-Forwarded-* headers of the one proxy in front.")
@click.option("--state", metavar="FOLDER", help="Where accounts are kept. [~/.local/state/hpcfl/dashboard/NAME]")
@click.option(
    "--registration",
    type=click.Choice(["approval", "open", "closed"]),
    default="approval",
    show_default=True,
    help="New accounts wait for an administrator, do not, or are not made.",
)
@click.option("--allow-run", is_flag=True, help="Runners may start the schemes in --jobs.")
@click.option("--jobs", metavar="FOLDER", default="jobs/weather", show_default=True, help="The schemes.")
@click.option("--at-once", type=click.IntRange(1), default=2, show_default=True, help="Schemes running here at a time.")
@click.option("--admin-link", is_flag=True, help="Print a link for another administrator, should none know the way.")
def dashboard(
    results: str, host: str, port: int, prefix: str, proxied: bool, state: str | None, registration: str,
    allow_run: bool, jobs: str, at_once: int, admin_link: bool,
) -> None:  # fmt: skip
    """Serve a web site over the runs in RESULTS_DIR: look, compare, predict, start.

    Everybody needs a login. The first start prints a link that makes the first administrator.
    """
    import os
    from pathlib import Path

    from hpcfl.errors import JobError

    if any(find_spec(name) is None for name in NEEDED):
        raise JobError("the dashboard needs packages of its own: pip install 'hpcfl[dashboard]'")
    folder, schemes = Path(results), Path(jobs)
    if not folder.is_dir():
        raise JobError(f"RESULTS_DIR {results}: is no folder; should be the one that result files are written to")
    if allow_run and not schemes.is_dir():
        raise JobError(
            f"--jobs {jobs}: is no folder; should be one with job files, which --allow-run lets runners start"
        )
    from hpcfl.dashboard.proxy import clean

    if prefix.strip("/") and not clean(prefix):
        raise JobError(f"--prefix {prefix}: is no path; should be like /node/n1/8050")
    from hpcfl.dashboard.serve import serve
    from hpcfl.dashboard.settings import Settings, own_folder

    settings = Settings(
        folder.resolve(),
        Path(state).absolute() if state else own_folder(folder, os.environ),
        clean(prefix),
        proxied,
        registration,
        schemes.resolve() if allow_run else None,
        at_once,
    )
    serve(settings, host, port, admin_link)
