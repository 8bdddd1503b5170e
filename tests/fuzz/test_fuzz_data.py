"""The readers of datasets on damaged files: a DataError, or a dataset that is one; nothing in a file is executed."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import UNLIMITED, byte_changes, changed, share
from forms import FORMS
from hypothesis import given
from hypothesis import strategies as st

from hpcfl.data import load
from hpcfl.data.cache import SMALL

pytestmark = UNLIMITED

TOGETHER = 5
CHOICES = st.lists(
    st.tuples(st.sampled_from([*FORMS]), st.floats(0, 1), byte_changes(), st.booleans()),
    min_size=TOGETHER, max_size=TOGETHER,
)  # fmt: skip


def put(root: Path, files):
    """Write the files of a dataset."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


@share(0.2, TOGETHER)
@given(CHOICES)
def test_damaged_files(forge, tmp_path_factory, choices):
    for kind in sorted({choice[0] for choice in choices}):
        cases, root = [], tmp_path_factory.mktemp("data")
        name, params, files = FORMS[kind]
        for number, (of, which, changes, early) in enumerate(choices):
            if of != kind:
                continue
            place = [*files][int(which * (len(files) - 1))]
            places = range(min(200, len(files[place]))) if early else ()  # where headers are
            put(root / str(number), files | {place: changed(files[place], changes, places)})
            cases.append([name, str(root / str(number)), params])
        forge.each(f"data, {kind}", root, "read_dataset", cases)
        shutil.rmtree(root)


@share(0.03)
@given(st.sampled_from(["x_train.npy", "y_train.npy", "dataset.json", "dataset.json"]), byte_changes(), st.booleans())
def test_damaged_cache(forge, kept, tmp_path_factory, file, changes, early):
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    (damaged,) = folder.glob(f"cache/*/{file}")
    content = damaged.read_bytes()
    damaged.write_bytes(changed(content, changes, range(min(200, len(content))) if early else ()))
    given = "npz", str(folder), {"path": "big.npz"}, str(folder / "cache")
    forge.runs("data, cache", folder, "read_dataset", *given)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A dataset that is worth keeping, and what is kept of it."""
    folder = tmp_path_factory.mktemp("kept")
    x, y = np.zeros((1200, 1, 16, 16), np.float32), np.arange(1200) % 3
    np.savez(folder / "big.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    assert (folder / "big.npz").stat().st_size > SMALL
    load("npz", root=folder, params={"path": "big.npz"}, cache=folder / "cache")
    return folder


class Runs:
    """What an attacker would put into a batch."""

    def __init__(self, module, name, *given):
        self.call, self.given = f"c{module}\n{name}\n".encode(), given

    def pickled(self):
        """Calls it as soon as it is loaded."""
        return self.call + b"(" + b"".join(pickle.dumps(value, 0)[:-1] for value in self.given) + b"tR."


CALLS = st.sampled_from([
    ("os", "system", "touch executed"), ("posix", "system", "touch executed"),
    ("subprocess", "getoutput", "touch executed"),
    ("builtins", "exec", "open('executed', 'w')"), ("builtins", "eval", "open('executed', 'w')"),
    ("__builtin__", "eval", "open('executed', 'w')"), ("numpy", "save", "executed"),
    ("numpy.core.multiarray", "fromfile", "executed"), ("pathlib", "Path", "executed"),
    ("builtins", "open", "executed", "w"),
    ("numpy", "dtype", "executed"), ("numpy", "ndarray", 2**62), ("_codecs", "encode", "executed", "rot13"),
    ("numpy.core.multiarray", "_reconstruct", 7), ("numpy._core.numeric", "_frombuffer", b"x", "O", 3, "C"),
])  # fmt: skip


@share(0.03, TOGETHER)
@given(st.lists(st.tuples(CALLS, st.floats(0, 1), st.booleans()), min_size=TOGETHER, max_size=TOGETHER))
def test_batches_that_would_run_code(forge, tmp_path_factory, cases):
    root = tmp_path_factory.mktemp("pickles")
    name, params, files = FORMS["cifar"]
    for number, (call, where, alone) in enumerate(cases):
        whole, evil = files["cifar-10-batches-py/data_batch_1"], Runs(*call).pickled()
        at = int(where * len(whole))
        put(root / str(number), files | {"cifar-10-batches-py/data_batch_1": evil if alone else whole[:at] + evil})
    forge.each("data, pickles", root, "read_dataset", [[name, str(root / str(n)), params] for n in range(len(cases))])
    assert not (root / "executed").exists()
    shutil.rmtree(root)


@pytest.mark.parametrize("kind", FORMS)
def test_undamaged_files_are_read(kind, forge, tmp_path):
    name, params, files = FORMS[kind]
    put(tmp_path, files)
    forge.runs(f"data, {kind}", tmp_path, "read_dataset", name, str(tmp_path), params)
