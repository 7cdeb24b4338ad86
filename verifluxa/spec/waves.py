"""The one sine of the language: rounded to six digits, so that every machine means the same pattern."""

from __future__ import annotations

from fractions import Fraction
from math import pi, sin

DIGITS = 10**6


def sine(turns: Fraction) -> Fraction:
    """`sin(2 pi turns)`, to six digits.

    >>> sine(Fraction(1, 4)), sine(Fraction(7, 12))
    (Fraction(1, 1), Fraction(-1, 2))
    """
    return Fraction(round(sin(2 * pi * float(turns % 1)) * DIGITS), DIGITS)
