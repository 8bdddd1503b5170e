"""LEAF's JSON files: any dataset in which every sample belongs to a user."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hpcfl.data.arrays import not_there, under
from hpcfl.data.dataset import Dataset
from hpcfl.data.params import LENGTHS, TEXT
from hpcfl.data.source import Source
from hpcfl.data.text import NAMES, TOKENS, encode
from hpcfl.errors import DataError

KEYS = ("users", "num_samples", "user_data")


class Leaf(Source):
    """Caldas 2018: path/train/*.json and path/test/*.json, each {"users", "num_samples", "user_data"}.

    Samples x are lists of numbers, float32 of the given `shape` (without one (1, 28, 28) for 784 numbers, as in
    FEMNIST, else flat), or texts of one length, which become tokens. Labels y are whole numbers from 0, or single
    characters. The clients are the users of the training files.
    """

    def read(
        self, root: Path | None, *, path: Annotated[str, TEXT], shape: Annotated[list[int] | None, LENGTHS] = None
    ) -> Dataset:
        folder = under(root, path)
        if not folder.is_dir():
            raise DataError(not_there(root, path, folder, "folder"))
        holders: list[int] = []
        numbers: dict[str, int] = {}
        arrays: list[np.ndarray] = []
        spelled: set[bool] = set()
        for part in ("train", "test"):
            x, y = [], []
            for user, xs, ys, said in _users(folder / part):
                x.append(_samples(xs, shape, said))
                y.append(_labels(ys, said))
                spelled.add(isinstance(ys[0], str))
                if part == "train":
                    holders += [numbers.setdefault(user, len(numbers))] * len(ys)
            if not x:
                raise DataError(f"{folder / part} has no sample in its files")
            arrays += [_joined(x, folder / part), np.concatenate(y)]
        if len(spelled) > 1:
            raise DataError(f"{folder}: some labels are numbers, some characters")
        classes = TOKENS if True in spelled else int(max(arrays[1].max(), arrays[3].max())) + 1
        if classes > max(TOKENS, len(arrays[1]) + len(arrays[3])):
            raise DataError(f"{folder}: the largest label is {classes - 1:,}; number the classes 0, 1, 2, ...")
        names = NAMES if True in spelled else tuple(map(str, range(classes)))
        tokens = TOKENS if arrays[0].dtype == np.int64 else 0
        return Dataset(*arrays, classes, names, holders=np.array(holders, np.int64), tokens=tokens)

    def origin(self, root: Path | None, *, path: str, **params: Any) -> list[Path]:
        return [*under(root, path).glob("train/*.json"), *under(root, path).glob("test/*.json")]


def _users(folder: Path) -> Iterator[tuple[str, list, list, str]]:
    """(user, x, y, how to name the user in a message) of all files that has a sample."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(f"{folder} has no .json file; LEAF's are in train/ and test/ under data.path")
    for file in files:
        content = _parsed(file)
        users, counts, data = (content[key] for key in KEYS)
        if len(users) != len(counts):
            raise DataError(f"{file}: {len(users):,} users, but {len(counts):,} num_samples")
        for user, count in zip(users, counts):
            said = f"{file}: user {user!r}"
            mine = data.get(user) if isinstance(user, str) else None
            if not isinstance(mine, dict) or not all(isinstance(mine.get(key), list) for key in "xy"):
                raise DataError(f'{said} has no {{"x": [...], "y": [...]}} in user_data')
            if not len(mine["x"]) == len(mine["y"]) == count:
                raise DataError(f"{said} has {len(mine['x'])} x and {len(mine['y'])} y, but num_samples is {count}")
            if count:
                yield user, mine["x"], mine["y"], said


def _parsed(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # other bytes than text, a number without end
        raise DataError(f"{file} is not JSON: {error}") from error
    kinds = {"users": list, "num_samples": list, "user_data": dict}
    if not isinstance(content, dict) or any(not isinstance(content.get(key), kind) for key, kind in kinds.items()):
        raise DataError(f"{file} is not LEAF's: it must have the lists users and num_samples and the object user_data")
    return content


def _samples(xs: list, shape: list[int] | None, said: str) -> np.ndarray:
    """(samples, ...) float32, or int64 (samples, L) for texts."""
    if all(isinstance(text, str) for text in xs):
        lengths = {len(text) for text in xs}
        if len(lengths) > 1:
            raise DataError(f"{said} has texts of {min(lengths)} to {max(lengths)} characters; valid is one length")
        return encode("".join(xs)).reshape(len(xs), *lengths)
    try:
        x = np.array(xs, np.float32).reshape(len(xs), -1)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{said} has an x that is no list of numbers, or lists of several lengths: {error}") from None
    shape = shape or ([1, 28, 28] if x.shape[1] == 784 else [x.shape[1]])
    if np.prod(shape) != x.shape[1]:
        raise DataError(f"{said} has samples of {x.shape[1]} numbers, which is not data.shape = {list(shape)}")
    return x.reshape(len(x), *shape)


def _labels(ys: list, said: str) -> np.ndarray:
    """(samples,) int64."""
    if all(isinstance(label, str) and len(label) == 1 for label in ys):
        return encode("".join(ys))
    if all(type(label) is int and 0 <= label < 2**63 for label in ys):
        return np.array(ys, np.int64)
    raise DataError(f"{said} has a y that is neither a whole number from 0 nor one character, like all others")


def _joined(x: list[np.ndarray], folder: Path) -> np.ndarray:
    if kinds := {f"{each.dtype} {each.shape[1:]}" for each in x[1:] if _kind(each) != _kind(x[0])}:
        raise DataError(f"{folder} has samples of several kinds: {x[0].dtype} {x[0].shape[1:]}, {', '.join(kinds)}")
    return np.concatenate(x)


def _kind(x: np.ndarray) -> tuple:
    return x.dtype, x.shape[1:]
