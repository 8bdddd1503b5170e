"""When the server steps: generators of `Step`, which know clients and time but neither models nor ranks."""

from hpcfl.schedule.synchronous import Synchronous

__all__ = ["SCHEDULES", "Synchronous"]

SCHEDULES = {
    "synchronous": Synchronous,
}
