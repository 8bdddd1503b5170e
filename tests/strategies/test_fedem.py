"""FedEM on two clients and two learners, against the formulas written out in NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from worlds import federation

from hpcfl.build import combined
from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.strategies import FedAvg, FedEM
from hpcfl.strategies.fedem import em
from hpcfl.transport.group import Solo

LR = 0.5
SIZES = (3, 2)
X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-1.0, 0.5], [2.0, -1.0]], np.float32)
Y = np.array([0, 1, 1, 0, 1])
LEARNERS = np.array([[[0.5, -0.5], [0.25, 1.0]], [[-1.0, 0.0], [0.0, 0.5]]])
"""(K, classes, features): two linear models."""


def linear():
    return nn.Linear(2, 2, bias=False)


def made(strategy, **changes):
    """The federation of the two clients, whose models start from LEARNERS."""
    settings = {"sizes": SIZES, "classes": 2, "batch_size": 3, "epochs": (1, 1), "rates": (LR,), "data": (X, Y)}
    found = federation(module=linear, strategy=strategy, **{**settings, **changes})
    vectors = torch.tensor(LEARNERS, dtype=torch.float32).flatten(1)
    found.world = replace(found.world, draw=lambda number: vectors[number])
    return found


def step(found, state, version=0):
    jobs = found.jobs(version)
    pool = Collective(Solo(), found.trainer, found.world, reproducible=True)
    pool.submit(jobs, lambda client: found.trainer.strategy.send(state, client))
    return found.trainer.strategy.combine(state, pool.collect(Step(version + 1, 0.0, tuple(jobs), ())))


def softmax(z, axis):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def by_hand(learners, pis, rounds):
    """(learners, pis) after so many rounds of one full batch each, in float64."""
    parts = np.split(np.arange(len(Y)), np.cumsum(SIZES)[:-1])
    for _ in range(rounds):
        trained, fitted = [], []
        for part, pi in zip(parts, pis):
            x, y = X[part].astype(float), Y[part]
            p = softmax(np.einsum("kcf,nf->knc", learners, x), 2)
            loss = -np.log(p[:, np.arange(len(y)), y])
            q = softmax(np.log(pi)[:, None] - loss, 0)
            fitted.append(q.mean(1))
            error = p - np.eye(2)[y]
            grad = np.einsum("kn,knc,nf->kcf", q, error, x) / len(y)
            trained.append(learners - LR * grad)
        learners = sum(len(part) * w for part, w in zip(parts, trained)) / len(Y)
        pis = fitted
    return learners, pis


@pytest.mark.parametrize("stacks", [False, True])
def test_e_and_m_steps_are_those_written_out(stacks):
    strategy = FedEM(n_learners=2)
    found = made(strategy)
    found.trainer.stacks = stacks
    state = strategy.init(found.world)
    for version in range(3):
        state = step(found, state, version)
    learners, pis = by_hand(LEARNERS, [np.full(2, 0.5)] * 2, 3)
    np.testing.assert_allclose(state["w"].view(2, 2, 2), learners, atol=2e-6)
    np.testing.assert_allclose(state["pi"], pis, atol=2e-6)
    assert found.trainer.homes.after(0, 3)["pi"].tolist() == state["pi"][0].tolist()


def test_numbers_of_a_first_e_step():
    # losses ln 2 and ln 4 with pi = (1/2, 1/2): q = (2/3, 1/3); with ln 4 and ln 2 the other way round
    losses = torch.tensor([[2.0, 4.0, 2.0], [4.0, 2.0, 4.0]]).log()
    pi, q = em(losses, None)
    assert q.tolist() == [pytest.approx([2 / 3, 1 / 3, 2 / 3]), pytest.approx([1 / 3, 2 / 3, 1 / 3])]
    assert pi.tolist() == pytest.approx([5 / 9, 4 / 9])
    assert em(losses, torch.tensor([1.0, 0.0]))[0].tolist() == [1.0, 0.0]


def test_losses_beyond_all_bounds_leave_the_mixture_finite():
    worst = torch.tensor([[torch.inf, torch.nan, 3e38, 0.0], [torch.inf, torch.inf, 1.0, torch.nan]])
    pi, q = em(worst, torch.tensor([0.25, 0.75]))
    assert q[:, 2:].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert q[0, :2].tolist() == pytest.approx([0.25, 0.25], abs=1e-3)
    assert pi.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("changes", [{"epochs": (2, 2), "batch_size": 2}, {"optimizer": torch.optim.Adam}])
def test_learners_together_or_one_by_one_differ_by_rounding(changes):
    strategy, states, losses = FedEM(n_learners=2), [], []
    for stacks in (False, True):
        found = made(strategy, **changes)
        found.trainer.stacks = stacks
        states.append(step(found, strategy.init(found.world)))
        _, fit = found.trainer.train(found.jobs()[0], strategy.init(found.world))
        losses.append((fit.steps, fit.examples, pytest.approx(fit.loss.item())))
    assert torch.allclose(states[0]["w"], states[1]["w"], atol=1e-6)
    assert losses[0] == losses[1]


def test_one_learner_is_fedavg_bit_for_bit():
    w = {}
    for strategy in (FedAvg(), FedEM(n_learners=1)):
        found = made(strategy, epochs=(2, 2), batch_size=2)
        w[type(strategy)] = step(found, strategy.init(found.world))["w"]
    assert torch.equal(w[FedAvg], w[FedEM])


def test_prediction_is_the_mixture_of_probabilities():
    strategy = FedEM(n_learners=2)
    learners, x = torch.tensor(LEARNERS, dtype=torch.float32).flatten(1), torch.from_numpy(X)
    forward = lambda w: x @ w.view(2, 2).T  # noqa: E731
    p = softmax(np.einsum("kcf,nf->knc", LEARNERS, X), 2)
    logs = strategy.predict(forward, torch.cat([torch.tensor([0.75, 0.25]), learners.flatten()]))
    np.testing.assert_allclose(logs.exp(), 0.75 * p[0] + 0.25 * p[1], atol=1e-6)
    np.testing.assert_allclose(strategy.predict(forward, learners).exp(), p.mean(0), atol=1e-6)


def test_a_client_that_never_trained_fits_its_mixture_and_nothing_else():
    strategy = FedEM(n_learners=2)
    found = made(strategy)
    sent = {"w": torch.tensor(LEARNERS, dtype=torch.float32).flatten(1)}
    client = found.trainer.client(found.jobs()[1], {})
    fit = found.trainer.fit(found.trainer, client, sent)
    own = strategy.personal(fit, sent, client)
    p = softmax(np.einsum("kcf,nf->knc", LEARNERS, X[3:]), 2)
    likelihood, pi = p[:, np.arange(2), Y[3:]], np.full(2, 0.5)
    for _ in range(20):
        joint = pi[:, None] * likelihood
        pi = (joint / joint.sum(0)).mean(1)
    np.testing.assert_allclose(own[:2], pi, atol=1e-5)
    assert torch.equal(own[2:], sent["w"].flatten())
    assert client.state == {}


def test_tuning_moves_a_copy_of_the_learners():
    strategy = FedEM(n_learners=2, tune_locally=True)
    found = made(strategy)
    sent = {"w": torch.tensor(LEARNERS, dtype=torch.float32).flatten(1)}
    before = sent["w"].clone()
    client = found.trainer.client(found.jobs()[0], {"pi": torch.tensor([0.25, 0.75])})
    own = strategy.personal(found.trainer.fit(found.trainer, client, sent), sent, client)
    assert torch.equal(sent["w"], before)
    assert not torch.isclose(own[2:], before.flatten()).any()
    assert client.state["pi"].tolist() == [0.25, 0.75]


class Squared(nn.Module):
    """A regression's loss: of the first output."""

    def forward(self, outputs, labels):
        return (outputs[:, 0] - labels).square().mean()


@pytest.mark.parametrize("changes", [{"loss": Squared()}, {"loss": nn.CrossEntropyLoss(torch.tensor([1.0, 1.0]))}])
def test_any_loss_is_asked_sample_by_sample(changes):
    found = made(FedEM(n_learners=2), **changes)
    sent = {"w": torch.tensor(LEARNERS, dtype=torch.float32).flatten(1)}
    losses = found.trainer.fit(found.trainer, found.trainer.client(found.jobs()[0], {}), sent).losses(sent["w"])
    x, y, loss = torch.from_numpy(X[:3]), torch.from_numpy(Y[:3]), changes["loss"]
    for row, w in zip(losses, sent["w"]):
        expected = [loss(x[[i]] @ w.view(2, 2).T, y[[i]]).item() for i in range(3)]
        assert row.tolist() == pytest.approx(expected)


def test_an_algorithm_with_a_loss_of_its_own_joins_in():
    joined = combined("fedem+fedlc")(n_learners=2, tau=1.0)
    found, plain = made(joined), made(FedEM(n_learners=2))
    state = joined.init(found.world)
    assert not torch.allclose(step(found, state)["w"], step(plain, state)["w"])
