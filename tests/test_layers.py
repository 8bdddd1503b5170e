"""Imports go down only, read from the source: what lies where is this table."""

import ast
import io
import subprocess
import sys
import tokenize
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hpcfl

ROOT = Path(hpcfl.__file__).parent

LEVELS = {
    # 0: the nouns
    "": 0,
    "asyncfl": 0,
    "clock": 0,
    "compression": 0,
    "content": 0,
    "core": 0,
    "devices": 0,
    "errors": 0,
    "family": 0,
    "faults": 0,
    "flat": 0,
    "jobfile": 0,
    "launch": 0,
    "limits": 0,
    "memory": 0,
    "messages": 0,
    "overlay": 0,
    "pinned": 0,
    "rng": 0,
    "schema": 0,
    "signals": 0,
    "sums": 0,
    "timelimit": 0,
    "warden": 0,
    # 1: parts that know nothing of one another
    "data": 1,
    "models": 1,
    "orders": 1,
    "plan": 1,
    "progress": 1,
    "results": 1,
    "schedule": 1,
    "strategies": 1,
    "transforms": 1,
    "transport": 1,
    # 2: client training and pools
    "answers": 2,
    "batched": 2,
    "captured": 2,
    "client": 2,
    "checkpoint": 2,
    "collective": 2,
    "farm": 2,
    "halving": 2,
    "flower": 2,
    "hindsight": 2,
    "home": 2,
    "recorded": 2,
    "share": 2,
    "samples": 2,
    "sgd": 2,
    "stacked": 2,
    "tenders": 2,
    "learners": 2,
    "mixing": 2,
    "training": 2,
    "wallclock": 2,
    # 3: the round loop
    "engine": 3,
    "record": 3,
    # 4: what knows the job and puts everything together
    "acceleration": 4,
    "analysis": 4,
    "asyncbench": 4,
    "bench": 4,
    "build": 4,
    "components": 4,
    "conditions": 4,
    "dashboard": 4,
    "doctor": 4,
    "ending": 4,
    "environment": 4,
    "execution": 4,
    "federation": 4,
    "fromflower": 4,
    "joining": 4,
    "past": 4,
    "plots": 4,
    "rank": 4,
    "preflight": 4,
    "privacy": 4,
    "recipe": 4,
    "report": 4,
    "runner": 4,
    "slurm": 4,
    "survival": 4,
    "sweep": 4,
    "tracking": 4,
    "validate": 4,
    "welcome": 4,
    # 5: the command line
    "__main__": 5,
    "analysing": 5,
    "cli": 5,
    "comparing": 5,
    "options": 5,
    "plotting": 5,
    "queueing": 5,
    "serving": 5,
    "sweeping": 5,
}
"""Module or package (with all of its modules) -> level."""

FRIENDS = {("strategies", "schedule")}
"""The one pair of peers on level 1 of which one may import the other."""

WITHOUT_TORCH = (
    "analysis",
    "asyncfl",
    "results",
    "report",
    "schedule",
    "schema",
    "analysing",
    "data",
    "launch",
    "jobfile",
    "rng",
    "core",
    "clock",
    "compression",
    "dashboard",
    "devices",
    "faults",
    "federation",
    "plan",
    "plots",
    "progress",
    "slurm",
    "sweep",
    "cli",
)


def name_of(path):
    """`data/cifar.py` -> data.cifar, `data/__init__.py` -> data."""
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def part(name):
    """The row of the table that a module belongs to."""
    return name.partition(".")[0]


def imported(node):
    """Dotted names that an import statement asks for; `from a import b` may mean module a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports name their package in full"
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(name, at_import):
    """What a module imports: when it is imported itself, or ever; never what only type checkers read."""

    def walk(nodes):
        for node in nodes:
            if for_types_only(node) or (at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
                continue
            yield from imported(node)
            yield from walk(ast.iter_child_nodes(node))

    return set(walk(ast.parse(MODULES[name].read_text("utf-8")).body))


def ours(names):
    """Those that are modules of this package, without its name: and a package with each of its modules."""
    inside = {name.removeprefix("hpcfl").removeprefix(".") for name in names if name.partition(".")[0] == "hpcfl"}
    return {name for name in inside if name in MODULES}


def closure(name):
    """All of our modules that are imported along with one."""
    reached, ahead = set(), {name}
    while ahead:
        here = ahead.pop()
        reached.add(here)
        packages = {here.rpartition(".")[0]} & MODULES.keys()
        ahead |= (ours(imports(here, at_import=True)) | packages) - reached
    return reached


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_in_the_table(name):
    assert part(name) in LEVELS


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    mine = LEVELS[part(name)]
    for other in ours(imports(name, at_import=False)) - {""}:
        if part(other) == part(name) or (part(name), part(other)) in FRIENDS:
            continue
        assert LEVELS[part(other)] <= mine, f"{name} imports {other}, which lies above it"
        assert LEVELS[part(other)] < mine or mine != 1, f"{name} imports its peer {other}"


def test_modules_do_not_import_one_another_in_a_circle():
    TopologicalSorter({name: ours(imports(name, at_import=True)) for name in MODULES}).prepare()


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) in WITHOUT_TORCH])
def test_no_torch_where_answers_must_be_quick(name):
    for reached in closure(name):
        heavy = {other for other in imports(reached, at_import=True) if part(other) in ("torch", "torchvision")}
        assert not heavy, f"{name} imports {reached}, which imports {', '.join(heavy)}"


def test_python_agrees_that_torch_is_not_imported():
    names = [name for name in MODULES if part(name) in WITHOUT_TORCH]
    lines = [*(f"import hpcfl.{name}" for name in names), "import sys", "print('torch' in sys.modules)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "strategies"])
def test_strategies_know_no_transport_data_models_or_schema(name):
    reached = {part(other) for other in ours(imports(name, at_import=False))}
    assert reached <= {"", "core", "errors", "flat", "rng", "schedule", "strategies"}


def test_the_reader_of_imports_sees_them():
    assert "torch" in imports("flat", at_import=True)
    assert "hpcfl.rank" in imports("runner", at_import=False) - imports("runner", at_import=True)
    assert "hpcfl.flat" not in imports("core", at_import=False)
    assert {"data", "data.catalog", "errors"} <= closure("data")
    assert "training" in closure("collective")


def code_lines(text):
    """How many lines hold code: no blanks, comments or docstrings."""
    prose = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in silent
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - prose)


@pytest.mark.parametrize("name", MODULES)
def test_modules_introduce_themselves_and_stay_short(name):
    text = MODULES[name].read_text("utf-8")
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    assert first.endswith((".", "?", ";")), f"{name} is introduced by {first!r}"
    assert code_lines(text) <= (60 if name.startswith("strategies.") else 250)


def test_lines_of_code_are_counted_as_readers_do():
    assert code_lines('"""A module."""\n\nimport a  # why\n\n# a comment\nx = [\n    1,\n]\n"""Its sentence."""\n') == 4


def test_modules_of_tests_have_names_of_their_own():
    """pytest takes them for one where two folders have the same."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
