"""A job that trains in a moment, and sweeps of it."""

from pathlib import Path

import pytest

JOB = """
rounds = 2
data = {name = "synthetic", samples = 40, test_samples = 10, shape = [4], classes = 2}
model = {name = "mlp", hidden = []}
partition = {clients = 2}
"""


@pytest.fixture
def write(tmp_path: Path):
    """Writes base.toml and a sweep of it; gives the sweep's path."""
    (tmp_path / "base.toml").write_text(JOB)

    def sweep(text: str, name: str = "many.toml") -> str:
        path = tmp_path / name
        path.write_text(text if "job" in text else f'job = "base.toml"\n{text}')
        return str(path)

    return sweep
