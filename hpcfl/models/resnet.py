"""ResNet-20, 32, 44 and 56, the residual networks for small images."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import pad

from hpcfl.models.small import Shape
from hpcfl.models.vgg import scaled


class Block(nn.Module):
    """Two 3x3 convolutions with batch normalisation beside a shortcut without parameters (the paper's option A)."""

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU()
        self.stride = stride
        self.more = outside - inside

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) to (B, outside, H / stride, W / stride)."""
        past = self.relu(self.norm1(self.conv1(x)))
        past = self.norm2(self.conv2(past))
        if self.stride != 1 or self.more:
            x = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return self.relu(past + x)


class ResNet(nn.Module):
    """Three stages of blocks with 16, 32 and 64 channels, averaged over the image, then a layer (He et al. 2016, 4.2).

    Blocks are named by stage and place in it: versions agree in name and shape up to the end of the shorter one's
    first stage. `width` multiplies the channels.
    """

    blocks: ClassVar[int]
    """Blocks of each stage; the layers are six times as many, and two."""

    def __init__(self, shape: Shape, classes: int, width: float = 1.0):
        if len(shape) != 3 or min(shape[1:]) < 4:
            raise ValueError(f"it takes images of at least 4x4, but samples have shape {tuple(shape)}")
        super().__init__()
        narrow, middle, wide = (scaled(channels, width) for channels in (16, 32, 64))
        self.conv = nn.Conv2d(shape[0], narrow, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(narrow)
        self.relu = nn.ReLU()
        self.stage1 = self._stage(narrow, narrow, 1)
        self.stage2 = self._stage(narrow, middle, 2)
        self.stage3 = self._stage(middle, wide, 2)
        self.linear = nn.Linear(wide, classes)

    def _stage(self, inside: int, outside: int, stride: int) -> nn.Sequential:
        first = Block(inside, outside, stride)
        return nn.Sequential(first, *(Block(outside, outside, 1) for _ in range(1, self.blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, classes) logits."""
        x = self.relu(self.norm(self.conv(x)))
        return self.linear(self.stage3(self.stage2(self.stage1(x))).mean((2, 3)))


class ResNet20(ResNet):
    """Three blocks in each stage."""

    blocks = 3


class ResNet32(ResNet):
    """Five blocks in each stage."""

    blocks = 5


class ResNet44(ResNet):
    """Seven blocks in each stage."""

    blocks = 7


class ResNet56(ResNet):
    """Nine blocks in each stage."""

    blocks = 9
