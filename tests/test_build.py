"""From a job to its parts: losses, optimizers, rates and models, by name, by path and with params."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from hpcfl.build import assemble, choose_device, result_path
from hpcfl.errors import HpcflError, JobError, LaunchError
from hpcfl.jobfile import JobFile
from hpcfl.launch import Placement
from hpcfl.recipe import build_loss, build_recipe, learning_rates
from hpcfl.schema import JobSpec
from hpcfl.strategies import FedAdam, FedAvg, FedLC, FedProx

SYNTHETIC = {"name": "synthetic", "samples": 60, "test_samples": 10, "shape": [1, 8, 8], "classes": 3}
LEAST = {"rounds": 4, "data": SYNTHETIC, "model": {"name": "mlp", "hidden": []}, "partition": {"clients": 3}}


def spec(**changes):
    return JobSpec.parse({**LEAST, **changes}, "job.toml")


def parts(**changes):
    return assemble(JobFile("", spec(**changes), None), torch.device("cpu"), trains=True, serves=True)


def complaint(**changes):
    with pytest.raises(HpcflError) as caught:
        parts(**changes)
    return str(caught.value)


def rates(lr_schedule, rounds=6, lr=0.8):
    given = spec(rounds=rounds, client={"lr": lr, "lr_schedule": lr_schedule})
    return learning_rates(given, lambda parameters: torch.optim.SGD(parameters, lr=lr))


def test_rates():
    assert rates("cosine") == pytest.approx([0.4 * (1 + math.cos(math.pi * k / 6)) for k in range(6)])
    assert rates({"name": "cosine", "T_max": 3})[3] == pytest.approx(0.0, abs=1e-12)
    assert rates({"name": "step", "step_size": 2, "gamma": 0.5}) == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])
    multistep = {"name": "multistep", "milestones": [1, 4], "gamma": 0.1}
    assert rates(multistep) == pytest.approx([0.8] + [0.08] * 3 + [0.008] * 2)
    assert rates({"name": "exponential", "gamma": 0.5}) == pytest.approx([0.8 / 2**k for k in range(6)])
    path = {"name": "torch.optim.lr_scheduler.LinearLR", "start_factor": 0.5, "total_iters": 2}
    assert rates(path) == pytest.approx([0.4, 0.6] + [0.8] * 4)


def test_without_a_schedule_the_rate_is_constant():
    assert build_recipe(spec(client={"lr": 0.3}), 3).rates == (0.3,)


@pytest.mark.parametrize(
    "lr_schedule, said",
    [
        ("cosin", "client.lr_schedule = 'cosin': unknown; did you mean cosine?"),
        ({"name": "step"}, "client.lr_schedule.step_size: required by StepLR, but missing"),
        ({"name": "step", "size": 3}, "client.lr_schedule.size: unknown key"),
        (
            "torch.optim.lr_scheduler.ReduceLROnPlateau",
            "client.lr_schedule = 'torch.optim.lr_scheduler.ReduceLROnPlateau'",
        ),
    ],
)
def test_a_schedule_that_cannot_be_built(lr_schedule, said):
    assert said in complaint(client={"lr_schedule": lr_schedule})


def test_losses():
    logits, labels = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 0.0]]), torch.tensor([0, 2])
    smooth = {"label_smoothing": 0.1}
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    for name in ("cross_entropy", "torch.nn.CrossEntropyLoss", "torch.nn.functional.cross_entropy"):
        loss = spec(client={"loss": {"name": name, **smooth}}).client.loss
        assert torch.equal(build_loss(loss, 3)(logits, labels), expected)
        plain = spec(client={"loss": name}).client.loss
        assert torch.equal(build_loss(plain, 3)(logits, labels), nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    "loss, said",
    [
        ("cross_entrop", "client.loss = 'cross_entrop': unknown; did you mean cross_entropy?"),
        (
            {"name": "cross_entropy", "smoothing": 0.1},
            "client.loss.smoothing: unknown key; did you mean label_smoothing?",
        ),
        ({"name": "torch.nn.functional.cross_entropy", "smoothing": 1}, "client.loss.smoothing: unknown key"),
        ("torch.nn.functional.no_loss", "module torch.nn.functional has no 'no_loss'"),
    ],
)
def test_a_loss_that_cannot_be_built(loss, said):
    assert said in complaint(client={"loss": loss})


@pytest.mark.parametrize(
    "optimizer, said",
    [
        ("sdg", "client.optimizer = 'sdg': unknown; did you mean sgd?"),
        ({"momentun": 0.9}, "client.optimizer.momentun: unknown key; did you mean momentum?"),
        ({"momentum": -1.0}, "client.optimizer: SGD("),
        ({"lr": 0.5}, "client.optimizer.lr = 0.5: the learning rate is client.lr"),
    ],
)
def test_an_optimizer_that_cannot_be_built(optimizer, said):
    assert said in complaint(client={"optimizer": optimizer})


@pytest.mark.parametrize(
    "model, said",
    [
        ("lenet", "model = 'lenet': unknown; did you mean lenet5 or resnet56?"),
        ({"name": "mlp", "hiden": [3]}, "model.hiden: unknown key; did you mean hidden?"),
        ("lenet5", "model = 'lenet5': does not take samples of shape (1, 8, 8) (synthetic): "),
        ("torch.nn.Flatten", "model = 'torch.nn.Flatten': two samples give (2, 64), but 3 classes need (2, 3)"),
        ({"name": "mlp", "hidden": [-1]}, "model: MLP(hidden=[-1]) failed: "),
        ("vgg11", "model: VGG11() failed: ValueError: its five poolings take images of at least 32x32, but samples "),
        ({"name": "mlp", "init": "xavir"}, "model.init = 'xavir': unknown; did you mean xavier?"),
        ({"name": "mlp", "init": {"name": "normal", "sdt": 1}}, "model.init.sdt: unknown key; did you mean std?"),
        ("fractions.Fraction", "model = 'fractions.Fraction': gives a Fraction, not a torch.nn.Module"),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_model_that_cannot_be_built(model, said):
    assert said in complaint(model=model)


@pytest.fixture
def text(tmp_path):
    """A dataset of five-character texts in an alphabet of eight."""
    x = np.random.default_rng(0).integers(0, 8, (30, 5))
    np.savez(tmp_path / "text.npz", x_train=x, y_train=x[:, 0] % 3, x_test=x, y_test=x[:, 0] % 3, tokens=8)
    return {"name": "npz", "path": str(tmp_path / "text.npz")}


def test_a_model_that_reads_text_learns_the_size_of_the_alphabet(text):
    built = parts(data=text, model={"name": "char_lstm", "embedding": 2, "hidden": 4})
    module = built.trainer.module
    assert (module.embedding.num_embeddings, module.lstm.hidden_size, module.head.out_features) == (8, 4, 3)
    x, _ = built.trainer.samples.batch(torch.tensor([3, 4]))
    assert (x.dtype, tuple(x.shape)) == (torch.int64, (2, 5))


def test_text_and_models_that_do_not_go_together(text):
    assert complaint(model="char_lstm") == (
        "model: CharLSTM() failed: ValueError: it reads text, but samples of shape (1, 8, 8) are no tokens"
    )
    assert complaint(data=text).startswith("model = 'mlp': does not take samples of shape (5,) (npz): ")


def test_the_model_follows_from_the_seed_alone():
    torch.manual_seed(5)
    first = parts(model="cnn").world.initial
    torch.manual_seed(6)
    assert torch.equal(parts(model="cnn").world.initial, first)
    assert not torch.equal(parts(model="cnn", seed=1).world.initial, first)
    drawn = {"name": "cnn", "init": {"name": "normal", "std": 0.5}}
    assert torch.equal(parts(model=drawn).world.initial, parts(model=drawn).world.initial)
    assert parts(model=drawn).world.initial.std() > 10 * first.std()


def test_a_transform_is_built_and_checked():
    data = {**SYNTHETIC, "transform": {"name": "crop_flip", "padding": 2}}
    assert parts(data=data).trainer.recipe.transform.padding == 2
    bad = {**SYNTHETIC, "transform": {"name": "crop_flip", "padding": -2}}
    assert complaint(data=bad) == "data.transform.padding = -2: should be greater than or equal to 0"


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"strategy": {"name": "fedprox", "mu": -1}}, "strategy.mu = -1: should be greater than or equal to 0"),
        ({"strategy": {"name": "fedavg", "mu": 1}}, "strategy.mu: unknown key"),
        ({"strategy": "fedporx"}, "strategy = 'fedporx': unknown; did you mean fedprox or fedper?"),
        ({"strategy": "fractions.Fraction"}, "strategy = 'fractions.Fraction': "),
        ({"schedule": {"c_ratio": 0.0}}, "schedule.c_ratio = 0.0: should be greater than 0"),
        ({"schedule": {"c_ratio": 1.5}}, "schedule.c_ratio = 1.5: should be less than or equal to 1"),
        ({"schedule": {"ratio": 0.5}}, "schedule.ratio: unknown key; did you mean c_ratio?"),
        ({"partition": {"clients": 61}}, "partition.clients = 61: there are only 60"),
        (
            {"server": {"retries": 2}, "schedule": "buffered", "strategy": "fedbuff"},
            "server.retries = 2: schedule = 'buffered' has no rounds that could be tried again; valid: synchronous",
        ),
        (
            {"server": {"retries": 1}, "schedule": {"choose": "round_robin"}},
            "server.retries = 1: a round that is tried again draws its clients",
        ),
        (
            {"server": {"retries": 1}, "privacy": {"clip": 1.0, "noise": 1.0}},
            "server.retries = 1: [privacy] accounts for one draw of clients per round; valid: 0",
        ),
        ({"server": {"retries": -1}}, "job.toml:\n  server.retries = -1: should be greater than or equal to 0"),
        ({"server": {"min_clients": 4}}, "server.min_clients = 4: more than the 3 clients there are"),
    ],
)
def test_what_else_a_job_can_get_wrong(changes, said):
    assert complaint(**changes).startswith(said)


class Half:
    """Only what an algorithm adds, and nothing of FedAvg."""

    uploads = {"w": "examples"}

    def local(self, fit, sent, client):
        return {"w": fit(sent["w"])}


@dataclass(frozen=True)
class Tau(FedAvg):
    tau: int = 1


@dataclass(frozen=True)
class Share(FedAvg):
    share: float = 1.0


class Mistaken(FedAvg):
    uploads = {"w": "samples"}


class Homeless(FedAvg):
    uploads = {"w": "neighbours"}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [({"schedule": "buffered"}, "schedule = 'buffered'"), ({"clock": "wall"}, 'clock = "wall"')],
)
def test_neighbours_mix_in_rounds(changes, wrong):
    assert complaint(strategy="dfedavg", **changes) == (
        f"strategy = 'dfedavg': neighbours mix their models when all of a round have trained, but with {wrong} jobs "
        'end one by one; valid: schedule = "synchronous" with clock = "virtual"'
    )


def test_what_neighbours_mix_needs_a_home_and_stays_as_it_is():
    said = complaint(strategy=f"{__name__}.Homeless")
    assert "uploads['w'] = 'neighbours' needs private = True" in said
    said = complaint(strategy="dfedem", communication={"compression": "topk"})
    assert said.startswith("communication.compression = 'topk': the algorithm's clients send their models to neighb")


def test_a_strategy_of_one_s_own_is_checked():
    lacks = "pooled, init, send, combine, base, loss, correct, personal, predict, private, travels, recorded, mixing"
    assert complaint(strategy=f"{__name__}.Half") == (
        f"strategy = '{__name__}.Half': lacks {lacks}; derive it from hpcfl's FedAvg"
    )
    said = complaint(strategy=f"{__name__}.Mistaken")
    assert "uploads['w'] = 'samples'; valid: examples, clients, each, bytes, neighbours" in said


def test_the_world_is_the_job_s():
    world = parts(client={"epochs": [1, 3], "batch_size": 7, "device": {"seconds_per_step": 0.5}}, seed=9).world
    assert (world.seed, world.rounds, world.clients, world.batch_size) == (9, 4, 3, 7)
    assert world.epochs == (1, 3)
    assert world.devices.step_s.tolist() == [0.5] * 3
    assert world.groups == ((0, 1, 2),)
    assert world.counts.sum() == 60
    assert world.layout.size == len(world.initial) == 3 * 64 + 3


def test_fingerprints_tell_worlds_apart():
    fingerprints = [parts().fingerprint, parts(seed=1).fingerprint, parts(partition={"clients": 4}).fingerprint]
    assert len(set(fingerprints)) == 3
    assert parts(client={"lr": 0.5}).fingerprint == fingerprints[0]


def test_devices():
    def chosen(rank, size, local_rank, local_size, gpus, kind="auto"):
        return str(choose_device(kind, Placement("slurm", rank, size, local_rank, local_size), [gpus] * size))

    assert chosen(0, 1, 0, 1, 0) == "cpu"
    assert chosen(0, 1, 0, 1, 2, kind="cpu") == "cpu"
    assert [chosen(rank, 4, rank, 4, 4) for rank in range(4)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    assert [chosen(rank, 5, rank, 5, 4) for rank in range(5)] == ["cuda:3", "cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    assert [chosen(rank, 9, rank - 5, 4, 4) for rank in range(5, 9)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    assert [chosen(rank, 2, rank, 2, 1) for rank in range(2)] == ["cuda:0", "cuda:0"]
    with pytest.raises(LaunchError, match="rank 0 sees no GPU"):
        chosen(0, 1, 0, 1, 0, kind="cuda")


def test_result_paths_are_never_taken_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    job = spec(name="a")
    for name in ("a.h5", "a-2.h5", "a-3.h5"):
        assert str(result_path(job)) == f"results/{name}"
        (tmp_path / "results" / name).touch()
    assert str(result_path(spec(results={"path": "x/y.h5"}))) == "x/y.h5"


def test_errors_of_the_job_are_job_errors():
    with pytest.raises(JobError):
        parts(model="cnnn")


def test_algorithms_that_change_different_hooks_combine():
    strategy = parts(strategy={"name": "fedlc + fedprox+fedadam", "tau": 0.5, "mu": 0.25, "lr": 0.125}).strategy
    assert (strategy.tau, strategy.mu, strategy.lr, strategy.beta_1) == (0.5, 0.25, 0.125, 0.9)
    assert type(strategy).loss is FedLC.loss
    assert type(strategy).correct is FedProx.correct
    assert type(strategy).combine is FedAdam.combine
    assert parts(strategy="scaffold+fedlc").strategy.private
    assert type(parts(strategy="fedavg+fedlc").strategy) is FedLC
    assert type(parts(strategy="fedavg+fedavg").strategy) is FedAvg


@pytest.mark.parametrize(
    "strategy, said",
    [
        ("fedprox+scaffold", "strategy = 'fedprox+scaffold': FedProx and Scaffold both change 'correct'"),
        ("fedlc+fedadam+fedyogi", "FedAdam and FedYogi both change 'combine'"),
        ("fedasync+test_build.Share", "FedAsync and Share both have 'share'"),
        ("fedlc+test_build.Tau", "FedLC and Tau both have 'tau'"),
        ("fedprox+fedporx", "strategy = 'fedporx': unknown; did you mean fedprox or fedper?"),
        ("fedprox+torch.nn.Linear", "only algorithms derived from hpcfl's FedAvg can be combined"),
        ({"name": "fedprox+fedlc", "tua": 1.0}, "strategy.tua: unknown key; did you mean tau"),
        ({"name": "fedopt"}, "strategy.optimizer: required by FedOpt, but missing"),
        ({"name": "fedopt", "optimizer": "torch.optim.LBFGS"}, "strategy.optimizer: cannot make a step on the server"),
        (
            {"name": "fedopt", "optimizer": {"name": "sgd", "momentun": 1.0}},
            "strategy.optimizer.momentun: unknown key; did you mean momentum",
        ),
    ],
)
def test_what_a_combination_can_get_wrong(strategy, said):
    assert said in complaint(strategy=strategy)


def made_to_measure(gamma: float = 1.0):
    return lambda logits, labels: gamma * nn.functional.cross_entropy(logits, labels)


def per_sample(logits, labels):
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def test_a_function_that_takes_no_logits_makes_the_loss():
    logits, labels = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([0])
    loss = parts(client={"loss": {"name": f"{__name__}.made_to_measure", "gamma": 3.0}}).trainer.recipe.loss
    assert torch.equal(loss(logits, labels), 3 * nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    "loss, said",
    [
        (f"{__name__}.per_sample", "gives a tensor (2,) for two samples; it should be one number, a tensor"),
        ("torch.nn.functional.one_hot", "cannot be called with logits (2, 3) and labels (2,): "),
        ("os.getcwd", "client.loss = 'os.getcwd': cannot be called with logits (2, 3) and labels (2,): TypeError"),
    ],
)
def test_a_loss_that_cannot_be_one_is_told_before_the_run(loss, said):
    assert said in complaint(client={"loss": loss})
