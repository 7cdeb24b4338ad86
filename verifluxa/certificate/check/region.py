"""Parts of the trigger's domain: boxes, possibly cut by strips `low <= V tau <= high`; many at once.

The largest value of a linear function on one is bounded by weak duality: for ANY multipliers beta,
`a.t <= |a - beta V|.half + |beta|.width + beta.(strip center - V center)`, t counted from the box's center.
The choices of beta below only decide how good the bound is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import Integers

INFLATE = 1 + 2.0**-50
MARGIN = 2.0**-41
"""Relative rounding of a few dozen operations, with a factor of thousands to spare."""
EACH = 2.0**-52
"""To be added for each term of a sum whose length the evidence chooses."""
STEPS = 5
RIDGE = 0.64
MULTIPLES = 0.0, 0.4, 1.0, 2.5
_MOST_VALUES = 1 << 16
"""In the arrays of one step: what fits the processor's cache."""


def pieces(count: int, size: int) -> Iterator[slice]:
    """Cuts so many items, each with arrays of so many values, into pieces; at least one."""
    step = max(1, _MOST_VALUES // max(1, size))
    return (slice(start, start + step) for start in range(0, max(1, count), step))


def alike(counts: Integers, size: int) -> Iterator[Integers]:
    """Cuts items, each with so many rows of so many values, into pieces that have nearly as many; none without any."""
    order, start = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)], 0
    while start < len(order):
        piece = order[start : start + max(1, _MOST_VALUES // int(counts[order[start]] * size))]
        yield piece
        start += len(piece)


def sure(most: Floats) -> Floats:
    """Upper bounds from which something follows: one that overflowed on its way says nothing, minus infinity too."""
    return np.where(np.isfinite(most), most, np.inf)


class LinearBounds(NamedTuple):
    """Linear functions of the trigger, counted from the center of each one's region: `value + slope.t`."""

    value: Floats
    slope: Floats


class Measured(NamedTuple):
    """Linear functions as vectors whose sums of magnitudes bound them: by the box, then by the strips.

    Attributes:
        vector: shape (K, n, d), or (K, n, 2 d + m) where there are strips.
        shift: what is added to the second sum, shape (K, n).
        terms: covers the rounding of both, as a share of the first sum, shape (K, 1).
    """

    vector: Floats
    shift: Floats
    terms: Floats


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
    def _strips(self) -> tuple[Floats, Floats, Floats]:
        """Strip centers and half-widths with their rounding, (R, m); multipliers of ridge regression, (R, d, m).

        The latter are those of each value of the trigger over its half-width.
        """
        size = (self.half + np.abs(self.center)) @ np.abs(self.directions).T + np.abs(self.low) + np.abs(self.high)
        bare, weight = np.maximum((self.high - self.low) / 2, 0.0), RIDGE * self.half.shape[1] * self.half
        inverse = _solved(self._normal(weight * self.half), bare**2, np.eye(len(self.directions)))
        ridge = weight[..., None] * (self.directions.T @ inverse.swapaxes(1, 2))
        return (self.low + self.high) / 2 - self.center @ self.directions.T, bare + MARGIN * size, ridge

    @cached_property
    def _across(self) -> tuple[Floats, Floats, Floats]:
        """What a multiplier adds to the second part of `Measured.vector`, (R, m, d + m); its `terms`; its sums."""
        (shift, width, ridge), across = self._strips, self.directions * self.half[:, None]
        reach = np.abs(across).sum(axis=2) + width + np.abs(shift)
        terms = MARGIN * (1 + (np.abs(ridge) @ reach[..., None]).max(axis=1, initial=0.0))
        size, strips = across.shape[2], across.shape[1]
        sums = np.eye(2)[np.repeat([0, 1], [size, size + strips])] if strips else np.ones((size, 1))
        return np.concatenate([-across, width[..., None] * np.eye(strips)], axis=2), terms, sums

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
        cuts = pieces(len(regions), rows.size * (1 + len(self.directions)))
        ends = zip(*(self.spread(rows[None], regions[cut], STEPS) for cut in cuts), strict=True)
        up, down = (np.concatenate(part) for part in ends)
        return up, down

    def spread(self, rows: Floats, at: Integers, steps: int = 0) -> tuple[Floats, Floats]:
        """Upper bounds of `row.t` and of `-row.t`, shape (K, n).

        Args:
            rows: the linear functions, shape (K, n, d).
            at: the region of each n, shape (K,).
            steps: how often the multipliers of ridge regression are improved, by iteratively reweighted least squares.
        """
        half, directions = self.half[at][:, None], self.directions
        boxed = rows * half
        found = self.measured(boxed, at)
        plain, strips = self.norms(np.abs(found.vector))
        strips = strips + found.terms * plain
        up, down = (np.minimum(plain, strips + sign * found.shift) for sign in (1.0, -1.0))
        if not len(directions):
            return up, down
        width, beta = self._strips[1][at][:, None], boxed @ self._strips[2][at]
        for _ in range(steps):
            size, largest = np.abs(beta), np.abs(rows).max(axis=-1, keepdims=True)
            wanted = half / (np.abs(rows - beta @ directions) + 1e-3 * largest + 1e-12)
            penalty = width / (size + 1e-3 * size.max(axis=-1, keepdims=True) + 1e-12)
            beta = _solved(self._normal(wanted), penalty, ((rows * wanted) @ directions.T)[..., None])[..., 0]
            bound, shift = self.dual(rows, at, beta)
            up, down = np.minimum(up, bound + shift), np.minimum(down, bound - shift)
        return up, down

    def most(self, planes: LinearBounds, at: Integers, cut: LinearBounds | None = None) -> Floats:
        """Upper bounds of planes, shape (K, n); where `cut` >= 0 if there is one, shape (K, 1).

        Then the least over multiples of the natural lambda, 0 among them.
        """
        if cut is None:
            return planes.value + self.spread(planes.slope, at)[0]
        rows, cuts = (part.slope * self.half[at][:, None] for part in (planes, cut))
        own, other = (np.abs(part).sum(axis=-1) for part in (rows, cuts))
        scale, least = np.where(other > 0, other, np.inf), np.full(own.shape, np.inf)
        # Rows and cuts of size 1: then the multiples of a cut are the same for all rows.
        rows /= np.where(own > 0, own, 1.0)[..., None]
        near, far = self.measured(rows, at), self.measured(cuts / scale[..., None], at)
        vector, value = np.empty_like(near.vector), cut.value / scale
        value = value + MARGIN * np.abs(value) + near.terms
        for multiple in MULTIPLES:
            np.abs(np.add(near.vector, multiple * far.vector, out=vector), out=vector)
            plain, strips = self.norms(vector)
            rise = np.minimum(plain, strips + near.shift + multiple * far.shift) + multiple * value
            least = np.minimum(least, rise)
        return np.asarray(planes.value + MARGIN * np.abs(planes.value) + own * (least + near.terms))

    def measured(self, boxed: Floats, at: Integers) -> Measured:
        """Rows in half-widths, shape (K, n, d), with the multipliers of ridge regression, which are linear in a row."""
        size, (across, terms, sums) = boxed.shape[-1], self._across
        if not len(self.directions):
            return Measured(boxed, np.zeros(boxed.shape[:-1]), terms[at])
        beta = boxed @ self._strips[2][at]
        vector = np.empty((*boxed.shape[:-1], len(sums)))
        vector[..., :size] = boxed
        np.matmul(beta, across[at], out=vector[..., size:])
        vector[..., size : 2 * size] += boxed
        return Measured(vector, (beta @ self._strips[0][at][..., None])[..., 0], terms[at])

    def norms(self, vector: Floats) -> tuple[Floats, Floats]:
        """Both sums of a vector that is laid out like that of `Measured`, without signs."""
        both = vector @ self._across[2]
        return both[..., 0], both[..., -1]

    def dual(self, rows: Floats, at: Integers, beta: Floats) -> tuple[Floats, Floats]:
        """What multipliers (K, n, m) bound, for any: `row.t` by the sum of both parts, `-row.t` by their difference."""
        shift, width, _ = (part[at][..., None] for part in self._strips)
        size = np.abs(rows - beta @ self.directions) @ self.half[at][..., None] + np.abs(beta) @ width
        return size[..., 0], (beta @ shift)[..., 0]


def _solved(normal: Floats, diagonal: Floats, right: Floats) -> Floats:
    """Solves `normal + diag(diagonal)`, kept away from singular; no multipliers where that fails (any are sound)."""
    trace = np.trace(normal, axis1=-2, axis2=-1)[..., None]
    normal = normal + (diagonal + 1e-9 * trace + 1e-9)[..., None] * np.eye(normal.shape[-1])
    try:
        beta = np.linalg.solve(normal, np.broadcast_to(right, normal.shape[:-1] + right.shape[-1:]))
    except np.linalg.LinAlgError:
        return np.zeros(normal.shape[:-1] + right.shape[-1:])
    return np.where(np.isfinite(beta), beta, 0.0)
