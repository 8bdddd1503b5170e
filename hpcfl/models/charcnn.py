"""CharCNN-3, 4, 5 and 6: convolutions over the characters of a text."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from hpcfl.models.small import Shape
from hpcfl.models.vgg import scaled

KERNELS = (7, 7, 3, 3, 3, 3)


class CharCNN(nn.Module):
    """One-hot characters, convolutions of 256 channels, three linear layers (Zhang, Zhao and LeCun 2015, small).

    Pooling by three follows the first, the second and the last convolution. With six of them this is the paper's
    network, whose samples are 1014 long; shorter versions leave out later ones, so that versions agree in name and
    shape up to the last convolution of the shorter one. Samples are int64 tokens (length,), 0 to tokens - 1, of which
    0 is a character that is none of the alphabet's: all zeros. `width` multiplies the channels and the two hidden
    layers of 1024.
    """

    convolutions: ClassVar[int]

    def __init__(self, shape: Shape, classes: int, tokens: int, width: float = 1.0, dropout: float = 0.5):
        if not tokens:
            raise ValueError(f"it reads text, but samples of shape {tuple(shape)} are no tokens")
        super().__init__()
        self.tokens = tokens
        channels, hidden = scaled(256, width), scaled(1024, width)
        depth, (length,) = tokens - 1, shape
        kernels = KERNELS[: self.convolutions]
        for place, kernel in enumerate(kernels, 1):
            layer = [nn.Conv1d(depth, channels, kernel), nn.ReLU()]
            depth, length = channels, length - kernel + 1
            if place <= 2 or place == len(kernels):
                layer.append(nn.MaxPool1d(3))
                length //= 3
            self.add_module(f"conv{place}", nn.Sequential(*layer))
        if length < 1:
            raise ValueError(f"texts of {shape[0]} characters are too short for its convolutions")
        self.linear1 = nn.Sequential(nn.Flatten(), nn.Linear(depth * length, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.linear2 = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.linear3 = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, length) tokens to (B, classes) logits."""
        letters = torch.arange(1, self.tokens, device=x.device)
        x = (x[:, None] == letters[:, None]).to(self.linear3.weight.dtype)
        for layer in self.children():
            x = layer(x)
        return x


class CharCNN3(CharCNN):
    """Three convolutions."""

    convolutions = 3


class CharCNN4(CharCNN):
    """Four convolutions."""

    convolutions = 4


class CharCNN5(CharCNN):
    """Five convolutions."""

    convolutions = 5


class CharCNN6(CharCNN):
    """Six convolutions: the paper's."""

    convolutions = 6
