"""Command lines of any words: what is wrong with them is a message."""

import shutil

import click
import pytest
from cases import UNLIMITED, share
from hypothesis import given
from hypothesis import strategies as st
from runs import SMALL, write_small

from hpcfl.cli import cli

pytestmark = UNLIMITED
TOGETHER = 3
WORDS = st.sampled_from([
    "run.h5", "run.h5", "run.h5", "other.h5", "*.h5", "job.toml", "job.toml", "job.toml#client", "nothere.h5",
    "nothere.toml", ".", "folder", "empty.h5",
    "", " ", "-", "--", "-o", "/dev/null", "x" * 300, "é", "\x1b[31m", "0", "1", "-1", "1e9", "nan", "inf", "0.5",
    "csv", "json", "markdown", "latex",
    "seed", "strategy", "client.lr", "client.lr,seed", ",", "=", "a=b", "client.lr=0.1", "client.lr=x", "client=3",
    "rounds=2", "name=", "data.x=1",
    "strategy=fedavg", "strategy.name=nosuch", "a.b.c=[", "seed={}", "accuracy", "gantt", "clients", "confusion",
    "accuracy,loss", "wall", "own",
    "out.csv", "out.pdf", "out.png", "folder/out.png", "nothere/out.png", "global", "fedavg,,fedprox", "16:00",
    "1-00:00:00", "rounds,events",
])  # fmt: skip
SLOW = ("bench", "run", "sweep")
"""They train, whatever they are given."""


def options(command: click.Command) -> list[str]:
    """What it can be asked."""
    return [name for option in command.params if isinstance(option, click.Option) for name in option.opts]


COMMANDS = {name: options(command) for name, command in cli.commands.items() if name not in SLOW}


@st.composite
def lines(draw):
    """A command and words."""
    name = draw(st.sampled_from([*COMMANDS]))
    more = st.sampled_from(COMMANDS[name]) if COMMANDS[name] else WORDS
    words = [draw(st.sampled_from(["run.h5", "job.toml"])), *draw(st.lists(WORDS | more, max_size=6))]
    return [name, *words, *(["--wait", "0"] if name == "watch" else ["--dry-run"] if name == "submit" else [])]


@st.composite
def trained(draw):
    """A command that would train, of a job that is not there."""
    name = draw(st.sampled_from(SLOW))
    more = st.sampled_from([*options(cli.commands[name]), "--nosuch"])
    return [name, "nothere.toml", *draw(st.lists(WORDS | more, max_size=5)), "--nosuch"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the words name."""
    made = tmp_path_factory.mktemp("commands")
    with pytest.MonkeyPatch.context() as patch:
        write_small(made / "run.h5", patch)
    shutil.copy(made / "run.h5", made / "other.h5")
    (made / "empty.h5").touch()
    (made / "folder").mkdir()
    (made / "job.toml").write_text(SMALL.format(rounds=2))
    return made


@share(0.06, TOGETHER)
@given(st.lists(lines() | lines() | trained(), min_size=TOGETHER, max_size=TOGETHER))
def test_any_words(forge, folder, tmp_path_factory, cases):
    here = tmp_path_factory.mktemp("words") / "here"
    shutil.copytree(folder, here)
    forge.each("commands", here, "command", cases)
    for name in ("run.h5", "other.h5", "job.toml"):
        assert (here / name).read_bytes() == (folder / name).read_bytes()
    shutil.rmtree(here)
