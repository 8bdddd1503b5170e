"""Local training: hand-computed steps, and jobs that do not feel one another."""

import numpy as np
import pytest
import torch
from torch import nn
from worlds import CPU, Net, federation

from hpcfl.core import World
from hpcfl.flat import Layout
from hpcfl.models import CharLSTM
from hpcfl.rng import stream
from hpcfl.samples import Samples
from hpcfl.strategies import FedAvg, FedProx
from hpcfl.training import Recipe, Trainer
from hpcfl.transforms import CropFlip


def squared(logits, labels):
    return ((logits[:, 0] - labels) ** 2).mean()


class Dot(nn.Linear):
    """Three weights, (1, 2, -1) at first."""

    def __init__(self):
        super().__init__(3, 1, bias=False)
        self.weight.data = torch.tensor([[1.0, 2.0, -1.0]])


class Remembers(Net):
    """As much memory between batches as a module can have."""

    def __init__(self):
        super().__init__()
        self[1].momentum = None  # then the average depends on the number of batches seen
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x):
        if self.training:
            self.seen.add_(0.1)
            self.count.add_(1)
        return super().forward(x) * (1 + self.seen) + self.count


# two samples (1, 0, 2) -> 1 and (0, 1, 1) -> 0: residuals -2 and 1 at first
DATA = np.array([[1, 0, 2], [0, 1, 1]], np.float32), np.array([1, 0])


def dot(**changes):
    settings = {"module": Dot, "sizes": (2,), "data": DATA, "classes": 2, "epochs": (1, 1), "rates": (0.25,)}
    return federation(**{**settings, "loss": squared, **changes})


def test_one_step_of_sgd_by_hand():
    # gradient of the mean square: 2/2 (-2 (1, 0, 2) + 1 (0, 1, 1)) = (-2, 1, -3)
    assert dot().train(0).tolist() == [1.5, 1.75, -0.25]


def test_two_steps_of_sgd_by_hand():
    # then the residuals are 0 and 1.5, the gradient (0, 1.5, 1.5)
    assert dot(epochs=(2, 2)).train(0).tolist() == [1.5, 1.375, -0.625]


def test_two_steps_of_fedprox_by_hand():
    # ... + 0.5 (w - w0) = 0.5 (0.5, -0.25, 0.75) in the second step: (0.25, 1.375, 1.875)
    assert dot(epochs=(2, 2), strategy=FedProx(mu=0.5)).train(0).tolist() == [1.4375, 1.40625, -0.71875]


def test_what_a_job_reports_by_hand():
    parts = dot(epochs=(2, 2))
    _, fit = parts.trainer.train(parts.world.job(0, 0, 0.0), {"w": parts.world.initial})
    assert (fit.steps, fit.examples) == (2, 4)
    assert fit.loss.item() == 2 * (4 + 1) / 2 + 2 * 2.25 / 2


def test_the_loss_is_weighted_by_the_samples_of_a_batch():
    parts = dot(batch_size=1, rates=(1e-30,))
    _, fit = parts.trainer.train(parts.world.job(0, 0, 0.0), {"w": parts.world.initial})
    assert (fit.steps, fit.loss.item()) == (2, 5.0)
    parts = federation(
        sizes=(7,), batch_size=4, rates=(1e-30,), module=lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    )
    _, fit = parts.trainer.train(parts.world.job(0, 0, 0.0), {"w": parts.world.initial})
    loss, _ = parts.trainer.evaluate(parts.world.initial, parts.samples, 100)
    assert fit.loss.item() / fit.examples == pytest.approx(loss, rel=1e-6)


def test_every_sample_is_seen_once_per_epoch_in_the_job_s_own_order():
    parts = federation(sizes=(5, 9, 4), epochs=(3, 3))
    client = parts.trainer.client(parts.world.job(1, 2, 0.0), {})
    seen = []

    class Watched(FedAvg):
        def loss(self, logits, labels, client):
            seen.append(labels)
            return super().loss(logits, labels, client)

    watched = federation(sizes=(5, 9, 4), epochs=(3, 3), strategy=Watched())
    watched.train(1, version=2)
    assert [len(labels) for labels in seen] == [4, 4, 1] * 3
    draws = stream(0, "client", 1, 2, 0, "batches")
    order = np.concatenate([client.index.numpy()[draws.permutation(9)] for _ in range(3)])
    assert sorted(order[:9]) == list(range(5, 14))
    assert torch.equal(torch.cat(seen), watched.samples.y[order])


