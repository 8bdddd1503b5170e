"""What the README shows is run: the algorithm in one file, and everything of one's own."""

import re
from pathlib import Path

import pytest
from launcher import Launcher

from hpcfl.results import open_results
from hpcfl.strategies import STRATEGIES

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")
SECTION = README[README.index("## An algorithm") : README.index("## Time")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)


def test_a_new_algorithm_is_one_file_of_under_20_lines():
    assert sum(bool(line.strip()) for line in blocks("python")[0].splitlines()) < 20


@pytest.mark.parametrize("place, module", [(0, "mine"), (1, "own")])
def test_the_worked_examples_run(launch: Launcher, tmp_path: Path, place: int, module: str):
    (tmp_path / f"{module}.py").write_text(blocks("python")[place])
    (tmp_path / "job.toml").write_text(blocks("toml")[place])
    done = launch(1, "run", "job.toml", "--out", "run.h5")
    assert done.returncode == 0, done.stderr
    with open_results(tmp_path / "run.h5") as run:
        assert f"{module}." in run.job_text
        assert not run.rounds["failures"].any()
        assert run.rounds["accuracy"][-1] > max(0.6, run.rounds["accuracy"][0])


def test_the_table_names_every_algorithm():
    table = SECTION[SECTION.index("| shipped |") :].partition("\n\n")[0]
    cells = [row.split("|")[2] for row in table.splitlines()[2:]]
    named = {re.sub(r"\(.*?\)", "", name).strip().lower() for name in re.split(r",(?![^(]*\))", ",".join(cells))}
    assert named == {name.replace("_", "") for name in STRATEGIES}


def test_every_link_leads_somewhere():
    folder = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []
