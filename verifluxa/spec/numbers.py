"""Exact numbers from text. A rate of `5 %` is the fraction 1/20 and never a float."""

from __future__ import annotations

import re
from fractions import Fraction
from math import pi, sin

from verifluxa.errors import Span, SpecError

MAX_DIGITS = 40
"""Digits of a number as written; more is a slip or an attack on exact arithmetic."""
MAX_EXPONENT = 40
"""Largest absolute exponent behind `e`."""

_NUMBER = re.compile(r"(\d+(?:_\d+)*)(?:\.(\d+(?:_\d+)*))?(?:[eE]([+-]?\d+))?")


def exact(text: str, place: Span | str) -> Fraction:
    """The exact value of an unsigned decimal number such as `500_000`, `0.3081` or `1e-3`.

    Raises:
        SpecError: VF1012 when underscores do not stand between digits, or the number is too long or too large.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise SpecError(
            "VF1012",
            f"`{_short(text)}` is not a number",
            place=place,
            expected="digits such as 5, 0.05, 500_000 or 1e-3",
            remedy="an underscore may only stand between two digits",
        )
    whole, part, exponent = (group or "" for group in match.groups())
    if len(text) > MAX_DIGITS or len(exponent) > 4 or abs(int(exponent or "0")) > MAX_EXPONENT:
        raise SpecError(
            "VF1012",
            f"the number `{_short(text)}` is too long or too large",
            place=place,
            expected=f"at most {MAX_DIGITS} digits and an exponent of at most {MAX_EXPONENT}",
        )
    digits = (whole + part).replace("_", "")
    return Fraction(int(digits)) * Fraction(10) ** (int(exponent or "0") - len(part.replace("_", "")))


def show(value: Fraction) -> str:
    """A number for people: whole numbers and finite decimals as such, else `1/3`.

    >>> show(Fraction(1, 20)), show(Fraction(1, 3)), show(Fraction(-7))
    ('0.05', '1/3', '-7')
    """
    if value.denominator == 1:
        return str(value.numerator)
    for places in range(1, 13):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            sign = "-" if value < 0 else ""
            return f"{sign}{digits[:-places]}.{digits[-places:]}"
    return f"{value.numerator}/{value.denominator}"


def percent(value: Fraction) -> str:
    """A rate for people.

    >>> percent(Fraction(1, 20)), percent(Fraction(1, 3))
    ('5 %', '1/3')
    """
    shown = show(value * 100)
    return show(value) if "/" in shown else shown + " %"


def ratio(value: Fraction) -> str:
    """A number for records that are digested.

    >>> ratio(Fraction(1, 20))
    '1/20'
    """
    return f"{value.numerator}/{value.denominator}"


def sine(turns: Fraction) -> Fraction:
    """`sin(2 pi turns)`, the one sine of the language: to six digits, so that every machine means the same pattern.

    >>> sine(Fraction(1, 4)), sine(Fraction(7, 12))
    (Fraction(1, 1), Fraction(-1, 2))
    """
    return Fraction(round(sin(2 * pi * float(turns % 1)) * 10**6), 10**6)


def _short(text: str) -> str:
    return text if len(text) <= MAX_DIGITS else text[:MAX_DIGITS] + "..."
