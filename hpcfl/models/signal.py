"""Two convolutions over time, for signals."""

from __future__ import annotations

from torch import nn

from hpcfl.models.small import Shape


class CNN1d(nn.Sequential):
    """The CNN of the FedAvg paper in one dimension, a plain one: two convolutions with ReLU and pooling, then a layer.

    Signals are (channels, length), at least 4 long.
    """

    def __init__(self, shape: Shape, classes: int, channels: tuple[int, int] = (32, 64), hidden: int = 128):
        depth, length = shape
        first, second = channels
        super().__init__(
            nn.Conv1d(depth, first, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(first, second, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(second * (length // 4), hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )
