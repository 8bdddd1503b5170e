"""A message brings its words and tensors, or is refused in words."""

import numpy as np
import pytest
import torch

from hpcfl.messages import HEAD, REASON, decode_reason, encode_reason, hear, say


@pytest.mark.parametrize(("length", "says"), [(-1, "was announced"), (2**62, "no memory"), (2**45, "no memory")])
def test_a_length_that_none_has(length, says):
    with pytest.raises(ValueError, match=says):
        hear(lambda tensor: tensor.fill_(length), lambda words: [])


@pytest.mark.parametrize("reason", ["", "ValueError: no", "Übermaß", "x" * REASON])
def test_reasons_round_trip(reason):
    row = encode_reason(reason)
    assert (row.dtype, row.shape) == (torch.uint8, (REASON,))
    assert decode_reason(row) == reason


def test_reasons_of_any_kind_arrive():
    assert decode_reason(encode_reason("é" * REASON)) == "é" * (REASON // 2)
    assert decode_reason(encode_reason("ab" + "é" * REASON))[:20] == "ab" + "é" * 18
    assert decode_reason(encode_reason("file \udce9 is missing")) == "file ? is missing"


@pytest.mark.parametrize("length", [0, 3, HEAD - 2, HEAD - 1, HEAD, 3 * HEAD])
@pytest.mark.parametrize("sizes", [(), (5,), (0, 8 * HEAD + 1, 7, 1)])
@pytest.mark.parametrize("filled", [torch.Tensor.copy_, torch.Tensor.set_])  # set_: where memory is shared
def test_what_is_said_is_heard_in_one_message_where_it_fits(length, sizes, filled):
    words = np.arange(length)
    tensors = [torch.arange(size).remainder(251).to(torch.uint8) for size in sizes]
    messages = []
    say(words, tensors, lambda message: messages.append(message.clone()))
    count = len(messages)
    came = [torch.zeros_like(tensor) for tensor in tensors]
    heard = hear(lambda tensor: filled(tensor, messages.pop(0)), lambda words: came)
    assert np.array_equal(heard, words)
    assert all(map(torch.equal, came, tensors))
    assert not messages
    assert count == 1 or length > HEAD - 6 or sizes[1:]
