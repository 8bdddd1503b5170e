"""Speech Commands, from recordings in the layout of its archive."""

import os
import wave

import numpy as np
import pytest

from hpcfl.data import find_root, load, load_labels
from hpcfl.data.mel import RATE
from hpcfl.data.speech import WORDS
from hpcfl.errors import DataError, JobError

SPEAKERS = ("0a7c2a8d", "1acc97de", "f953e1af")


def record(file, samples=RATE, frequency=500, rate=RATE, channels=1):
    file.parent.mkdir(parents=True, exist_ok=True)
    sound = 8000 * np.sin(2 * np.pi * frequency * np.arange(samples) / RATE)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.repeat(sound.astype("<i2"), channels).tobytes())


@pytest.fixture
def archive(tmp_path):
    """Three speakers say five times each of three words, each word at a pitch of its own; half a minute of noise."""
    for at, word in enumerate(("cat", "no", "yes")):
        for speaker in SPEAKERS:
            for number in range(5):
                samples = RATE if number else 9000
                record(tmp_path / f"speech_commands/{word}/{speaker}_nohash_{number}.wav", samples, 300 * 3**at)
    record(tmp_path / "speech_commands/_background_noise_/hum.wav", 30 * RATE, 100)
    (tmp_path / "speech_commands/_background_noise_/README.md").write_text("noise")
    return tmp_path


TWO = {"words": ["yes", "no"]}


def test_every_speaker_trains_and_is_tested(archive):
    dataset = load("speech_commands", root=archive, params=TWO)
    assert (dataset.labels, dataset.shape) == (("yes", "no"), (1, 32, 32))
    assert np.bincount(dataset.holders).tolist() == [8] * 3
    assert np.bincount(dataset.y_test).tolist() == [3, 3]
    assert dataset.x_train.mean() == pytest.approx(0, abs=1e-5)
    assert dataset.x_train.std() == pytest.approx(1, abs=1e-5)
    pitch = dataset.x_train[:, 0, :, 5].argmax(1)
    assert len(set(pitch[dataset.y_train == 0])) == 1
    assert pitch[dataset.y_train == 0][0] > pitch[dataset.y_train == 1][0]


def test_short_recordings_end_in_silence(archive):
    x = load("speech_commands", root=archive, params=TWO).x_train[:, 0]
    loud = x.max(1)
    short = np.ptp(loud[:, 4:28], 1) > 1
    assert 0 < short.sum() <= 6
    assert (loud[short, 20] < loud[short, 10]).all()


def test_the_official_lists_decide(archive):
    folder = archive / "speech_commands"
    (folder / "testing_list.txt").write_text(
        "".join(f"{word}/f953e1af_nohash_{at}.wav\n" for word in TWO["words"] for at in range(5))
    )
    (folder / "validation_list.txt").write_text("yes/0a7c2a8d_nohash_0.wav\nno/1acc97de_nohash_4.wav\n")
    dataset = load("speech_commands", root=archive, params=TWO)
    assert np.bincount(dataset.holders).tolist() == [9, 9]
    assert len(dataset.y_test) == 10
    assert load_labels("speech_commands", root=archive, params=TWO).holders.tolist() == dataset.holders.tolist()
    silent = load("speech_commands", root=archive, params={**TWO, "classes": 4})
    assert set(silent.y_train[silent.holders == 2]) == {1}  # other words that no list has; silence is not theirs


def test_silence_and_unknown_words(archive):
    params = {**TWO, "classes": 4}
    dataset = load("speech_commands", root=archive, params=params)
    assert dataset.labels == ("_silence_", "_unknown_", "yes", "no")
    total = np.bincount(dataset.y_train) + np.bincount(dataset.y_test)
    assert total.tolist() == [15] * 4
    assert np.bincount(dataset.y_test)[0] == 3
    assert dataset.holders.max() == 2
    hum = dataset.x_train[dataset.y_train == 0][:, 0, :, 5]
    assert (hum.argmax(1) <= 2).all()
    assert len(set(hum.max(1))) == 12  # of volumes of their own
    labels = load_labels("speech_commands", root=archive, params=params)
    assert np.array_equal(labels.y, dataset.y_train)
    assert np.array_equal(labels.holders, dataset.holders)


