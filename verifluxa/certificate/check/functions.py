"""Elementwise functions: value, Lipschitz constant, deployed error, and a line above and below on an interval.

Lines of relu-like and S-shaped functions: Zhang et al., "Efficient Neural Network Robustness Certification with
General Activation Functions" (CROWN, 2018), section 3.2. Where two lines of one side are as good as each other, a
steep but continuous ramp chooses, so that prover and checker choose alike.

Any other function is sampled. Between neighbours h apart a function with |f''| <= c there leaves its chord by at most
c h^2 / 8, so for ANY slope s the largest f(z) - s z is at most that of a segment's ends plus its c h^2 / 8; kinks are
sampled too. The slope is that of the hull's edge over the middle, or the one at the middle, whichever is better there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph import ops

Floats = NDArray[np.float64]
Curve = Callable[[Floats], Floats]
Above = Callable[[Floats, Floats], tuple[Floats, Floats]]
RAMP = 8192.0
BISECTIONS = 30
NARROW = 1e-6
SMOOTH_ERROR = 2.0**-49
SAMPLES = 33
SAMPLED_ERROR = 2.0**-41
"""Of the terms' size: far above the error of evaluating the sampled functions in float64."""
EDGE_STEPS = 6
CLEARLY = 2.0**-20
DIFFERENCE = 1e-4
LEAKY_SLOPE = 0.01


class Lines(NamedTuple):
    """`low_slope z + low <= f(z) <= high_slope z + high` on the interval, elementwise."""

    low_slope: Floats
    low: Floats
    high_slope: Floats
    high: Floats

    def take(self, index: NDArray[np.int64]) -> Lines:
        """Those of some entries."""
        return Lines(*(part[index] for part in self))


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes:
        value: of any array.
        lipschitz: its Lipschitz constant.
        error: of the deployed float32 function, relative to max(1, |result|) and beyond flushing; 0 where exact.
        lines: of lower and upper ends, elementwise; lower <= upper.
        range: least and largest value between two ends; None: nondecreasing, so the values at the ends.
        constant_below_zero: and linear above it, so that only intervals around 0 need planes.
        least: on an interval around 0 every line through 0 with a slope from this to 1 lies below; None: not so.
    """

    value: Curve
    lipschitz: float
    error: float
    lines: Callable[[Floats, Floats], Lines]
    range: Callable[[Floats, Floats], tuple[Floats, Floats]] | None = None
    constant_below_zero: bool = False
    least: float | None = None

    def error_in(self, arithmetic: str) -> float:
        """The error in an arithmetic; in float64 and `real` that of computing it in float64."""
        return self.error if arithmetic == "float32" or not self.error else 2.0**-48

    def ends(self, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
        """The least and the largest value."""
        return (self.value(lower), self.value(upper)) if self.range is None else self.range(lower, upper)

    def undecided(self, lower: Floats, upper: Floats) -> NDArray[np.bool_]:
        """Where planes can say more than the interval."""
        return np.asarray((lower < 0) & (upper > 0) if self.constant_below_zero else lower < upper)


def function_of(op: ops.Op) -> Function | None:
    """The function of an elementwise operation, or None where the checker has no lines for it."""
    if isinstance(op, ops.Clip):  # an end that float32 would round is not the end that is deployed
        stored = all(float(np.float32(end)) == end for end in (op.low, op.high))
        return _clip(op.low, op.high) if op.low < op.high and stored else None
    if not isinstance(op, ops.Activation):
        return None
    if op.function == "leakyrelu":
        slope = LEAKY_SLOPE if op.parameter is None else op.parameter
        return _leaky(slope) if 0.0 <= slope < 1.0 else None
    return _TABLE.get(op.function) if op.parameter in (None, _USUAL.get(op.function)) else None


def sigmoid(z: Floats) -> Floats:
    """`1 / (1 + exp(-z))` without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


_erf = np.vectorize(math.erf, otypes=[np.float64])
"""NumPy has none."""


def _softplus(z: Floats) -> Floats:
    return np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0.0)


def _elu(z: Floats) -> Floats:
    return np.where(z >= 0, z, np.expm1(np.minimum(z, 0.0)))


def _hardsigmoid(z: Floats) -> Floats:
    return np.clip((z + 3.0) / 6.0, 0.0, 1.0)


def _ramp(share: Floats) -> Floats:
    return np.clip(0.5 + RAMP * (share - 0.5), 0.0, 1.0)


