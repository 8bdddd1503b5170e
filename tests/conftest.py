"""What every test may ask for."""

from pathlib import Path

import pytest
from launcher import Launcher


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    """Starts hpcfl in tmp_path."""
    return Launcher(tmp_path)
