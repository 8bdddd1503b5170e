"""What people see of a result file. Nothing here imports torch: looking is to be instant."""

from hpcfl.report.plan import show_plan
from hpcfl.report.preflight import show_estimate
from hpcfl.report.show import show

__all__ = ["show", "show_estimate", "show_plan"]
