"""The six methods on hpcfl's rounds: what is asked when, who trains, and what becomes of the answers."""

import sys

import cast
import numpy as np
import pytest
import torch
from rounds_of import apart, make_rounds, parts_of

from hpcfl.clock import VirtualClock
from hpcfl.errors import JobError, TrainingError
from hpcfl.flower.server import seeded

HELD_OUT = {"client": {"lr": 0.1, "batch_size": 20, "test_size": 0.2}}


def own(name, **params):
    return {"name": f"cast.{name}", **params}


APPS = {"strategy": own("Mean"), "client": {"app": {"name": "cast.Adds", "step": 0.5}}}


def test_a_damaged_update_says_what_its_client_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr.app", None)  # the client puts numbers into hpcfl's own context
    found = make_rounds(**APPS, faults={"corrupt": 1.0}, rounds=1)
    told = [row["value"] for row in found.notes if row["name"] == "seen"]
    assert told == [1] * (6 - len(found.steps[0][1].failures))


def test_the_methods_are_asked_in_flowers_order():
    make_rounds(strategy=own("Mean"), **HELD_OUT)
    everybody, first = list(range(6)), [0, 1, 2]
    assert [
        ("initialize_parameters", 6),
        ("evaluate", 0),
        ("configure_fit", 1),
        ("aggregate_fit", 1, everybody, []),
        ("evaluate", 1),
        ("configure_evaluate", 1),
        ("aggregate_evaluate", 1, first),
        ("configure_fit", 2),
        ("aggregate_fit", 2, everybody, []),
        ("evaluate", 2),
        ("configure_evaluate", 2),
        ("aggregate_evaluate", 2, first),
    ] == cast.TOLD


def test_nobody_evaluates_where_nobody_has_a_test_share():
    make_rounds(strategy=own("Mean"))
    assert not [told for told in cast.TOLD if "configure_evaluate" in told]


@pytest.mark.parametrize("name", ["Mean", "Summed", "made"])
def test_the_weighted_mean_is_fedavg(name):
    fedavg = make_rounds()
    assert apart(make_rounds(strategy=own(name)).w, fedavg.w) < 1e-6


def test_a_strategy_that_needs_the_mean_alone_gets_the_reduce():
    assert parts_of(strategy=own("Summed")).strategy.uploads == {"w": "examples"}
    assert parts_of(strategy=own("Mean")).strategy.uploads == {"w": "each"}
    assert parts_of(strategy=own("Mean", weighted_mean=True)).strategy.uploads == {"w": "examples"}


def test_what_everybody_tells_is_noted():
    found = make_rounds(strategy=own("Mean"), **HELD_OUT)
    assert found.told("aggregate_fit", "clients") == {1: 6, 2: 6}
    assert found.told("evaluate", "round") == {0: 0, 1: 1, 2: 2}
    texts = [row["text"] for row in found.notes if row["name"] == "said"]
    assert texts == ["ciao", "ciao"]
    clients = [(row["step"], row["client"]) for row in found.notes if row["method"] == "fit"]
    assert clients == [(step, client) for step in (1, 2) for client in range(6)]
    accuracies = [row["value"] for row in found.notes if row["method"] == "client_evaluate" and row["step"] == 2]
    assert found.told("aggregate_evaluate", "accuracy")[2] == min(accuracies[::2])


def test_whoever_is_not_listed_sits_out():
    found = make_rounds(strategy=own("Mean", clients=[4, 1]))
    assert [[update.job.client for update in updates] for _, updates in found.steps] == [[1, 4], [1, 4]]


def test_a_configs_epochs_and_rate_belong_to_the_job():
    usual = make_rounds(strategy=own("Mean"))
    set_so = make_rounds(
        strategy=own("Mean", config={"local_epochs": 2, "lr": 0.1}), client={"lr": 9, "batch_size": 20}
    )
    asked = make_rounds(client={"epochs": 2, "lr": 0.1, "batch_size": 20})
    assert [job.epochs for job in set_so.steps[0][0].done] == [2] * 6
    assert set_so.steps[0][0].time == 2 * usual.steps[0][0].time  # on the virtual clock
    assert apart(set_so.w, asked.w) < 1e-6


def test_what_a_config_says_in_vain_is_told_once(capsys):
    make_rounds(strategy=own("Mean", config={"epochs": 2, "server_round": 1, "batch_size": 5, "augment": "no"}))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: hpcfl's own clients heed epochs, local_epochs, ")
    assert line.endswith("of a config; this one also has augment, batch_size, which changes nothing")
    make_rounds(strategy=own("Mean", config={"lr": 0.1}))
    assert not capsys.readouterr().err


