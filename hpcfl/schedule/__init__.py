"""When the server steps: generators of `Step`, which know clients and time but neither models nor ranks."""

from hpcfl.schedule.buffered import Buffered
from hpcfl.schedule.grouping import GROUPINGS
from hpcfl.schedule.rounds import Rounds
from hpcfl.schedule.synchronous import Synchronous
from hpcfl.schedule.tiered import Tiered

__all__ = ["GROUPINGS", "SCHEDULES", "Buffered", "Rounds", "Synchronous", "Tiered"]

SCHEDULES = {
    "synchronous": Synchronous,
    "buffered": Buffered,
    "tiered": Tiered,
}
