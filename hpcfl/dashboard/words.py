"""Numbers and times as the pages write them."""

from __future__ import annotations

import math
from datetime import datetime

from hpcfl.progress import clock
from hpcfl.report.show import as_bytes

__all__ = ["FILTERS", "writable"]

LAST_S = 253_000_000_000
"""In the year 9987: a file can have a time for which there is no date."""


def percent(share: float) -> str:
    """0.8712 -> 87.1 %; a dash where it is not known."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def number(value: float, digits: int = 4) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    return "–" if seconds is None or not math.isfinite(seconds) else clock(seconds)


def moment(seconds: float) -> str:
    """A time since 1970, where the site runs."""
    return datetime.fromtimestamp(min(max(seconds, 0), LAST_S)).astimezone().strftime("%Y-%m-%d %H:%M")


def stamp(iso: str) -> str:
    """An ISO 8601 time to the minute."""
    return iso[:16].replace("T", " ")


def writable(text: str) -> str:
    """A name as a page can show it and a header carry it, whatever bytes a file system has for it."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


FILTERS = {
    "percent": percent,
    "number": number,
    "duration": duration,
    "moment": moment,
    "stamp": stamp,
    "size": as_bytes,
}
"""Name in a template -> how it is written."""
