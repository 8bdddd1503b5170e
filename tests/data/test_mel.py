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
