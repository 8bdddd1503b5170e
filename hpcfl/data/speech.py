"""Speech Commands: single words of one second, spoken by thousands; the speakers are the clients."""

import glob
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from hpcfl.data.dataset import Dataset, Labels
from hpcfl.data.mel import RATE, log_mel
from hpcfl.data.params import COUNT, NAMES, SHARE
from hpcfl.data.sample import held_out, numbered
from hpcfl.data.signals import standardise
from hpcfl.data.source import Placed
from hpcfl.errors import DataError, JobError
from hpcfl.rng import stream

WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
NOISE = "_background_noise_"
BATCH = 256
"""Recordings turned into spectrograms at once, 34 MB of windows."""


class Clip(NamedTuple):
    """One second of a file."""

    file: Path
    speaker: str
    part: str
    """train, test, or "" where the official lists decide nothing."""
    begin: int = 0
    """Its first sample in the file."""
    volume: float = 1.0


@dataclass(frozen=True)
class SpeechCommands(Placed):
    """Warden 2018: WORD/SPEAKER_nohash_K.wav, 16 kHz mono; (1, 32, 32) log-mel spectrograms, standardised.

    The classes are the `words`, or, with `classes` two larger, _silence_, _unknown_ and the words: as many recordings
    of other words as there are of a word on average, drawn at random, and as many seconds of the background noise at
    random volume, dealt to speakers at random since nobody speaks. Shorter recordings end in silence.
    Where the official testing_list.txt is, it is the test set, and the validation_list.txt is left out; else
    `test_share` of each speaker's recordings, stratified. Noise for testing is from the last `test_share` of each file.
    """

    def read(
        self,
        root: Path | None,
        *,
        words: Annotated[list[str], NAMES] = WORDS,
        classes: Annotated[int | None, COUNT] = None,
        test_share: Annotated[float, SHARE] = 0.2,
    ) -> Dataset:
        names, clips, y, test = self._chosen(root, words, classes, test_share)
        x = np.empty((len(clips), 1, 32, 32), np.float32)
        for begin in range(0, len(clips), BATCH):
            x[begin : begin + BATCH, 0] = log_mel(np.stack([_sound(clip) for clip in clips[begin : begin + BATCH]]))
        x_train, x_test = standardise(x[~test], x[test])
        holders = _holders(clips, test)
        return Dataset(x_train, y[~test], x_test, y[test], len(names), names, holders=holders)

    def labels(self, root: Path | None, *, words: list[str], classes: int | None, test_share: float) -> Labels:
        names, clips, y, test = self._chosen(root, words, classes, test_share)
        return Labels(y[~test], len(names), _holders(clips, test))

    def origin(self, root: Path | None, *, words: list[str], **params: Any) -> list[Path]:
        """The folders: looking at 100,000 files takes longer than reading what the cache has of them."""
        folder = self._folder(root, words)
        folders = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."]
        return [*folders, *folder.glob("*_list.txt")]

    def _folder(self, root: Path | None, words: list[str]) -> Path:
        return self.locate(root, *(f"{glob.escape(word)}/*.wav" for word in words))

    def _chosen(self, root: Path | None, words: list[str], classes: int | None, test_share: float) -> tuple:
        """Names of the classes, and the clips with their classes and which of them are for testing."""
        if classes not in (None, len(words), len(words) + 2):
            raise JobError(
                f"data.classes = {classes}: must be {len(words)}, the words, or {len(words) + 2}, with _silence_ and "
                "_unknown_ before them"
            )
        folder = self._folder(root, words)
        lists = _lists(folder)
        spoken = [_recordings(folder, word, lists) for word in words]
        names, groups = tuple(words), spoken
        if classes == len(words) + 2:
            count = round(sum(map(len, spoken)) / len(spoken))
            speakers = [clip.speaker for group in spoken for clip in group if clip.part != "test"]
            silence = _silence(folder, count, speakers, test_share)
            names, groups = (
                ("_silence_", "_unknown_", *words),
                [silence, _unknown(folder, words, lists, count), *spoken],
            )
        clips = [clip for group in groups for clip in group]
        y = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        test = np.array([clip.part == "test" for clip in clips])
        if not lists:
            free = np.flatnonzero([not clip.part for clip in clips])
            speakers = numbered(np.array([clips[at].speaker for at in free]))
            test[free] = held_out(y[free], speakers, test_share, stream(0, "data", "speech_commands", "test"))
        if test.all() or not test.any():
            raise DataError(f"{folder}: {test.sum()} of {len(test)} recordings are for testing")
        return names, clips, y, test


