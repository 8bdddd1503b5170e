"""Curves in a terminal, dot by dot."""

import numpy as np
import pytest

from hpcfl.report.curve import curve, plot

LINE = """\
1.000     *
         *
        *
       *
0.000 *
      0   8"""


def test_a_line_in_ascii():
    assert curve([0, 8], [0.0, 1.0], 11, 6, braille=False) == LINE.splitlines()


def test_in_braille_a_character_has_two_by_four_dots():
    assert curve([0, 8], [0.0, 1.0], 8, 3) == ["1.000  \u285c", "0.000 \u2870\u2801", "      08"]


def test_steep_lines_are_closed_up():
    lit = plot(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0]), 0.0, 1.0, 3, 5)
    assert lit.tolist() == [[False, False, True]] * 4 + [[True, True, False]]


def test_unknown_points_are_bridged_and_none_is_no_picture():
    assert curve([0, 4, 8], [0.0, np.nan, 1.0], 11, 6, braille=False) == LINE.splitlines()
    assert curve([0, 1], [np.nan, np.nan], 11, 6) == []


@pytest.mark.parametrize(("x", "y"), [([3], [0.5]), ([1, 2, 3], [0.5, 0.5, 0.5])])
def test_flat_ones_lie_in_the_middle(x, y):
    lines = curve(x, y, 11, 6, braille=False)
    assert [line.count("*") for line in lines[:5]] == [0, 0, len(lines[2]) - 6, 0, 0]
    assert "*" in lines[2]
