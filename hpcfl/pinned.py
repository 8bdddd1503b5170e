"""From the host's memory to the device's, without making the host wait as a copy of ordinary memory does."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["upload"]


def upload(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """The values on a GPU, by way of pinned memory; on a CPU their own memory."""
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