def _lists(folder: Path) -> dict[str, str]:
    """WORD/FILE -> test or validation, as the official lists say; nothing without a testing_list.txt."""
    if not (folder / "testing_list.txt").is_file():
        return {}
    validation = folder / "validation_list.txt"
    known = dict.fromkeys(validation.read_text("utf-8").split(), "validation") if validation.is_file() else {}
    return known | dict.fromkeys((folder / "testing_list.txt").read_text("utf-8").split(), "test")


def _recordings(folder: Path, word: str, lists: dict[str, str]) -> list[Clip]:
    """A word's clips in the order of their names, but for those of the validation list."""
    clips = []
    for file in sorted((folder / word).glob("*.wav")):
        speaker, mark, _ = file.name.partition("_nohash_")
        if not mark:
            raise DataError(f"{file} is not named SPEAKER_nohash_NUMBER.wav, so that its speaker is not known")
        part = lists.get(f"{word}/{file.name}", "train" if lists else "")
        if part != "validation":
            clips.append(Clip(file, speaker, part))
    if not clips:
        there = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._")
        raise DataError(f"data.words: {folder} has no recordings of {word!r}; it has the folders {', '.join(there)}")
    return clips


def _unknown(folder: Path, words: list[str], lists: dict[str, str], count: int) -> list[Clip]:
    others = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._")
    clips = [clip for word in others if word not in words for clip in _recordings(folder, word, lists)]
    if not clips:
        raise DataError(f"data.classes: _unknown_ is made of other words, and {folder} has none but {', '.join(words)}")
    chosen = stream(0, "data", "speech_commands", "unknown").permutation(len(clips))[:count]
    return [clips[at] for at in np.sort(chosen)]


def _silence(folder: Path, count: int, speakers: list[str], test_share: float) -> list[Clip]:
    files = sorted((folder / NOISE).glob("*.wav"))
    if not files:
        raise DataError(
            f"data.classes: _silence_ is cut from {folder / NOISE}, which is not there or empty; the complete archive "
            "has it. Without data.classes only the words are learned"
        )
    rng = stream(0, "data", "speech_commands", "silence")
    spans = []
    for file in files:
        length = _length(file)
        border = round(length * (1 - test_share))
        if border < RATE or length - border < RATE:
            raise DataError(f"{file} is too short to cut a second for training and one for testing from it")
        spans.append(((0, border - RATE), (border, length - RATE)))
    clips = []
    for number in range(count):
        part = "test" if number < round(test_share * count) else "train"
        at = rng.integers(len(files))
        low, high = spans[at][part == "test"]
        begin, speaker = int(rng.integers(low, high, endpoint=True)), speakers[rng.integers(len(speakers))]
        clips.append(Clip(files[at], speaker, part, begin, float(rng.random())))
    return clips


def _length(file: Path) -> int:
    with _opened(file) as sound:
        return sound.getnframes()


def _sound(clip: Clip) -> np.ndarray:
    """(16000,) float32 within -1 to 1."""
    with _opened(clip.file) as sound:
        sound.setpos(clip.begin)
        data = sound.readframes(RATE)
        promised = min(RATE, sound.getnframes() - clip.begin)
    if len(data) < 2 * promised:
        raise DataError(
            f"{clip.file} is cut short: its header promises {promised + clip.begin} samples, and it ends "
            f"after {len(data) // 2 + clip.begin}; copy it again"
        )
    samples = np.frombuffer(data, "<i2")
    second = np.zeros(RATE, np.float32)
    second[: len(samples)] = samples
    second *= np.float32(clip.volume / 2**15)
    return second


@contextmanager
def _opened(file: Path) -> Iterator[wave.Wave_read]:
    try:
        with wave.open(str(file)) as sound:
            form = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
            if form != (RATE, 1, 2):
                raise DataError(
                    f"{file} is {form[0]} Hz with {form[1]} channels of {form[2]} bytes; valid is 16000 Hz, 1 of 2"
                )
            yield sound
    except (wave.Error, EOFError, RuntimeError) as error:  # the last where a part is longer than the whole
        raise DataError(f"{file} is not a readable .wav: {str(error) or 'it ends too early'}") from error


def _holders(clips: list[Clip], test: np.ndarray) -> np.ndarray:
    return numbered(np.array([clip.speaker for clip in clips])[~test])
