"""Text as numbers: one alphabet for all datasets of characters."""

from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np

ALPHABET = f"\n !\"&'(),-.{digits}:;>?{ascii_uppercase}[]{ascii_lowercase}}}"
"""LEAF's 80 characters (Caldas 2018), the ones that Shakespeare's works are written in."""
TOKENS = 1 + len(ALPHABET)
"""0 is for every other character, 1 to 80 are the alphabet's."""
NAMES = ("other", "newline", "space", *ALPHABET[2:])
"""What the tokens are called, as the next character is a class."""

_PLACES = np.zeros(129, np.int64)
_PLACES[[ord(letter) for letter in ALPHABET]] = np.arange(1, TOKENS)


def encode(text: str) -> np.ndarray:
    """(characters,) int64 tokens."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return _PLACES[np.minimum(codes, 128)]
