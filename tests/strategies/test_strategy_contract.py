"""What every algorithm of the table owes: a setting in which it is FedAvg, one in which it is not, and clean hands."""

import ast
import copy
import inspect
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from hpcfl import engine
from hpcfl.build import assemble
from hpcfl.clock import VirtualClock
from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.jobfile import JobFile
from hpcfl.schema import JobSpec
from hpcfl.strategies import STRATEGIES
from hpcfl.transport.group import Solo

JOB = {
    "rounds": 3,
    "data": {"name": "synthetic", "samples": 120, "test_samples": 20, "shape": [1, 8, 8], "classes": 4},
    "partition": {"name": "dirichlet", "beta": 0.5, "clients": 6},
    "model": {"name": "cnn", "channels": [2, 3], "hidden": 8},
    "client": {"epochs": 2, "batch_size": 8, "lr": 0.1, "optimizer": {"momentum": 0.9}},
    "schedule": {"c_ratio": 0.5},
}
ONE_CLIENT = {"partition": {"clients": 1}}
EQUAL_SIZES = {"partition": {"name": "iid", "clients": 6}}

# for each algorithm the changes to a job in which it is FedAvg, and those in which it is not
NEUTRAL = {
    "fedavg": {},
    "fedprox": {"strategy": {"mu": 0.0}},
    "centralized": ONE_CLIENT,
    "fedasync": {"strategy": {"alpha": 1.0, "staleness": "constant"}, "schedule": {"c_ratio": 0.1}},
    "fedbuff": EQUAL_SIZES,
    "stepasync": {"strategy": {"alpha": 1.0, "rho": 0.0}},
    "fedat": {"strategy": {"mu": 0.0}},
    "twafl": {"strategy": {"loop": 1, "deep_rounds": 1}, "schedule": {"c_ratio": 1.0}},
    "fednova": EQUAL_SIZES,
    "scaffold": {**ONE_CLIENT, "client": {"batch_size": 8, "lr": 0.02}},
    "fedlc": {**EQUAL_SIZES, "strategy": {"tau": 0.0}},
    "fedavgm": {"strategy": {"beta": 0.0}},
    "fedadam": {"strategy": {"lr": 1e6, "adaptivity": 1e6, "beta_1": 0.0, "beta_2": 0.0}},
    "fedyogi": {"strategy": {"lr": 2e4, "adaptivity": 1e4, "beta_1": 0.0}},
    "fedadagrad": {"strategy": {"lr": 2e4, "adaptivity": 1e4}},
    "fedopt": {"strategy": {"optimizer": {"name": "sgd", "lr": 1.0}}},
    "fedmedian": ONE_CLIENT,
    "trimmed_mean": {**EQUAL_SIZES, "strategy": {"beta": 0.0}},
    "krum": ONE_CLIENT,
    "multi_krum": {},
    "bulyan": EQUAL_SIZES,
    "fedbn": {},
    "feddl": {"strategy": {"n_clusters": 1}, "schedule": {"c_ratio": 1.0}},
    "fedem": {"strategy": {"n_learners": 1}},
    "dfedem": {**EQUAL_SIZES, "strategy": {"n_learners": 1, "topology": "complete"}, "schedule": {"c_ratio": 1.0}},
    "dfedavg": {**EQUAL_SIZES, "strategy": {"topology": "complete"}, "schedule": {"c_ratio": 1.0}},
    "qffl": {"strategy": {"q": 0.0}},
    "afl": {"strategy": {"eta": 0.0}},
    "fedavgplus": {},
    "fedper": {"strategy": {"head": 0}},
    "fedrep": {"strategy": {"head": 0, "head_epochs": 0}},
    "ditto": {},
    "pfedme": {"strategy": {"lam": 1e-7, "eta": 1e7}},
    "apfl": {},
    "l2sgd": {**ONE_CLIENT, "strategy": {"p": 0.0}},
    "cfl": {"strategy": {"tol_1": 0.0}},
    "standalone": ONE_CLIENT,
    "clustered_fl": {},
    "basic_common": {},
    "clustered_common": {},
    "max_common": {},
}
OTHER = {
    "fedprox": {"strategy": {"mu": 1.0}},
    "centralized": {},
    "fedasync": {"strategy": {"alpha": 0.5}},
    "fedbuff": {"strategy": {"eta_g": 0.5}},
    "stepasync": {"strategy": {"rho": 5.0}},
    "fedat": {"strategy": {"mu": 1.0}},
    "twafl": {"strategy": {"loop": 3, "deep_rounds": 1}},
    "fednova": {},
    "scaffold": {},
    "fedlc": {"strategy": {"tau": 1.0}},
    "fedavgm": {"strategy": {"beta": 0.5}},
    "fedadam": {},
    "fedyogi": {},
    "fedadagrad": {},
    "fedopt": {"strategy": {"optimizer": {"name": "torch.optim.Adam", "lr": 0.01}}},
    "fedmedian": {},
    "trimmed_mean": {"strategy": {"beta": 0.4}},
    "krum": {},
    "multi_krum": {"strategy": {"byzantine": 1}, "schedule": {"c_ratio": 1.0}},
    "bulyan": {
        "partition": {"name": "iid", "clients": 7},
        "strategy": {"byzantine": 1},
        "schedule": {"c_ratio": 1.0},
    },
    "fedbn": {"model": "diary.Normed"},
    "feddl": {"strategy": {"alpha": 0.5}},
    "fedem": {},
    "dfedem": {"strategy": {"n_learners": 1, "topology": "ring"}},
    "dfedavg": {"strategy": {"topology": "ring"}},
    "qffl": {},
    "afl": {"strategy": {"eta": 1.0}},
    "fedper": {},
    "fedrep": {},
    "pfedme": {},
    "l2sgd": {"strategy": {"p": 0.3}},
    "cfl": {"strategy": {"tol_1": 100.0, "tol_2": 0.0}, "schedule": {"c_ratio": 1.0}},
    "standalone": {},
}
OWN = {"fedavgplus", "ditto", "apfl"}
"""Algorithms whose server goes FedAvg's way in every setting: what differs are the clients' own models."""
FAMILIES = {"clustered_fl", "basic_common", "clustered_common", "max_common"}
"""Algorithms that are another than FedAvg only where the clients' architectures differ (test_flexifed.py)."""
SERVER_STEPS = {"fedavgm", "fedadam", "fedyogi", "fedadagrad", "fedopt"}
ROUNDED = {"fedasync", "fedbuff", "stepasync", "twafl", "fednova", "scaffold", "feddl", "qffl", "afl", "pfedme", "cfl"}
ROUNDED |= {"dfedem", "dfedavg", "trimmed_mean", "multi_krum", "bulyan"} | SERVER_STEPS
"""Equal to FedAvg but for rounding: they take the mean in float32 on the server, FedAvg in fixed point; or they add to
the old model what others replace it by."""


