"""Every sample file against the TOML beside it, which was checked by hand."""

import json
import sys

import pytest
from asyncfl.samples import FOLDER, SAMPLES, sample
from click.testing import CliRunner

from hpcfl.asyncfl.document import document
from hpcfl.build import build_strategy
from hpcfl.cli import cli
from hpcfl.data.partition import PARTITIONS
from hpcfl.federation import build_schedule
from hpcfl.jobfile import draft, read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

named = pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)


@named
def test_a_file_means_the_toml_beside_it(path):
    job = draft(str(path))
    text = document(job.table, (f"Converted from {path.name}.", *job.notes))
    assert text == path.with_suffix(".toml").read_text("utf-8")
    assert tomllib.loads(text) == job.table


@named
def test_both_are_the_same_job(path):
    file = read(str(path))
    assert file.digest == read(str(path.with_suffix(".toml"))).digest
    assert file.text == path.read_text("utf-8")
    assert file.folder == FOLDER


@named
def test_convert_prints_it(path):
    done = CliRunner().invoke(cli, ["convert", str(path)])
    assert done.exit_code == 0
    assert done.output == path.with_suffix(".toml").read_text("utf-8")


@named
def test_what_it_names_is_there(path):
    spec = read(str(path)).spec
    assert type(build_strategy(spec)).__name__.lower() == spec.strategy.name
    assert type(build_schedule(spec)).__name__.lower() == spec.schedule.name
    assert spec.partition.name in PARTITIONS


@pytest.mark.parametrize("wandb", [{"enabled": True}, {"enabled": True, "project": "p"}, {"enabled": False}])
def test_tracking_is_the_same_in_both(tmp_path, wandb):
    (tmp_path / "job.json").write_text(json.dumps(sample("FedAvg", wandb=wandb)), "utf-8")
    done = CliRunner().invoke(cli, ["convert", str(tmp_path / "job.json")])
    (tmp_path / "job.toml").write_text(done.output, "utf-8")
    job = read(str(tmp_path / "job.json"))
    assert job.digest == read(str(tmp_path / "job.toml")).digest
    assert (job.spec.tracking.wandb is not None) == wandb["enabled"]


def test_every_toml_has_its_file():
    assert sorted(FOLDER.iterdir()) == sorted([*SAMPLES, *(path.with_suffix(".toml") for path in SAMPLES)])


def test_set_changes_what_is_printed():
    done = CliRunner().invoke(cli, ["convert", str(FOLDER / "FedAvg.json"), "--set", "schedule.c_ratio=0.5"])
    assert "c_ratio = 0.5\n" in done.output
    assert "c_ratio = 0.3" not in done.output
