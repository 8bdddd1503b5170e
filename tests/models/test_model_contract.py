"""What every model of the table owes: it fits the data, and all of it learns."""

import inspect

import pytest
import torch
from torch import nn

from hpcfl.errors import JobError
from hpcfl.models import CNN, FAMILIES, MLP, MODELS, CharLSTM, CNN1d, DropoutCNN, LeNet5

IMAGES = [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 29, 40)]
SHAPES = {
    "lenet5": [shape for shape in IMAGES if min(shape[1:]) >= 12],
    "cnn1d": [(9, 128), (1, 4)],
    "char_lstm": [(9,)],
    **dict.fromkeys(FAMILIES["vgg"], [(3, 32, 32), (1, 33, 64)]),
    **dict.fromkeys(FAMILIES["resnet"], [(3, 8, 8), (1, 4, 7)]),
    **dict.fromkeys(FAMILIES["charcnn"], [(123,)]),
    **dict.fromkeys(FAMILIES["vdcnn"], [(64,), (75,)]),
}
"""Sample shapes by model; all others take images."""
NARROW = {name: {"width": 1 / 16} for family in FAMILIES.values() for name in family}
TOKENS = 11


def build(name, shape, classes):
    """A model of the table as `build_model` calls it."""
    return MODELS[name](shape, classes, *([TOKENS] if reads_text(name) else []), **NARROW.get(name, {}))


def reads_text(name):
    return "tokens" in inspect.signature(MODELS[name]).parameters


def draw(name, count, shape):
    """Random samples of the kind that the model takes; of text, with every token in them."""
    if reads_text(name):
        return (torch.arange(count * shape[0]) % TOKENS).view(count, *shape)
    return torch.randn(count, *shape)


def cases():
    return [(name, shape) for name in MODELS for shape in SHAPES.get(name, IMAGES)]


@pytest.mark.parametrize("name, shape", cases())
def test_it_classifies_and_all_of_it_learns(name, shape):
    torch.manual_seed(0)
    model = build(name, shape, 7)
    x, y = draw(name, 16, shape), torch.arange(16) % 7
    logits = model(x)
    assert logits.shape == (16, 7)
    nn.functional.cross_entropy(logits, y).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize("name, shape", cases())
def test_samples_of_a_batch_do_not_mix(name, shape):
    torch.manual_seed(0)
    model = build(name, shape, 3).eval()
    x = draw(name, 4, shape)
    with torch.no_grad():
        assert torch.allclose(model(x)[2:3], model(x[2:3]), atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_how_it_begins(name):
    def initial(seed):
        torch.manual_seed(seed)
        model = build(name, SHAPES.get(name, IMAGES)[0], 3)
        return torch.cat([tensor.flatten() for tensor in model.parameters()])

    assert torch.equal(initial(0), initial(0))
    assert not torch.equal(initial(0), initial(1))


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_sizes_are_those_of_the_papers():
    assert parameters(CNN((1, 28, 28), 10)) == 1_663_370
    assert parameters(DropoutCNN((3, 32, 32), 10)) == 1_626_442
    assert parameters(MLP((1, 28, 28), 10)) == 199_210
    assert parameters(LeNet5((1, 28, 28), 10)) == 61_706
    assert parameters(LeNet5((3, 32, 32), 10)) == 62_006
    # two biases in PyTorch's LSTM, where others have one
    lstm = 4 * 256 * (8 + 256 + 2) + 4 * 256 * (256 + 256 + 2)
    assert parameters(CharLSTM((80,), 80, 80)) == 80 * 8 + lstm + 257 * 80


@pytest.mark.parametrize("hidden", [[], [5], [5, 3]])
def test_hidden_layers(hidden):
    model = MLP((4,), 2, hidden)
    widths = [4, *hidden, 2]
    assert parameters(model) == sum((before + 1) * after for before, after in zip(widths, widths[1:]))
    assert model(torch.zeros(3, 4)).shape == (3, 2)


def test_the_smallest_images():
    assert LeNet5((1, 12, 12), 2)(torch.zeros(1, 1, 12, 12)).shape == (1, 2)
    assert CNN((1, 4, 4), 2)(torch.zeros(1, 1, 4, 4)).shape == (1, 2)
    assert DropoutCNN((1, 6, 6), 2)(torch.zeros(1, 1, 6, 6)).shape == (1, 2)
    assert MLP((1, 1, 1), 2)(torch.zeros(1, 1, 1, 1)).shape == (1, 2)


@pytest.mark.parametrize(
    ("norm", "layers"), [("none", []), ("batch", [nn.BatchNorm2d] * 2), ("group", [nn.GroupNorm] * 2)]
)
def test_a_normalisation_layer_follows_each_convolution(norm, layers):
    model = CNN((1, 8, 8), 4, channels=(4, 6), hidden=8, norm=norm)
    assert [type(layer) for layer in model if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm)] == layers
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(JobError, match="model.norm = 'layer': valid: none, batch, group"):
        CNN((1, 8, 8), 4, norm="layer")
    assert CNN1d((1, 4), 2)(torch.zeros(1, 1, 4)).shape == (1, 2)


def test_the_last_character_counts_most_but_all_count():
    torch.manual_seed(0)
    model = CharLSTM((6,), 4, TOKENS, embedding=3, hidden=5, layers=3)
    x = torch.zeros(1, 6, dtype=torch.int64)
    moved = []
    for place in range(6):
        other = x.clone()
        other[0, place] = 1
        moved.append((model(other) - model(x)).abs().sum().item())
    assert 0 < moved[0] < moved[5]
    assert parameters(model) == TOKENS * 3 + 4 * 5 * (3 + 5 + 2) + 2 * 4 * 5 * (5 + 5 + 2) + 6 * 4


def test_without_padding_it_is_the_cnn_of_fedem():
    model = CNN((1, 28, 28), 62, hidden=2048, padding=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == 832 + 51_264 + 2_099_200 + 127_038
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 62)
