"""A partition from a file: what was dealt is dealt again, and only to the data it was made for."""

import pickle

import h5py
import numpy as np
import pytest

from hpcfl.data import deal, owners
from hpcfl.errors import JobError
from hpcfl.rng import stream

LABELS = np.arange(60) % 3
OWNER = np.append(np.arange(57) % 4, [-1, -1, -1]).astype(np.int32)


def results(path, owner, **attributes):
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "hpcfl", **attributes})
        if owner is not None:
            file["partition/client"] = owner


WRITERS = {
    "run.h5": results,
    "owner.npy": np.save,
    "owner.npz": lambda path, owner: np.savez_compressed(path, client=owner, other=np.zeros(2)),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dealt(path, clients=None, **more):
    return deal("file", LABELS, clients, stream(0, "partition"), path=str(path), **more)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("clients", [None, 4])
def test_what_was_dealt_is_dealt_again(folder, name, clients):
    WRITERS[name](folder / name, OWNER)
    for path in (name, folder / name):
        parts = dealt(path, clients)
        assert len(parts) == 4
        assert np.array_equal(owners(parts, 60), OWNER)
        assert owners(parts, 60).dtype == np.int32


@pytest.mark.parametrize("name", ["dirichlet", "iid"])
def test_there_and_back(name):
    parts = deal(name, LABELS, 7, stream(3, "partition"), **({"beta": 0.3} if name == "dirichlet" else {}))
    np.save("owner.npy", owners(parts, 60))
    assert all(map(np.array_equal, parts, dealt("owner.npy")))


def test_a_limit_holds_for_stored_partitions_too():
    np.save("owner.npy", np.append(np.zeros(59, np.int64), 1))
    assert [len(part) for part in dealt("owner.npy", examples_per_client=40)] == [40, 1]


def test_any_whole_numbers_will_do():
    np.save("owner.npy", np.zeros(60, np.uint8))
    assert [len(part) for part in dealt("owner.npy")] == [60]


def test_a_file_that_is_open_for_writing_can_be_read():
    with h5py.File("run.h5", "w", locking=False) as file:
        file.attrs["format"] = "hpcfl"
        file["partition/client"] = OWNER
        file.flush()
        assert len(dealt("run.h5")) == 4


@pytest.mark.parametrize(
    ("name", "owner", "message"),
    [
        ("run.h5", OWNER[:59], "deals 59 training samples, but this dataset has 60; give the data of that run"),
        ("run.h5", OWNER.astype(float), r"is float64 \(60,\); valid is one whole number per training sample"),
        ("run.h5", OWNER[None], r"is int32 \(1, 60\); valid is one whole number"),
        ("run.h5", None, "has no /partition: an older hpcfl wrote it; run that job again"),
        ("owner.npy", np.append(OWNER, 0), "deals 61 training samples, but this dataset has 60"),
        ("owner.npy", np.full(60, -1), "its numbers go from -1 to -1, with 0 different ones from 0 on"),
        ("owner.npy", OWNER - 1, "its numbers go from -2 to 2, with 3 different ones"),
        ("owner.npy", 2 * OWNER, "its numbers go from -2 to 6"),
        ("owner.npy", np.full(60, 2**62), "with 1 different ones from 0 on; number the clients 0, 1, 2, ... without"),
        ("owner.npy", np.full(60, 2**64 - 1, np.uint64), "number the clients 0, 1, 2, ... without gaps"),
        ("owner.npz", OWNER[:3], "deals 3 training samples"),
        ("owner.npy", np.array([None] * 60), "cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_mistakes_in_what_is_stored(name, owner, message):
    WRITERS[name](name, owner)
    with pytest.raises(JobError, match=f"^partition.path = '{name}': .*{message}"):
        dealt(name)


def test_mistakes_in_the_file(folder):
    def refused(path):
        with pytest.raises(JobError) as caught:
            dealt(path)
        return str(caught.value)

    assert "there is no file" in refused("nowhere.h5")
    assert "a relative path counts from the working directory" in refused("nowhere.h5")
    assert "there is no file" in refused(folder)
    (folder / "text.h5").write_text("client\n0\n")
    assert "is no result file of hpcfl, and no .npy or .npz" in refused("text.h5")
    results("other.h5", OWNER, format="theirs")
    assert "is an HDF5 file, but no result file of hpcfl" in refused("other.h5")
    results("run.h5", OWNER)
    whole = (folder / "run.h5").read_bytes()
    (folder / "cut.h5").write_bytes(whole[:-100])
    assert "cut.h5': cannot be read: " in refused("cut.h5")
    np.savez("other.npz", owner=OWNER)
    assert "has no array `client`, only owner" in refused("other.npz")
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 not a zip")
    assert "bad.npz': cannot be read: " in refused("bad.npz")
    (folder / "code.npy").write_bytes(pickle.dumps(OWNER))
    assert "code.npy': cannot be read: " in refused("code.npy")
    with pytest.raises(JobError, match="^partition.path: required, but missing; it is a text in quotes"):
        deal("file", LABELS, None, stream(0, "partition"))


def test_the_number_of_clients_must_agree():
    np.save("owner.npy", OWNER)
    with pytest.raises(JobError, match="^partition.clients = 5: owner.npy deals to 4 clients; say that, or leave it"):
        dealt("owner.npy", 5)
