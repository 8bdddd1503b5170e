"""Sound as a picture: the log-mel spectrogram."""

import numpy as np

RATE = 16_000
"""Samples per second."""
WINDOW, HOP = 1024, 512
"""Length and distance of the windows [samples]: 64 ms every 32 ms."""
BANDS = 32
FLOOR = 1e-6
"""Added to the power in a band, whose samples are within 1: silence has a logarithm, too."""


def log_mel(sound: np.ndarray) -> np.ndarray:
    """(N, 32, 32) float32 of one-second sounds (N, 16000) within -1 to 1: the logarithm of the power by band and time.

    Hann windows centred on every 512th sample, with silence around the sound; triangular bands, evenly spaced from 0 to
    8 kHz on the scale mel = 2595 log10(1 + f / 700) (O'Shaughnessy 1987).
    """
    padded = np.pad(sound.astype(np.float32), ((0, 0), (WINDOW // 2, WINDOW // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, 1)[:, ::HOP]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * hann, axis=2)).astype(np.float32) ** 2
    return np.log(power @ bands().T + np.float32(FLOOR)).transpose(0, 2, 1)


def bands() -> np.ndarray:
    """(32, 513) float32: the weight of each frequency in each band, 1 at its centre and 0 at its neighbours'."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    centres = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    frequencies = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rise = (frequencies - centres[:-2, None]) / np.diff(centres)[:-1, None]
    fall = (centres[2:, None] - frequencies) / np.diff(centres)[1:, None]
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
