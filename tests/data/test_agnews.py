"""AG News: rows of a topic and two texts."""

import os

import numpy as np
import pytest

from hpcfl.data import find_root, load, load_labels
from hpcfl.data.agnews import ALPHABETS
from hpcfl.errors import DataError, JobError

ROWS = '"3","Wall St. Bears","Claw \\back, ""again"""\n"1","Peace?",""\n"4","Ünder\nline","#x"\n'


def where(root, train=ROWS, test='"2","a","b"\n', **params):
    (root / "ag_news_csv").mkdir(exist_ok=True)
    for name, text in (("train", train), ("test", test)):
        (root / f"ag_news_csv/{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"root": root, "params": params}


def spelled(row, alphabet):
    return "".join(f"_{ALPHABETS[alphabet][0]}"[token] for token in row)


def test_characters_of_both_texts_in_lower_case(tmp_path):
    dataset = load("ag_news", **where(tmp_path, alphabet="vdcnn", length=30))
    assert (dataset.x_train.dtype, dataset.shape, dataset.tokens) == (np.uint8, (30,), 70)
    assert dataset.labels == ("World", "Sports", "Business", "Sci/Tech")
    assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == ([2, 0, 3], [1])
    texts = [spelled(row, "vdcnn") for row in dataset.x_train]
    assert texts == [
        'wall st. bears claw \\back, "ag',
        "peace? " + "_" * 23,
        "_nder_line #x".ljust(30, "_"),
    ]
    labels = load_labels("ag_news", **where(tmp_path, alphabet="vdcnn", length=30))
    assert np.array_equal(labels.y, dataset.y_train)


@pytest.mark.parametrize(("alphabet", "tokens", "length"), [("charcnn", 71, 1014), ("vdcnn", 70, 1024)])
def test_alphabets_of_the_papers(tmp_path, alphabet, tokens, length):
    dataset = load("ag_news", **where(tmp_path, alphabet=alphabet))
    assert (dataset.tokens, dataset.shape) == (tokens, (length,))
    letters, _ = ALPHABETS[alphabet]
    distinct = sorted(set(letters), key=letters.index)
    text = "".join(letter.replace('"', '""') for letter in distinct)
    (row,) = load("ag_news", **where(tmp_path, f'"1","{text}",""\n', alphabet=alphabet)).x_train[:, : len(distinct)]
    assert spelled(row, alphabet) == "".join(distinct)
    assert len(set(row.tolist())) == len(distinct)
    assert row.min() == 1


def test_a_line_of_titles_is_no_row(tmp_path):
    titled = where(tmp_path, "Class Index,Title,Description\n" + ROWS)
    assert len(load("ag_news", **titled).y_train) == 3


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (ROWS + '"1","title"\n', "line 5: 2 columns; valid are three: topic, title, description"),
        (ROWS + "\n", "line 5: 0 columns"),
        ('"5","title","text"\n' + ROWS, "line 1: the topic '5'; valid are 1 to 4, World, Sports, Business, Sci/Tech"),
        (ROWS + '"1","title","an unfinish', "line 5: unexpected end of data"),
        (ROWS.encode() + b'"1","\xff","x"\n', "line .: 'utf-8' codec can't decode byte 0xff"),
        ("", "y_train is empty"),
    ],
)
def test_damaged_rows_are_named(tmp_path, train, message):
    with pytest.raises(DataError, match=message) as caught:
        load("ag_news", **where(tmp_path, train))
    assert train == "" or f"{tmp_path / 'ag_news_csv/train.csv'}, line" in str(caught.value)


def test_mistakes_in_the_job(tmp_path):
    with pytest.raises(JobError, match="data.alphabet = 'latin': must be one of charcnn, vdcnn"):
        load("ag_news", **where(tmp_path, alphabet="latin"))
    (tmp_path / "ag_news_csv/test.csv").unlink()
    with pytest.raises(DataError, match="incomplete: no test.csv"):
        load("ag_news", root=tmp_path)


def test_the_real_articles():
    root = find_root(None, os.environ)
    if root is None or not (root / "ag_news_csv/train.csv").is_file():
        pytest.skip(f"AG News is not under HPCFL_DATA ({root})")
    dataset = load("ag_news", root=root)
    assert len(dataset.y_test) == 7600
    assert np.bincount(dataset.y_test).tolist() == [1900] * 4
    assert (dataset.x_train[:, 0] > 0).mean() > 0.99
