"""What a batch log shows."""

import io
import math

import pytest

from hpcfl.progress import Reporter, clock


def said(*steps, total=3):
    stream = io.StringIO()
    with Reporter(total, stream) as reporter:
        for step in steps:
            reporter.step(*step)
    return stream.getvalue().splitlines()


def test_the_first_and_the_last_round_are_always_told():
    lines = said(*[(index, 2, 1 / index, index / 1000) for index in range(1, 501)], total=500)
    assert lines[0].startswith("round 1/500  accuracy 0.0010  loss 1.0000  ")
    assert lines[-1].startswith("round 500/500  accuracy 0.5000  loss 0.0020  ")
    assert len(lines) < 20


def test_a_round_that_was_not_evaluated_shows_the_last_figures():
    lines = said((1, 2, 0.5, 0.25), (3, 2, math.nan, math.nan))
    assert [line.split("  ")[1:3] for line in lines] == [["accuracy 0.2500", "loss 0.5000"]] * 2


def test_before_the_first_evaluation_there_are_no_figures():
    (line,) = said((1, 2, math.nan, math.nan))
    assert line.startswith("round 1/") and "accuracy" not in line and "nan" not in line


def test_text_is_printed_as_it_is():
    stream = io.StringIO()
    Reporter(1, stream).line("results: [a]/b[/c].h5 " + "x" * 200)
    assert stream.getvalue() == "results: [a]/b[/c].h5 " + "x" * 200 + "\n"


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0:00"),
        (0.4, "0:00"),
        (59.6, "1:00"),
        (65, "1:05"),
        (3599, "59:59"),
        (3700, "1:01:40"),
        (90_000, "25:00:00"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text
