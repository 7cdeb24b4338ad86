"""A part of the trigger's domain: a box, possibly cut by strips `low <= V tau <= high`.

The largest value of a linear function on it is bounded by weak duality: for ANY multipliers beta,
`a.t <= |a - beta V|.half + |beta|.width + beta.(strip center - V center)`, t counted from the box's center.
The choices of beta below only decide how good the bound is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from verifluxa.certificate.check.functions import Floats

INFLATE = 1 + 2.0**-50
MARGIN = 2.0**-41
"""Relative rounding of a few dozen operations, with a factor of thousands to spare."""
STEPS = 5
RIDGE = 0.64


@dataclass(frozen=True, eq=False)
class Region:
    """A box and strips; `t` below is counted from the box's center.

    Attributes:
        lower, upper: shape (d,).
        directions: V, shape (m, d).
        low, high: shape (m,); as the whole domain implies them where nothing cuts.
        cut: whether any strip was cut; until then strips say nothing that the box does not say, and are left out.
    """

    lower: Floats
    upper: Floats
    directions: Floats
    low: Floats
    high: Floats
    cut: bool = False

    @cached_property
    def center(self) -> Floats:
        """The box's center."""
        return (self.lower + self.upper) / 2

    @cached_property
    def half(self) -> Floats:
        """Half-widths of the box, slightly outward."""
        return np.maximum(self.upper - self.center, self.center - self.lower) * INFLATE

    @cached_property
    def _strips(self) -> tuple[Floats, Floats, Floats]:
        """Strip centers and half-widths with their rounding, shape (m,); the matrix of ridge regression, (d, m)."""
        size = np.abs(self.directions) @ (self.half + np.abs(self.center)) + np.abs(self.low) + np.abs(self.high)
        bare = np.maximum((self.high - self.low) / 2, 0.0)
        weighted = self.directions * (RIDGE * len(self.half) * self.half**2)
        ridge = _solved(weighted @ self.directions.T, bare**2, weighted).T
        return (self.low + self.high) / 2 - self.directions @ self.center, bare + MARGIN * size, ridge

    @property
    def is_empty(self) -> bool:
        """No point is in both box and strips."""
        return self.cut and bool((self.low - self.high > MARGIN + self._strips[1]).any())

    def tightened(self) -> Region:
        """The same with its strips tightened, once and together, by the box and by each other."""
        if not self.cut:
            return self
        up, down = self.spread(self.directions, STEPS), self.spread(-self.directions, STEPS)
        middle, size = self.directions @ self.center, np.abs(self.directions)
        slack = MARGIN * (size @ (np.abs(self.center) + self.half) + np.abs(up) + np.abs(down))
        low, high = np.maximum(self.low, middle - down - slack), np.minimum(self.high, middle + up + slack)
        return replace(self, low=low, high=high)

    def spread(self, rows: Floats, steps: int = 0) -> Floats:
        """Upper bounds of `row.t`, rows of shape (K, d).

        Args:
            rows: the linear functions.
            steps: how often the multipliers of ridge regression are improved, by iteratively reweighted least squares.
        """
        most = np.abs(rows) @ self.half
        if not self.cut or not len(rows):
            return most
        (_, width, ridge), largest = self._strips, np.abs(rows).max(axis=1, keepdims=True)
        beta = rows @ ridge
        most = np.minimum(most, self.dual(rows, beta))
        for _ in range(steps):
            size = np.abs(beta)
            weight = self.half / (np.abs(rows - beta @ self.directions) + 1e-3 * largest + 1e-12)
            penalty = width / (size + 1e-3 * size.max(axis=1, keepdims=True) + 1e-12)
            weighted = self.directions * weight[:, None, :]
            beta = _solved(weighted @ self.directions.T, penalty, weighted @ rows[:, :, None])[:, :, 0]
            most = np.minimum(most, self.dual(rows, beta))
        return most

    def dual(self, rows: Floats, beta: Floats) -> Floats:
        """The upper bounds that multipliers (K, m) give; valid for any."""
        shift, width, _ = self._strips
        return np.abs(rows - beta @ self.directions) @ self.half + np.abs(beta) @ width + beta @ shift


def _solved(normal: Floats, diagonal: Floats, right: Floats) -> Floats:
    """Solves `normal + diag(diagonal)`, kept away from singular; no multipliers where that fails (any are sound)."""
    trace = np.trace(normal, axis1=-2, axis2=-1)[..., None]
    normal = normal + (diagonal + 1e-9 * trace + 1e-9)[..., None] * np.eye(normal.shape[-1])
    try:
        beta = np.linalg.solve(normal, right)
    except np.linalg.LinAlgError:
        return np.zeros_like(right)
    return np.where(np.isfinite(beta), beta, 0.0)
