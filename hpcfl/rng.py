"""Randomness is addressed, not consumed: a stream's name, not its history, decides its numbers.

Any job can so be run on any rank, in any order, and draws what it would have drawn elsewhere.
"""

import hashlib

import numpy as np

__all__ = ["seed64", "stream"]


def seed64(seed: int, *address: str | int) -> int:
    """A 63-bit seed for the stream at `address`, for generators that take an integer (torch).

    The words of the address keep their type and order: ("client", 12) and ("client", "1", 2) are strangers.
    """
    text = "\x1f".join(f"s{word}" if isinstance(word, str) else f"i{int(word)}" for word in (seed, *address))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def stream(seed: int, *address: str | int) -> np.random.Generator:
    """NumPy's generator for the stream at `address`, say `stream(seed, "partition")`."""
    return np.random.Generator(np.random.PCG64(seed64(seed, *address)))
