"""What people see of a result file. Nothing here imports torch: looking is to be instant."""

from hpcfl.report.show import show

__all__ = ["show"]
