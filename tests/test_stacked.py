"""Linear layers of many models at once equal those of each model, gradients included."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from hpcfl.stacked import StackedLinear

MODELS, INPUTS, OUTPUTS = 3, 5, 4


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inside", [(), (2,), (2, 6)])
@pytest.mark.parametrize("hidden", [False, True])
def test_it_is_each_models_own_layer(bias, inside, hidden):
    torch.manual_seed(0)
    before = nn.Linear(INPUTS, INPUTS) if hidden else nn.Tanh()
    module = nn.Sequential(before, nn.Linear(INPUTS, OUTPUTS, bias=bias)).double()
    stack = {
        name: torch.randn(MODELS, *tensor.shape, dtype=torch.float64, requires_grad=True)
        for name, tensor in module.named_parameters()
    }
    x = torch.randn(MODELS, *inside, INPUTS, dtype=torch.float64, requires_grad=True)
    each = torch.stack([
        functional_call(module, {name: tensor[k] for name, tensor in stack.items()}, (x[k],)) for k in range(MODELS)
    ])  # fmt: skip
    with StackedLinear(module):
        together = vmap(lambda parameters, batch: functional_call(module, parameters, (batch,)))(stack, x)
    assert torch.allclose(together, each)
    inputs = [*stack.values(), x]
    for found, expected in zip(*(torch.autograd.grad(out.square().sum(), inputs) for out in (together, each))):
        assert torch.allclose(found, expected)
