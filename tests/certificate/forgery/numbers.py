"""Numbers as certificates state them: ends of intervals, exact and rounded outward."""

from __future__ import annotations

import math
from fractions import Fraction


def end(value: Fraction | int, up: bool) -> dict[str, str]:
    """An end of an interval: exact, and rounded outward to a double and to six decimals."""
    value = Fraction(value)
    near = float(value)
    if (Fraction(near) < value) if up else (Fraction(near) > value):
        near = math.nextafter(near, math.inf if up else -math.inf)
    scaled = value * 10**6
    whole = math.ceil(scaled) if up else math.floor(scaled)
    text = f"{whole // 10**6}.{whole % 10**6:06d}".rstrip("0").rstrip(".")
    return {"exact": str(value), "hex": near.hex(), "decimal": text}
