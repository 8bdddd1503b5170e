"""What the page on analysis shows in Python is run."""

from pathlib import Path

import pytest
from small_run import JOB

import hpcfl

PAGE = (Path(hpcfl.__file__).parent / "docs" / "analysis.md").read_text("utf-8")


@pytest.mark.parametrize("block", [block.partition("```")[0] for block in PAGE.split("```python\n")[1:]])
def test_the_page_can_be_followed(write, tmp_path, monkeypatch, block):
    for package in ("pandas", "torch"):
        pytest.importorskip(package)
    (tmp_path / "results").mkdir()
    write("results/run")
    write("results/other", JOB | {"seed": 4, "strategy": {"name": "fedavg", "params": {}}})
    monkeypatch.chdir(tmp_path)
    exec(block, {})


def test_the_page_names_every_attribute():
    public = {name for name in vars(hpcfl.Results) if not name.startswith("_")}
    assert [name for name in public if f"`{name}" not in PAGE] == []
