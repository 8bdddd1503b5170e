"""What every test may ask for."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launcher import Launcher

# tests keep no datasets in anybody's home
os.environ.setdefault("HPCFL_CACHE", str(Path(tempfile.gettempdir()) / "hpcfl-tests"))


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    """Starts hpcfl in tmp_path."""
    return Launcher(tmp_path)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """mount(megabytes) -> the folder of a small file system, which can be mounted anew."""
    folder = tmp_path / "small"
    folder.mkdir()

    def run(*words: object) -> bool:
        return subprocess.run([*map(str, words)], check=False, capture_output=True).returncode == 0

    def mounted(megabytes: int, how: str = "size") -> Path:
        if not run("mount", "-t", "tmpfs", "-o", f"{how}={megabytes}m", "none", folder):
            pytest.skip("this container may not mount")
        return folder

    yield mounted
    while os.path.ismount(folder):
        assert run("umount", "-l", folder)
