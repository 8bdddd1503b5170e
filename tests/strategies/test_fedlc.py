"""FedLC's loss on three classes: one common, one rare, one that the client has no sample of."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy

from hpcfl.strategies import FedLC

CLIENT = SimpleNamespace(counts=torch.tensor([16, 1, 0]), loss=cross_entropy)


def test_logits_are_lowered_by_their_class_s_rarity():
    logits = torch.tensor([[2.0, 1.0, 5.0]])
    loss = FedLC(tau=2.0).loss(logits, torch.tensor([0]), CLIENT)
    common, rare = math.exp(2.0 - 2 * 0.5), math.exp(1.0 - 2 * 1.0)
    assert loss.item() == pytest.approx(-math.log(common / (common + rare)))


def test_an_absent_class_leaves_the_denominator_and_is_not_pushed():
    logits = torch.tensor([[2.0, 1.0, 5.0], [0.0, 3.0, 9.0]], requires_grad=True)
    for tau in (0.0, 1.0):
        loss = FedLC(tau=tau).loss(logits, torch.tensor([0, 1]), CLIENT)
        assert math.isfinite(loss.item())
        (grad,) = torch.autograd.grad(loss, logits)
        assert grad[:, 2].tolist() == [0.0, 0.0]
        assert grad[0, 0] < 0 < grad[0, 1]


def test_without_tau_and_with_all_classes_it_is_cross_entropy():
    logits, labels = torch.tensor([[2.0, 1.0, 5.0]]), torch.tensor([1])
    everybody = SimpleNamespace(counts=torch.tensor([3, 1, 2]), loss=cross_entropy)
    expected = cross_entropy(logits, labels)
    assert torch.equal(FedLC(tau=0.0).loss(logits, labels, everybody), expected)
