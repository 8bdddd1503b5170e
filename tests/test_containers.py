"""The recipes of containers, held against the repository: no engine is needed to see that they cannot work."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER, APPTAINER = ROOT / "slurm/Dockerfile", ROOT / "slurm/hpcfl.def"
RECIPES = pytest.mark.parametrize("recipe", [DOCKER, APPTAINER], ids=lambda path: path.name)


def lines(recipe: Path) -> list[str]:
    """What is not a comment."""
    return [line for line in recipe.read_text("utf-8").splitlines() if line.strip() and line.strip()[0] != "#"]


def docker(instruction: str) -> list[str]:
    """The arguments of every such instruction."""
    return [rest for word, _, rest in (line.partition(" ") for line in lines(DOCKER)) if word == instruction]


def apptainer(section: str) -> list[str]:
    """The lines of a section; the header's where it is "", without their indent."""
    sections: dict[str, list[str]] = {"": []}
    for line in lines(APPTAINER):
        if line[0] == "%":
            sections[line[1:]] = []
        else:
            sections[list(sections)[-1]].append(line.strip())
    return sections[section]


def copies(recipe: Path) -> dict[str, str]:
    """Path in the repository -> path in the image."""
    if recipe == APPTAINER:
        return dict(line.split() for line in apptainer("files"))
    found = {}
    for line in docker("COPY"):
        *sources, target = line.split()
        found |= {source: target + source if target[-1] == "/" else target for source in sources}
    return found


def install(recipe: Path) -> str:
    """The one line that installs."""
    (line,) = docker("RUN") if recipe == DOCKER else apptainer("post")
    return line


def test_both_images_are_the_same():
    assert copies(DOCKER) == copies(APPTAINER)
    assert install(DOCKER) == install(APPTAINER)
    assert apptainer("") == ["Bootstrap: docker", f"From: {docker('FROM')[0]}"]
    assert (docker("ENTRYPOINT"), apptainer("runscript")) == (['["hpcfl"]'], ['exec hpcfl "$@"'])


def test_what_is_copied_is_there_and_can_be_installed(tmp_path: Path):
    """A wheel of the copied paths alone has every file of the package, jobs and documents included."""
    for source, target in copies(DOCKER).items():
        path = tmp_path / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, path)
    (folder,) = re.findall(r"'/(.+)\[.+\]'$", install(DOCKER))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path]
    done = subprocess.run([*command, tmp_path / folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("hpcfl-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("hpcfl/")}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hpcfl").rglob("*") if path.is_file()}
    assert packed == {path for path in files if "__pycache__" not in path}


def test_the_extras_exist():
    tree = ast.parse((ROOT / "setup.py").read_text("utf-8"))
    (given,) = (word.value for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg == "extras_require")
    (extras,) = re.findall(r"\[(.+)\]'$", install(DOCKER))
    assert set(extras.split(",")) <= {key.value for key in given.keys}
    assert "mpich" in extras


def test_the_build_sees_what_it_copies_and_nothing_else():
    first, *rest = lines(ROOT / ".dockerignore")
    assert first == "*"
    assert {line[1:] for line in rest if line[0] == "!"} == set(copies(DOCKER))


@pytest.mark.parametrize("section", ["post", "environment", "runscript"])
def test_sections_are_shell(section: str):
    done = subprocess.run(
        ["sh", "-n"], input="\n".join(apptainer(section)), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@RECIPES
def test_the_commands_in_the_comments_name_what_exists(recipe: Path):
    commands = [line[1:].strip() for line in recipe.read_text("utf-8").splitlines() if line.startswith("#   ")]
    assert len(commands) == 4
    for command in commands:
        assert all((ROOT / path).is_file() for path in re.findall(r"\b(?:jobs|slurm)/\S+", command))
    assert recipe.relative_to(ROOT).as_posix() in commands[0]
