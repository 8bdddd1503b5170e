"""Weights by name: their spread, and what is left as it was."""

import pytest
import torch
from torch import nn

from hpcfl.models import INITIALISERS


def model():
    return nn.Sequential(
        nn.Embedding(5, 4), nn.Conv1d(40, 60, 5), nn.BatchNorm1d(60), nn.ReLU(), nn.Linear(300, 200, bias=False)
    )


SPREAD = {
    ("xavier", 1.0): ((2 / (40 * 5 + 60 * 5)) ** 0.5, (2 / 500) ** 0.5),
    ("kaiming", None): ((2 / (40 * 5)) ** 0.5, (2 / 300) ** 0.5),
    ("normal", 0.3): (0.3, 0.3),
}


@pytest.mark.parametrize(("name", "param"), SPREAD)
def test_weights_have_the_deviation_of_the_rule(name, param):
    torch.manual_seed(0)
    given = model()
    kept = [given[0].weight.clone(), given[2].weight.clone()]
    INITIALISERS[name](given, *([param] if param else []))
    for layer, deviation in zip((given[1], given[4]), SPREAD[name, param], strict=True):
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert layer.weight.mean().abs().item() < deviation / 20
    assert not given[1].bias.any()
    assert torch.equal(given[0].weight, kept[0])
    assert torch.equal(given[2].weight, kept[1])


@pytest.mark.parametrize("name", INITIALISERS)
def test_the_seed_decides(name):
    def drawn(seed):
        given = model()
        torch.manual_seed(seed)
        INITIALISERS[name](given)
        return given[4].weight

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
