"""pFedMe on three numbers: two trained, one only averaged."""

from types import SimpleNamespace

import pytest
import torch
from cohorts import LAYOUT, W, cohort, world

from hpcfl.errors import JobError
from hpcfl.strategies import PFedMe

SENT = {"w": W}


def test_the_shared_model_goes_part_of_the_way_to_the_own_one():
    client, strategy = SimpleNamespace(state={}), PFedMe(lam=2.0, eta=0.25, local_rounds=2)
    assert strategy.personal(None, SENT, client) is W
    # theta = w + 4, w' = w + 2; theta = w' + 4, w'' = w' + 2
    assert strategy.local(lambda w: w + 4, SENT, client)["w"].tolist() == [5.0, 2.0, 7.0]
    assert client.state["theta"].tolist() == [7.0, 4.0, 9.0]
    assert strategy.personal(None, SENT, client).tolist() == [7.0, 4.0, 9.0]


def test_enough_steps_find_the_proximal_point():
    """Of |theta - t|^2 / 2 it is (t + lam w) / (1 + lam)."""
    strategy, target, w = PFedMe(lam=3.0, eta=0.1), torch.tensor([9.0, 2.0]), W[:2]
    theta = w.clone()
    for _ in range(200):
        grad = theta - target
        strategy.correct(grad, theta, w, SENT, None)
        theta -= 0.1 * grad
    assert theta.tolist() == pytest.approx([(9 + 3) / 4, (2 - 6) / 4])


def test_the_server_goes_beyond_the_mean_with_beta_but_not_for_running_statistics():
    strategy = PFedMe(beta=2.0)
    state = strategy.combine(strategy.init(world([1], layout=LAYOUT)), cohort([(0, 0, 1)], mean=[2.0, -1.0, 5.0]))
    assert state["w"].tolist() == [3.0, 0.0, 5.0]


def test_a_rate_that_goes_beyond_theta_is_refused():
    with pytest.raises(JobError, match="eta lam = 1.5: must not exceed 1"):
        PFedMe(lam=15.0, eta=0.1)