def _mirrored(above: Above, turned: Above, middle: float) -> Callable[[Floats, Floats], Lines]:
    """Lines from those above a function and above the function turned about (0, middle)."""

    def lines(lower: Floats, upper: Floats) -> Lines:
        high_slope, high = above(lower, upper)
        low_slope, low = turned(-upper, -lower)
        return Lines(low_slope, 2 * middle - low, high_slope, high)

    return lines


def _leaky(slope: float) -> Function:
    def lines(lower: Floats, upper: Floats) -> Lines:
        """The chord above; below, the line through 0 that wastes less area: the slope of either side."""
        crossing = (lower < 0) & (upper > 0)
        width = np.where(crossing, upper - lower, 1.0)
        chord = np.where(crossing, (upper - slope * lower) / width, np.where(lower >= 0, 1.0, slope))
        low_slope = slope + (1 - slope) * _ramp((chord - slope) / (1 - slope))
        high = np.where(crossing, (slope - chord) * lower, 0.0)
        return Lines(np.where(crossing, low_slope, chord), np.zeros_like(lower), chord, high)

    return Function(lambda z: np.where(z > 0, z, slope * z), 1.0, 2.0**-23, lines, least=slope)


def _clip(low: float, high: float) -> Function:
    above, turned = (lambda a, b: _above_clip(a, b, low, high)), (lambda a, b: _above_clip(a, b, -high, -low))
    return Function(lambda z: np.clip(z, low, high), 1.0, 0.0, _mirrored(above, turned, 0.0))


