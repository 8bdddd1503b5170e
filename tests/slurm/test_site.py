"""The site file: where it is found, and what is said of a wrong one."""

from pathlib import Path

import pytest

from hpcfl.errors import JobError
from hpcfl.slurm import Site, read_site
from hpcfl.slurm.site import activation


@pytest.fixture
def places(tmp_path, monkeypatch):
    """One file for each place, from the last to the first that is looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return [tmp_path / "home/.config/hpcfl/site.toml", tmp_path / "slurm/site.toml"]


def test_without_a_file_there_are_the_defaults(places):
    assert read_site(None, {}) == Site()


def test_the_nearest_file_wins(places, tmp_path):
    for number, path in enumerate([*places, tmp_path / "named.toml", tmp_path / "given.toml"]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'partition = "p{number}"\n')
        environ = {"HPCFL_SITE": "named.toml"} if number >= 2 else {}
        assert read_site("given.toml" if number >= 3 else None, environ).partition == f"p{number}"


@pytest.mark.parametrize("given, environ, said", [("a.toml", {}, "--site a.toml"),
                                                  (None, {"HPCFL_SITE": "b.toml"}, "HPCFL_SITE b.toml")])  # fmt: skip
def test_a_named_file_must_be_there(places, given, environ, said):
    with pytest.raises(JobError, match=f"{said}: there is no such file"):
        read_site(given, environ)


@pytest.mark.parametrize(
    "text, said",
    [
        ('partitoin = "gpu"', "partitoin: unknown key; did you mean partition"),
        ('colour = "red"', "colour: unknown key; valid: account, environment, interface"),
        ('launcher = "aprun"', "launcher = 'aprun': should be 'srun' or 'mpirun'"),
        ('modules = "gcc"', "modules = 'gcc': should be a valid list"),
        ('sbatch = ["mem=4G"]', "'mem=4G' is no option of sbatch; should be like --mem=64G"),
        ('partition = "a b"', "partition = 'a b'"),
        ("partition =", "site.toml: not valid TOML"),
    ],
)
def test_mistakes_name_their_key(places, text, said):
    Path("site.toml").write_text(text)
    with pytest.raises(JobError) as caught:
        read_site("site.toml", {})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "environment, line",
    [("/opt/env/", 'source "/opt/env/bin/activate"'), ("~/env", 'source "$HOME/env/bin/activate"'),
     ("fl", 'eval "$(conda shell.bash hook)" && conda activate "fl"')],
)  # fmt: skip
def test_activation(environment, line):
    assert activation(environment) == line


def test_the_one_that_ships_says_the_defaults():
    assert read_site(str(Path(__file__).parents[2] / "slurm/site.toml"), {}) == Site()
