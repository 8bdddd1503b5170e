"""Flower clients as they are: whatever they are made of, they train, evaluate and tell the same."""

import numpy as np
import pytest
import torch
from rounds_of import apart, make_rounds, parts_of

from hpcfl.errors import JobError, TrainingError
from hpcfl.flower.apps import loss_of

pytest.importorskip("flwr", reason="flwr is not installed: pip install 'hpcfl[flower]'")

FEDAVG = {"name": "flwr.server.strategy.FedAvg"}
ON_MESSAGES = {"name": "flwr.serverapp.strategy.FedAvg"}
KINDS = ["FlowerClient", "client_fn", "by_cid", "Raw", "legacy", "app"]


def rounds_with(app, strategy=FEDAVG, **changes):
    return make_rounds(
        client={"app": app if isinstance(app, dict) else f"flower_clients.{app}"}, strategy=strategy, **changes
    )


@pytest.fixture(scope="module")
def plain():
    return rounds_with("client_fn")


@pytest.mark.parametrize("strategy", [FEDAVG, ON_MESSAGES], ids=["methods", "messages"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_clients_do_the_same(kind, strategy, plain):
    found = rounds_with(kind, strategy)
    assert apart(found.w, plain.w) < 1e-6
    for name in ("accuracy", "train_loss", "drawn"):
        told = [row["value"] for row in found.notes if row["name"] == name and row["client"] >= 0]
        assert len(told) == 12
        assert told == pytest.approx(
            [row["value"] for row in plain.notes if row["name"] == name and row["client"] >= 0]
        )
    assert found.told("aggregate_evaluate") == pytest.approx(plain.told("aggregate_evaluate"))


def test_the_clients_own_examples_are_the_weights(plain):
    import flower_clients

    sizes = {client: len(flower_clients.share(client, 6)[0][0]) for client in range(6)}
    brought = plain.parts.strategy._brought(plain.steps[-1][1])
    assert {each.client: each.examples for each in brought} == sizes


def test_a_client_that_raises_is_a_failure():
    strategy = {**FEDAVG, "on_fit_config_fn": "flower_clients.fit_config", "min_fit_clients": 6}
    found = rounds_with("client_fn", strategy)
    assert [[update.job.client for update in updates.failures] for _, updates in found.steps] == [[2], [2]]
    assert "RuntimeError: no power (flower_clients.py:" in found.steps[0][1].failures[0].failure


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("Misshapen", "ValueError: an array of shape (1, 64) for 1.weight, which has shape (8, 64)"),
        ("Untold", "TypeError: fit returned (list, int); should be a tuple (arrays, examples, metrics)"),
    ],
)
def test_what_cannot_be_taken_is_the_clients_failure(kind, said):
    with pytest.raises(TrainingError) as failure:
        rounds_with(kind)
    assert said in str(failure.value)


def test_a_client_need_not_tell_a_loss_nor_evaluate():
    found = rounds_with("Mute")
    assert [len(updates) for _, updates in found.steps] == [6, 6]
    assert {row["text"] for row in found.notes if row["name"] == "raw"} == {"AP8="}
    assert found.told("aggregate_evaluate") == {}
    assert torch.isfinite(found.w).all()


@pytest.mark.parametrize(
    ("kind", "metrics", "loss"),
    [
        ("train", {"loss": 1, "train_loss": np.float32(2)}, 2.0),
        ("evaluate", {"loss": 1, "train_loss": 2.0}, 1.0),
        ("evaluate", {"eval-loss": "low", "train-loss": 2.0}, 2.0),
        ("train", {"eval_loss": 1.0}, np.nan),
    ],
)
def test_a_loss_has_many_names(kind, metrics, loss):
    assert loss_of(kind, metrics) == pytest.approx(loss, nan_ok=True)


def test_the_context_stays_with_the_client_and_has_the_params():
    found = rounds_with({"name": "flower_clients.counting", "level": 3})
    seen = [(row["step"], row["value"]) for row in found.notes if row["name"] == "seen"]
    assert seen[:6] == [(1, 1)] * 6 and seen[6:] == [(2, 3)] * 6  # in between it evaluated
    assert {row["value"] for row in found.notes if row["name"] == "level"} == {3}


def test_a_strategy_may_ask_clients_about_themselves():
    from flwr.common import GetPropertiesIns

    server = parts_of(client={"app": "flower_clients.client_fn"}, strategy=FEDAVG).strategy.server
    proxy = server._clients.proxy(1)
    assert proxy.get_properties(GetPropertiesIns({"a": 1}), timeout=None, group_id=1).properties == {
        "samples": 240,
        "a": 1,
    }
    own = parts_of(strategy=FEDAVG).strategy.server._clients.proxy(1)
    assert own.get_properties(GetPropertiesIns({}), None, None).properties["partition-id"] == 1


CENTRAL = [
    {**FEDAVG, "evaluate_fn": "flower_clients.central"},
    {**ON_MESSAGES, "evaluate_fn": "flower_clients.central_record"},
]


@pytest.mark.parametrize("strategy", CENTRAL, ids=["methods", "messages"])
def test_a_central_evaluation_is_asked_before_and_after(strategy):
    found = make_rounds(strategy=strategy)
    assert found.told("evaluate") == {0: 1.0, 1: 0.5, 2: 1 / 3}
    assert found.told("evaluate", "arrays") == {0: 4, 1: 4, 2: 4}


def test_a_config_given_at_the_start_reaches_the_clients():
    asked = make_rounds(strategy={**ON_MESSAGES, "train_config": {"lr": 0.2, "local-epochs": 2}})
    usual = make_rounds(client={"lr": 0.2, "batch_size": 20, "epochs": 2})
    assert apart(asked.w, usual.w) < 1e-6


def test_nobody_waits_for_nodes_that_never_come():
    with pytest.raises(TrainingError, match="configure_train in round 1 waits for more nodes than the 6 clients"):
        make_rounds(strategy={**ON_MESSAGES, "min_available_nodes": 7})
    with pytest.raises(TrainingError, match="configure_fit in round 1 waits for 7 clients, and there are 6"):
        make_rounds(strategy={**FEDAVG, "min_available_clients": 7})


@pytest.mark.parametrize(
    ("client", "strategy", "said"),
    [
        ({"app": "flower_clients.Needy"}, FEDAVG, "takes net, loader, which hpcfl does not know; name the client_fn"),
        ({"app": "flower_clients.client_fn", "test_size": 0.2}, FEDAVG, "client.test_size"),
        ({"app": "flower_clients.client_fn"}, {**FEDAVG, "weighted_mean": True}, "strategy.weighted_mean = true"),
        ({"app": "flower_clients.nobody"}, FEDAVG, "client.app = 'flower_clients.nobody'"),
        ({"app": "flower_clients.client_fn"}, "fedprox", "lacks Flower's methods"),
    ],
)
def test_a_job_that_cannot_be_is_told_by_its_key(client, strategy, said):
    with pytest.raises(JobError) as failure:
        parts_of(client=client, strategy=strategy)
    assert said in str(failure.value)
