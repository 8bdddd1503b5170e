"""flwr's strategies through the adapter are what hpcfl's own of the same name are."""

import pytest
from rounds_of import apart, make_rounds

pytest.importorskip("flwr", reason="flwr is not installed: pip install 'hpcfl[flower]'")

PAIRS = [
    ("fedavg", "server.strategy.FedAvg", {}, {}),
    ("fedavg", "serverapp.strategy.FedAvg", {}, {}),
    ("fedavg", "server.strategy.FedAvg", {}, {"weighted_mean": True}),
    ("fedavg", "server.strategy.FedAvg", {}, {"inplace": False}),
    ("fedprox", "server.strategy.FedProx", {"mu": 2.0}, {"proximal_mu": 2.0}),
    ("fedprox", "serverapp.strategy.FedProx", {"mu": 2.0}, {"proximal_mu": 2.0}),
]


@pytest.mark.parametrize("model", ["mlp", "cast.Normed"])
@pytest.mark.parametrize(("ours", "theirs", "own", "given"), PAIRS)
def test_they_are_the_same(ours, theirs, own, given, model):
    usual = make_rounds(strategy={"name": ours, **own}, model=model, rounds=3)
    found = make_rounds(strategy={"name": f"flwr.{theirs}", **given}, model=model, rounds=3)
    assert apart(found.w, usual.w) < 1e-6
    assert [step.time for step, _ in found.steps] == [step.time for step, _ in usual.steps]


def test_a_mu_changes_something():
    fedavg, fedprox = make_rounds(), make_rounds(strategy={"name": "flwr.server.strategy.FedProx", "proximal_mu": 2.0})
    assert apart(fedprox.w, fedavg.w) > 1e-3


CLIPPING = {"clipping_norm": 1e9, "noise_multiplier": 0.0, "num_sampled_clients": 6}


@pytest.mark.parametrize("generation", ["server", "serverapp"])
def test_a_mu_inside_another_strategy_counts(generation):
    inner = {"name": f"flwr.{generation}.strategy.FedProx", "proximal_mu": 2.0}
    name = f"flwr.{generation}.strategy.DifferentialPrivacyServerSideFixedClipping"
    found, without = [
        make_rounds(strategy={"name": name, "strategy": inner | mu, **CLIPPING}, rounds=1)
        for mu in ({}, {"proximal_mu": 0.0})
    ]
    assert apart(found.w, without.w) > 1e-3


def test_a_mu_of_a_config_counts():
    strategy = "flwr.serverapp.strategy.FedAvg"
    found = make_rounds(strategy={"name": strategy, "train_config": {"proximal_mu": 2.0}}, rounds=1)
    assert apart(found.w, make_rounds(rounds=1, strategy={"name": "fedprox", "mu": 2.0}).w) < 1e-6
