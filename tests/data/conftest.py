"""Tiny datasets in the layouts of the official distributions, written afresh for every test."""

import gzip

import numpy as np
import pytest


def idx_bytes(array):
    """An idx file of unsigned bytes, as described on the MNIST page."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes((0, 0, 8, array.ndim)) + lengths + array.astype(np.uint8).tobytes()


@pytest.fixture
def write_mnist():
    """Write the four files of a dataset like MNIST and return its arrays."""

    def write(folder, prefixes=("train", "t10k"), zipped=False, first=0, classes=10):
        folder.mkdir(parents=True)
        arrays = []
        for at, (prefix, count) in enumerate(zip(prefixes, (20, 10))):
            images = np.random.default_rng(at).integers(0, 256, (count, 28, 28), np.uint8)
            labels = np.arange(count) % classes + first
            for name, array in (("images-idx3", images), ("labels-idx1", labels)):
                data = idx_bytes(array)
                file = folder / f"{prefix}-{name}-ubyte{'.gz' if zipped else ''}"
                file.write_bytes(gzip.compress(data) if zipped else data)
            arrays += [images, labels]
        return arrays

    return write
