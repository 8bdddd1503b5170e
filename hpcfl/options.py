"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["changes", "resources", "site_file"]

changes = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change a key of the job, say client.lr=0.05."
)

COUNT = click.IntRange(1)
RESOURCES = (
    click.option("--nodes", type=COUNT, default=1, show_default=True, help="Hosts."),
    click.option("--ranks-per-node", type=COUNT, help="Ranks on each. [one per GPU, and the server; else 1]"),
    click.option("--gpus-per-node", type=click.IntRange(0), default=0, help="GPUs on each."),
    click.option("--cpus-per-rank", type=COUNT, default=1, show_default=True, help="Cores of each rank."),
    click.option("--time", metavar="LIMIT", help="Time limit, say 30 (minutes), 4:00:00 or 1-12:00:00."),
    click.option("--partition", metavar="NAME", help="Where to queue. [the site's]"),
    click.option("--account", metavar="NAME", help="Whom to charge. [the site's]"),
    click.option("--qos", metavar="NAME", help="Quality of service. [the site's]"),
    click.option("--after", metavar="JOBID", multiple=True, help="Start when this job has succeeded; repeatable."),
    click.option("--requeue", is_flag=True, help="Checkpoint before the time limit, go on in the next one."),
    click.option("--signal-lead", type=COUNT, metavar="SECONDS",
                 help="SIGUSR2 so long before the limit. [120 with --requeue]"),
)  # fmt: skip

PLACES = "HPCFL_SITE, slurm/site.toml, ~/.config/hpcfl/site.toml"
site_file = click.option("--site", metavar="FILE", help=f"What to know of this cluster. [{PLACES}]")


def resources(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a batch job needs; their names are those of slurm.Request."""
    for option in reversed(RESOURCES):
        command = option(command)
    return command
