"""The table of datasets: names, roots, missing data, downloads."""

import functools
import hashlib
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hpcfl.data import SOURCES, fetch, find_root, load, load_labels
from hpcfl.data.source import Placed, Published
from hpcfl.errors import DataError, JobError

PUBLISHED = [name for name, source in SOURCES.items() if isinstance(source, Published)]
PLACED = [name for name, source in SOURCES.items() if isinstance(source, Placed)]


def test_the_job_file_comes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.chdir(tmp_path)
    assert find_root("/a", {"HPCFL_DATA": "/b"}) == Path("/a")
    assert find_root(None, {"HPCFL_DATA": "/b"}) == Path("/b")
    assert find_root(None, {"HPCFL_DATA": ""}) is None
    assert find_root(None, {}) is None
    assert find_root("~/sets", {}) == Path("/home/ada/sets")
    assert find_root("sets", {}) == tmp_path / "sets"


def test_unknown_names():
    with pytest.raises(JobError, match="data.name = 'minst': unknown name; did you mean mnist.* valid: digits, mnist"):
        load("minst")


@pytest.mark.parametrize("name", PLACED)
@pytest.mark.parametrize("read", [load, load_labels])
def test_missing_data_is_one_message_that_helps(tmp_path, name, read):
    with pytest.raises(DataError) as caught:
        read(name, root=tmp_path)
    message = str(caught.value)
    source = SOURCES[name]
    assert message.startswith(f"data.name = {name!r}: {source.title} is not under the data root {tmp_path}")
    for folder in source.folders:
        assert f"\n  {tmp_path / folder} (" in message
    for advice in ("data.root", "HPCFL_DATA", source.url):
        assert advice in message
    assert ("set data.download = true" if name in PUBLISHED else "data.download cannot fetch it") in message


@pytest.mark.parametrize("name", PLACED)
def test_no_root_at_all(name):
    with pytest.raises(
        DataError, match="read from a data root, and none is given.\nSet data.root .*HPCFL_DATA"
    ) as caught:
        load(name)
    assert ("data.download = true" in str(caught.value)) == (name in PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_download_needs_a_place(name):
    with pytest.raises(DataError, match="data.download = true needs a place"):
        load(name, download=True)


@pytest.mark.parametrize("name", PLACED)
def test_nothing_but_its_own_keys(name, tmp_path):
    with pytest.raises(JobError, match=r"data\.colour: (takes no such key|unknown key)"):
        load(name, root=tmp_path, params={"colour": 1})


def test_a_file_that_can_not_be_read(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST/raw")
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    file.unlink()
    file.symlink_to("/proc/self/mem")  # its first bytes are not readable, not even by root
    with pytest.raises(DataError, match="data.name = 'mnist': cannot be read: .*Errno"):
        load("mnist", root=tmp_path)


def test_what_needs_no_download_fetches_nothing(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST/raw")
    assert fetch("mnist", tmp_path) is False
    assert fetch("digits", None) is False
    assert fetch("synthetic", None, {"samples": 5}) is False


@pytest.fixture
def mirror(tmp_path, monkeypatch, write_mnist):
    """A server of a small MNIST on this machine, which torchvision takes for MNIST's own."""
    import torchvision.datasets

    folder = tmp_path / "served"
    write_mnist(folder, zipped=True)
    resources = [(file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in sorted(folder.iterdir())]

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        yield folder
        server.shutdown()
        thread.join()


def test_download_once_then_read(tmp_path, mirror):
    root = tmp_path / "new" / "root"
    dataset = load("mnist", root=root, download=True)
    assert dataset.x_train.shape == (20, 1, 28, 28)
    assert (root / "MNIST/raw/train-labels-idx1-ubyte").is_file()
    for file in mirror.iterdir():
        file.unlink()
    assert fetch("mnist", root) is False
    assert np.array_equal(load("mnist", root=root, download=True).y_train, dataset.y_train)


def test_a_download_that_fails_says_why(tmp_path, mirror):
    for file in mirror.iterdir():
        file.unlink()
    with pytest.raises(DataError) as caught:
        fetch("mnist", tmp_path / "root")
    message = str(caught.value)
    assert message.startswith(f"data.name = 'mnist': MNIST could not be downloaded into {tmp_path / 'root'}: ")
    assert "404" in message
    assert SOURCES["mnist"].url in message
    assert "login node" in message


def test_importing_and_planning_need_no_heavy_library():
    program = (
        "import sys, hpcfl.data as d; d.load_labels('synthetic'); "
        "print(*{'torch', 'torchvision', 'sklearn', 'scipy', 'PIL', 'pydantic'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
