"""What a property will cost, before any work is done: known rates times counts. An estimate, and said to be one.

The rates are those of the examples in `docs/benchmarks.md`: networks of some 50,000 weights on the machine that is
named there. Nothing is enumerated, so a million questions are estimated as fast as one. What has to branch, and larger
networks, take longer than any rate says.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from verifluxa.spec.plain import Counts
from verifluxa.spec.spec import PerInput, Property, claims_of

SHARED = (0.4e-3, 1.3e-3)
"""Seconds for a place and an input, where a question speaks of all inputs together: bounds decide; a few boxes each."""
SINGLE = (2e-3, 10e-3)
"""Seconds for a question about one input."""
VARIANT = (0.5e-6, 3e-6)
"""Seconds for a word at a place of a text: where the order of words does not matter; behind a convolution."""
REFERENCE = 0.002
"""Seconds of `machine_seconds` where the rates were taken."""
SIZE = 192


@dataclass(frozen=True)
class Cost:
    """Seconds in one process, from the quick end to the slow one of what is usual."""

    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{_shown(self.low)} to {_shown(self.high)}" if _shown(self.low) != _shown(self.high) else _shown(self.low)
        )


def cost(prop: Property, counts: Counts, speed: float = 1.0) -> Cost | None:
    """The estimate for a property; None while the number of inputs is not known.

    Args:
        prop: the property.
        counts: of `spec.plain.count`.
        speed: of the machine, as a factor on that of the reference.
    """
    if counts.inputs is None:
        return None
    tried = [member.variants() for member in prop.statement.trigger.families()]
    if all(tried):
        work, rates = counts.inputs * sum(tried), VARIANT
    else:
        work = counts.places * counts.inputs
        rates = SINGLE if isinstance(claims_of(prop.statement)[0], PerInput) else SHARED
    sides = len(claims_of(prop.statement))
    return Cost(*(1.0 + sides * work * rate / speed for rate in rates))


def machine_speed() -> float:
    """How fast this machine is beside the reference, by a few products of matrices: a hundredth of a second."""
    import numpy as np

    matrix = np.full((SIZE, SIZE), 1.0 / SIZE)
    best = math.inf
    for _ in range(3):
        started = time.process_time()
        for _ in range(8):
            matrix = matrix @ matrix
        best = min(best, time.process_time() - started)
    return REFERENCE / max(best, 1e-4)


def _shown(seconds: float) -> str:
    """A time in the unit that people would say it in, to about one digit.

    >>> [_shown(s) for s in (1.2, 47.0, 400.0, 90000.0)]
    ['1 s', '50 s', '7 min', '1 day']
    """
    for unit, size in (("day", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size or unit == "s":
            count = seconds / size
            rounded = round(count, -1) if count >= 20 else round(count)
            return f"{max(1, rounded):,.0f} {unit}{'s' if unit == 'day' and rounded > 1 else ''}"
    raise AssertionError("seconds are the last unit")
