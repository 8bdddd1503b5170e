"""AG News: the topic of an article, from the characters of its title and its first lines."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Annotated, Any

import numpy as np

from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.params import COUNT, choice
from hpcfl.data.source import Placed
from hpcfl.data.text import encode, places
from hpcfl.errors import DataError

TOPICS = ("World", "Sports", "Business", "Sci/Tech")
ALPHABETS = {
    "charcnn": (f"{ascii_lowercase}{digits}-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{{}}\n", 1014),
    "vdcnn": (f"{ascii_lowercase}{digits}-,;.!?:'\"/\\|_@#$%^&*~`+=<>()[]{{}} ", 1024),
}
"""Characters, and the length to which texts are cut and filled up, of Zhang 2015 (70, the dash twice: its second place
stays empty; a space is none of them) and Conneau 2017 (69, with the space)."""
FILES = ("train.csv", "test.csv")


@dataclass(frozen=True)
class AgNews(Placed):
    """Zhang, Zhao and LeCun 2015: rows of topic (1 to 4), title and description; 120,000 to train with, 7,600 to test.

    A sample is title, space and description in lower case, a token for each character, the first `length` of them.
    Whatever the alphabet does not have, and what is missing at the end, is 0.
    """

    def read(
        self,
        root: Path | None,
        *,
        alphabet: Annotated[str, choice(*ALPHABETS)] = "charcnn",
        length: Annotated[int | None, COUNT] = None,
    ) -> Dataset:
        letters, usual = ALPHABETS[alphabet]
        table = places(letters).astype(np.uint8)
        parts = [_encoded(file, table, length or usual) for file in self.origin(root)]
        (x_train, y_train), (x_test, y_test) = parts
        return Dataset(x_train, y_train, x_test, y_test, len(TOPICS), TOPICS, tokens=1 + len(letters))

    def labels(self, root: Path | None, **params: Any) -> Labels:
        return Labels(np.array([topic for topic, _ in _rows(self.origin(root)[0])], np.int64), len(TOPICS))

    def origin(self, root: Path | None, **params: Any) -> list[Path]:
        folder = next(
            (folder for folder in self._places(root) if all((folder / name).is_file() for name in FILES)), None
        )
        if folder is None:
            raise self.missing(root, FILES)
        return [folder / name for name in FILES]


def _encoded(file: Path, table: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, length) uint8 tokens and (N,) int64 topics."""
    rows = [(topic, encode(text.lower(), table)[:length]) for topic, text in _rows(file)]
    x = np.zeros((len(rows), length), np.uint8)
    for line, (_, tokens) in zip(x, rows):
        line[: len(tokens)] = tokens
    return x, np.array([topic for topic, _ in rows], np.int64)


def _rows(file: Path) -> Iterator[tuple[int, str]]:
    """Topic, from 0, and text of each row; DataError says in which line the file is damaged."""
    with file.open(encoding="utf-8", newline="") as lines:
        table = csv.reader(lines, strict=True)
        try:
            for row in table:
                if table.line_num == 1 and row[:1] == ["Class Index"]:
                    continue  # as some distribute it
                if len(row) != 3:
                    raise ValueError(f"{len(row)} columns; valid are three: topic, title, description")
                if row[0] not in ("1", "2", "3", "4"):
                    raise ValueError(f"the topic {row[0]!r}; valid are 1 to 4, {', '.join(TOPICS)}")
                yield int(row[0]) - 1, f"{row[1]} {row[2]}"
        except (csv.Error, ValueError) as error:  # a text that is no UTF-8 is a ValueError, too
            raise DataError(f"{file}, line {max(1, table.line_num)}: {error}") from error