def test_silence_for_testing_is_from_the_end_of_the_noise(archive):
    with wave.open(str(archive / "speech_commands/_background_noise_/hum.wav"), "rb") as sound:
        data = np.frombuffer(sound.readframes(30 * RATE), "<i2").copy()
    data[24 * RATE :] = 0
    with wave.open(str(archive / "speech_commands/_background_noise_/hum.wav"), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(data.tobytes())
    dataset = load("speech_commands", root=archive, params={**TWO, "classes": 4})
    assert np.ptp(dataset.x_test[dataset.y_test == 0]) == 0
    assert (np.ptp(dataset.x_train[dataset.y_train == 0], (1, 2, 3)) > 0).all()


def test_what_silence_needs(archive):
    noise = archive / "speech_commands/_background_noise_/hum.wav"
    record(noise, 3 * RATE)
    with pytest.raises(DataError, match=f"{noise} is too short to cut a second for training and one for testing"):
        load("speech_commands", root=archive, params={**TWO, "classes": 4})
    noise.unlink()
    with pytest.raises(DataError, match="_silence_ is cut from .*_background_noise_, which is not there or empty"):
        load("speech_commands", root=archive, params={**TWO, "classes": 4})


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({}, DataError, "has no recordings of 'down'; it has the folders cat, no, yes"),
        ({**TWO, "classes": 3}, JobError, "data.classes = 3: must be 2, the words, or 4, with _silence_ and _unknown_"),
        ({"words": ["yes", "no", "cat"], "classes": 5}, DataError, "has none but yes, no, cat"),
        ({"words": ["yes", "../no"]}, JobError, "data.words = .*: must be a list of names in quotes"),
        ({"words": ["yes", "**n[o"]}, DataError, r"has no recordings of '\*\*n\[o'"),
        ({"words": []}, JobError, "data.words = .*: must be a list of names in quotes"),
        ({**TWO, "test_share": 0.01}, DataError, "0 of 30 recordings are for testing"),
    ],
)
def test_mistakes_in_the_job(archive, params, error, message):
    with pytest.raises(error, match=message):
        load("speech_commands", root=archive, params=params)


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("x_nohash_0.wav", {"rate": 8000}, "is 8000 Hz with 1 channels of 2 bytes; valid is 16000 Hz, 1 of 2"),
        ("x_nohash_0.wav", {"channels": 2}, "is 16000 Hz with 2 channels of 2 bytes"),
        ("hello.wav", {}, "is not named SPEAKER_nohash_NUMBER.wav"),
    ],
)
def test_other_recordings(archive, name, settings, message):
    record(archive / "speech_commands/yes" / name, **settings)
    with pytest.raises(DataError, match=f"{name} {message}"):
        load("speech_commands", root=archive, params=TWO)


LONGER = b"RIFF" + (20).to_bytes(4, "little") + b"WAVEfact" + (4000).to_bytes(4, "little") + bytes(4000)
"""A part of it is longer than the whole."""


@pytest.mark.parametrize("data", [b"", b"RIFF", b"no sound at all, but text", LONGER])
def test_damaged_recordings(archive, data):
    (archive / "speech_commands/yes/x_nohash_0.wav").write_bytes(data)
    with pytest.raises(DataError, match="x_nohash_0.wav is not a readable .wav: ."):
        load("speech_commands", root=archive, params=TWO)


def test_recordings_cut_short(archive):
    file = archive / "speech_commands/yes/0a7c2a8d_nohash_2.wav"
    file.write_bytes(file.read_bytes()[:-1001])
    message = f"{file} is cut short: its header promises 16000 samples, and it ends after 15499"
    with pytest.raises(DataError, match=message):
        load("speech_commands", root=archive, params=TWO)


def test_a_second_start_takes_what_was_kept(archive, tmp_path):
    first, again = (load("speech_commands", root=archive, params=TWO, cache=tmp_path / "cache") for _ in range(2))
    assert np.array_equal(first.x_train, again.x_train)
    record(archive / "speech_commands/yes/b_nohash_0.wav")
    third = load("speech_commands", root=archive, params=TWO, cache=tmp_path / "cache")
    assert len(third.x_train) + len(third.x_test) == 31
    assert len([*(tmp_path / "cache").glob("*/")]) == 1


def test_the_real_recordings():
    root = find_root(None, os.environ)
    if root is None or not all((root / "speech_commands" / word).is_dir() for word in WORDS):
        pytest.skip(f"Speech Commands is not under HPCFL_DATA ({root})")
    dataset = load("speech_commands", root=root)
    assert dataset.labels == WORDS
    assert len(np.unique(dataset.y_train)) == len(np.unique(dataset.y_test)) == 10
    assert np.bincount(dataset.holders).min() > 0
    assert (np.ptp(dataset.x_train[:, 0], (1, 2)) > 1).mean() > 0.99
