"""What a value may be: the words for it in messages, and the test."""

import math
from collections.abc import Callable
from typing import Any

Kind = tuple[str, Callable[[Any], bool]]


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


POSITIVE: Kind = ("a whole number greater than 0", lambda value: type(value) is int and value > 0)
COUNT: Kind = ("a whole number, 0 or greater", lambda value: type(value) is int and value >= 0)
SEED: Kind = ("a whole number from 0 to 2^63 - 1", lambda value: type(value) is int and 0 <= value < 2**63)
NUMBER: Kind = ("a number", _number)
RATE: Kind = ("a number greater than 0", lambda value: _number(value) and value > 0)
NOT_NEGATIVE: Kind = ("a number, 0 or greater", lambda value: _number(value) and value >= 0)
SHARE: Kind = ("a number greater than 0, at most 1", lambda value: _number(value) and 0 < value <= 1)
PART: Kind = ("a number greater than 0 and less than 1", lambda value: _number(value) and 0 < value < 1)
FLAG: Kind = ("true or false", lambda value: isinstance(value, bool))
TEXT: Kind = ("a text that is not empty", lambda value: isinstance(value, str) and value != "")
PATH: Kind = ("a class path", TEXT[1])
OBJECT: Kind = ("an object", lambda value: isinstance(value, dict))
LISTED: Kind = ("an object or a list", lambda value: isinstance(value, dict | list))
STRAGGLER: Kind = ("true, false or a share", lambda value: isinstance(value, bool) or _number(value))
COUNTS: Kind = (
    "a list of whole numbers, 0 or greater",
    lambda value: isinstance(value, list) and all(map(COUNT[1], value)),
)
DELAYS: Kind = (
    'false, a list with each client\'s seconds, or {"step": s, "shuffle": b, "list": [n0, n1, ...]}',
    lambda value: isinstance(value, list) and all(map(NOT_NEGATIVE[1], value)),
)
LOSS_TYPE: Kind = ('"func" or "class"', lambda value: value in ("func", "class"))
ANY: Kind = ("any value", lambda value: True)
