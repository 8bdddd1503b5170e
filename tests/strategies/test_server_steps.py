"""FedAvgM, FedAdam, FedYogi, FedAdagrad and FedOpt on three numbers: two take the step, the buffer takes the mean."""

import math

import pytest
import torch
from cohorts import LAYOUT, cohort, world

from hpcfl.errors import JobError
from hpcfl.strategies import FedAdagrad, FedAdam, FedAvgM, FedOpt, FedYogi
from hpcfl.strategies.serverstep import ServerStep

FIRST = [1.5, -2.0, 7.0]  # from [1, -2, 3]: the clients' mean change is [0.5, 0]
D = 0.5


def steps(strategy, *means):
    """w after each of the means."""
    state = strategy.init(world([1, 1], layout=LAYOUT))
    vectors = []
    for mean in means:
        state = strategy.combine(state, cohort([(0, 0, 1)], mean=mean))
        vectors.append(state["w"].tolist())
    return vectors


def test_by_default_the_step_is_the_mean_change():
    assert steps(ServerStep(), FIRST) == [FIRST]


def test_momentum_goes_on_when_the_clients_stand_still():
    first, second = steps(FedAvgM(lr=0.5, beta=0.5), FIRST, [1.25, -2.0, 4.0])
    assert first == [1 + 0.5 * D, -2.0, 7.0]
    assert second == [1.25 + 0.5 * 0.5 * D, -2.0, 4.0]


@pytest.mark.parametrize(
    ("strategy", "v"),
    [
        (FedAdam(lr=0.5, beta_1=0.5, beta_2=0.75, adaptivity=0.25), 0.75 * 0.0625 + 0.25 * D**2),
        (FedYogi(lr=0.5, beta_1=0.5, beta_2=0.75, adaptivity=0.25), 0.0625 + 0.25 * D**2),
        (FedAdagrad(lr=0.5, beta_1=0.5, adaptivity=0.25), 0.0625 + D**2),
    ],
    ids=["adam", "yogi", "adagrad"],
)
def test_adaptive_steps(strategy, v):
    [w] = steps(strategy, FIRST)
    assert w == pytest.approx([1 + 0.5 * (0.5 * D) / (math.sqrt(v) + 0.25), -2.0, 7.0], rel=1e-6)


def test_yogi_shrinks_v_by_no_more_than_the_square():
    second = FedYogi(beta_2=0.75).second(torch.tensor([0.25, 4.0]), torch.tensor([1.0, 1.0]))
    assert second.tolist() == [1.0 - 0.25 * 0.25, 1.0 + 0.25 * 4.0]
    assert FedAdam(beta_2=0.75).second(torch.tensor([0.25]), torch.tensor([1.0])).tolist() == [0.75 + 0.25 * 0.25]


def test_torch_s_optimizer_remembers_from_step_to_step():
    strategy = FedOpt(lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.5))
    first, second = steps(strategy, FIRST, [1.25, -2.0, 4.0])
    assert first == [1.25, -2.0, 7.0]
    assert second == [1.25 + 0.5 * 0.5 * D, -2.0, 4.0]
    state = strategy.combine(strategy.init(world([1], layout=LAYOUT)), cohort([(0, 0, 1)], mean=FIRST))
    assert state["optimizer momentum_buffer"].tolist() == [-D, 0.0]


def test_torch_s_adam_corrects_its_bias():
    [w] = steps(FedOpt(lambda parameters: torch.optim.Adam(parameters, lr=0.1)), FIRST)
    assert w == pytest.approx([1.1, -2.0, 7.0])


def test_an_optimizer_that_cannot_step_alone_is_refused():
    with pytest.raises(JobError, match="strategy.optimizer: cannot make a step on the server"):
        FedOpt(lambda parameters: torch.optim.LBFGS(parameters))
