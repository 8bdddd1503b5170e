"""The job file's schema: what is wrong is named, with what was given and what is valid."""

import math
from typing import get_args

import pytest

from hpcfl.errors import JobError
from hpcfl.schema import JobSpec, Section

LEAST = {"rounds": 1, "data": "digits"}


def parse(**changes):
    return JobSpec.parse({**LEAST, **changes}, "job.toml")


def complaint(**changes):
    with pytest.raises(JobError) as caught:
        parse(**changes)
    return str(caught.value)


def sections(section=JobSpec):
    """Every table of the job file, once."""
    found = {section}
    for field in section.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section) and kind not in found:
                found |= sections(kind)
    return found


def test_defaults_are_a_job():
    spec = parse()
    assert (spec.rounds, spec.seed, spec.data.name, spec.strategy.name) == (1, 0, "digits", "fedavg")
    assert JobSpec.parse(spec.resolved(), "again") == spec


@pytest.mark.parametrize("section", sorted(sections(), key=lambda section: section.__name__))
def test_every_field_has_its_sentence(section):
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name} has no sentence"
        assert len(field.description) > 8, f"{section.__name__}.{name}"
        assert field.description.endswith("."), f"{section.__name__}.{name}"
    assert section.__doc__.strip()


def test_the_walk_reaches_the_nested_tables():
    names = {section.__name__ for section in sections()}
    assert {"JobSpec", "Client", "Component", "Optimizer", "Loss", "Data", "Device", "Strategy"} <= names


