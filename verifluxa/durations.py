"""Lengths of time as people and programs give them."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from verifluxa.errors import UsageError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


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
    elif isinstance(budget, str) and (match := _TEXT.fullmatch(budget.strip().lower())):
        amount = float(match[1]) * _UNITS.get(match[2], math.nan)
    if not 0 < amount < 1e9:
        raise UsageError(
            "VF4403", f"--budget {budget} is no length of time", expected="a number with s, m or h: 90s, 5m, 1.5h"
        )
    return amount
