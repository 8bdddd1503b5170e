"""The families that FlexiFed trains together: their published sizes, and how far two versions agree."""

import pytest
import torch
from torch import nn

from hpcfl.errors import JobError
from hpcfl.models import FAMILIES, MODELS

VERSIONS = [(family, name) for family, versions in FAMILIES.items() for name in versions]
TEXTS = ("charcnn", "vdcnn")


def sizes(module):
    return sum(parameter.numel() for parameter in module.parameters())


def shapeless(name, shape, classes, *tokens, **params):
    """The model without memory for its weights."""
    with torch.device("meta"):
        return MODELS[name](shape, classes, *tokens, **params)


PUBLISHED_VGG = {
    "vgg11": {"none": 132_863_336, "batch": 132_868_840},
    "vgg13": {"none": 133_047_848, "batch": 133_053_736},
    "vgg16": {"none": 138_357_544, "batch": 138_365_992},
    "vgg19": {"none": 143_667_240, "batch": 143_678_248},
}
"""torchvision's pages, on ImageNet."""


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("name", PUBLISHED_VGG)
def test_vgg_has_the_published_sizes(name, norm):
    assert sizes(shapeless(name, (3, 224, 224), 1000, norm=norm)) == PUBLISHED_VGG[name][norm]


def test_vgg_computes_what_torchvision_s_does():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    theirs = models.vgg11_bn(init_weights=False).features.eval()
    mine = MODELS["vgg11"]((3, 32, 32), 5).eval()
    convolutions = {key: value for key, value in mine.state_dict().items() if not key.startswith("linear")}
    mine.load_state_dict({**mine.state_dict(), **dict(zip(convolutions, theirs.state_dict().values(), strict=True))})
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        hidden = theirs(x).flatten(1)
        hidden = mine.linear1(hidden).relu()
        assert torch.allclose(mine(x), mine.linear3(mine.linear2(hidden).relu()), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "published"), [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)]
)
def test_resnet_has_the_sizes_of_the_paper(name, published):
    model = shapeless(name, (3, 32, 32), 10)
    assert round(sizes(model) / 1e6, 2) == published
    weighted = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(weighted) == int(name.removeprefix("resnet"))


def test_a_shortcut_without_parameters_pads_channels():
    model = MODELS["resnet20"]((1, 8, 8), 2, width=0.25).eval()
    first = model.stage2[0]
    for weight in (first.conv1.weight, first.conv2.weight):
        nn.init.zeros_(weight)
    x = torch.rand(1, 4, 8, 8)
    out = first(x)
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert not out[:, [0, 1, 6, 7]].any()


@pytest.mark.parametrize(
    ("name", "published"), [("vdcnn9", None), ("vdcnn17", 2.1), ("vdcnn29", 0.3), ("vdcnn49", 3.2)]
)
def test_vdcnn_grows_as_the_paper_says(name, published):
    """The paper's 2.2, 4.3, 4.6 and 7.8 million count 0.6 million beside the convolutions; so by how much they grow."""
    model = shapeless(name, (1024,), 4, 70)
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv1d)]
    assert len(convolutions) == int(name.removeprefix("vdcnn"))
    if published is not None:
        smaller = list(FAMILIES["vdcnn"])[list(FAMILIES["vdcnn"]).index(name) - 1]
        assert abs((sizes(model) - sizes(shapeless(smaller, (1024,), 4, 70))) / 1e6 - published) < 0.1


def test_charcnn_is_the_small_one_of_the_paper():
    model = shapeless("charcnn6", (1014,), 4, 71)
    assert model.linear1[1].weight.shape == (1024, 8704)
    assert [part[0].kernel_size for part in list(model.children())[:6]] == [(7,), (7,), (3,), (3,), (3,), (3,)]


