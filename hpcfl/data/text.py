"""Text as numbers: the alphabets of the datasets of characters."""

from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np

ALPHABET = f"\n !\"&'(),-.{digits}:;>?{ascii_uppercase}[]{ascii_lowercase}}}"
"""LEAF's 80 characters (Caldas 2018), the ones that Shakespeare's works are written in."""
TOKENS = 1 + len(ALPHABET)
"""0 is for every other character, 1 to 80 are the alphabet's."""
NAMES = ("other", "newline", "space", *ALPHABET[2:])
"""What the tokens are called, as the next character is a class."""


def places(alphabet: str) -> np.ndarray:
    """(129,) int64: by code the place of each character of an alphabet in ASCII, from 1, the first where it is there
    twice; 0 for all others."""
    table = np.zeros(129, np.int64)
    for place, letter in reversed([*enumerate(alphabet, 1)]):
        table[ord(letter)] = place
    return table


_PLACES = places(ALPHABET)


def encode(text: str, table: np.ndarray = _PLACES) -> np.ndarray:
    """(characters,) tokens, of the table's dtype."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return table[np.minimum(codes, 128)]