def test_none_keeps_the_model_and_a_client_may_have_one_of_its_own():
    found = make_rounds(strategy=own("Fixed"), client={"lr": 1e-9, "batch_size": 20})
    first = found.parts.world.initial
    assert torch.equal(found.w, first)
    brought = found.parts.strategy.server.strategy.brought
    views = found.parts.strategy.arrays.of(first)
    for place, array in enumerate(views):
        np.testing.assert_allclose(brought["0"][place], array + 1, atol=1e-5)
        np.testing.assert_allclose(brought["1"][place], array, atol=1e-5)


def test_every_model_of_a_generator_is_sent():
    found = make_rounds(strategy=own("Yields"), client={"lr": 1e-9, "batch_size": 20})
    views = found.parts.strategy.arrays.of(found.parts.world.initial)
    for cid, arrays in found.parts.strategy.server.strategy.brought.items():
        np.testing.assert_allclose(arrays[0], views[0] + int(cid), atol=1e-5)


def test_a_scalar_of_numpy_or_torch_is_a_number():
    found = make_rounds(strategy=own("Scalars"))
    assert found.told("evaluate") == {0: 0.5, 1: 0.5, 2: 0.5}
    assert found.told("evaluate", "round") == {0: 0, 1: 1, 2: 2}


def test_lost_and_failed_clients_are_failures():
    late = {"device": {"stale": [0.0, 0.0, 500.0, 0.0, 0.0, 0.0]}, "lr": 0.1, "batch_size": 20}
    make_rounds(strategy=own("Mean"), client=late, schedule={"name": "synchronous", "deadline": 200.0})
    (_, _, came, failures), *_ = [told for told in cast.TOLD if told[0] == "aggregate_fit"]
    assert came == [0, 1, 3, 4, 5]
    assert failures == ["client 2: no result when the round closed: its device failed, or it was late"]


def test_dropped_clients_do_not_hold_up_the_run():
    found = make_rounds(strategy=own("Mean"), rounds=5, client={"device": {"dropout": 0.6}, "batch_size": 20})
    assert [step.index for step, _ in found.steps] == [1, 2, 3, 4, 5]
    counts = [len(told[2]) + len(told[3]) for told in cast.TOLD if told[0] == "aggregate_fit"]
    assert counts == [6] * 5


def test_a_round_that_lost_everybody_begins_again_within_its_step():
    parts = parts_of(strategy=own("Mean"), client={"device": {"dropout": 0.9}, "batch_size": 20})
    state, steps = parts.strategy.init(parts.world), []
    for step in parts.schedule(parts.world, VirtualClock()):
        steps.append(step)
        if step.choose:
            assert step.choose(state)
    assert [step.index for step in steps] == [0, 1, 2]
    assert all(job.visit for job in steps[2].done)
    assert len(steps[2].done) + len(steps[2].lost) == 6 * (1 + steps[2].done[0].visit)


def test_samples_and_global_random_numbers_belong_to_the_round():
    make_rounds(strategy=own("Sampled"))
    first = [told for told in cast.TOLD if isinstance(told[0], int)]
    np.random.rand(3), torch.rand(3)  # noqa: NPY002 - the global state is what must not matter
    make_rounds(strategy=own("Sampled"))
    assert [told for told in cast.TOLD if isinstance(told[0], int)] == first
    assert first[0][2:] != first[1][2:]
    assert {cid for _, drawn, *_ in first for cid in drawn} <= {"1", "3", "5"}


def test_global_random_numbers_go_on_as_before():
    before = torch.get_rng_state()
    with seeded(1, "evaluate", 2):
        drawn = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1, "evaluate", 2):
        assert torch.equal(torch.rand(2), drawn)


def test_integer_buffers_go_out_and_what_comes_back_is_dropped():
    found = make_rounds(strategy=own("Fixed"), model={"name": "cast.Normed"})
    names = found.parts.strategy.arrays.names
    assert names == list(cast.Normed().state_dict())
    tracked = found.parts.strategy.server.strategy.brought["1"][names.index("2.num_batches_tracked")]
    assert tracked.dtype == np.int64 and tracked == 0
    averaged = make_rounds(strategy=own("Mean"), model={"name": "cast.Normed"})
    assert apart(averaged.w, make_rounds(model={"name": "cast.Normed"}).w) < 1e-6


@pytest.mark.parametrize("compression", ["fp16", {"name": "topk", "share": 0.1}])
def test_uploads_are_compressed_as_everybodys(compression):
    how = {"communication": {"compression": compression}, "rounds": 1}  # later ones round other numbers
    averaged = make_rounds(strategy=own("Mean"), **how)
    assert apart(averaged.w, make_rounds(**how).w) < 1e-6
    assert apart(averaged.w, make_rounds(strategy=own("Mean"), rounds=1).w) > 1e-6


