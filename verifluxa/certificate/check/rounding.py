"""How far a deployed operation, and this checker's own float64, may be from exact arithmetic.

Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1: a sum of `n` products evaluated
in any order, with or without fused multiply-add, is off by at most `gamma_n = n u / (1 - n u)` times the sum
of the products' magnitudes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAFETY = 1 + 2.0**-10
"""Covers the rounding of the radii themselves."""

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53, "real": 0.0}
TINY = {"float32": 2.0**-126, "float64": 2.0**-1022, "real": 2.0**-1022}
SOFTMAX_GAP = {"float32": 2.0**-20, "float64": 2.0**-49, "real": 0.0}
"""Logits that are closer may tie after softmax; twice as much after logsoftmax, whose results are larger."""


@dataclass(frozen=True)
class Rounding:
    """The error model of one arithmetic.

    Attributes:
        arithmetic: `float32`, `float64` or `real`.
        own: relative error of this checker's sums, forward and backward together.
    """

    arithmetic: str
    own: float

    def coefficient(self, terms: int) -> float:
        """Relative error of an operation with so many roundings on its longest path, this checker's own with it."""
        return SAFETY * (gamma(terms, UNIT[self.arithmetic]) + self.own)

    def coefficients(self, terms: NDArray[np.int64]) -> NDArray[np.float64]:
        """The same for many counts."""
        known = {count: self.coefficient(count) for count in set(terms.tolist())}
        return np.array([known[count] for count in terms.tolist()], dtype=np.float64)

    def tiny(self, terms: int = 1) -> float:
        """What flushed subnormals can take away."""
        return terms * TINY[self.arithmetic]

    @property
    def most(self) -> float:
        """Values from here on might overflow."""
        return {"float32": 2.0**127, "float64": 2.0**1023, "real": 2.0**1000}[self.arithmetic]

    @property
    def largest(self) -> float:
        """A radius from here on means that some value might overflow, so nothing is proved."""
        return self.most * (self.own if self.arithmetic == "real" else UNIT[self.arithmetic])


def gamma(terms: int, unit: float) -> float:
    """`k u / (1 - k u)`; infinite where that says nothing."""
    return terms * unit / (1 - terms * unit) if terms * unit < 0.5 else float("inf")


def rounding_of(arithmetic: str, width: int) -> Rounding:
    """The error model for networks whose widest sum has `width` terms."""
    return Rounding(arithmetic, gamma(8 * width + 512, 2.0**-53))
