"""The log-mel spectrogram."""

import numpy as np
import pytest

from hpcfl.data.mel import FLOOR, RATE, WINDOW, bands, log_mel


def tone(frequency, volume=0.5):
    return volume * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)


def test_bands_are_triangles_that_meet():
    weights = bands()
    assert weights.shape == (32, 513)
    assert weights.min() == 0
    between = weights.sum(0)[10:-70]  # but for the lowest band's left side and the highest's right one
    assert between == pytest.approx(np.ones(len(between)), abs=1e-5)
    assert (np.diff(weights.argmax(1)) > 0).all()


@pytest.mark.parametrize("frequency", [200, 440, 1000, 3000, 7000])
def test_a_tone_lies_in_its_band_all_the_time(frequency):
    (picture,) = log_mel(tone(frequency)[None])
    assert picture.shape == (32, 32)
    nearest = bands()[:, round(frequency * WINDOW / RATE)].argmax()
    assert np.abs(picture.argmax(0) - nearest).max() <= 1


def test_the_formula_in_one_window():
    sound = np.random.default_rng(0).uniform(-1, 1, (3, RATE))
    time = 7  # its window is centred on sample 7 x 512
    window = sound[1, time * 512 - 512 : time * 512 + 512] * np.hanning(WINDOW + 1)[:-1]
    expected = np.log(bands() @ np.abs(np.fft.rfft(window)) ** 2 + FLOOR)
    assert log_mel(sound)[1, :, time] == pytest.approx(expected, abs=1e-4)


def test_silence_has_a_logarithm():
    assert log_mel(np.zeros((2, RATE))) == pytest.approx(np.full((2, 32, 32), np.log(FLOOR)))


LIBROSA = (
    [-13.815, -13.815, -13.815, -13.814, -13.814, -13.813, -13.811, -13.808, -13.802, -13.791, -13.766, -13.705]
    + [-13.538, -13.048, -11.731, -8.685, 3.835, 9.830, 8.690, -5.726, -11.412, -13.240, -13.692, -13.784, -13.806]
    + [-13.812, 6.287, 6.099, -13.815, -13.815, -13.815, -13.815],
    [5.253, 9.530, 8.703, 1.913, -5.305, -8.529, -10.497, -12.388, -13.406, -13.603, -13.566, -13.587, -13.744]
    + [-13.744, -13.799, -13.815, -13.812, -13.806, -13.810, -13.809, -13.814, -13.814, -13.815, -13.815, -13.815]
    + [-13.815, -13.814, -13.815, -13.815, -13.815, -13.815, -0.634],
)
"""Time 20 and band 4 of the sound below by librosa 0.11: log(melspectrogram(y, sr=16000, n_fft=1024, hop_length=512,
n_mels=32, htk=True, norm=None, pad_mode="constant") + FLOOR)."""


def test_librosa_gives_the_same():
    time = np.arange(RATE) / RATE
    rising = 0.5 * np.sin(2 * np.pi * (200 * time + 1500 * time**2))
    (picture,) = log_mel((rising + 0.1 * np.sin(2 * np.pi * 5000 * time))[None])
    assert picture[:, 20] == pytest.approx(np.array(LIBROSA[0]), abs=2e-3)
    assert picture[4] == pytest.approx(np.array(LIBROSA[1]), abs=2e-3)
