"""Augmentation on the device, a batch at a time; every sample of the batch draws its own."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["TRANSFORMS", "CropFlip"]


@dataclass(frozen=True)
class CropFlip:
    """Crop at a random place of the zero-padded image, and mirror it left to right half of the time."""

    padding: Annotated[int, Ge(0)] = 4
    """Zeros put around the image before cropping it back to its size [pixels]."""
    flip: bool = True
    """Mirror horizontally with probability 1/2."""

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, by torch's own random numbers, which each job seeds."""
        count, _, height, width = images.shape
        device = images.device
        corner = torch.randint(0, 2 * self.padding + 1, (2, count), device=device)
        rows = corner[0, :, None] + torch.arange(height, device=device)
        columns = corner[1, :, None] + torch.arange(width, device=device)
        if self.flip:
            mirrored = torch.rand(count, device=device) < 0.5
            columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        sample = torch.arange(count, device=device)[:, None, None]
        padded = pad(images, [self.padding] * 4).movedim(1, 3)
        return padded[sample, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


TRANSFORMS = {
    "crop_flip": CropFlip,
}
