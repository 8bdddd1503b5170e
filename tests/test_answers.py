"""What a rank answers arrives, or is refused in words."""

import math
from types import SimpleNamespace

import pytest
import torch

from hpcfl.answers import hear_answer, send_answer

UPLOADS = {"c": torch.zeros(()), "w": torch.arange(6.0).view(2, 3)}
ROW = [3.0, 0.5, 0.25]


def messages(uploads, reason=None):
    sent = []
    send_answer(SimpleNamespace(send=lambda tensor: sent.append(tensor.clone())), ["c", "w"], ROW, uploads, reason)
    return sent


def heard(sent, names=("c", "w")):
    return hear_answer(SimpleNamespace(recv=lambda tensor: tensor.copy_(sent.pop(0))), list(names))


def test_uploads_and_reasons_arrive():
    row, uploads, reason = heard(messages(UPLOADS))
    assert (row, reason) == (ROW, None)
    assert all(torch.equal(uploads[name], value) for name, value in UPLOADS.items())
    assert heard(messages({}, "no power")) == (ROW, {}, "no power")


@pytest.mark.parametrize(
    ("place", "number", "says"),
    [(4, -1, "is no shape"), (4, 8, "is no shape"), (4, math.nan, "is no shape"), (13, -2, "is no shape"),
     (13, 1e18, "no memory"), (13, math.inf, "is no shape")],
)  # fmt: skip
def test_shapes_that_are_none_are_refused(place, number, says):
    sent = messages(UPLOADS)
    sent[0][1:].view(torch.float64)[place] = number
    with pytest.raises(ValueError, match=says):
        heard(sent)


def test_other_uploads_than_both_ends_know_are_refused():
    with pytest.raises(ValueError, match="an answer with 3 uploads has 28 words, not 20"):
        heard(messages(UPLOADS), ("c", "v", "w"))
