"""A part of the trigger's domain: a box, possibly cut by strips `low <= V tau <= high`.

The largest value of a linear function on it is bounded by weak duality: for ANY multipliers beta,
`a.t <= |a - beta V|.half + |beta|.width + beta.(strip center - V center)`, t counted from the box's center.
The choices of beta below only decide how good the bound is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifluxa.certificate.check.network import Floats

INFLATE = 1 + 2.0**-50
MARGIN = 2.0**-41
"""Relative rounding of a few dozen operations, with a factor of thousands to spare."""
STEPS = 5
RIDGE = 0.64


@dataclass(frozen=True, eq=False)
class Region:
    """A box and strips.

    Attributes:
        lower, upper: shape (d,).
        directions: V, shape (m, d); m is 0 without strips.
        low, high: shape (m,); as the whole domain implies them where nothing cuts.
        cut: whether any strip was cut; until then strips say nothing that the box does not say.
    """

    lower: Floats
    upper: Floats
    directions: Floats
    low: Floats
    high: Floats
    cut: bool = False

    @property
    def center(self) -> Floats:
        """The box's center."""
        return (self.lower + self.upper) / 2

    @property
    def half(self) -> Floats:
        """Half-widths of the box, slightly outward."""
        center = self.center
        return np.maximum(self.upper - center, center - self.lower) * INFLATE

    @property
    def largest(self) -> Floats:
        """The largest magnitude of each coordinate."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))


@dataclass(frozen=True, eq=False)
class Reach:
    """How far linear functions can go on a region (`spread` and `spread_both`), with strips tightened.

    Attributes:
        center, half: of the box.
        directions: V of the strips in use, shape (m, d).
        shift: strip centers counted from V center, shape (m,).
        width: half-widths of the strips with their rounding, shape (m,).
        ridge: multipliers of a row are `row @ ridge.T`: ridge regression of rows on V, shape (m, d).
        empty: no point is in both box and strips.
    """

    center: Floats
    half: Floats
    directions: Floats
    shift: Floats
    width: Floats
    ridge: Floats
    empty: bool = False

    def spread(self, rows: Floats) -> Floats:
        """Upper bounds of `row.t`, rows of shape (K, d)."""
        plain = np.abs(rows) @ self.half
        return np.minimum(plain, self.dual(rows, rows @ self.ridge.T)) if len(self.directions) else plain

    def spread_both(self, rows: Floats) -> tuple[Floats, Floats]:
        """Upper bounds of `row.t` and of `-row.t`, by iteratively reweighted least squares: for rows of all inputs."""
        up = down = np.abs(rows) @ self.half
        if not len(self.directions) or not len(rows):
            return up, down
        beta, largest = rows @ self.ridge.T, np.abs(rows).max(axis=1, keepdims=True)
        for step in range(STEPS + 1):
            up, down = np.minimum(up, self.dual(rows, beta)), np.minimum(down, self.dual(-rows, -beta))
            if step < STEPS:
                size = np.abs(beta)
                weight = self.half / (np.abs(rows - beta @ self.directions) + 1e-3 * largest + 1e-12)
                penalty = self.width / (size + 1e-3 * size.max(axis=1, keepdims=True) + 1e-12)
                weighted = self.directions * weight[:, None, :]
                beta = _solved(weighted @ self.directions.T, penalty, weighted @ rows[:, :, None])[:, :, 0]
        return up, down

    def dual(self, rows: Floats, beta: Floats) -> Floats:
        """The upper bounds that multipliers (K, m) give; valid for any."""
        rest = np.abs(rows - beta @ self.directions) @ self.half
        return rest + np.abs(beta) @ self.width + beta @ self.shift


def reach_of(region: Region) -> Reach:
    """Prepares a region: its strips are tightened, once and together, by the box and by each other."""
    if not region.cut:
        nothing, none = np.zeros(0), np.zeros((0, len(region.lower)))
        return Reach(region.center, region.half, none, nothing, nothing, none)
    first = _with_strips(region, region.low, region.high)
    up, down = first.spread_both(region.directions)
    middle, size = region.directions @ region.center, np.abs(region.directions)
    slack = MARGIN * (size @ (np.abs(region.center) + region.half) + np.abs(up) + np.abs(down))
    low, high = np.maximum(region.low, middle - down - slack), np.minimum(region.high, middle + up + slack)
    return _with_strips(region, low, high)


def _with_strips(region: Region, low: Floats, high: Floats) -> Reach:
    directions, half, center = region.directions, region.half, region.center
    size = np.abs(directions) @ (half + np.abs(center)) + np.abs(low) + np.abs(high)
    bare = np.maximum((high - low) / 2, 0.0)
    weighted = directions * (RIDGE * len(half) * half**2)
    ridge = _solved(weighted @ directions.T, bare**2, weighted)
    empty = bool((low - high > MARGIN * (1 + size)).any())
    shift = (low + high) / 2 - directions @ center
    return Reach(center, half, directions, shift, bare + MARGIN * size, ridge, empty)


def _solved(normal: Floats, diagonal: Floats, right: Floats) -> Floats:
    """Solves `normal + diag(diagonal)`, kept away from singular; no multipliers where that fails (any are sound)."""
    trace = np.trace(normal, axis1=-2, axis2=-1)[..., None]
    normal = normal + (diagonal + 1e-9 * trace + 1e-9)[..., None] * np.eye(normal.shape[-1])
    try:
        beta = np.linalg.solve(normal, right)
    except np.linalg.LinAlgError:
        return np.zeros_like(right)
    return np.where(np.isfinite(beta), beta, 0.0)
