"""Result files are found by paths, patterns and folders, and checkpoints among them are none."""

from pathlib import Path

import pytest

from hpcfl.errors import ResultError
from hpcfl.results.finding import find


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.h5", "a.h5", "deep/c.h5", "a.h5.checkpoint/step-00000001/server.h5", "notes.txt", "[1].h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a.h5", ["a.h5"]),
        ("?.h5", ["a.h5", "b.h5"]),
        ("**/*.h5", ["[1].h5", "a.h5", "b.h5", "deep/c.h5"]),
        (".", ["[1].h5", "a.h5", "b.h5", "deep/c.h5"]),
        ("[1].h5", ["[1].h5"]),
        (["b.h5", "*.h5"], ["b.h5", "[1].h5", "a.h5"]),
        (Path("deep"), ["deep/c.h5"]),
    ],
)
def test_what_is_named(folder, given, found):
    assert find(given) == list(map(Path, found))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("z*.h5", r"there is no file z\*.h5"),
        ("bare", r"there is no \*.h5 in the folder bare"),
        (["a.h5", "z.h5"], "there is no file z.h5"),
        ([], "no result files were given"),
    ],
)
def test_what_names_nothing(folder, given, words):
    with pytest.raises(ResultError, match=words):
        find(given)