def test_flwr_is_needed_for_none_of_it(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "flwr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flwr", None)
    found = make_rounds(strategy=own("Mean"), client={"app": {"name": "cast.Adds", "step": 0.5}})
    np.testing.assert_allclose(found.w, found.parts.world.initial + 2 * 0.5 * 2.5, atol=1e-5)
    assert [row["value"] for row in found.notes if row["name"] == "seen"] == [1] * 6 + [2] * 6
    assert found.told("aggregate_evaluate", "accuracy") == {1: 0.5, 2: 0.5}
    with pytest.raises(JobError, match=r"Flower's own, which is not installed: pip install 'hpcfl\[flower\]'"):
        parts_of(strategy="flwr.server.strategy.FedAvg")


def test_parameters_are_views_of_the_vector():
    arrays = parts_of(strategy=own("Mean")).strategy.arrays
    vector = torch.zeros(parts_of().world.layout.size)
    views = arrays.of(vector, writable=True)
    views[0][:] = 1.0
    assert vector.sum() == views[0].size
    with pytest.raises(ValueError, match="read-only"):
        arrays.of(vector)[0][:] = 2.0


@pytest.mark.parametrize(
    ("method", "answer", "said"),
    [
        ("configure_fit", "raise", "failed: IndexError: list index out of range (cast.py:"),
        ("aggregate_fit", "raise", "failed: IndexError"),
        ("configure_evaluate", "raise", "failed: IndexError"),
        ("aggregate_evaluate", "raise", "failed: IndexError"),
        ("evaluate", "raise", "failed: IndexError"),
        ("aggregate_fit", "nothing", "gave None; should be (parameters or None, metrics)"),
        ("aggregate_fit", "list", "gave [1, 2]; should be (parameters or None, metrics)"),
        ("aggregate_fit", "nan", "gave a model that is not finite"),
        ("aggregate_fit", "shape", "gave an array of shape (1, 64) for 1.weight, which has shape (8, 64)"),
        ("aggregate_fit", "few", "gave 3 arrays, but the model has 4"),
        ("aggregate_fit", "text", "gave 'w', which is no Parameters"),
        ("aggregate_fit", "metrics", "gave metrics of which a is a object"),
        ("aggregate_evaluate", "list", "gave [1, 2]; should be (loss or None, metrics)"),
        ("configure_fit", "late", "failed: ZeroDivisionError: division by zero (cast.py:"),
        ("aggregate_fit", "gradients", "gave parameters that cannot be read: Can't call numpy() on Tensor"),
        ("aggregate_evaluate", "loss", "gave metrics of which loss is a object"),
        ("evaluate", "loss", "gave metrics of which loss is a object"),
        ("evaluate", "list", "gave [1, 2]; should be (loss, metrics) or None"),
        ("configure_fit", "empty", "chose no client"),
        ("configure_fit", "twice", "gave client 0 twice"),
        ("configure_fit", "stranger", "none of the client_manager's clients"),
        ("configure_fit", "nothing", "should be pairs of a client and its instructions"),
        ("configure_fit", "write", "read-only"),
        ("configure_fit", "lr", "config lr = -1.0, not a number above 0"),
        ("configure_fit", "epochs", "config local_epochs = 1.5, not a whole number above 0"),
        ("configure_fit", "many", "waits for 99 clients, and there are 6; lower min_available_clients"),
    ],
)
def test_a_wrong_answer_is_one_sentence_with_method_and_round(method, answer, said):
    with pytest.raises(TrainingError) as failure:
        make_rounds(strategy=own("Wrong", method=method, answer=answer), **HELD_OUT)
    assert str(failure.value).startswith(f"strategy Wrong: {method} in round 2 ")
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategy": own("Mean", wrong=1)}, "strategy.wrong"),
        ({"strategy": own("Mean", weighted_mean=3)}, "strategy.weighted_mean = 3: should be true or false"),
        ({"strategy": own("Mean"), "schedule": {"name": "synchronous", "c_ratio": 0.5}}, "schedule.c_ratio"),
        ({"strategy": own("Mean"), "schedule": "buffered"}, "take synchronous"),
        ({"client": {"app": "cast.made"}}, "strategy = 'fedavg' lacks Flower's methods"),
        (
            {**APPS, "faults": {"byzantine": 0.5, "attack": "label_flip"}},
            "faults.attack = 'label_flip': client.app trains on its own labels; valid: sign_flip, noise",
        ),
        ({"strategy": own("Mean"), "client": {**APPS["client"], "out_of_memory": "split"}}, "client.out_of_memory"),
    ],
)
def test_a_job_that_cannot_be_is_told_by_its_key(changes, said):
    with pytest.raises(JobError) as failure:
        parts_of(**changes)
    assert said in str(failure.value)
