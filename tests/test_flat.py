"""The layout of a model in one vector."""

import numpy as np
import pytest
import torch
from torch import nn
from worlds import Net

from hpcfl.flat import Layout, largest
from hpcfl.models import CNN, MLP, LeNet5


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 5, bias=False)
        self.decoder = nn.Linear(3, 5)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(x) @ self.encoder.weight


class Mixed(nn.Module):
    """Frozen before trained, and every kind of buffer."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Parameter(torch.full((2, 2), 3.0), requires_grad=False)
        self.register_buffer("mean", torch.tensor(7.0))
        self.register_buffer("steps", torch.tensor(4))
        self.register_buffer("scratch", torch.ones(9), persistent=False)
        self.trained = nn.Parameter(torch.arange(3.0))

    def forward(self, x):
        return x * self.trained + self.frozen.sum() + self.mean


NETS = {
    "cnn": lambda: CNN((1, 8, 8), 10, (3, 4), 6),
    "lenet5": lambda: LeNet5((1, 28, 28), 10),
    "mlp": lambda: MLP((1, 8, 8), 10, [5]),
    "norm": Net,
    "tied": Tied,
    "mixed": Mixed,
}


@pytest.fixture(params=NETS.values(), ids=NETS)
def net(request):
    torch.manual_seed(0)
    return request.param()


def carried(module):
    """What must travel: parameters and floating-point buffers that are saved with the model."""
    return {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}


def test_pack_holds_every_tensor_under_its_name(net):
    layout = Layout.of(net)
    views = layout.views(layout.pack(net))
    assert views.keys() == carried(net).keys()
    for name, tensor in carried(net).items():
        assert torch.equal(views[name], tensor), name


def test_the_vector_is_covered_without_gaps_or_overlaps(net):
    layout = Layout.of(net)
    spans = sorted({(entry.offset, entry.size) for entry in layout.entries if entry.kind != "constant"})
    assert [offset for offset, _ in spans] == [sum(size for _, size in spans[:k]) for k in range(len(spans))]
    assert sum(size for _, size in spans) == layout.size


def test_trainable_ones_come_first(net):
    layout = Layout.of(net)
    distinct = {id(parameter): parameter for parameter in net.parameters() if parameter.requires_grad}
    assert layout.trainable == sum(parameter.numel() for parameter in distinct.values())
    for entry in layout.entries:
        assert (entry.kind == "parameter") == (0 <= entry.offset < layout.trainable), entry


def test_binding_makes_tensors_views_of_the_vector(net):
    layout = Layout.of(net)
    vector = torch.randn(layout.size, generator=torch.Generator().manual_seed(1))
    expected = vector.clone()
    layout.bind(net, vector)
    assert torch.equal(layout.pack(net), expected)
    vector.fill_(2.0)
    assert all((tensor == 2.0).all() for tensor in carried(net).values())
    first = next(iter(net.parameters()))
    with torch.no_grad():
        first.fill_(5.0)
    assert int((vector == 5.0).sum()) == first.numel()


def test_gradients_are_views_too(net):
    layout = Layout.of(net)
    grad = torch.zeros(layout.trainable)
    layout.bind(net, layout.pack(net), grad)
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad.fill_(1.0)
        else:
            assert parameter.grad is None
    assert (grad == 1.0).all()


def test_backward_accumulates_into_the_bound_gradient():
    torch.manual_seed(0)
    plain, bound = Tied(), Tied()
    bound.load_state_dict(plain.state_dict())
    layout = Layout.of(bound)
    grad = torch.zeros(layout.trainable)
    layout.bind(bound, layout.pack(bound), grad)
    x = torch.randn(4, 3)
    plain(x).square().sum().backward()
    bound(x).square().sum().backward()
    named = dict(plain.named_parameters())
    for entry in layout.entries:
        if entry.name in named:
            expected = named[entry.name].grad.flatten()
            assert torch.equal(grad[entry.offset : entry.offset + entry.size], expected), entry.name


def test_tied_weights_lie_in_the_vector_once():
    layout = Layout.of(Tied())
    assert layout.size == layout.trainable == 3 * 5 + 5
    places = {entry.name: entry.offset for entry in layout.entries}
    assert places["encoder.weight"] == places["decoder.weight"] != places["decoder.bias"]


def test_kinds_of_what_is_not_trained():
    layout = Layout.of(Mixed())
    kinds = {entry.name: entry.kind for entry in layout.entries}
    assert kinds == {"frozen": "buffer", "mean": "buffer", "steps": "constant", "trained": "parameter"}
    assert (layout.trainable, layout.size) == (3, 8)
    assert layout.pack(Mixed()).tolist() == [0, 1, 2, 3, 3, 3, 3, 7]


def test_integer_buffers_of_batch_norm_stay_out():
    layout = Layout.of(Net())
    kinds = {entry.name: entry.kind for entry in layout.entries}
    assert kinds["1.num_batches_tracked"] == "constant"
    assert kinds["1.running_mean"] == kinds["1.running_var"] == "buffer"


def test_a_model_with_nothing_to_train():
    layout = Layout.of(nn.BatchNorm1d(3, affine=False))
    assert (layout.trainable, layout.size) == (0, 6)


def test_the_layout_is_the_same_for_every_instance(net):
    assert Layout.of(net) == Layout.of(type(net)() if isinstance(net, Tied | Mixed | Net) else net)


@pytest.mark.parametrize(
    "values, expected",
    [([1.0, -3.0, 2.0], 3.0), ([0.5], 0.5), ([-np.inf, 1.0], np.inf), ([np.inf], np.inf), ([1e30, -1e38], 1e38)],
)
def test_largest(values, expected):
    assert largest(torch.tensor(values)) == pytest.approx(expected, rel=1e-6)


def test_largest_of_other_types_is_that_of_their_floats():
    assert largest(torch.tensor([3, -7]), 100.0) >= 7
    assert largest(torch.tensor([3, -7])) == 7.0
    assert largest(torch.tensor([1e300], dtype=torch.float64)) == np.inf


@pytest.mark.parametrize("enough", [0.0, 100.0])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_largest_meets_every_nan(place, enough):
    values = torch.tensor([1.0, -2.0, 3.0])
    values[place] = np.nan
    assert np.isnan(largest(values, enough))