def changed(name, changes):
    """The job with the algorithm `name`, and with sections of it replaced or, for the strategy, extended."""
    job = {**copy.deepcopy(JOB), **{key: value for key, value in changes.items() if key != "strategy"}}
    own = changes.get("strategy", {}) if name != "fedavg" else {}
    return {**job, "strategy": {"name": name, **own}}


def build(name, changes):
    spec = JobSpec.parse(changed(name, changes), "job.toml")
    parts = assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=True)
    return parts, Collective(Solo(), parts.trainer, parts.world, reproducible=True)


def equal(name, a, b):
    """Bit for bit, or, where the formula rounds otherwise, to a few units in the last place of the largest weights."""
    return torch.allclose(a, b, rtol=0, atol=1e-6) if name in ROUNDED else torch.equal(a, b)


def final(name, changes):
    """The state after all rounds, and what every round left."""
    parts, pool = build(name, changes)
    states = []
    steps = parts.schedule(parts.world, VirtualClock())
    state = engine.run(
        parts.world, parts.strategy, steps, pool, lambda step, updates, state, seconds: states.append(state)
    )
    return state, states


def test_every_algorithm_has_its_settings():
    assert NEUTRAL.keys() == STRATEGIES.keys()
    assert OTHER.keys() == STRATEGIES.keys() - {"fedavg"} - OWN - FAMILIES


@pytest.mark.parametrize("name", NEUTRAL)
def test_in_its_neutral_setting_it_is_fedavg(name):
    assert equal(name, final(name, NEUTRAL[name])[0]["w"], final("fedavg", NEUTRAL[name])[0]["w"])


@pytest.mark.parametrize("name", OTHER)
def test_in_another_setting_it_is_not(name):
    assert not equal(name, final(name, OTHER[name])[0]["w"], final("fedavg", OTHER[name])[0]["w"])


