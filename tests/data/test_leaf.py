"""LEAF's JSON files."""

import json

import numpy as np
import pytest

from hpcfl.data import load, load_labels
from hpcfl.data.text import encode
from hpcfl.errors import DataError, JobError


def leaf(users):
    """The content of a file: user -> (x, y)."""
    data = {user: {"x": x, "y": y} for user, (x, y) in users.items()}
    return {"users": list(users), "num_samples": [len(y) for _, y in users.values()], "user_data": data}


def place(root, train, test, **params):
    for part, files in (("train", train), ("test", test)):
        (root / "mine" / part).mkdir(parents=True)
        for number, content in enumerate(files):
            text = content if isinstance(content, str) else json.dumps(content)
            (root / "mine" / part / f"all_data_{number}.json").write_text(text)
    return {"root": root, "params": {"path": "mine", **params}}


TRAIN = leaf({"f01": ([[0.0, 0.25], [0.5, 1]], [0, 2]), "f00": ([[1, 2]], [1])})
TEST = leaf({"f00": ([[0.5, 0.5]], [3])})


def test_users_are_the_holders_over_all_files(tmp_path):
    more = leaf({"f05": ([[7, 7]], [0]), "f01": ([[3, 3]], [0]), "none": ([], [])})
    given = place(tmp_path, [TRAIN, more], [TEST])
    dataset = load("leaf", **given)
    assert dataset.x_train.tolist() == [[0, 0.25], [0.5, 1], [1, 2], [7, 7], [3, 3]]
    assert dataset.x_train.dtype == np.float32
    assert dataset.y_train.tolist() == [0, 2, 1, 0, 0]
    assert dataset.holders.tolist() == [0, 0, 1, 2, 0]
    assert (dataset.x_test.tolist(), dataset.y_test.tolist()) == ([[0.5, 0.5]], [3])
    assert (dataset.classes, dataset.labels, dataset.tokens) == (4, ("0", "1", "2", "3"), 0)
    assert load_labels("leaf", **given).holders.tolist() == dataset.holders.tolist()


@pytest.mark.parametrize(
    "numbers, params, shape",
    [(784, {}, (1, 28, 28)), (12, {}, (12,)), (12, {"shape": [3, 2, 2]}, (3, 2, 2)), (784, {"shape": [784]}, (784,))],
)
def test_shapes(tmp_path, numbers, params, shape):
    content = leaf({"a": ([list(range(numbers))], [0])})
    dataset = load("leaf", **place(tmp_path, [content], [content], **params))
    assert dataset.shape == shape
    assert dataset.x_test.ravel().tolist() == list(range(numbers))


def test_texts_become_tokens(tmp_path):
    train, test = leaf({"KING": (["to be", "or no"], [" ", "t"])}), leaf({"FOOL": (["ha ha"], ["$"])})
    dataset = load("leaf", **place(tmp_path, [train], [test]))
    assert dataset.x_train.tolist() == [encode("to be").tolist(), encode("or no").tolist()]
    assert dataset.y_train.tolist() == encode(" t").tolist()
    assert dataset.y_test.tolist() == [0]
    assert (dataset.tokens, dataset.classes, dataset.shape) == (81, 81, (5,))


def test_texts_may_have_classes(tmp_path):
    content = leaf({"a": (["good", "evil"], [1, 0])})
    dataset = load("leaf", **place(tmp_path, [content], [content]))
    assert (dataset.tokens, dataset.classes, dataset.y_train.tolist()) == (81, 2, [1, 0])


def spoilt(**changes):
    return {**TRAIN, **changes}


@pytest.mark.parametrize(
    "train, message",
    [
        ('{"users": ["a"],\n "num_samples": [1,, 2]}', r"0.json is not JSON: line 2, column [0-9]+: "),
        ("[]", "0.json is not LEAF's: it must have the lists users and num_samples and the object user_data"),
        ("[" * 100_000, "0.json is not JSON: "),
        ('{"users": [' + "9" * 5000 + "]}", "0.json is not JSON: Exceeds the limit"),
        (leaf({"a": ([[10**400]], [0])}), "user 'a' has an x that is no list of numbers"),
        (spoilt(users={}), "0.json is not LEAF's"),
        (spoilt(num_samples=[2]), "0.json: 2 users, but 1 num_samples"),
        (spoilt(num_samples=[2, 2]), "0.json: user 'f00' has 1 x and 1 y, but num_samples is 2"),
        (spoilt(users=["f01", "f02"]), r"user 'f02' has no {\"x\": \[...\], \"y\": \[...\]} in user_data"),
        (leaf({"a": ([[1, 2], [1]], [0, 1])}), "user 'a' has an x that is no list of numbers, or lists of several"),
        (leaf({"a": ([{"k": 1}], [0])}), "user 'a' has an x that is no list of numbers"),
        (leaf({"a": (["ab", "abc"], [0, 0])}), "user 'a' has texts of 2 to 3 characters; valid is one length"),
        (leaf({"a": ([[1, 2]], [1.5])}), "user 'a' has a y that is neither a whole number from 0 nor one character"),
        (leaf({"a": ([[1, 2]], [10**30])}), "user 'a' has a y that is neither"),
        (leaf({"a": ([[1, 2]], [10**15])}), "the largest label is 1,000,000,000,000,000"),
        (leaf({"a": ([[1, 2]], ["x"])}), "some labels are numbers, some characters"),
        (leaf({"a": ([[1, 2]], [0]), "b": ([[1, 2, 3]], [0])}), "has samples of several kinds: float32"),
        (leaf({"a": ([[1, 2, 3]], [0])}), "they must agree"),
        (leaf({"a": ([], [])}), "train has no sample in its files"),
    ],
)
def test_what_is_not_leaf(tmp_path, train, message):
    with pytest.raises(DataError, match=message):
        load("leaf", **place(tmp_path, [train], [TEST]))


def test_missing_folders(tmp_path):
    with pytest.raises(DataError, match=f"data.path = 'mine': there is no folder {tmp_path}/mine"):
        load("leaf", root=tmp_path, params={"path": "mine"})
    with pytest.raises(DataError, match="test has no .json file; LEAF's are in train/ and test/ under data.path"):
        load("leaf", **place(tmp_path, [TRAIN], []))


def test_mistakes_in_the_job(tmp_path):
    given = place(tmp_path, [TRAIN], [TEST], shape=[3])
    with pytest.raises(DataError, match=r"samples of 2 numbers, which is not data.shape = \[3\]"):
        load("leaf", **given)
    with pytest.raises(JobError, match="data.shape = 3: must be a list of whole numbers"):
        load("leaf", root=tmp_path, params={"path": "mine", "shape": 3})
