"""What people see of a result file. Nothing here imports torch: looking is to be instant.

The plan and the estimate are imported from their own modules: they know the job's schema, which takes longer.
"""

from hpcfl.report.show import show

__all__ = ["show"]