def _above_clip(lower: Floats, upper: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """A line above `clip`: convex where it leaves `low` (a chord), concave where it meets `high` (a ramp).

    It goes through (min(upper, high), that value); any slope from 0 to the chord's, or to 1 without `low`, is sound.
    """
    top = np.minimum(upper, high)
    with np.errstate(over="ignore"):  # on a subnormal interval: the chord is not used there, a share is ramped to 1
        chord = (top - low) / np.where(top > lower, top - lower, 1.0)
        share = (high - lower) / np.where(upper > lower, upper - lower, 1.0)
    slope = np.where(lower < low, chord, 1.0) * np.where(upper <= high, 1.0, _ramp(share))
    flat = (upper <= low) | (lower >= high)
    value = np.where(lower >= high, high, np.where(upper <= low, low, top))
    slope = np.where(flat, 0.0, slope)
    return slope, value - slope * np.where(flat, 0.0, top)


def _s_shaped(f: Curve, slope_of: Curve, middle: float, lipschitz: float) -> Function:
    """`f(z) - middle` is odd, convex left of 0 and concave right of it."""

    def above(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
        return _above_s(lower, upper, f, slope_of)

    return Function(f, lipschitz, 2.0**-20, _mirrored(above, above, middle))


def _above_s(lower: Floats, upper: Floats, f: Curve, slope_of: Curve) -> tuple[Floats, Floats]:
    """A line above a function that is convex left of 0 and concave right of it.

    The chord lies above when the interval is left of 0, or when its slope is at most f'(u) (then f minus the
    chord grows up to u). A tangent at a point p >= 0 lies above right of 0; it lies above left of 0 too when
    it does so at l, the function being convex there. The best p is the middle, or the first behind it that will do.
    """
    f_low, f_high = f(lower), f(upper)
    wide = upper - lower >= NARROW
    chord = (f_high - f_low) / np.where(wide, upper - lower, 1.0)
    near = np.maximum(lower, 0.0)
    far = np.maximum(upper, near)
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        good = f(middle) + slope_of(middle) * (lower - middle) >= f_low
        far, near = np.where(good, middle, far), np.where(good, near, middle)
    point = np.maximum(far, (lower + upper) / 2)
    by_chord = (upper <= 0) | ((lower < 0) & (chord <= slope_of(upper)))
    slope = np.where(by_chord, chord, slope_of(point))
    at = np.where(by_chord, lower, point)
    above = np.maximum(f(at) - slope * at, np.maximum(f_low - slope * lower, f_high - slope * upper))
    flat = slope_of(np.minimum(np.abs(lower), np.abs(upper)))
    slope, above = np.where(wide, slope, flat), np.where(wide, above, f_high - flat * lower)
    return slope, above + SMOOTH_ERROR * (1 + np.abs(lower) + np.abs(upper))


def _sampled(f: Curve, bends: Bends, steepness: float, error: float, kinks: tuple[float, ...] = ()) -> Function:
    """Any function with |f'| <= steepness, and |f''| as `bends` says away from its kinks."""

    def sample(lower: Floats, upper: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Points (first axis, kinks last), values, how far f may leave the chord in each segment, the terms' size."""
        share = np.linspace(0.0, 1.0, SAMPLES).reshape(-1, *(1,) * lower.ndim)
        inner = (lower + (upper - lower) * share)[:-1]
        points = np.stack([*inner, upper, *(np.clip(kink, lower, upper) for kink in kinks)])
        values, room = f(points), SAMPLED_ERROR * np.abs(points[:SAMPLES])
        step = (upper - lower) / (SAMPLES - 1) * (1 + SAMPLED_ERROR)
        low, high = points[: SAMPLES - 1] - room[:-1], points[1:SAMPLES] + room[1:]
        gap = bends.bound(low, high) * (step**2 / 8)
        return points, values, gap, 1 + np.abs(points).max(axis=0) + np.abs(values).max(axis=0)

    def most(values: Floats, gap: Floats) -> Floats:
        """The largest value of a function that bends as f does, from its values at the points."""
        found = (np.maximum(values[: SAMPLES - 1], values[1:SAMPLES]) + gap).max(axis=0)
        kinked = values[SAMPLES:].max(axis=0, initial=-np.inf) + gap.max(axis=0)
        return np.asarray(np.maximum(found, kinked))

    def edge(points: Floats, values: Floats) -> Floats:
        """Nearly the slope of the hull's edge over the middle: points above a line replace its ends."""
        left = np.zeros((1, *points.shape[1:]), dtype=np.int64)
        right = left + SAMPLES - 1
        for _ in range(EDGE_STEPS):
            ends = np.concatenate([left, right])
            (x, x2), (y, y2) = (np.take_along_axis(part, ends, 0) for part in (points, values))
            slope: Floats = (y2 - y) / np.where(x2 > x, x2 - x, 1.0)
            best = (values - slope * points).argmax(axis=0)[None]
            before = np.take_along_axis(points, best, 0) < points[SAMPLES // 2]
            left, right = np.where(before, best, left), np.where(before, right, best)
        return slope

    def lines(lower: Floats, upper: Floats) -> Lines:
        """Along the slope at the middle, or along the hull's edge where that is clearly better there."""
        points, values, gap, size = sample(lower, upper)
        middle = (lower + upper) / 2
        tangent = (f(middle + DIFFERENCE) - f(middle - DIFFERENCE)) / (2 * DIFFERENCE)
        found = []
        for sign in (-1.0, 1.0):
            along = np.where(upper - lower < NARROW, tangent, sign * edge(points, sign * values))
            tries = []
            for slope in (tangent, along):
                room = SAMPLED_ERROR * (size + np.abs(slope) * np.abs(points).max(axis=0))
                above = most(sign * (values - slope * points), gap) + room
                tries.append((slope, sign * above, sign * slope * middle + above))
            better = tries[1][2] + CLEARLY * size < tries[0][2]
            found += [np.where(better, tries[1][part], tries[0][part]) for part in (0, 1)]
        return Lines(*found)

    def ends(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
        _, values, gap, size = sample(lower, upper)
        return -most(-values, gap) - SAMPLED_ERROR * size, most(values, gap) + SAMPLED_ERROR * size

    return Function(f, steepness, error, lines, ends)


@dataclass(frozen=True)
class Bends:
    """A bound of |f''|: `largest` everywhere, `tail(a)` for |z| >= a, 0 from `straight` on (`both`: on either side).

    The tail must fall with a.
    """

    largest: float
    tail: Curve = np.zeros_like
    straight: float = np.inf
    both: bool = False

    def bound(self, low: Floats, high: Floats) -> Floats:
        """On intervals."""
        bound = np.minimum(self.tail(np.maximum(np.maximum(low, -high), 0.0)), self.largest)
        straight = (low >= self.straight) | (self.both & (high <= -self.straight))
        return np.where(straight, 0.0, bound)


def _exponential(scale: float, rate: float = 1.0, growth: float = 0.0) -> Curve:
    return lambda a: (scale + growth * a) * np.exp(-rate * a)


RELU = replace(_leaky(0.0), value=lambda z: np.maximum(z, 0.0), error=0.0, constant_below_zero=True)
_TANH = _s_shaped(np.tanh, lambda z: 1.0 - np.tanh(z) ** 2, 0.0, 1.0)
_SIGMOID = _s_shaped(sigmoid, lambda z: sigmoid(z) * sigmoid(-z), 0.5, 0.25)
_SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
_GELU = np.sqrt(8 / np.pi), 0.044715

_USUAL = {"elu": 1.0, "celu": 1.0, "softshrink": 0.5}
"""Parameters that the rows below are about."""
_TABLE: dict[str, Function] = {
    "relu": RELU,
    "hardtanh": _clip(-1.0, 1.0),
    "relu6": _clip(0.0, 6.0),
    "tanh": _TANH,
    "sigmoid": _SIGMOID,
    # What Flux's layers deploy in place of tanh and sigmoid: the same functions, within the same errors.
    "tanh_fast": _TANH,
    "sigmoid_fast": _SIGMOID,
    # Bounds of f'' and f'. elu: e^z; softplus: s(1 - s) <= e^-|z| for s = sigmoid; tanhshrink: 2 t (1 - t^2), at most
    # 4 / (3 sqrt 3), with 1 - t^2 <= 4 e^-2|z|; logcosh: 1 - t^2; lisht: 2 (1 - t^2)(1 - z t); swish:
    # s'(2 + z (1 - 2 s)); gelu_erf: (2 - z^2) e^(-z^2 / 2) / sqrt(2 pi);
    # gelu and mish: the largest on a fine grid, at and near 0, with room above; f' of the last four likewise.
    "elu": _sampled(_elu, Bends(1.0, _exponential(1.0), 0.0), 1.0, 2.0**-20),
    "celu": _sampled(_elu, Bends(1.0, _exponential(1.0), 0.0), 1.0, 2.0**-20),
    "selu": _sampled(
        lambda z: _SELU[0] * np.where(z >= 0, z, _SELU[1] * _elu(np.minimum(z, 0.0))),
        *(Bends(1.7581, _exponential(1.7581), 0.0), 1.7581, 2.0**-19, (0.0,)),
    ),
    "softplus": _sampled(_softplus, Bends(0.25, _exponential(1.0)), 1.0, 2.0**-20),
    "logsigmoid": _sampled(lambda z: -_softplus(-z), Bends(0.25, _exponential(1.0)), 1.0, 2.0**-20),
    "softsign": _sampled(lambda z: z / (1.0 + np.abs(z)), Bends(2.0, lambda a: 2 / (1 + a) ** 3), 1.0, 2.0**-21),
    "tanhshrink": _sampled(lambda z: z - np.tanh(z), Bends(0.77, _exponential(8.0, 2.0)), 1.0, 2.0**-18),
    "logcosh": _sampled(
        lambda z: np.abs(z) + np.log1p(np.exp(-2 * np.abs(z))) - np.log(2.0),
        Bends(1.0, _exponential(4.0, 2.0)),
        1.0,
        2.0**-18,
    ),
    "gelu": _sampled(
        lambda z: z * sigmoid(_GELU[0] * z * (1 + _GELU[1] * z * z)),
        Bends(0.81, _exponential(8.0, 1.0, 8.0)),
        1.13,
        2.0**-18,
    ),
    "gelu_erf": _sampled(
        lambda z: z / 2 * (1 + _erf(z / np.sqrt(2.0))),
        *(Bends(0.798, lambda a: 0.4 * (2 + a * a) * np.exp(-a * a / 2)), 1.13, 2.0**-18),
    ),
    "swish": _sampled(lambda z: z * sigmoid(z), Bends(0.505, _exponential(2.0, 1.0, 1.0)), 1.1, 2.0**-18),
    "mish": _sampled(lambda z: z * np.tanh(_softplus(z)), Bends(0.66, _exponential(9.0, 1.0, 9.0)), 1.09, 2.0**-18),
    "lisht": _sampled(lambda z: z * np.tanh(z), Bends(2.0, _exponential(8.0, 2.0, 8.0)), 1.2, 2.0**-18),
    "hardsigmoid": _sampled(_hardsigmoid, Bends(0.0), 0.167, 2.0**-21, (-3.0, 3.0)),
    "hardswish": _sampled(
        lambda z: z * _hardsigmoid(z), Bends(0.334, np.ones_like, 3.0, True), 1.5, 2.0**-20, (-3.0, 3.0)
    ),
    "softshrink": _sampled(lambda z: z - np.clip(z, -0.5, 0.5), Bends(0.0), 1.0, 2.0**-22, (-0.5, 0.5)),
}
