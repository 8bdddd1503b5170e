"""Pictures that people upload: decoded in memory, as what they are, and no larger than a camera makes them."""

from __future__ import annotations

import io
import threading
import warnings
from typing import BinaryIO

import numpy as np

from hpcfl.data.folder import fit
from hpcfl.errors import DataError

__all__ = ["FORMATS", "MOST_BYTES", "MOST_PIXELS", "sample"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MOST_BYTES = 10 * 2**20
"""Of a file."""
MOST_PIXELS = 30_000_000
"""Of a picture: it is unpacked in memory, where a pixel takes three bytes, whatever little its file has."""
TOO_MANY = f"The picture has too many pixels: {MOST_PIXELS // 10**6} million are the most."
MOST_SCANS = 100
"""Of a JPEG: a progressive one has about ten, and each goes over all pixels, however little its file has of it."""
DECODING = threading.Lock()
"""One at a time: the largest takes some hundred megabytes on its way."""
PATIENCE_S = 10.0
"""So long a picture waits for those before it."""


def sample(file: BinaryIO, shape: tuple[int, ...]) -> np.ndarray:
    """(C, H, W) uint8, as the images of a folder are read for training. DataError for what is no such picture."""
    from PIL import Image

    content = file.read()
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MOST_SCANS:
        raise DataError(f"The picture has too many scans: {MOST_SCANS} are the most.")
    if not DECODING.acquire(timeout=PATIENCE_S):
        raise DataError("Others are having pictures read: try again in a moment.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise DataError(TOO_MANY)
                return fit(image, shape)
    except Image.DecompressionBombError:
        raise DataError(TOO_MANY) from None
    except DataError:
        raise
    except Exception as error:  # a decoder fails in whatever way it likes
        raise DataError(f"This is not a picture that can be read: give a {', '.join(FORMATS)}.") from error
    finally:
        DECODING.release()
