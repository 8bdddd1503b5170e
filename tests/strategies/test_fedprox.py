"""FedProx's gradient on three numbers: two trained, one only averaged."""

import torch

from hpcfl.strategies import FedProx

SENT = {"w": torch.tensor([1.0, -2.0, 9.0])}
LOCAL = torch.tensor([1.5, -3.0])


def test_the_pull_is_mu_times_the_distance():
    grad = torch.tensor([0.25, 0.5])
    FedProx(mu=0.5).correct(grad, LOCAL, SENT["w"][:2], SENT, None)
    assert grad.tolist() == [0.25 + 0.5 * 0.5, 0.5 + 0.5 * -1.0]
    assert LOCAL.tolist() == [1.5, -3.0]
    assert SENT["w"].tolist() == [1.0, -2.0, 9.0]


def test_without_mu_there_is_no_pull():
    grad = torch.tensor([0.25, 0.5])
    FedProx(mu=0.0).correct(grad, LOCAL, SENT["w"][:2], SENT, None)
    assert grad.tolist() == [0.25, 0.5]