@pytest.mark.parametrize("name", sorted(OWN))
def test_where_the_server_is_fedavg_s_the_clients_own_models_are_not(name):
    def found(name):
        parts, pool = build(name, {"client": {**JOB["client"], "test_size": 0.25}})
        state, jobs = parts.strategy.init(parts.world), [parts.world.job(client, 0, 0.0) for client in range(6)]
        pool.submit(jobs, lambda client: parts.strategy.send(state, client))
        state = parts.strategy.combine(state, pool.collect(Step(1, 1.0, tuple(jobs), ())))
        jobs = [parts.world.job(client, 1, 1.0) for client in range(6)]
        examined = pool.examine(jobs, lambda client: parts.strategy.send(state, client), dict.fromkeys(range(6), 1))
        return state["w"], torch.tensor([examined[client][0] for client in range(6)])

    (w, losses), (server, globally) = found(name), found("fedavg")
    assert torch.equal(w, server)
    assert not torch.isclose(losses, globally, rtol=1e-3).any()


@pytest.mark.parametrize("name", NEUTRAL)
def test_two_runs_of_one_seed_are_equal_and_seeds_differ(name):
    changes = OTHER.get(name, {})
    first = final(name, changes)[0]["w"]
    assert torch.equal(final(name, changes)[0]["w"], first)
    assert not torch.equal(final(name, {**changes, "seed": 1})[0]["w"], first)


@pytest.mark.parametrize("name", NEUTRAL)
def test_the_state_is_named_tensors_and_nothing_else(name):
    for state in final(name, OTHER.get(name, {}))[1]:
        assert all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items())
        assert all(torch.isfinite(value).all() for value in state.values())
        assert state["w"].dtype == torch.float32


@pytest.mark.parametrize("name", NEUTRAL)
def test_hooks_leave_what_they_are_given_alone(name):
    parts, pool = build(name, OTHER.get(name, {}))
    world, strategy = parts.world, parts.strategy
    state = strategy.init(world)
    initial = world.initial.clone()
    before = {key: value.clone() for key, value in state.items()}
    jobs = [world.job(client, 0, 0.0) for client in range(world.clients)]
    sent = [strategy.send(state, client) for client in range(world.clients)]
    sent_before = copy.deepcopy(sent)
    pool.submit(jobs, sent.__getitem__)
    cohort = pool.collect(Step(1, 1.0, tuple(jobs), ()))
    assert len(cohort) == len(jobs)
    each = {f"{key} {row}": value for key, rows in cohort.each.items() for row, value in enumerate(rows)}
    uploads = {**cohort.means, **each}
    uploads_before = copy.deepcopy(uploads)
    combined = strategy.combine(state, cohort)
    assert not torch.equal(combined["w"], before["w"])
    assert torch.equal(world.initial, initial)
    for given, kept in [(state, before), (uploads, uploads_before), *zip(sent, sent_before)]:
        assert given.keys() == kept.keys()
        assert all(torch.equal(given[key], kept[key]) for key in kept)


@pytest.mark.parametrize("name", NEUTRAL)
def test_uploads_say_what_becomes_of_them(name):
    assert set(STRATEGIES[name].uploads.values()) <= {"examples", "clients", "each", "neighbours"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_its_module_names_its_source(name):
    module = inspect.getdoc(inspect.getmodule(STRATEGIES[name]))
    assert name == "centralized" or any(f" {year}" in module for year in range(2016, 2030))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_field_has_its_sentence(name):
    source = ast.parse(inspect.getsource(STRATEGIES[name])).body[0].body
    followed = {
        before.target.id
        for before, after in zip(source, source[1:])
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    own = {field.name for field in fields(STRATEGIES[name]) if field.name in STRATEGIES[name].__annotations__}
    assert own <= followed


MODELS = [name for name, kind in STRATEGIES.items() if kind.uploads.get("w", "neighbours") != "neighbours"]


@pytest.mark.parametrize("name", MODELS)
def test_a_client_that_learns_nothing_uploads_the_base(name):
    parts, _ = build(name, {**(NEUTRAL[name] if name == "fedopt" else {}), "client": {"batch_size": 8, "lr": 1e-30}})
    state = parts.strategy.init(parts.world)
    state["lam"] = torch.linspace(0.1, 0.4, 6).double()  # AFL's, as it comes to be
    job = parts.world.job(0 if name == "centralized" else 2, 0, 0.0)
    sent = parts.strategy.send(state, job.client)
    uploads, fit = parts.trainer.train(job, sent)
    torch.testing.assert_close(uploads["w"], parts.strategy.base(sent, fit.client))