def test_the_model_that_is_sent_is_left_alone():
    parts = federation()
    before = parts.world.initial.clone()
    result = parts.train(0)
    assert torch.equal(parts.world.initial, before)
    assert not torch.equal(result, before)


OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=0.01),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("module", [Net, Remembers])
def test_a_job_gives_the_same_bits_whatever_came_before(module, optimizer):
    settings = {"module": module, "optimizer": optimizer, "rates": (0.01,), "sizes": (6, 4, 9, 6)}
    parts = federation(**settings)
    alone = federation(**settings).train(3)
    for client in (3, 0, 2, 3, 1):
        result = parts.train(client)
    assert torch.equal(parts.train(3), alone)
    assert not torch.equal(result, alone)


def test_optimizers_differ():
    results = [federation(optimizer=optimizer, rates=(0.01,)).train(2) for optimizer in OPTIMIZERS.values()]
    assert len({tuple(result.tolist()) for result in results}) == len(OPTIMIZERS)


def test_momentum_works_within_a_job():
    # step 1 moves by -lr g1 = (0.5, -0.25, 0.75); step 2 adds half of that again
    halved = dot(epochs=(2, 2), optimizer=lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.5))
    assert halved.train(0).tolist() == [1.5 + 0.25, 1.375 - 0.125, -0.625 + 0.375]


@pytest.mark.parametrize("module", [Net, Remembers])
def test_evaluation_does_not_change_training(module):
    quiet, watched = federation(module=module), federation(module=module)
    for client in (0, 2, 1):
        watched.trainer.evaluate(watched.world.initial, watched.samples, 5)
        result = watched.train(client)
        before = result.clone()
        watched.trainer.evaluate(result, watched.samples, 7)
        assert torch.equal(result, before)
        assert torch.equal(result, quiet.train(client))


def test_a_prediction_may_do_what_it_likes_to_its_copy():
    class Halves(FedAvg):
        def predict(self, forward, w):
            return forward(w.mul_(0.5))

    parts = dot(strategy=Halves())
    w = torch.tensor([3.0, 3.5, -0.5])
    assert parts.trainer.evaluate(w, parts.samples, 2)[0] == 2.25 / 2
    assert w.tolist() == [3.0, 3.5, -0.5]


def test_evaluation_by_hand():
    parts = dot()
    loss, _ = parts.trainer.evaluate(torch.tensor([1.5, 1.75, -0.25]), parts.samples, 2)
    assert loss == 2.25 / 2


def test_evaluation_does_not_depend_on_the_batch_size():
    parts = federation(sizes=(13, 10))
    figures = {parts.trainer.evaluate(parts.world.initial, parts.samples, size)[1] for size in (1, 4, 23, 100)}
    losses = [parts.trainer.evaluate(parts.world.initial, parts.samples, size)[0] for size in (1, 4, 23, 100)]
    assert len(figures) == 1
    assert max(losses) - min(losses) < 1e-6


def test_evaluation_is_the_module_s_own_in_eval_mode():
    parts = federation()
    parts.train(0)
    net = Net()
    Layout.of(net).bind(net, parts.world.initial.clone())
    net.eval()
    with torch.no_grad():
        logits = net(parts.samples.x)
    loss, accuracy = parts.trainer.evaluate(parts.world.initial, parts.samples, 1000)
    assert accuracy == (logits.argmax(1) == parts.samples.y).double().mean().item()
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, parts.samples.y).item(), rel=1e-6)


def test_the_rate_is_that_of_the_step_that_the_client_starts_from():
    parts = dot(rates=(0.25, 0.5, 1.0))
    assert parts.train(0, version=0).tolist() == [1.5, 1.75, -0.25]
    assert parts.train(0, version=1).tolist() == [2.0, 1.5, 0.5]
    assert parts.train(0, version=2).tolist() == [3.0, 1.0, 2.0]
    assert parts.train(0, version=9).tolist() == [3.0, 1.0, 2.0]


def test_jobs_of_drawn_epochs_make_the_steps_that_were_planned():
    parts = federation(epochs=(1, 3))
    made = set()
    for version in range(8):
        job = parts.world.job(2, version, 0.0)
        _, fit = parts.trainer.train(job, {"w": parts.world.initial})
        assert (fit.steps, fit.examples) == (job.steps, job.epochs * 9)
        made.add(job.epochs)
    assert made == {1, 2, 3}


