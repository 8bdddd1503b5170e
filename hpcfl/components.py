"""From names and params to objects: short names from literal tables, dotted paths by import, arguments checked."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, create_model

from hpcfl.core import first_line
from hpcfl.errors import HpcflError, JobError
from hpcfl.schema import Component, unknown_key

__all__ = ["locate", "make"]


def locate(key: str, name: str, table: Mapping[str, Any]) -> Any:
    """The object that `name` stands for: an entry of `table`, or what a dotted path leads to. `key` is for messages."""
    if name in table:
        return table[name]
    module_name, dot, attribute = name.rpartition(".")
    if not dot:
        near = get_close_matches(name, table, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"valid: {', '.join(table)}, or a dotted path"
        raise JobError(f"{key} = {name!r}: unknown; {hint}")
    try:
        module = importlib.import_module(module_name)
    except Exception as failure:  # a module of the user's may raise anything while it is imported
        raise JobError(f"{key} = {name!r}: {module_name} cannot be imported: {first_line(failure)}") from None
    found = getattr(module, attribute, None)
    if not callable(found):
        what = f"has no {attribute!r}" if found is None else f"has {attribute}, but that is no class or function"
        raise JobError(f"{key} = {name!r}: module {module_name} {what}")
    return found


def make(key: str, component: Component, table: Mapping[str, Any], *given: Any) -> Any:
    """Build the component: its class or function called with `given` and then its params, which are checked."""
    return construct(key, locate(key, component.name, table), component.params, *given)


def construct(key: str, target: Any, params: Mapping[str, Any], *given: Any) -> Any:
    """`target(*given, **params)`; a wrong parameter or a refusal is a JobError that names its key."""
    if dataclasses.is_dataclass(target):
        params = check_fields(key, target, params)
    else:
        check_signature(key, target, params, len(given))
    try:
        return target(*given, **params)
    except HpcflError:
        raise
    except Exception as failure:
        said = ", ".join(f"{name}={value!r}" for name, value in params.items())
        raise JobError(f"{key}: {_name(target)}({said}) failed: {first_line(failure)}") from None


def check_fields(key: str, target: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """The params, checked against the types and limits of a dataclass: it *is* that part of the schema."""
    hints = get_type_hints(target, include_extras=True)
    fields = {field.name: (hints[field.name], _default(field)) for field in dataclasses.fields(target) if field.init}
    for name in params:
        if name not in fields:
            raise JobError(unknown_key(f"{key}.{name}", [*fields, "name"]))
    model = create_model(target.__name__, __config__=ConfigDict(strict=True, arbitrary_types_allowed=True), **fields)
    try:
        checked = model.model_validate(dict(params))
    except ValidationError as failure:
        error = failure.errors()[0]
        if error["type"] == "missing":
            raise JobError(f"{key}.{error['loc'][0]}: required by {_name(target)}, but missing") from None
        message, place, given = _message(error), ".".join(map(str, error["loc"])), error["input"]
        field, *within = error["loc"]
        kinds = [other for other in failure.errors() if other["loc"][0] == field]
        if len(kinds) > 1 and isinstance(within[0], str):  # it is of none of the types that the field may have
            message, place, given = ", or ".join(dict.fromkeys(map(_message, kinds))), field, params[field]
        raise JobError(f"{key}.{place} = {given!r}: {message}") from None
    return {name: getattr(checked, name) for name in params}


def _message(error: Mapping[str, Any]) -> str:
    return error["msg"].removeprefix("Input ").removeprefix("Value error, ")


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return Field(default_factory=field.default_factory)
    return ... if field.default is dataclasses.MISSING else field.default


def check_signature(key: str, target: Any, params: Mapping[str, Any], given: int) -> None:
    """JobError for a param that the function or class does not take, or that it needs and does not get."""
    try:
        taken = list(inspect.signature(target).parameters.values())[given:]
    except (TypeError, ValueError):
        return  # written in C: its own refusal must do
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        names = [parameter.name for parameter in taken if parameter.kind is not parameter.VAR_POSITIONAL]
        for name in params:
            if name not in names:
                raise JobError(unknown_key(f"{key}.{name}", [*names, "name"]))
    for parameter in taken:
        plain = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if plain and parameter.default is parameter.empty and parameter.name not in params:
            raise JobError(f"{key}.{parameter.name}: required by {_name(target)}, but missing")


def _name(target: Any) -> str:
    """What to call it in a message; a functools.partial, say, has no name."""
    return getattr(target, "__name__", type(target).__name__)
