"""Parts of the trigger's domain: boxes, possibly cut by strips `low <= V tau <= high`; many at once.

The largest value of a linear function on one is bounded by weak duality: for ANY multipliers beta,
`a.t <= |a - beta V|.half + |beta|.width + beta.(strip center - V center)`, t counted from the box's center.
The choices of beta below only decide how good the bound is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import Integers

INFLATE = 1 + 2.0**-50
MARGIN = 2.0**-41
"""Relative rounding of a few dozen operations, with a factor of thousands to spare."""
STEPS = 5
RIDGE = 0.64
_MOST_VALUES = 1 << 14
"""In the arrays of one step: what fits the processor's cache."""


def pieces(count: int, size: int) -> Iterator[slice]:
    """Cuts so many items, each with arrays of so many values, into pieces; at least one."""
    step = max(1, _MOST_VALUES // max(1, size))
    return (slice(start, start + step) for start in range(0, max(1, count), step))


@dataclass(frozen=True, eq=False)
class Regions:
    """R boxes and their strips; `t` below is counted from a box's center.

    Attributes:
        lower, upper: shape (R, d).
        directions: V, shape (m, d).
        low, high: shape (R, m); as the whole domain implies them where nothing cuts.
    """

    lower: Floats
    upper: Floats
    directions: Floats
    low: Floats
    high: Floats

    @cached_property
    def center(self) -> Floats:
        """The boxes' centers."""
        return (self.lower + self.upper) / 2

    @cached_property
    def half(self) -> Floats:
        """Half-widths of the boxes, slightly outward."""
        return np.maximum(self.upper - self.center, self.center - self.lower) * INFLATE

    @cached_property
    def _strips(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Strip centers and half-widths with their rounding, (R, m); weights (R, d) and inverse of ridge regression."""
        size = (self.half + np.abs(self.center)) @ np.abs(self.directions).T + np.abs(self.low) + np.abs(self.high)
        bare, weight = np.maximum((self.high - self.low) / 2, 0.0), RIDGE * self.half.shape[1] * self.half**2
        inverse = _solved(self._normal(weight), bare**2, np.eye(len(self.directions)))
        return (self.low + self.high) / 2 - self.center @ self.directions.T, bare + MARGIN * size, weight, inverse

    def _normal(self, weight: Floats) -> Floats:
        return np.asarray((self.directions * weight[..., None, :]) @ self.directions.T)

    @property
    def is_empty(self) -> NDArray[np.bool_]:
        """No point is in both box and strips."""
        return np.asarray((self.low - self.high > MARGIN + self._strips[1]).any(axis=1))

    def tightened(self) -> Regions:
        """The same with their strips tightened, once and together, by the box and by each other."""
        (up, down), size = self.every(self.directions, np.arange(len(self.lower))), np.abs(self.directions)
        middle = self.center @ self.directions.T
        slack = MARGIN * ((np.abs(self.center) + self.half) @ size.T + np.abs(up) + np.abs(down))
        low, high = np.maximum(self.low, middle - down - slack), np.minimum(self.high, middle + up + slack)
        return replace(self, low=low, high=high)

    def every(self, rows: Floats, regions: Integers) -> tuple[Floats, Floats]:
        """Upper bounds of `row.t` and of `-row.t` for each of some rows in each of some regions, with all care."""
        row, at = np.tile(np.arange(len(rows)), len(regions)), np.repeat(regions, len(rows))
        cuts = pieces(len(row), rows.shape[1] * (1 + len(self.directions)))
        ends = zip(*(self.spread(rows[row[cut]], at[cut], STEPS) for cut in cuts), strict=True)
        up, down = (np.concatenate(part).reshape(len(regions), len(rows)) for part in ends)
        return up, down

    def spread(self, rows: Floats, at: Integers, steps: int = 0) -> tuple[Floats, Floats]:
        """Upper bounds of `row.t` and of `-row.t`.

        Args:
            rows: the linear functions, shape (..., K, d).
            at: the region of each, shape (K,).
            steps: how often the multipliers of ridge regression are improved, by iteratively reweighted least squares.
        """
        half, directions = self.half[at], self.directions
        up = down = np.einsum("...kd,kd->...k", np.abs(rows), half)
        if not len(directions):
            return up, down
        _, width, weight, inverse = self._strips
        beta = (inverse[at] @ ((rows * weight[at]) @ directions.T)[..., None])[..., 0]
        for step in range(steps + 1):
            if step:
                size, largest = np.abs(beta), np.abs(rows).max(axis=-1, keepdims=True)
                wanted = half / (np.abs(rows - beta @ directions) + 1e-3 * largest + 1e-12)
                penalty = width[at] / (size + 1e-3 * size.max(axis=-1, keepdims=True) + 1e-12)
                beta = _solved(self._normal(wanted), penalty, ((rows * wanted) @ directions.T)[..., None])[..., 0]
            bound, shift = self.dual(rows, at, beta)
            up, down = np.minimum(up, bound + shift), np.minimum(down, bound - shift)
        return up, down

    def dual(self, rows: Floats, at: Integers, beta: Floats) -> tuple[Floats, Floats]:
        """What multipliers (K, m) bound, for any: `row.t` by the sum of both parts, `-row.t` by their difference."""
        shift, width, _, _ = self._strips
        size = np.einsum("...kd,kd->...k", np.abs(rows - beta @ self.directions), self.half[at])
        size = size + np.einsum("...km,km->...k", np.abs(beta), width[at])
        return size, np.einsum("...km,km->...k", beta, shift[at])


def _solved(normal: Floats, diagonal: Floats, right: Floats) -> Floats:
    """Solves `normal + diag(diagonal)`, kept away from singular; no multipliers where that fails (any are sound)."""
    trace = np.trace(normal, axis1=-2, axis2=-1)[..., None]
    normal = normal + (diagonal + 1e-9 * trace + 1e-9)[..., None] * np.eye(normal.shape[-1])
    try:
        beta = np.linalg.solve(normal, np.broadcast_to(right, normal.shape[:-1] + right.shape[-1:]))
    except np.linalg.LinAlgError:
        return np.zeros(normal.shape[:-1] + right.shape[-1:])
    return np.where(np.isfinite(beta), beta, 0.0)
