"""VDCNN-9, 17, 29 and 49: very deep convolutions over the characters of a text."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from hpcfl.models.small import Shape
from hpcfl.models.vgg import scaled

CHANNELS = (64, 128, 256, 512)
KEPT = 8
"""Largest values of each channel, in the order of the text, that reach the linear layers."""


class VDCNN(nn.Module):
    """An embedding in 16 dimensions, a convolution, four stages of blocks, three linear layers (Conneau et al. 2017).

    A block is two convolutions of 3 characters, each with batch normalisation and ReLU; pooling halves the text before
    each stage but the first, and of the last one's channels the 8 largest values are kept. Blocks are named by stage
    and place in it: versions agree in name and shape up to the end of the shorter one's first stage. Samples are int64
    tokens (length,), at least 64 of them. `width` multiplies the channels and the two hidden layers of 2048.
    """

    blocks: ClassVar[tuple[int, int, int, int]]
    """Blocks of each stage; the layers are twice as many, and one."""

    def __init__(self, shape: Shape, classes: int, tokens: int, width: float = 1.0, embedding: int = 16):
        if not tokens:
            raise ValueError(f"it reads text, but samples of shape {tuple(shape)} are no tokens")
        if shape[0] < 8 * KEPT:
            raise ValueError(f"it takes texts of at least {8 * KEPT} characters, but samples have {shape[0]}")
        super().__init__()
        self.embedding = nn.Embedding(tokens, embedding, padding_idx=0)
        depth = scaled(CHANNELS[0], width)
        self.conv = nn.Conv1d(embedding, depth, 3, padding=1)
        stages = []
        for blocks, channels in zip(self.blocks, CHANNELS):
            wide = scaled(channels, width)
            stages.append(nn.Sequential(*(block(depth if place == 0 else wide, wide) for place in range(blocks))))
            depth = wide
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.pool = nn.MaxPool1d(3, stride=2, padding=1)
        hidden = scaled(2048, width)
        self.linear1 = nn.Linear(depth * KEPT, hidden)
        self.linear2 = nn.Linear(hidden, hidden)
        self.linear3 = nn.Linear(hidden, classes)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, length) tokens to (B, classes) logits."""
        x = self.stage1(self.conv(self.embedding(x).transpose(1, 2)))
        for stage in (self.stage2, self.stage3, self.stage4):
            x = stage(self.pool(x))
        largest = x.topk(KEPT, 2).indices.sort(2).values
        x = x.gather(2, largest).flatten(1)
        return self.linear3(self.relu(self.linear2(self.relu(self.linear1(x)))))


def block(inside: int, outside: int) -> nn.Sequential:
    """Two convolutions with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv1d(inside, outside, 3, padding=1),
        nn.BatchNorm1d(outside),
        nn.ReLU(),
        nn.Conv1d(outside, outside, 3, padding=1),
        nn.BatchNorm1d(outside),
        nn.ReLU(),
    )


class VDCNN9(VDCNN):
    """Nine convolutions."""

    blocks = (1, 1, 1, 1)


class VDCNN17(VDCNN):
    """Seventeen convolutions."""

    blocks = (2, 2, 2, 2)


class VDCNN29(VDCNN):
    """Twenty-nine convolutions, as the paper's table has it."""

    blocks = (5, 5, 2, 2)


class VDCNN49(VDCNN):
    """Forty-nine convolutions."""

    blocks = (8, 8, 5, 3)
