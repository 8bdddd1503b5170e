"""The signature of a function is the schema of its parameters in the job file."""

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from numbers import Integral, Real
from typing import Any

from hpcfl.errors import JobError


@dataclass(frozen=True)
class Kind:
    """What a parameter may be: written beside its type, as `beta: Annotated[float, POSITIVE]`."""

    noun: str
    fits: Callable[[Any], bool]
    limit: str = ""
    within: Callable[[Any], bool] = lambda value: True

    def check(self, value: Any, key: str) -> None:
        """JobError, naming the key and what is valid, unless the value is of this kind."""
        if not self.fits(value):
            raise JobError(f"{key} = {value!r}: must be {self.noun}")
        if not self.within(value):
            raise JobError(f"{key} = {value!r}: must be {self.limit}")

    def describe(self) -> str:
        """The noun and its limit."""
        return f"{self.noun}, {self.limit}".removesuffix(", ")


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _lengths(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(_whole(length) for length in value)


def _names(value: Any) -> bool:
    texts = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    return texts and len(value) > 0 and all(name and "/" not in name for name in value)


ANY = Kind("any value", lambda value: True)
WHOLE = Kind("a whole number", _whole)
COUNT = Kind("a whole number", _whole, "greater than 0", lambda value: value > 0)
REAL = Kind("a finite number", _real)
POSITIVE = Kind("a finite number", _real, "greater than 0", lambda value: value > 0)
NOT_NEGATIVE = Kind("a finite number", _real, "0 or greater", lambda value: value >= 0)
SHARE = Kind("a number", _real, "greater than 0 and less than 1", lambda value: 0 < value < 1)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text in quotes", lambda value: isinstance(value, str), "at least one character long", bool)
LENGTHS = Kind("a list of whole numbers", _lengths, "greater than 0 throughout", lambda value: min(value) > 0)
NAMES = Kind("a list of names in quotes", _names, "without repetition", lambda value: len({*value}) == len(value))


def choice(*valid: str) -> Kind:
    """One of a few words."""
    return Kind(f"one of {', '.join(valid)}", lambda value: value in valid)


def bind(
    function: Callable,
    params: Mapping[str, Any],
    section: str,
    skip: int = 0,
    also: Mapping[str, Kind] | None = None,
    apart: Collection[str] = (),
) -> dict[str, Any]:
    """All keyword arguments of `function`: `params`, and defaults for the rest.

    The first `skip` arguments, and those named in `apart`, come from elsewhere. `also` are further valid keys, with
    their kinds. JobError for a key that is unknown, missing or not of its kind.
    """
    try:
        arguments = list(inspect.signature(function).parameters.values())[skip:]
    except ValueError:  # compiled functions may hide their signature: they check for themselves
        return dict(params)
    named = {
        argument.name: argument for argument in arguments if argument.kind in _NAMED and argument.name not in apart
    }
    kinds = {**(also or {}), **{name: _kind(argument) for name, argument in named.items()}}
    anything = any(argument.kind is argument.VAR_KEYWORD for argument in arguments)
    for name, value in params.items():
        if name not in kinds and not anything:
            from hpcfl.schema import unknown_key  # pydantic takes a while to import, and only mistakes need it

            raise JobError(unknown_key(f"{section}.{name}", kinds) if kinds else f"{section}.{name}: takes no such key")
        kinds.get(name, ANY).check(value, f"{section}.{name}")
    defaults = {name: argument.default for name, argument in named.items()}
    for name, default in defaults.items():
        if default is inspect.Parameter.empty and name not in params:
            raise JobError(f"{section}.{name}: required, but missing; it is {kinds[name].describe()}")
    return {**defaults, **params}


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _kind(argument: inspect.Parameter) -> Kind:
    notes = getattr(argument.annotation, "__metadata__", ())
    return next((note for note in notes if isinstance(note, Kind)), ANY)


def nearest(key: str, given: str, valid: Mapping[str, Any]) -> JobError:
    """The error for a name that is not in the table of its kind."""
    near = get_close_matches(given, valid, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return JobError(f"{key} = {given!r}: unknown name; {hint}valid: {', '.join(valid)}, or a dotted path")


def locate(path: str, key: str) -> Callable:
    """The function at the dotted path `path`; JobError, naming `key`, where it does not import."""
    module, _, name = path.rpartition(".")
    try:
        imported = import_module(module)
    except Exception as error:  # whatever the module's own code raises while it is imported
        raise JobError(f"{key} = {path!r}: cannot import {module!r} ({type(error).__name__}: {error})") from error
    function = getattr(imported, name, None)
    if not callable(function):
        raise JobError(f"{key} = {path!r}: module {module} has no function {name!r}")
    return function
