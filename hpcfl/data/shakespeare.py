"""Shakespeare's lines, the next character to be guessed; whoever speaks is a client."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hpcfl.data.dataset import Dataset
from hpcfl.data.params import COUNT, SHARE
from hpcfl.data.source import Placed
from hpcfl.data.text import NAMES, TOKENS, encode
from hpcfl.errors import DataError


@dataclass(frozen=True)
class Shakespeare(Placed):
    """McMahan 2017, from one text: a line "SPEAKER:", lines of speech, a blank line, and so on.

    A sample is `length` characters, its label the one that follows. The speeches of a speaker are one text, each ended
    by a newline; its last `test_share` is for testing, and no sample lies in both parts. Samples begin every `stride`
    characters: at 80 every character is read once, which makes some 10,000 training samples of the usual extract of a
    million characters; LEAF's 1 makes 800,000. Speakers with fewer than `min_examples` training samples are left out.
    The text does not say which play a speaker is in, so that all of a name ("First Citizen") are one.
    """

    def read(
        self,
        root: Path | None,
        *,
        length: Annotated[int, COUNT] = 80,
        stride: Annotated[int, COUNT] = 80,
        test_share: Annotated[float, SHARE] = 0.2,
        min_examples: Annotated[int, COUNT] = 2,
    ) -> Dataset:
        parts: tuple[list, list] = ([], [])
        for text in _speeches(*self.origin(root)):
            tokens = encode(text)
            end = len(tokens) - round(test_share * len(tokens))
            train, test = (_sequences(part, length, stride) for part in (tokens[:end], tokens[end:]))
            if len(train) >= min_examples:
                parts[0].append(train)
                parts[1].append(test)
        train, test = (np.concatenate([np.empty((0, length + 1), np.int64), *part]) for part in parts)
        if not len(train) or not len(test):
            raise DataError(
                f"data.length = {length}: {len(train)} training and {len(test)} test samples of so many characters, "
                f"of speakers with data.min_examples = {min_examples} training samples"
            )
        holders = np.repeat(np.arange(len(parts[0])), [len(part) for part in parts[0]])
        x_train, x_test = (np.ascontiguousarray(part[:, :-1]) for part in (train, test))
        y_train, y_test = (np.ascontiguousarray(part[:, -1]) for part in (train, test))
        return Dataset(x_train, y_train, x_test, y_test, TOKENS, NAMES, holders=holders, tokens=TOKENS)

    def origin(self, root: Path | None, **params: Any) -> list[Path]:
        return [self.locate(root, "input.txt") / "input.txt"]


def _speeches(file: Path) -> list[str]:
    """What each speaker says in all, in the order of their first appearance."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a text in UTF-8: {error}") from error
    speakers: dict[str, list[str]] = {}
    for block in text.split("\n\n"):
        name, _, speech = block.strip("\n").partition("\n")
        if name.endswith(":"):
            speakers.setdefault(name, []).append(speech + "\n")
    if not speakers:
        raise DataError(f'{file} has no speaker; valid is a line "SPEAKER:", lines of speech, a blank line, and so on')
    return ["".join(speeches) for speeches in speakers.values()]


def _sequences(tokens: np.ndarray, length: int, stride: int) -> np.ndarray:
    """(samples, length + 1): each sequence with the character that follows it."""
    if len(tokens) <= length:
        return np.empty((0, length + 1), np.int64)
    return np.lib.stride_tricks.sliding_window_view(tokens, length + 1)[::stride]
