"""Small datasets in the form of each reader, to be damaged."""

import gzip
import io
import json
import pickle
import wave
import zipfile

import numpy as np
from PIL import Image
from scipy.io import savemat

from hpcfl.data.har import SIGNALS

RNG = np.random.default_rng(0)


def idx(array):
    """The bytes of an idx file."""
    head = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


def images(*shape):
    """Random bytes."""
    return RNG.integers(0, 256, shape, np.uint8)


def mnist():
    """Plain and gzipped idx files."""
    files = {}
    for part, count, pack in (("train", 40, bytes), ("t10k", 20, gzip.compress)):
        ending = ".gz" if pack is gzip.compress else ""
        files[f"MNIST/raw/{part}-images-idx3-ubyte{ending}"] = pack(idx(images(count, 28, 28)))
        files[f"MNIST/raw/{part}-labels-idx1-ubyte{ending}"] = pack(idx(np.arange(count) % 10))
    return files


def cifar10():
    """Pickled batches of several protocols."""
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    return {
        f"cifar-10-batches-py/{name}": pickle.dumps(
            {b"data": images(2, 3072), b"labels": [number, 1], "batch_label": b"x"}, min(number, 4)
        )
        for number, name in enumerate(names)
    }


def leaf(x=lambda: RNG.random(4).round(3).tolist(), y=(0, 1, 2)):
    """Users with their samples in JSON."""
    files = {}
    for part in ("train", "test"):
        data = {user: {"x": [x() for _ in y], "y": list(y)} for user in ("ann", "bob")}
        table = {"users": [*data], "num_samples": [len(y)] * 2, "user_data": data}
        files[f"leaf/{part}/all.json"] = json.dumps(table).encode()
    return files


def npz():
    """The four arrays, and holders."""
    file = io.BytesIO()
    y = np.arange(12) % 3
    np.savez(file, x_train=images(12, 4, 4), y_train=y, x_test=images(6, 4, 4), y_test=y[:6], holders=y // 2)
    return {"own.npz": file.getvalue()}


def picture(size, form, mode="RGB"):
    """An image file."""
    file = io.BytesIO()
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    Image.fromarray(images(*shape)).save(file, form)
    return file.getvalue()


def folder():
    """Image files of several kinds."""
    kinds = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "tif": "TIFF", "webp": "WEBP", "ppm": "PPM"}
    return {
        f"pictures/{name}/{number}.{ending}": picture(9, form)
        for name in ("cat", "dog")
        for number, (ending, form) in enumerate(kinds.items())
    }


def omniglot():
    """Drawings in a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for letter in (1, 2):
            for drawer in (1, 2, 3, 4):
                ink = io.BytesIO()
                Image.fromarray(images(105, 105) > 128).save(ink, "PNG")
                archive.writestr(
                    f"images_background_small1/Greek/character{letter:02}/{letter:04}_{drawer:02}.png", ink.getvalue()
                )
    return {"omniglot/images_background_small1.zip": file.getvalue()}


def sound(samples):
    """A .wav."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(RNG.integers(-999, 999, samples, np.int16).tobytes())
    return file.getvalue()


def speech():
    """Two words of two speakers."""
    return {
        f"speech_commands/{word}/{speaker}_nohash_{number}.wav": sound(16000 if number else 4000)
        for word in ("yes", "no")
        for speaker in ("0a7c2a8d", "1acc97de")
        for number in range(3)
    }


def svhn():
    """MATLAB files."""
    files = {}
    for part in ("train", "test"):
        file = io.BytesIO()
        savemat(file, {"X": images(32, 32, 3, 5), "y": 1 + np.arange(5, dtype=np.uint8)[:, None]})
        files[f"SVHN/{part}_32x32.mat"] = file.getvalue()
    return files


def table(rows, form="%.4f"):
    """Numbers as text."""
    file = io.BytesIO()
    np.savetxt(file, rows, form)
    return file.getvalue()


def har():
    """Text files, one per signal."""
    files = {}
    for part, subject in (("train", 1), ("test", 2)):
        at = f"UCI HAR Dataset/{part}"
        files[f"{at}/y_{part}.txt"] = table(1 + np.arange(12) % 6, "%d")
        files[f"{at}/subject_{part}.txt"] = table(np.full(12, subject), "%d")
        for signal in SIGNALS:
            files[f"{at}/Inertial Signals/{signal}_{part}.txt"] = table(RNG.random((12, 128)), "%.2f")
    return files


def pamap2():
    """A recording of one subject."""
    rows = RNG.random((80, 54)).round(3)
    rows[:, 1] = np.repeat([1, 2], 40)
    rows[::5, 2] = np.nan
    return {"PAMAP2_Dataset/Protocol/subject101.dat": table(rows, "%g")}


def news():
    """Rows of topic, title and description."""
    rows = [b'"%d","A title","What ""they"" said, no %d"\n' % (1 + k % 4, k) for k in range(12)]
    return {"ag_news_csv/train.csv": b"".join(rows), "ag_news_csv/test.csv": b"".join(rows[:5])}


def plays():
    """Who speaks, and lines."""
    romeo = "ROMEO:\nBut soft, what light through yonder window breaks?\nIt is the east.\n\n"
    return {"shakespeare/input.txt": (20 * (romeo + "JULIET:\nO Romeo, Romeo! Wherefore?\n\n")).encode()}


TEXTS = {"x": lambda: "to be", "y": ("o", "r", " ")}
FORMS = {
    "idx": ("mnist", {}, mnist()),
    "cifar": ("cifar10", {}, cifar10()),
    "leaf": ("leaf", {"path": "leaf"}, leaf()),
    "leaf texts": ("leaf", {"path": "leaf"}, leaf(**TEXTS)),
    "npz": ("npz", {"path": "own.npz"}, npz()),
    "images": ("folder", {"path": "pictures", "size": 6}, folder()),
    "omniglot": ("omniglot", {"size": 21, "test_share": 0.25}, omniglot()),
    "wav": ("speech_commands", {"words": ["yes", "no"]}, speech()),
    "mat": ("svhn", {}, svhn()),
    "har": ("uci_har", {}, har()),
    "pamap2": ("pamap2", {"window": 10, "step": 5}, pamap2()),
    "csv": ("ag_news", {"length": 30}, news()),
    "text": ("shakespeare", {}, plays()),
}
"""Kind -> the dataset's name, its keys, and its files by their paths under a data root."""
