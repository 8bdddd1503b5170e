"""FedNova on three numbers: two trained, one only averaged."""

from types import SimpleNamespace

import torch
from cohorts import LAYOUT, W, cohort, world

from hpcfl.strategies import FedNova


def test_a_client_uploads_its_change_per_step():
    def fit(w):
        fit.steps = 4
        return w + torch.tensor([8.0, -2.0, 6.0])

    upload = FedNova().local(fit, {"w": W}, SimpleNamespace(layout=LAYOUT))
    assert upload["w"].tolist() == [2.0, -0.5, 6.0]
    assert upload["tau"].item() == 4.0
    assert W.tolist() == [1.0, -2.0, 3.0]


def test_the_server_steps_by_the_effective_number_of_steps():
    strategy = FedNova()
    state = strategy.init(world([1, 3], layout=LAYOUT))
    # d = [2, 0] with 4 steps and weight 1/4, [0, 4] with 8 steps and weight 3/4: tau_eff = 7
    mean = [0.25 * 2.0, 0.75 * 4.0, 0.25 * 4.0 + 0.75 * 8.0]
    state = strategy.combine(state, cohort([(0, 0, 1), (1, 0, 3)], means={"w": mean, "tau": 0.25 * 4 + 0.75 * 8}))
    assert state["w"].tolist() == [1 + 7 * 0.5, -2 + 7 * 3.0, 3 + 7.0]
