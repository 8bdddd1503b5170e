"""Central differential privacy: clipping and noise by hand, epsilon as the accountant has it, and what is refused."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from worlds import federation

from hpcfl import engine
from hpcfl.build import assemble
from hpcfl.clock import VirtualClock
from hpcfl.collective import Collective
from hpcfl.core import Cohort
from hpcfl.errors import JobError
from hpcfl.jobfile import JobFile
from hpcfl.privacy import Account, make_private
from hpcfl.rng import stream
from hpcfl.schedule import Synchronous
from hpcfl.schema import JobSpec, Privacy
from hpcfl.strategies import STRATEGIES, FedAvg
from hpcfl.transport.group import Solo

JOB = {
    "rounds": 3,
    "data": {"name": "synthetic", "samples": 120, "test_samples": 20, "shape": [1, 4, 4], "classes": 3},
    "partition": {"name": "dirichlet", "beta": 0.5, "clients": 6},
    "model": {"name": "mlp", "hidden": [4]},
    "client": {"batch_size": 8, "lr": 0.1},
    "schedule": {"c_ratio": 0.5},
}


def spec(**changes):
    return JobSpec.parse({**copy.deepcopy(JOB), **changes}, "job.toml")


def build(**changes):
    return assemble(JobFile("", spec(**changes), None), torch.device("cpu"), trains=True, serves=True)


def final(parts):
    pool = Collective(Solo(), parts.trainer, parts.world, reproducible=True)
    steps = parts.schedule(parts.world, VirtualClock())
    return engine.run(parts.world, parts.strategy, steps, pool, lambda *seen: None)["w"]


class Given(FedAvg):
    """Clients that change what they get by (3, 4), instead of training."""

    def local(self, fit, sent, client):
        return {"w": sent["w"] + torch.tensor([3.0, 4.0])}


def private(strategy, clip, noise, seed=0):
    return make_private(strategy, spec(seed=seed, privacy={"clip": clip, "noise": noise}), [])


@pytest.mark.parametrize(("clip", "change"), [(5.0, [3.0, 4.0]), (10.0, [3.0, 4.0]), (1.0, [0.6, 0.8])])
def test_what_is_too_long_is_shortened(clip, change):
    w = torch.tensor([1.0, -1.0])
    upload = private(Given(), clip, 0.0).local(None, {"w": w}, None)["w"]
    assert (upload - w).tolist() == pytest.approx(change)
    assert w.tolist() == [1.0, -1.0]


def test_a_client_that_changes_nothing_is_left_alone():
    class Still(FedAvg):
        def local(self, fit, sent, client):
            return {"w": sent["w"].clone()}

    w = torch.tensor([1.0, -1.0])
    assert torch.equal(private(Still(), 1.0, 0.0).local(None, {"w": w}, None)["w"], w)


def test_the_noise_is_that_of_the_sum_and_addressed_by_the_step():
    mean = torch.zeros(40_000)
    cohort = Cohort((None,) * 8, means={"w": mean}, step=3)  # eight updates, of which only the number counts
    noised = private(FedAvg(), 2.0, 4.0, seed=5).combine({}, cohort)["w"]
    assert noised.std().item() == pytest.approx(4.0 * 2.0 / 8, rel=0.02)
    assert noised.mean().item() == pytest.approx(0.0, abs=0.02)
    draws = stream(5, "privacy", 3).standard_normal(len(mean), dtype="float32")
    assert torch.equal(noised, torch.from_numpy(draws) * (4.0 * 2.0 / 8))
    assert not mean.any()


def test_clients_count_alike_and_no_sample_does():
    parts = federation(strategy=private(FedAvg(), 1e6, 0.0), sizes=(2, 9, 4))
    models = torch.stack([parts.train(client) for client in range(3)])
    torch.testing.assert_close(parts.collect().mean("w"), models.mean(0))


def test_without_noise_and_with_a_wide_clip_it_is_the_algorithm_of_equal_clients():
    equal = {"partition": {"name": "iid", "clients": 6}, "strategy": "fedadam"}
    wide = final(build(**equal, privacy={"clip": 1e6, "noise": 0.0}))
    torch.testing.assert_close(wide, final(build(**equal)), rtol=0, atol=1e-5)
    assert not torch.allclose(final(build(**equal, privacy={"clip": 0.01, "noise": 0.0})), wide, atol=1e-3)


def test_two_runs_of_a_seed_are_equal_and_seeds_differ():
    given = {"privacy": {"clip": 0.1, "noise": 1.0}}
    first = final(build(**given))
    assert torch.equal(final(build(**given)), first)
    assert not torch.equal(final(build(**given, seed=1)), first)


@pytest.mark.parametrize("execution", ["sequential", "batched"])
def test_many_clients_as_one_program_are_clipped_too(execution):
    one = final(build(privacy={"clip": 0.05, "noise": 0.0}, execution="sequential"))
    torch.testing.assert_close(final(build(privacy={"clip": 0.05, "noise": 0.0}, execution=execution)), one)


def accountant():
    return pytest.importorskip("dp_accounting", reason="dp-accounting is not installed (extra: privacy)")


def test_epsilon_of_everybody_is_that_of_one_gaussian():
    accountant()
    from dp_accounting import get_epsilon_gaussian

    # T releases of sensitivity 2 clip and noise s clip are one of noise s / (2 sqrt T); Renyi's is an upper bound
    exact = get_epsilon_gaussian(8.0 / 2 / math.sqrt(10), 1e-5)
    spent = Account(Privacy(clip=1.0, noise=8.0, delta=1e-5), 20, 20).epsilon(10)
    assert exact < spent < 1.15 * exact


def test_a_draw_of_clients_spends_less_and_steps_add_up():
    accountant()
    privacy = Privacy(clip=1.0, noise=8.0, delta=1e-5)
    all_of_them, drawn = Account(privacy, 100, 100), Account(privacy, 100, 10)
    by_step = [drawn.epsilon(step) for step in range(1, 6)]
    assert by_step == sorted(by_step) and by_step[-1] < all_of_them.epsilon(5) / 3
    assert Account(privacy, 100, 10).epsilon(5) == pytest.approx(by_step[-1], rel=1e-12)  # as a resumed run asks
    assert drawn.epsilon(5) == by_step[-1]


def test_the_schedule_says_how_many_are_drawn():
    accountant()
    privacy = {"clip": 1.0, "noise": 4.0}
    drawn = build(privacy=privacy).account.epsilon(3)
    by_turns = build(privacy=privacy, schedule={"c_ratio": 0.5, "choose": "round_robin"}).account.epsilon(3)
    everybody = build(privacy=privacy, schedule={"c_ratio": 1.0}).account.epsilon(3)
    assert drawn < by_turns == everybody
    assert build().account is None


@dataclass(frozen=True)
class Unlike(Synchronous):
    """Draws as it likes, for all that the account knows."""


def test_nothing_is_gained_from_a_draw_that_nobody_knows():
    accountant()
    privacy = {"clip": 1.0, "noise": 4.0}
    everybody = build(privacy=privacy, schedule={"c_ratio": 1.0}).account.epsilon(3)
    unlike = {"name": "test_privacy.Unlike", "c_ratio": 0.5}
    assert build(privacy=privacy, schedule=unlike).account.epsilon(3) == everybody


def test_without_noise_nothing_is_private():
    assert Account(Privacy(clip=1.0, noise=0.0), 10, 5).epsilon(1) == np.inf


ABLE = {"fedavg", "fedprox", "fedlc", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "fedopt"}


@pytest.mark.parametrize("name", sorted(ABLE))
def test_any_algorithm_on_a_mean_of_models_takes_it(name):
    given = {"strategy": {"name": name, **({"optimizer": {"name": "sgd", "lr": 1.0}} if name == "fedopt" else {})}}
    assert torch.isfinite(final(build(**given, privacy={"clip": 0.1, "noise": 0.0}))).all()
    assert type(build(**given, privacy={"clip": 0.1, "noise": 0.0}).strategy).__mro__[2] is STRATEGIES[name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "scaffold"}, "privacy: strategy = 'scaffold' uploads 'w' (examples), 'c' (examples); "),
        ({"strategy": "multi_krum"}, "privacy: strategy = 'multi_krum' uploads 'w' (each); "),
        ({"strategy": "afl"}, "privacy: strategy = 'afl' uploads 'w' (clients), 'loss' (each); "),
        ({"strategy": "dfedavg"}, "privacy: strategy = 'dfedavg' uploads 'w' (neighbours); "),
        ({"strategy": "centralized"}, "privacy: strategy = 'centralized' trains on everybody's data at once"),
        ({"schedule": {"name": "buffered", "in_flight": 3}}, "privacy: schedule = 'buffered' is asynchronous"),
        ({"communication": {"compression": "fp16"}}, "privacy: communication.compression = 'fp16' changes"),
        ({"model": {"name": "resnet20", "width": 4}}, "privacy: the model has running statistics ("),
        ({"privacy": {"clip": 1.0, "noise": 0.0, "delta": 0.2}}, "privacy.delta = 0.2: must be less than 1 / 6"),
        ({"privacy": {"clip": 0.0, "noise": 0.0}}, "privacy.clip = 0.0: "),
        ({"privacy": {"clip": 1.0}}, "privacy.noise: required, but missing"),
        ({"privacy": {"clip": 1.0, "nois": 1.0}}, "privacy.nois: unknown key; did you mean noise?"),
    ],
)
def test_mistakes_are_told(changes, message):
    with pytest.raises(JobError) as caught:
        build(**{"privacy": {"clip": 1.0, "noise": 0.0}, **changes})
    assert message in str(caught.value)
