"""From names to objects: every way in which that fails is one message."""

import functools
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from annotated_types import Ge

from hpcfl.components import locate, make
from hpcfl.errors import DataError, JobError
from hpcfl.schema import Component


@dataclass(frozen=True)
class Knobs:
    """Stands for an algorithm's own dataclass."""

    mu: Annotated[float, Ge(0)] = 0.01
    steps: int = 3
    names: list[str] = field(default_factory=list)
    hidden: int = field(default=5, init=False)


@dataclass(frozen=True)
class Needs:
    tau: float


@dataclass(frozen=True)
class Either:
    head: list[str] | Annotated[int, Ge(0)] = 1


def layers(shape, width, depth=2):
    """Stands for a user's function."""
    return shape, width, depth


def anything(**params):
    return params


def refuses(size):
    raise ValueError(f"size {size} is odd\nand a second line")


def refuses_kindly():
    raise DataError("as it is")


halved = functools.partial(refuses, size=1)
number = 5
TABLE = {"knobs": Knobs, "needs": Needs, "either": Either, "layers": layers}


def build(name, *given, **params):
    return make("section.part", Component(name=name, params=params), TABLE, *given)


def complaint(name, *given, **params):
    with pytest.raises(JobError) as caught:
        build(name, *given, **params)
    return str(caught.value)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module of the user's, importable by the returned name."""

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return write


def test_short_names_and_dotted_paths():
    assert build("knobs") == Knobs()
    assert build("knobs", mu=1, names=["a"]) == Knobs(1.0, 3, ["a"])
    assert build("layers", "shape", width=4) == ("shape", 4, 2)
    assert build("builtins.dict") == {}
    assert locate("section.part", "fractions.Fraction", TABLE)(1, 2).denominator == 2


def test_an_unknown_short_name():
    assert complaint("knob") == "section.part = 'knob': unknown; did you mean knobs?"
    said = complaint("zzz")
    assert said == "section.part = 'zzz': unknown; valid: knobs, needs, either, layers, or a dotted path"


def test_a_path_that_does_not_import():
    said = complaint("no_such_package.thing")
    assert said.startswith("section.part = 'no_such_package.thing': no_such_package cannot be imported: ")
    assert "No module named 'no_such_package'" in said
    assert complaint(".thing").startswith("section.part = '.thing': ")


def test_a_path_without_that_attribute():
    assert complaint("fractions.Friction") == "section.part = 'fractions.Friction': module fractions has no 'Friction'"


def test_a_path_to_something_that_cannot_be_called(user_module):
    name = user_module("constants_of_mine", "five = 5")
    assert complaint(f"{name}.five").endswith("has five, but that is no class or function")


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("divides", "1 / 0", "ZeroDivisionError: division by zero"),
        ("misspells", "import math\nmath.no_such", "AttributeError: module 'math' has no attribute 'no_such'"),
        ("breaks_off", "def (", "SyntaxError"),
        ("lacks", "import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
    ],
)
def test_a_module_that_fails_when_it_is_imported(user_module, name, text, reason):
    user_module(name, text)
    said = complaint(f"{name}.thing")
    assert said.startswith(f"section.part = '{name}.thing': {name} cannot be imported: {reason}")


@pytest.mark.parametrize(
    "params, message",
    [
        ({"mi": 1.0}, "section.part.mi: unknown key; valid: mu, name, names, steps"),
        ({"step": 1}, "section.part.step: unknown key; did you mean steps?"),
        ({"hidden": 1}, "section.part.hidden: unknown key; valid: mu, name, names, steps"),
        ({"mu": -1.0}, "section.part.mu = -1.0: should be greater than or equal to 0"),
        ({"mu": float("nan")}, "section.part.mu = nan: should be greater than or equal to 0"),
        ({"mu": "1"}, "section.part.mu = '1': should be a valid number"),
        ({"mu": True}, "section.part.mu = True: should be a valid number"),
        ({"steps": 2.0}, "section.part.steps = 2.0: should be a valid integer"),
        ({"steps": True}, "section.part.steps = True: should be a valid integer"),
        ({"steps": "2"}, "section.part.steps = '2': should be a valid integer"),
        ({"names": "a"}, "section.part.names = 'a': should be a valid list"),
        ({"names": ["a", 1]}, "section.part.names.1 = 1: should be a valid string"),
    ],
)
def test_params_of_a_dataclass_are_checked_against_its_fields(params, message):
    assert complaint("knobs", **params) == message


@pytest.mark.parametrize(
    "given, message",
    [
        ("x", "section.part.head = 'x': should be a valid list, or should be a valid integer"),
        (-1, "section.part.head = -1: should be a valid list, or should be greater than or equal to 0"),
        (["a", 1], "section.part.head = ['a', 1]: should be a valid string, or should be a valid integer"),
    ],
)
def test_a_field_of_several_types_says_what_each_of_them_wants(given, message):
    assert complaint("either", head=given) == message
    assert (build("either", head=3).head, build("either", head=["a"]).head) == (3, ["a"])


def test_defaults_are_fresh_for_every_object():
    assert build("knobs").names is not build("knobs").names


def test_a_field_that_is_missing():
    assert complaint("needs") == "section.part.tau: required by Needs, but missing"


@pytest.mark.parametrize(
    "params, message",
    [
        ({"width": 4, "dept": 1}, "section.part.dept: unknown key; did you mean depth?"),
        ({"shape": 1, "width": 2}, "section.part.shape: unknown key; valid: depth, name, width"),
        ({}, "section.part.width: required by layers, but missing"),
    ],
)
def test_params_of_a_function_are_checked_against_its_signature(params, message):
    assert complaint("layers", "shape", **params) == message


def test_a_function_that_takes_anything():
    assert build(f"{__name__}.anything", a=1, b=2) == {"a": 1, "b": 2}


def test_what_a_component_refuses_is_told_in_one_line():
    path = f"{__name__}.refuses"
    assert complaint(path, size=3) == "section.part: refuses(size=3) failed: ValueError: size 3 is odd"
    assert complaint(f"{__name__}.halved") == "section.part: partial() failed: ValueError: size 1 is odd"


def test_our_own_errors_pass_as_they_are():
    with pytest.raises(DataError, match="^as it is$"):
        build(f"{__name__}.refuses_kindly")
