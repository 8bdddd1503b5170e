"""What every test may ask for."""

import os
import tempfile
from pathlib import Path

import pytest
from launcher import Launcher

# tests keep no datasets in anybody's home
os.environ.setdefault("HPCFL_CACHE", str(Path(tempfile.gettempdir()) / "hpcfl-tests"))


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    """Starts hpcfl in tmp_path."""
    return Launcher(tmp_path)