def test_charcnn_sees_nothing_of_other_characters():
    torch.manual_seed(0)
    model = MODELS["charcnn3"]((123,), 4, 5, width=0.1).eval()
    nn.init.ones_(model.conv1[0].weight)
    empty, full = model.conv1(torch.zeros(1, 4, 123)), torch.ones(1, 4, 123)
    x = torch.zeros(1, 123, dtype=torch.int64)
    seen = []
    model.conv1.register_forward_hook(lambda module, given, out: seen.append(out))
    model(x)
    assert torch.equal(seen[0], empty)
    assert not torch.equal(model.conv1(full), empty)


def test_vdcnn_keeps_the_largest_in_the_order_of_the_text():
    torch.manual_seed(0)
    model = MODELS["vdcnn9"]((64,), 4, 9, width=1 / 64).eval()
    model.stage4 = nn.Identity()
    kept = []
    model.linear1 = nn.Sequential(nn.Flatten(), nn.LazyLinear(model.linear2.in_features))
    model.linear1.register_forward_pre_hook(lambda module, given: kept.append(given[0]))
    before = []
    model.pool.register_forward_hook(lambda module, given, out: before.append(out))
    model(torch.arange(64)[None] % 9)
    rows, values = before[-1][0], kept[0].view(before[-1].shape[1], 8)
    assert torch.equal(values, rows)  # 64 characters are 8 after three poolings: all are kept, as they stand


AGREE = {
    "vgg": ["conv1_1", "conv3_2", "conv3_3"],
    "resnet": ["stage1.2", "stage1.4", "stage1.6"],
    "charcnn": ["conv3.0", "conv4.0", "conv5.0"],
    "vdcnn": ["stage1.0", "stage1.1", "stage1.4"],
}
"""The last module in which two neighbouring versions agree."""


def prefix(one, other):
    """The tensors, in order, up to the first that differs in name or shape."""
    common = []
    for (name, tensor), (theirs, shape) in zip(one.state_dict().items(), other.state_dict().items()):
        if (name, tensor.shape) != (theirs, shape.shape):
            break
        common.append(name)
    return common


def build(family, name):
    return shapeless(
        name, {"charcnn": (1014,), "vdcnn": (1024,)}.get(family, (3, 32, 32)), 4, *([71] if family in TEXTS else []),
        **({"norm": "none"} if family == "vgg" else {}),
    )  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_versions_agree_up_to_where_they_differ(family):
    versions = [build(family, name) for name in FAMILIES[family]]
    for one, other, last in zip(versions, versions[1:], AGREE[family]):
        common = prefix(one, other)
        assert common[-1].startswith(f"{last}."), common[-1]
        places = list(one.state_dict())
        assert not any(name.startswith(f"{last}.") for name in places[len(common) :])
    assert all(len(prefix(versions[0], other)) >= 2 for other in versions[1:])


@pytest.mark.parametrize(("family", "name"), VERSIONS)
def test_samples_that_do_not_fit_are_refused(family, name):
    wrong, message = {
        "vgg": ([(3, 28, 28), (1014,)], "images of at least 32x32"),
        "resnet": ([(3, 3, 9), (9, 128)], "images of at least 4x4"),
        "charcnn": ([(40,)], "texts of 40 characters are too short"),
        "vdcnn": ([(63,)], "texts of at least 64 characters, but samples have 63"),
    }[family]
    tokens = [9] if family in TEXTS else []
    for shape in wrong:
        with pytest.raises(ValueError, match=message):
            shapeless(name, shape, 4, *tokens)
    if tokens:
        with pytest.raises(ValueError, match="it reads text, but samples of shape"):
            shapeless(name, (3, 32, 32), 4, 0)


def test_width_and_norm():
    assert shapeless("vgg11", (3, 32, 32), 4, width=0.5).conv3_1.weight.shape == (128, 64, 3, 3)
    with pytest.raises(JobError, match="model.width = 0: should be greater than 0"):
        shapeless("resnet20", (3, 32, 32), 4, width=0)
    with pytest.raises(JobError, match="model.norm = 'layer': valid: none, batch, group"):
        shapeless("vgg11", (3, 32, 32), 4, norm="layer")
