"""VGG-11, 13, 16 and 19 for images of 32x32 and more, with or without batch normalisation."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from hpcfl.errors import JobError
from hpcfl.models.small import NORMS, Shape

CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Sequential):
    """Five stages of 3x3 convolutions, each halved by pooling, then three linear layers (Simonyan and Zisserman 2015).

    Layers are named by stage and place in it, so that two versions agree in name and shape up to the first stage in
    which one of them has a convolution more. On 224x224 pixels the sizes are the published ones. `norm` is "batch",
    "none", or "group"; `width` multiplies all channels and the two hidden layers of 4096.
    """

    repeats: ClassVar[tuple[int, ...]]
    """Convolutions of each stage."""

    def __init__(self, shape: Shape, classes: int, norm: str = "batch", width: float = 1.0, dropout: float = 0.5):
        if norm not in NORMS:
            raise JobError(f"model.norm = {norm!r}: valid: {', '.join(NORMS)}")
        if len(shape) != 3 or min(shape[1:]) < 32:
            raise ValueError(f"its five poolings take images of at least 32x32, but samples have shape {tuple(shape)}")
        depth, height, width_of_image = shape
        layers: dict[str, nn.Module] = {}
        for stage, (repeats, channels) in enumerate(zip(self.repeats, CHANNELS), 1):
            wide = scaled(channels, width)
            for place in range(1, repeats + 1):
                layers[f"conv{stage}_{place}"] = nn.Conv2d(depth, wide, 3, padding=1)
                layers |= {f"norm{stage}_{place}": layer for layer in NORMS[norm](wide)}
                layers[f"relu{stage}_{place}"] = nn.ReLU()
                depth = wide
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
        hidden = scaled(4096, width)
        layers |= {
            "flat": nn.Flatten(),
            "linear1": nn.Linear(depth * (height // 32) * (width_of_image // 32), hidden),
            "relu6": nn.ReLU(),
            "dropout1": nn.Dropout(dropout),
            "linear2": nn.Linear(hidden, hidden),
            "relu7": nn.ReLU(),
            "dropout2": nn.Dropout(dropout),
            "linear3": nn.Linear(hidden, classes),
        }
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


class VGG11(VGG):
    """Eight convolutions (the paper's A)."""

    repeats = (1, 1, 2, 2, 2)


class VGG13(VGG):
    """Ten convolutions (B)."""

    repeats = (2, 2, 2, 2, 2)


class VGG16(VGG):
    """Thirteen convolutions (D)."""

    repeats = (2, 2, 3, 3, 3)


class VGG19(VGG):
    """Sixteen convolutions (E)."""

    repeats = (2, 2, 4, 4, 4)


def scaled(channels: int, width: float) -> int:
    """Channels of a network that is `width` times as wide; at least one."""
    if not width > 0:
        raise JobError(f"model.width = {width!r}: should be greater than 0")
    return max(1, round(channels * width))
