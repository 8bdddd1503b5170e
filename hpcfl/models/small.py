"""MLP, LeNet-5 and the two-convolution CNNs of federated learning's papers."""

from __future__ import annotations

import math

from torch import nn

from hpcfl.errors import JobError

NORMS = {
    "none": lambda channels: [],
    "batch": lambda channels: [nn.BatchNorm2d(channels)],
    "group": lambda channels: [nn.GroupNorm(max(1, channels // 4), channels)],
}
Shape = tuple[int, ...]
"""A sample's shape without the batch: (channels, height, width) for images."""


class MLP(nn.Sequential):
    """Fully connected layers with ReLU; `hidden = []` is logistic regression. McMahan et al. 2017 used [200, 200]."""

    def __init__(self, shape: Shape, classes: int, hidden: list[int] | None = None):
        widths = [math.prod(shape), *([200, 200] if hidden is None else hidden)]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers, nn.Linear(widths[-1], classes))


class CNN(nn.Sequential):
    """Two 5x5 convolutions, each with ReLU and 2x2 pooling, then one hidden layer (McMahan et al. 2017).

    On 28x28 grey images and 10 classes it has 1,663,370 parameters. `norm = "batch"`, or "group" (groups of four
    channels), puts a normalisation layer after each convolution. `padding = 0` and `hidden = 2048` make it the CNN that
    FedEM has for EMNIST (Marfoq et al. 2021).
    """

    def __init__(
        self,
        shape: Shape,
        classes: int,
        channels: tuple[int, int] = (32, 64),
        hidden: int = 512,
        norm: str = "none",
        padding: int = 2,
    ):
        depth, height, width = shape
        first, second = channels
        rows, columns = (((side + 2 * padding - 4) // 2 + 2 * padding - 4) // 2 for side in (height, width))
        if norm not in NORMS:
            raise JobError(f"model.norm = {norm!r}: valid: {', '.join(NORMS)}")
        super().__init__(
            nn.Conv2d(depth, first, 5, padding=padding),
            *NORMS[norm](first),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5, padding=padding),
            *NORMS[norm](second),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * rows * columns, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )


class DropoutCNN(nn.Sequential):
    """Two 3x3 convolutions, 2x2 pooling and a hidden layer of 128, with dropout (Reddi et al. 2021; pfl-research).

    On CIFAR-10 it has 1,626,442 parameters. Weights start Glorot-uniform, as they do in TensorFlow.
    """

    def __init__(self, shape: Shape, classes: int):
        depth, height, width = shape
        super().__init__(
            nn.Conv2d(depth, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, classes),
        )
        for part in self:
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(part.weight)


class LeNet5(nn.Sequential):
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling, as it is used today. Images of at least 12x12."""

    def __init__(self, shape: Shape, classes: int):
        depth, height, width = shape
        padding = 2 if min(height, width) <= 28 else 0
        rows, columns = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width))
        super().__init__(
            nn.Conv2d(depth, 6, 5, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * rows * columns, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )
