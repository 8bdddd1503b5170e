"""The forward passes of many models at once equal those of each model, gradients included."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from hpcfl.stacked import Forward, chain

MODELS, INPUTS, OUTPUTS = 3, 6, 4


class Twice(nn.Sequential):
    """Not what a sequence does."""

    def forward(self, x):
        return super().forward(x) * 2


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize("module, shape", [
    (nn.Sequential(nn.Linear(INPUTS, OUTPUTS)), (2, INPUTS)),
    (nn.Sequential(nn.Linear(INPUTS, OUTPUTS, bias=False)), (2, INPUTS)),
    (nn.Sequential(nn.Linear(INPUTS, OUTPUTS)), (2, 5, INPUTS)),
    (nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, OUTPUTS)), (2, 1, 2, 3)),
    (nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, 5), nn.Tanh(), nn.Linear(5, OUTPUTS, bias=False)), (2, 2, 3)),
    (nn.Sequential(nn.Flatten(0, 1), nn.Linear(INPUTS, OUTPUTS)), (2, 5, INPUTS)),
    (nn.Sequential(nn.Sequential(nn.Linear(INPUTS, OUTPUTS)), nn.Softplus()), (2, INPUTS)),
    (Twice(nn.Linear(INPUTS, OUTPUTS)), (2, INPUTS)),
    (nn.Linear(INPUTS, OUTPUTS), (2, INPUTS)),
])  # fmt: skip
def test_it_is_each_models_own(module, shape, differentiable):
    torch.manual_seed(0)
    stack = {
        name: torch.randn(MODELS, *tensor.shape, dtype=torch.float64, requires_grad=True)
        for name, tensor in module.named_parameters()
    }
    x = torch.randn(MODELS, *shape, dtype=torch.float64, requires_grad=differentiable)
    each = torch.stack([
        functional_call(module, {name: tensor[k] for name, tensor in stack.items()}, (x[k],)) for k in range(MODELS)
    ])  # fmt: skip
    together = Forward(module)(stack, x)
    assert torch.allclose(together, each)
    inputs = [*stack.values(), *[x] * differentiable]
    for found, expected in zip(*(torch.autograd.grad(out.square().sum(), inputs) for out in (together, each))):
        assert torch.allclose(found, expected)


@pytest.mark.parametrize("module, direct", [
    (nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), True),
    (nn.Sequential(nn.Flatten(0, 1), nn.Linear(2, 2)), False),
    (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten()), False),
    (Twice(nn.Linear(2, 2)), False),
    (nn.Linear(2, 2), False),
])  # fmt: skip
def test_what_is_computed_without_vmap(module, direct):
    assert (chain(module) is not None) == direct
