"""Params: `param max_rate : fraction = 5 %`, and their values from `--set max_rate=1%`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from verifluxa.errors import OptionError, Span, SpecError
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import constant, exact, show
from verifluxa.spec.problems import Problems
from verifluxa.spec.syntax import File, ParamSyntax

KINDS = ("fraction", "integer")

_VALUE = re.compile(r"(-?)\s*([0-9][0-9_.eE+-]*)\s*(?:/\s*([0-9][0-9_.eE+-]*))?\s*(%?)")


def check_params(file: File, chosen: Mapping[str, str], problems: Problems) -> dict[str, Fraction | None]:
    """The value of each param, `--set` before what the file says; None where it is wrong (and reported).

    Args:
        file: the whole file.
        chosen: values from the command line, as text.
        problems: takes VF1034 to VF1037 and VF1039.
    """
    params: dict[str, Fraction | None] = {}
    for item in file.items:
        if isinstance(item, ParamSyntax) and item.name.text not in params:
            known = dict(params)
            value = problems.attempt(partial(_param, item, known, chosen))
            params[item.name.text] = value
    for name in chosen:
        if name not in params:
            problems.errors.append(_unknown(name, params))
    return params


def _param(item: ParamSyntax, params: Mapping[str, Fraction | None], chosen: Mapping[str, str]) -> Fraction:
    name, kind = item.name.text, item.kind.text
    if kind not in KINDS:
        raise SpecError(
            "VF1035",
            f"there is no type of param called `{kind}`",
            place=item.kind.span,
            expected=" or ".join(f"`{known}`" for known in KINDS),
            remedy=did_you_mean(kind, KINDS),
        )
    value = _fits(kind, constant(item.value, params, f"the param `{name}`"), item.value.span)
    if name not in chosen:
        return value
    place = f"--set {name}={chosen[name]}"
    try:
        return _fits(kind, _from_text(chosen[name], place), place)
    except SpecError as error:
        raise OptionError(
            error.code, error.message, place=place, expected=error.expected, remedy=error.remedy
        ) from error


def _fits(kind: str, value: Fraction, place: Span | str) -> Fraction:
    if kind == "fraction" and not 0 <= value <= 1:
        raise SpecError(
            "VF1034",
            f"a rate cannot be {show(value)}",
            place=place,
            expected="a fraction from 0 to 1, such as `5 %`, `0.05` or `1/20`",
            remedy=f"did you mean `{show(value)} %`?" if 1 < value <= 100 else None,
        )
    if kind == "integer" and value.denominator != 1:
        raise SpecError("VF1035", f"{show(value)} is no integer", place=place, expected="a whole number")
    return value


def _from_text(text: str, place: str) -> Fraction:
    match = _VALUE.fullmatch(text.strip())
    if match is None:
        raise SpecError(
            "VF1039", f"`{text}` is no value for a param", place=place, expected="`5%`, `0.05`, `1/20` or `7`"
        )
    sign, number, divisor, percent = match.groups()
    value = exact(number, place) / (100 if percent else 1)
    if divisor is not None:
        below = exact(divisor, place)
        if below == 0:
            raise SpecError("VF1037", "this divides by zero", place=place)
        value /= below
    return -value if sign else value


def _unknown(name: str, params: Mapping[str, object]) -> OptionError:
    known = ", ".join(f"`{param}`" for param in params)
    return OptionError(
        "VF1036",
        f"`--set` names `{name}`, which is no param of this spec",
        place=f"--set {name}=...",
        expected=known or "nothing: the spec has no params",
        remedy=did_you_mean(name, params),
    )