@pytest.mark.parametrize(
    "changes, key, near",
    [
        ({"sed": 1}, "sed", "seed"),
        ({"client": {"lrr": 1}}, "client.lrr", "lr"),
        ({"client": {"bach_size": 1}}, "client.bach_size", "batch_size"),
        ({"server": {"evaluate": 1}}, "server.evaluate", "evaluate_every"),
        ({"device": {"kinds": "cpu"}}, "device.kinds", "kind"),
        ({"results": {"pth": "a"}}, "results.pth", "path"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(changes, key, near):
    said = complaint(**changes)
    assert said == f"job.toml:\n  {key}: unknown key; did you mean {near}?"


def test_an_unknown_key_near_to_none_is_answered_with_all():
    valid = "channels_last, compile, graphs, interface, kind, precision, streams"
    assert f"device.zzz: unknown key; valid: {valid}" in complaint(device={"zzz": 1})


def test_an_unknown_key_of_a_section_that_may_be_absent():
    given = {"availability": {"period": 1.0, "share": 0.5, "perod": 2.0}}
    assert "client.device.availability.perod: unknown key; did you mean period?" in complaint(client={"device": given})
    said = complaint(qqq=1)
    assert all(name in said for name in JobSpec.model_fields)


@pytest.mark.parametrize(
    "key, given, valid",
    [
        ("rounds", "5", "integer"),
        ("rounds", True, "integer"),
        ("rounds", 2.0, "integer"),
        ("rounds", math.nan, "integer"),
        ("rounds", 0, "greater than 0"),
        ("rounds", -3, "greater than 0"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, "less than"),
        ("seed", 1.0, "integer"),
        ("threads", 0, "greater than 0"),
        ("reproducible", 1, "boolean"),
        ("reproducible", "yes", "boolean"),
        ("clock", "sundial", "'virtual' or 'wall'"),
        ("name", "a b", "pattern"),
        ("name", "../escape", "pattern"),
        ("name", 5, "string"),
        ("client.epochs", 0, "greater than 0"),
        ("client.epochs", [5, 1], "must not be larger than the second"),
        ("client.epochs", [1], "at least 2"),
        ("client.epochs", [1, 2, 3], "at most 2"),
        ("client.epochs", 1.5, "integer"),
        ("client.epochs", True, "integer"),
        ("client.batch_size", -1, "greater than 0"),
        ("client.batch_size", True, "integer"),
        ("client.batch_size", math.nan, "integer"),
        ("client.lr", 0.0, "greater than 0"),
        ("client.lr", -0.1, "greater than 0"),
        ("client.lr", math.nan, "finite"),
        ("client.lr", math.inf, "finite"),
        ("client.lr", "0.1", "number"),
        ("client.lr", True, "number"),
        ("client.device.seconds_per_step", -1.0, "greater than or equal to 0"),
        ("client.device.seconds_per_step", math.nan, "finite"),
        ("client.device.upload_bandwidth", 0, "greater than 0"),
        ("client.device.dropout", 1.0, "less than 1"),
        ("client.device.availability.period", 0, "greater than 0"),
        ("client.device.availability.share", 1.5, "less than or equal to 1"),
        ("partition.clients", 0, "greater than 0"),
        ("partition.clients", "ten", "integer"),
        ("server.evaluate_every", 0, "greater than 0"),
        ("server.min_clients", 0, "greater than 0"),
        ("server.timeout_s", math.inf, "finite"),
        ("checkpoint.every", -1, "greater than or equal to 0"),
        ("device.kind", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("data.download", "yes", "boolean"),
        ("data.root", 5, "string"),
        ("client", 3, "table [client]"),
        ("partition", 4, "table [partition]"),
        ("client.optimizer.params", 5, "table [client.optimizer.params]"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_valid(key, given, valid):
    section, _, rest = key.partition(".")
    value = given
    for word in reversed(rest.split(".") if rest else []):
        value = {word: value}
    if section == "data" and rest:
        value = {"name": "digits", **value}
    said = complaint(**{section: value})
    assert any(line.startswith(f"  {key} = {given!r}: ") and valid in line for line in said.splitlines()), said


def test_what_is_required_is_asked_for():
    with pytest.raises(JobError) as caught:
        JobSpec.parse({}, "job.toml")
    assert str(caught.value).splitlines()[1:] == ["  rounds: required, but missing", "  data: required, but missing"]


def test_all_mistakes_are_told_at_once():
    said = complaint(rounds=0, seed="a", client={"lr": -1.0, "momentum": 0.9}, extra=1)
    assert all(key in said for key in ("rounds = 0", "seed = 'a'", "client.lr = -1.0", "client.momentum", "extra"))


@pytest.mark.parametrize(
    "given",
    [
        {"name": "mlp", "hidden": [64], "bias": False},
        {"name": "mlp", "params": {"hidden": [64], "bias": False}},
        {"name": "mlp", "params": {"hidden": [64]}, "bias": False},
    ],
)
def test_spellings_of_a_component_are_the_same(given):
    model = parse(model=given).model
    assert (model.name, model.params) == ("mlp", {"hidden": [64], "bias": False})


def test_a_component_by_its_name_alone():
    spec = parse(model="mlp", strategy="fedprox", client={"optimizer": "adam", "loss": "a.b", "lr_schedule": "cosine"})
    assert (spec.model.name, spec.strategy.name) == ("mlp", "fedprox")
    assert (spec.client.optimizer.name, spec.client.loss.name, spec.client.lr_schedule.name) == (
        "adam",
        "a.b",
        "cosine",
    )
    assert spec.model.params == {}


def test_params_of_a_default_component_need_no_name():
    spec = parse(client={"optimizer": {"momentum": 0.9}}, schedule={"c_ratio": 0.5})
    assert (spec.client.optimizer.name, spec.client.optimizer.params) == ("sgd", {"momentum": 0.9})
    assert (spec.schedule.name, spec.schedule.params) == ("synchronous", {"c_ratio": 0.5})


def test_own_keys_of_a_component_are_not_params():
    data = parse(data={"name": "npz", "root": "/d", "path": "a.npz", "transform": "crop_flip"}).data
    assert (data.root, data.transform.name, data.params) == ("/d", "crop_flip", {"path": "a.npz"})
    partition = parse(partition={"name": "dirichlet", "clients": 7, "beta": 0.5}).partition
    assert (partition.clients, partition.params) == (7, {"beta": 0.5})


def test_a_param_given_twice():
    said = complaint(strategy={"name": "fedprox", "mu": 1.0, "params": {"mu": 2.0}})
    assert "strategy = " in said
    assert "mu given twice, beside params and inside it" in said


def test_epochs_may_be_a_number_or_a_range():
    assert parse(client={"epochs": 3}).client.epochs == 3
    assert parse(client={"epochs": [2, 2]}).client.epochs == [2, 2]


def test_a_spec_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        parse().rounds = 2