def test_seeds_clients_and_versions_draw_their_own():
    results = [
        federation().train(0),
        federation().train(0, version=1),
        federation(seed=1).train(0),
        federation(sizes=(6, 6)).train(1),
    ]
    assert len({tuple(result.tolist()) for result in results}) == 4


def test_a_transform_draws_from_the_job_s_own_numbers():
    augmented = federation(transform=CropFlip(1, True))
    first = augmented.train(0)
    augmented.train(1)
    torch.rand(5)
    assert torch.equal(augmented.train(0), first)
    assert not torch.equal(federation().train(0), first)


def test_fits_of_one_job_do_not_overwrite_one_another():
    class Twice(FedAvg):
        def local(self, fit, sent, client):
            one, two = fit(sent["w"], epochs=1), fit(sent["w"], epochs=0)
            return {"w": one - two}

    parts = dot(strategy=Twice())
    assert parts.train(0).tolist() == [0.5, -0.25, 0.75]
    assert parts.train(0).tolist() == [0.5, -0.25, 0.75]


def test_frozen_parameters_and_buffers_of_the_optimizer_s_vector_stay():
    class Partly(Net):
        def __init__(self):
            super().__init__()
            self[0].weight.requires_grad_(False)

    def decaying(parameters, lr):
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=0.5)

    parts = federation(module=Partly, optimizer=decaying)
    before, after = (parts.world.layout.views(vector) for vector in (parts.world.initial, parts.train(0)))
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["5.weight"], after["5.weight"])
    assert not torch.equal(before["1.running_mean"], after["1.running_mean"])


def sentences():
    numbers = np.random.default_rng(3)
    return numbers.integers(0, 7, (18, 6)), numbers.integers(0, 3, 18)


def reader():
    return CharLSTM((6,), 3, 7, embedding=4, hidden=8)


def test_an_lstm_bound_to_views_trains_as_one_left_alone():
    parts = federation(module=reader, sizes=(11, 7), data=sentences(), rates=(0.5,))
    parts.train(1)  # its weights are views of another vector by then
    trained = parts.world.layout.views(parts.train(0))
    x, y = (torch.from_numpy(array) for array in sentences())
    torch.manual_seed(0)
    plain = reader()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.5)
    batches = parts.trainer.client(parts.world.job(0, 0, 0.0), {}).stream("batches")
    for _ in range(2):
        for index in torch.from_numpy(batches.permutation(11)).split(4):
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain(x[index]), y[index]).backward()
            optimizer.step()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(trained[name], tensor), name


def test_an_lstm_whose_gradients_are_views_trains_the_same():
    settings = {"module": reader, "sizes": (11, 7), "data": sentences()}
    first, second = (federation(**settings, strategy=strategy) for strategy in (FedAvg(), FedProx(mu=0.0)))
    assert torch.equal(first.train(0), second.train(0))


def test_images_are_normalised_per_channel():
    x = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2) * 10
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)
    samples = Samples(x, np.array([0, 1]), mean, std, CPU)
    batch, labels = samples.batch(torch.tensor([1, 0]))
    shape = (1, 3, 1, 1)
    expected = (x[::-1] / 255 - np.reshape(mean, shape)) / np.reshape(std, shape)
    assert batch.dtype == torch.float32
    assert np.abs(batch.numpy() - expected).max() < 1e-6
    assert labels.tolist() == [1, 0]
    assert len(samples) == 2


def test_floats_are_taken_as_they_are():
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    batch, _ = Samples(x, np.zeros(4, np.int32), (), (), CPU).batch(slice(1, 3))
    assert np.array_equal(batch.numpy(), x[1:3])


def test_read_only_and_strided_arrays_are_taken():
    x = np.arange(24, dtype=np.float32).reshape(6, 4)
    x.setflags(write=False)
    samples = Samples(x[::2], np.array([0, 1, 0]), (), (), CPU)
    assert np.array_equal(samples.x.numpy(), x[::2])


def test_a_rank_that_serves_needs_no_training_data():
    parts = federation()
    world = parts.world
    recipe = Recipe(lambda parameters: torch.optim.SGD(parameters, lr=1.0), nn.CrossEntropyLoss(), (0.1,))
    server = Trainer(world, FedAvg(), Net(), recipe, None, [], CPU)
    assert server.evaluate(world.initial, parts.samples, 5) == parts.trainer.evaluate(world.initial, parts.samples, 5)
    assert isinstance(world, World)
