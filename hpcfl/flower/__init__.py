"""Flower's strategy interface on hpcfl's rounds: write a strategy in six methods, or bring the one you have.

An adapter over the hooks, no second engine: the same pools, clock and files. docs/flower.md tells how.
"""

from hpcfl.flower.nouns import *  # noqa: F403 - these names are the interface
from hpcfl.flower.nouns import __all__ as __all__
