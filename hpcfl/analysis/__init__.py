"""What becomes of result files: data frames, files for other programs, and whether two runs are the same bits."""

from hpcfl.analysis.frames import Results, load

__all__ = ["Results", "load"]
