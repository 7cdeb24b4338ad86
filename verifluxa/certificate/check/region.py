"""A part of the trigger's domain: a box, possibly cut by strips `low <= V tau <= high`.

The largest value of a linear function on it is bounded by weak duality: for ANY multipliers beta,
`a.t <= |a - beta V|.half + |beta|.width + beta.(strip center - V center)`, t counted from the box's center.
The choices of beta below only decide how good the bound is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        bare: half-widths without it.
        empty: no point is in both box and strips.
    """

    center: Floats
    half: Floats
    directions: Floats
    shift: Floats
    width: Floats
    bare: Floats
    empty: bool = False

    def spread(self, rows: Floats) -> Floats:
        """Upper bounds of `row.t`, rows of shape (K, d)."""
        plain = np.abs(rows) @ self.half
        if not len(self.directions):
            return plain
        return np.minimum(plain, self.dual(rows, self._ridge(rows)))

    def spread_both(self, rows: Floats) -> tuple[Floats, Floats]:
        """Upper bounds of `row.t` and of `-row.t`, with better multipliers for the few rows that all inputs share."""
        plain = np.abs(rows) @ self.half
        up, down = plain, plain
        if len(self.directions) and len(rows):
            for beta in self._reweighted(rows):
                up = np.minimum(up, self.dual(rows, beta))
                down = np.minimum(down, self.dual(-rows, -beta))
        return up, down

    def dual(self, rows: Floats, beta: Floats) -> Floats:
        """The upper bounds that multipliers (K, m) give; valid for any."""
        rest = np.abs(rows - beta @ self.directions) @ self.half
        return rest + np.abs(beta) @ self.width + beta @ self.shift

    def _ridge(self, rows: Floats) -> Floats:
        scale = RIDGE * len(self.half) * self.half**2
        weighted = self.directions * scale
        return _solve(_regular(weighted @ self.directions.T, self.bare**2), rows @ weighted.T)

    def _reweighted(self, rows: Floats) -> list[Floats]:
        """Iteratively reweighted least squares towards the best multipliers of each row."""
        betas = [self._ridge(rows)]
        largest = np.abs(rows).max(axis=1, keepdims=True)
        for _ in range(STEPS):
            beta = betas[-1]
            rest = np.abs(rows - beta @ self.directions)
            weight = self.half / (rest + 1e-3 * largest + 1e-12)
            size = np.abs(beta)
            penalty = self.width / (size + 1e-3 * size.max(axis=1, keepdims=True) + 1e-12)
            weighted = self.directions * weight[:, None, :]
            normal = _regular(weighted @ self.directions.T, penalty)
            betas.append(_solve(normal, np.einsum("kmd,kd->km", weighted, rows)))
        return betas


def reach_of(region: Region) -> Reach:
    """Prepares a region: its strips are tightened, once and together, by the box and by each other."""
    nothing = np.zeros(0)
    plain = Reach(region.center, region.half, np.zeros((0, len(region.lower))), nothing, nothing, nothing)
    if not region.cut:
        return plain
    directions, low, high = region.directions, region.low, region.high
    up, down = _with_strips(plain, directions, low, high).spread_both(directions)
    middle, absolute = directions @ plain.center, np.abs(directions) @ (np.abs(plain.center) + plain.half)
    slack = MARGIN * (absolute + np.abs(up) + np.abs(down))
    low, high = np.maximum(low, middle - down - slack), np.minimum(high, middle + up + slack)
    return _with_strips(plain, directions, low, high)


def _with_strips(plain: Reach, directions: Floats, low: Floats, high: Floats) -> Reach:
    middle, extent = directions @ plain.center, np.abs(directions) @ plain.half
    absolute = np.abs(directions) @ np.abs(plain.center)
    bare = np.maximum((high - low) / 2, 0.0)
    width = bare + MARGIN * (extent + absolute + np.abs(low) + np.abs(high))
    empty = bool((low - high > MARGIN * (1 + extent + absolute + np.abs(low) + np.abs(high))).any())
    shift = (low + high) / 2 - middle
    return replace(plain, directions=directions, shift=shift, width=width, bare=bare, empty=empty)


def _regular(normal: Floats, diagonal: Floats) -> Floats:
    """`normal + diag(diagonal)`, kept away from singular."""
    size = normal.shape[-1]
    trace = np.trace(normal, axis1=-2, axis2=-1)[..., None]
    return np.asarray(normal + (diagonal + 1e-9 * trace + 1e-9)[..., None] * np.eye(size))


def _solve(normal: Floats, right: Floats) -> Floats:
    """Solves for multipliers; where that fails none are used, which is sound like any others."""
    try:
        if normal.ndim == 2:
            beta = np.linalg.solve(normal, right.T).T
        else:
            beta = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        return np.zeros_like(right)
    return np.where(np.isfinite(beta), beta, 0.0)
