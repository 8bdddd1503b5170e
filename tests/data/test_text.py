"""Characters as tokens."""

import numpy as np

from hpcfl.data.text import ALPHABET, NAMES, TOKENS, encode


def test_every_character_has_a_token_of_its_own_and_strangers_share_none():
    assert encode(ALPHABET).tolist() == list(range(1, 81))
    assert encode("\x00$é\U0001f600~\ud800").tolist() == [0] * 6
    assert (encode("").shape, encode("a").dtype) == ((0,), np.int64)


def test_tokens_have_names():
    assert len(set(NAMES)) == len(NAMES) == TOKENS == 81
    assert [NAMES[token] for token in encode("\n z$")] == ["newline", "space", "z", "other"]
