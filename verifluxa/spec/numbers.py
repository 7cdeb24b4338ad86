"""Exact numbers from text, with their units: a rate of `5 %` is the fraction 1/20 and never a float."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import pi, sin

from verifluxa.errors import Span, SpecError
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.problems import FollowUpError
from verifluxa.spec.syntax import Levels
from verifluxa.spec.terms import Arithmetic, Expression, Minus, Number, Reference

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


UNITS = ("px", "ch", "level", "%", "token", "tokens", "step")


def measured(number: Number, unit: str, what: str) -> Fraction:
    """The value of a number that must carry `unit`.

    Raises:
        SpecError: VF1030 when the unit is another one, VF1031 when there is none.
    """
    if number.unit is None:
        raise SpecError(
            "VF1031",
            f"{what} needs its unit",
            place=number.span,
            expected=f"`{number.text} {unit}`",
            remedy=f"write the unit `{unit}` behind the number",
        )
    if number.unit.text != unit:
        raise wrong_unit(number, f"{what} is given in `{unit}`", f"`{number.text} {unit}`")
    return number.value


def unitless(number: Number, what: str) -> Fraction:
    """The value of a number that must not carry a unit.

    Raises:
        SpecError: VF1030 when there is one.
    """
    if number.unit is not None:
        raise wrong_unit(number, f"{what} has no unit", f"`{number.text}`")
    return number.value


def wrong_unit(number: Number, message: str, expected: str) -> SpecError:
    """VF1030, with a suggestion when the unit is a slip."""
    unit = number.unit.text if number.unit is not None else ""
    place = number.unit.span if number.unit is not None else number.span
    remedy = None if unit in UNITS else did_you_mean(unit, UNITS)
    return SpecError("VF1030", f"{message}, not in `{unit}`", place=place, expected=expected, remedy=remedy)


def whole(value: Fraction, place: Span, what: str, least: int = 1, most: int | None = None) -> int:
    """A whole number within limits.

    Raises:
        SpecError: VF1032 when it is not whole or below `least`; VF1038 when it is above `most`.
    """
    if value.denominator != 1 or value < least:
        raise SpecError(
            "VF1032",
            f"{what} cannot be {show(value)}",
            place=place,
            expected=f"a whole number from {least}" + ("" if most is None else f" to {most:,}"),
        )
    if most is not None and value > most:
        raise SpecError("VF1038", f"{what} is too large: {int(value):,}", place=place, expected=f"at most {most:,}")
    return int(value)


def level_range(levels: Levels, what: str) -> tuple[Fraction, Fraction]:
    """Both ends of `low..high level`; the unit stands at the end, and may stand at both.

    Raises:
        SpecError: VF1030 or VF1031 for its unit, VF1033 when it is upside down.
    """
    low = levels.low.value if levels.low.unit is None else measured(levels.low, "level", what)
    high = measured(levels.high, "level", what)
    if low > high:
        raise SpecError(
            "VF1033",
            f"the range {levels.low.text}..{levels.high.text} is upside down",
            place=levels.span,
            expected=f"`{levels.high.text}..{levels.low.text} level`",
        )
    return low, high


def constant(expression: Expression, params: Mapping[str, Fraction | None], what: str) -> Fraction:
    """The exact value of a constant: numbers, `%`, params, `+ - * /`.

    Raises:
        SpecError: VF1025 when it is not a constant, VF1020 for an unknown param, VF1030 for a unit, VF1037 when it
            divides by zero.
        FollowUpError: it names a param that is wrong itself.
    """
    match expression:
        case Number(value=value, unit=unit):
            if unit is None or unit.text == "%":
                return value if unit is None else value / 100
            raise wrong_unit(expression, f"{what} is a plain number or in `%`", f"`{expression.text}`")
        case Minus(operand=operand):
            return -constant(operand, params, what)
        case Arithmetic():
            return _arithmetic(expression, params, what)
        case Reference(name=name) if name in params:
            known = params[name]
            if known is None:
                raise FollowUpError
            return known
        case Reference(name=name):
            raise SpecError(
                "VF1020",
                f"there is no param called `{name}`",
                place=expression.span,
                expected=f"{what} is a number, a rate such as `5 %`, or the name of a param",
                remedy=did_you_mean(name, params) or "declare one: `param max_rate : fraction = 5 %`",
            )
    raise SpecError(
        "VF1025",
        f"{what} must be a number",
        place=expression.span,
        expected="a number, a rate such as `5 %`, or the name of a param",
    )


def _arithmetic(expression: Arithmetic, params: Mapping[str, Fraction | None], what: str) -> Fraction:
    left = constant(expression.left, params, what)
    right = constant(expression.right, params, what)
    if expression.operator == "/" and right == 0:
        raise SpecError("VF1037", "this divides by zero", place=expression.right.span)
    match expression.operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right
