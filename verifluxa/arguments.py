"""What programs give to `verify` and `certify`, made into a request: numbers, durations, paths, arrays and networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
