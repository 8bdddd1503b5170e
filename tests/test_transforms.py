"""Augmentation, checked against every crop and flip there is."""

import pytest
import torch
from torch.nn.functional import pad

from hpcfl.transforms import CropFlip


def crops(image, padding, flip):
    """Every (row, column, mirrored) with the image that it gives."""
    padded = pad(image, [padding] * 4)
    _, height, width = image.shape
    for row in range(2 * padding + 1):
        for column in range(2 * padding + 1):
            window = padded[:, row : row + height, column : column + width]
            yield (row, column, False), window
            if flip:
                yield (row, column, True), window.flip(2)


def images(count=64):
    return torch.rand(count, 2, 4, 5, generator=torch.Generator().manual_seed(3)) + 1


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_every_output_is_a_crop_of_its_own_image(padding, flip):
    given = images()
    torch.manual_seed(0)
    out = CropFlip(padding, flip)(given)
    assert out.shape == given.shape
    seen = set()
    for before, after in zip(given, out):
        found = [place for place, crop in crops(before, padding, flip) if torch.equal(crop, after)]
        assert found
        seen.add(found[0])
    rows, columns, mirrored = map(set, zip(*seen))
    assert rows == columns == set(range(2 * padding + 1))
    assert mirrored == ({False, True} if flip else {False})


def test_without_padding_and_flip_nothing_changes():
    assert torch.equal(CropFlip(0, False)(images()), images())


def test_half_of_the_images_are_mirrored():
    torch.manual_seed(0)
    out = CropFlip(0, True)(images(1000))
    mirrored = sum(not torch.equal(a, b) for a, b in zip(out, images(1000)))
    assert 440 < mirrored < 560


def test_the_seed_decides():
    def augmented(seed):
        torch.manual_seed(seed)
        return CropFlip()(images())

    assert torch.equal(augmented(1), augmented(1))
    assert not torch.equal(augmented(1), augmented(2))


def test_what_is_given_is_not_changed():
    given = images()
    CropFlip()(given)
    assert torch.equal(given, images())
