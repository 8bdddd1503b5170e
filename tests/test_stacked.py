"""Linear layers of many models at once equal those of each model, gradients included."""

import pytest
import torch
from torch.func import functional_call, vmap
from torch.nn.functional import linear

from hpcfl.stacked import StackedLinear

MODELS, INPUTS, OUTPUTS = 3, 5, 4


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inside", [(), (2,), (2, 6)])
@pytest.mark.parametrize("wanted", ["parameters", "parameters and input"])
def test_it_is_each_models_own_layer(bias, inside, wanted):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(MODELS, *inside, INPUTS, generator=generator, dtype=torch.float64)
    weight = torch.randn(MODELS, OUTPUTS, INPUTS, generator=generator, dtype=torch.float64, requires_grad=True)
    offset = torch.randn(MODELS, OUTPUTS, generator=generator, dtype=torch.float64, requires_grad=True)
    inputs = [weight, *([offset] if bias else []), *([x.requires_grad_()] if "input" in wanted else [])]
    each = torch.stack([linear(x[k], weight[k], offset[k] if bias else None) for k in range(MODELS)])
    with StackedLinear():
        if bias:
            together = vmap(linear)(x, weight, offset)
        else:
            together = vmap(linear)(x, weight)
    assert together.shape == each.shape
    assert torch.allclose(together, each)
    for found, expected in zip(*(torch.autograd.grad(out.square().sum(), inputs) for out in (together, each))):
        assert torch.allclose(found, expected)


def test_what_the_models_share_is_spread_over_them():
    layer = torch.nn.Linear(INPUTS, OUTPUTS)
    x = torch.randn(MODELS, 2, INPUTS)
    with StackedLinear():
        together = vmap(lambda batch: functional_call(layer, {}, (batch,)))(x)
    assert torch.allclose(together, layer(x), atol=1e-6)


def test_outside_nothing_changes():
    x, weight = torch.randn(2, INPUTS), torch.randn(OUTPUTS, INPUTS)
    assert torch.equal(linear(x, weight), x @ weight.t())
    with StackedLinear():
        assert torch.equal(torch.relu(x), x.clamp_min(0))
        assert torch.equal(linear(x, weight), x @ weight.t())
