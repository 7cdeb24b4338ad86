"""What programs give to `verify` and `certify`, made into a request: numbers, durations, paths, arrays and networks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verifluxa.data.dataset import Arrays
from verifluxa.errors import UsageError
from verifluxa.inputs import Choice

if TYPE_CHECKING:
    from verifluxa.graph.graph import Graph

Number = str | int | float | Fraction | Decimal
"""`"2 %"`, `0.02`, `Fraction(1, 50)`."""
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def seconds(budget: str | float | timedelta | None) -> float | None:
    """Reads a budget: `90`, `90s`, `5m`, `1.5h`, a number of seconds, a `timedelta`.

    Raises:
        UsageError: VF4403 for anything else, and for a budget of nothing.
    """
    if budget is None:
        return None
    amount = math.nan
    if isinstance(budget, timedelta):
        amount = budget.total_seconds()
    elif isinstance(budget, int | float) and not isinstance(budget, bool):
        amount = float(budget)
    elif isinstance(budget, str) and (match := _BUDGET.fullmatch(budget.strip().lower())):
        amount = float(match[1]) * _SECONDS.get(match[2], math.nan)
    if not 0 < amount < 1e9:
        raise UsageError(
            "VF4403", f"--budget {budget} is no length of time", expected="a number with s, m or h: 90s, 5m, 1.5h"
        )
    return amount


def choice_of(
    models: Mapping[str, str | Path | Graph] | None,
    data: Mapping[str, str | Path | Arrays] | None,
    params: Mapping[str, Number] | None,
    properties: str | Sequence[str],
) -> Choice:
    """What the arguments choose over the spec.

    Raises:
        UsageError: VF4401 for a value of another type.
    """
    return Choice(
        {name: _model(name, value) for name, value in (models or {}).items()},
        {name: _data(name, value) for name, value in (data or {}).items()},
        {name: _number(name, value) for name, value in (params or {}).items()},
        (properties,) if isinstance(properties, str) else tuple(properties),
    )


def _model(name: str, value: Any) -> str | Graph:
    from verifluxa.graph.graph import Graph

    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, Graph):
        return value
    raise _wrong(f"models={{{name!r}: ...}}", value, "the path of a file, or what `verifluxa.load_model` gave")


def _data(name: str, value: Any) -> str | Arrays:
    import numpy as np

    if isinstance(value, str | Path):
        return str(value)
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) in (1, 2) and all(isinstance(part, np.ndarray) and part.dtype.kind in "biuf" for part in parts):
        return parts
    expected = "the path of a file, an array of numbers, or (inputs, labels)"
    raise _wrong(f"data={{{name!r}: ...}}", value, expected)


def _number(name: str, value: Any) -> str:
    """As text; a float as it is printed, so that 0.02 is 2 %."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | Fraction | Decimal | float) and not isinstance(value, bool):
        try:
            return str(Fraction(str(value)))
        except ValueError:
            pass
    raise _wrong(f"params={{{name!r}: ...}}", value, "a number, a `Fraction`, or text such as '2 %'")


def _wrong(place: str, value: object, expected: str) -> UsageError:
    return UsageError("VF4401", f"{type(value).__name__} is no value for this", place=place, expected=expected)
