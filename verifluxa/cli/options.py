"""Values of options: NAME=FILE pairs, budgets. Wrong ones are refused with what would have been right."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from verifluxa.errors import UsageError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def pairs(option: str, given: Iterable[str] | None, value: str = "FILE") -> dict[str, str]:
    """Reads repeated `NAME=VALUE` options.

    Args:
        option: as the user typed it, `--model`.
        given: the values.
        value: what stands after the `=`, for the message.

    Raises:
        UsageError: VF4401 when there is no `=`, a side is empty, or a name comes twice.
    """
    result: dict[str, str] = {}
    for text in given or ():
        name, equals, rest = text.partition("=")
        name, rest = name.strip(), rest.strip()
        if not equals or not name or not rest:
            raise UsageError("VF4401", f"{option} {text} names no {value}", expected=f"{option} NAME={value}")
        if name in result:
            raise UsageError("VF4401", f"{option} gives `{name}` twice", expected="each name once")
        result[name] = rest
    return result


def seconds(budget: str | None) -> float | None:
    """Reads a budget: `90`, `90s`, `5m`, `1.5h`.

    Raises:
        UsageError: VF4403 for anything else, and for a budget of nothing.
    """
    if budget is None:
        return None
    match = _BUDGET.fullmatch(budget.strip().lower())
    amount = float(match[1]) * UNITS.get(match[2], math.nan) if match else math.nan
    if not 0 < amount < 1e9:
        raise UsageError(
            "VF4403", f"--budget {budget} is no length of time", expected="a number with s, m or h: 90s, 5m, 1.5h"
        )
    return amount


def gap(text: str | None) -> str | None:
    """Reads the gap of a measurement, `2%` or `0.02`; gives it as an exact fraction.

    Raises:
        UsageError: VF4413 for anything else, and for 100 % and more.
    """
    if text is None:
        return None
    match = _RATE.fullmatch(text.strip())
    value = Fraction(match[1]) / (100 if match[2] else 1) if match else Fraction(1)
    if value >= 1:
        raise UsageError(
            "VF4413", f"--gap {text} is no distance between two rates", expected="a share below 100 %: 2%, 0.5%, 0.02"
        )
    return str(value)


def check_ending(out: Path | None, what: str, *endings: str) -> None:
    """Refuses the name of a file that nobody would take for what is written into it.

    Args:
        out: as the user gave it.
        what: is written into it, for the message.
        endings: that say so, the usual one first.

    Raises:
        UsageError: VF4414.
    """
    if out is not None and out.suffix.lower() not in endings:
        raise UsageError(
            "VF4414",
            f"{what}, and this name does not end in {endings[0]}",
            place=str(out),
            expected=f"a name that ends in {endings[0]}",
            remedy=f"--out {out.with_suffix(endings[0])}; the words on the screen go into a file by `> FILE`",
        )
