"""Numbers with units to exact values; a wrong or missing unit, a fraction where a whole number belongs."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import show
from verifluxa.spec.problems import FollowUpError
from verifluxa.spec.syntax import Levels
from verifluxa.spec.terms import Arithmetic, Expression, Minus, Number, Reference

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
