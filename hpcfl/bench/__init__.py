"""How fast is hpcfl? Named workloads beside plain loops that make the same steps, interleaved in one run, medians."""

from hpcfl.bench.command import measure

__all__ = ["measure"]
