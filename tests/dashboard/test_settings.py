"""The folder of what a site must remember."""

import os
from pathlib import Path

import pytest

from hpcfl.dashboard.settings import SECRET_BYTES, own_folder, secret
from hpcfl.errors import JobError


@pytest.mark.parametrize(
    ("environ", "home"),
    [({"HPCFL_HOME": "/scratch/ada"}, "/scratch/ada"), ({}, str(Path("~/.local/state/hpcfl").expanduser()))],
)
def test_each_folder_of_runs_has_its_own(tmp_path, environ, home):
    one, other = tmp_path / "a/results", tmp_path / "b/results"
    found = own_folder(one, environ)
    assert found.parent == Path(home) / "dashboard"
    assert found.name.startswith("results-")
    assert own_folder(other, environ) != found
    assert own_folder(one / "../results", environ) == found


def test_a_secret_stays_and_a_half_written_one_does_not(tmp_path):
    made = secret(tmp_path / "deep/state")
    assert len(made) == SECRET_BYTES
    assert secret(tmp_path / "deep/state") == made
    (tmp_path / "deep/state/secret").write_bytes(made[:5])
    assert len(secret(tmp_path / "deep/state")) == SECRET_BYTES


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away takes root")
def test_somebody_elses_folder_is_not_used(tmp_path):
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 12345, 12345)
    with pytest.raises(JobError, match="belongs to somebody else"):
        secret(tmp_path / "state")
