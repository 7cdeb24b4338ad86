"""Elementwise functions: value, Lipschitz constant, deployed error, and a line above and below on an interval.

Lines of relu-like and S-shaped functions: Zhang et al., "Efficient Neural Network Robustness Certification with
General Activation Functions" (CROWN, 2018), section 3.2. Where two lines of one side are as good as each other, a
steep but continuous ramp behind the tie chooses, so that prover and checker choose alike.

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
Pair = tuple[Floats, Floats]
Above = Callable[[Floats, Floats], Pair]
RAMP, TIE, BISECTIONS, NARROW, SMOOTH_ERROR = 2.0**20, 2.0**-20, 30, 1e-6, 2.0**-49
SAMPLES, EDGE_STEPS, CLEARLY, DIFFERENCE = 33, 6, 2.0**-20, 1e-4
_APART, _VANISHED, _PLANE_ERROR = 0.6, 2.0**-1000, 2.0**-48
SAMPLED_ERROR = 2.0**-41
"""Of the terms' size: far above the error of evaluating the sampled functions in float64."""
LEAKY_SLOPE = 0.01
SLOPE_ERROR = 2.0**-30
"""Of a difference over so short a way, relative to the function's size: far above that of two values in float64."""
CONSTANT_ERROR = 2.0**-22
"""Of the result or 1: what relative changes of all constants by 2^-24 do at most to leakyrelu, selu, gelu, logcosh."""


class Lines(NamedTuple):
    """`low_slope z + low <= f(z) <= high_slope z + high` on the interval, elementwise."""

    low_slope: Floats
    low: Floats
    high_slope: Floats
    high: Floats


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes:
        value: of any array.
        lipschitz: its Lipschitz constant.
        error: of the deployed float32 function, relative to max(1, |result|) and beyond flushing; 0 where exact.
        rule: lines by lower and upper ends, elementwise; lower <= upper.
        range: least and largest value between two ends; None: nondecreasing, so the values at the ends.
        undecided: on which intervals planes can say more than the ends.
        least: on an interval around 0 every line through 0 with a slope from this to 1 lies below; None: not so.
        along: lines by ends and a share, along the slope so far from a segment's least to the largest. None: not so.
        blocks: of values that each result is made of; lines then have a slope in each value, and constants for results.
        slopes: least and largest slope between any two points of an interval; infinite where nothing is known.
        either: arithmetics in which constants of the function count as written and as float32 rounds them, both.
    """

    value: Curve
    lipschitz: float
    error: float
    rule: Callable[[Floats, Floats], Lines]
    range: Above | None = None
    undecided: Callable[[Floats, Floats], NDArray[np.bool_]] = np.less
    least: float | None = None
    along: Callable[[Floats, Floats, Floats], Lines] | None = None
    blocks: int = 1
    slopes: Above = lambda lower, upper: (np.full_like(lower, -np.inf), np.full_like(upper, np.inf))
    either: tuple[str, ...] = ()

    def error_in(self, arithmetic: str) -> float:
        """The error in an arithmetic; in float64 and `real` that of computing it in float64, and of its constants."""
        if arithmetic == "float32" or not self.error:
            return self.error
        return 2.0**-48 + (CONSTANT_ERROR if arithmetic in self.either else 0.0)

    def ends(self, lower: Floats, upper: Floats) -> Pair:
        """The least and the largest value."""
        return (self.value(lower), self.value(upper)) if self.range is None else self.range(lower, upper)

    def lines(self, lower: Floats, upper: Floats) -> Lines:
        """Lines below and above; infinite and missing ends never become numbers: the lines are then none either."""
        nothing = (upper - lower) * 0.0
        none = sum(np.split(nothing, self.blocks, axis=-1))
        return Lines(*(part + own for part, own in zip(self.rule(lower, upper), (nothing, none) * 2, strict=True)))

    def unstable(self, lower: Floats, upper: Floats) -> NDArray[np.bool_]:
        """Where slopes from `least` on may be chosen: around 0, in the last block."""
        crossing = (lower < 0) & (upper > 0)
        crossing[..., : crossing.shape[-1] // self.blocks * (self.blocks - 1)] = False
        return crossing


def function_of(op: ops.Op) -> Function | None:
    """The function of an elementwise operation, or None where the checker has no lines for it."""
    if isinstance(op, ops.Clip):  # an end that float32 would round is not the end that is deployed
        stored = all(float(np.float32(end)) == end for end in (op.low, op.high))
        return _clip(op.low, op.high) if op.low < op.high and stored else None
    if not isinstance(op, ops.Activation):
        return None
    if op.function == "leakyrelu":
        slope = LEAKY_SLOPE if op.parameter is None else op.parameter
        # A subnormal slope may be flushed.
        return _leaky(slope) if slope == 0.0 or 2.0**-126 <= slope < 1.0 else None
    return _TABLE.get(op.function) if op.parameter in (None, _USUAL.get(op.function)) else None


def _ramp(share: Floats) -> Floats:
    return np.clip(RAMP * (share - 0.5 - TIE), 0.0, 1.0)


def _leaky(slope: float) -> Function:
    def rule(lower: Floats, upper: Floats) -> Lines:
        """The chord above; below, the line through 0 that wastes less area: the slope of either side."""
        crossing = (lower < 0) & (upper > 0)
        width = np.where(crossing, upper - lower, 1.0)
        chord = np.where(crossing, (upper - slope * lower) / width, np.where(lower >= 0, 1.0, slope))
        low_slope = slope + (1 - slope) * _ramp((chord - slope) / (1 - slope))
        high = np.where(crossing, (slope - chord) * lower, 0.0)
        return Lines(np.where(crossing, low_slope, chord), np.zeros_like(lower), chord, high)

    def slopes(lower: Floats, upper: Floats) -> Pair:
        left = np.full_like(lower, slope)
        return np.where(lower > 0, 1.0, left), np.where(upper < 0, left, 1.0)

    either = () if float(np.float32(slope)) == slope else ("real",)
    return Function(
        lambda z: np.where(z > 0, z, slope * z),
        *(1.0, 2.0**-23, rule),
        least=slope,
        either=either,
        slopes=slopes,
    )


def _mirrored(above: Above, turned: Above, middle: float) -> Callable[[Floats, Floats], Lines]:
    """Lines from those above a function and above the function turned about (0, middle)."""

    def rule(lower: Floats, upper: Floats) -> Lines:
        (high_slope, high), (low_slope, low) = above(lower, upper), turned(-upper, -lower)
        return Lines(low_slope, 2 * middle - low, high_slope, high)

    return rule


def _clip(low: float, high: float) -> Function:
    above, turned = (lambda a, b: _above_clip(a, b, low, high)), (lambda a, b: _above_clip(a, b, -high, -low))
    sampled = _sampled(lambda z: np.clip(z, low, high), 1.0, 0.0, Bends(0.0), low, high)

    def slopes(lower: Floats, upper: Floats) -> Pair:
        inside, reached = (lower > low) & (upper < high), (upper > low) & (lower < high)
        return inside.astype(np.float64), reached.astype(np.float64)

    return replace(sampled, rule=_mirrored(above, turned, 0.0), range=None, slopes=slopes)


def _above_clip(lower: Floats, upper: Floats, low: float, high: float) -> Pair:
    """A line above `clip`: convex where it leaves `low` (a chord), concave where it meets `high` (a ramp).

    It goes through (min(upper, high), that value); any slope from 0 to the chord's, or to 1 without `low`, is sound.
    """
    top = np.minimum(upper, high)
    with np.errstate(over="ignore"):  # on a subnormal interval: the chord is not used there, a share is ramped to 1
        chord = (top - low) / np.where(top > lower, top - lower, 1.0)
        share = (high - lower) / np.where(upper > lower, upper - lower, 1.0)
    slope = np.where(lower < low, chord, 1.0) * np.where(upper <= high, 1.0, _ramp(share))
    slope = np.where((upper <= low) | (lower >= high), 0.0, slope)
    return slope, np.clip(top, low, high) - slope * top


def _s_shaped(f: Curve, slope_of: Curve, middle: float, lipschitz: float, bends: Bends) -> Function:
    """`f(z) - middle` is odd, convex left of 0 and concave right of it."""

    def above(lower: Floats, upper: Floats) -> Pair:
        """A line above.

        The chord lies above when the interval is left of 0, or when its slope is at most f'(u) (then f minus the
        chord grows up to u). A tangent at a point p >= 0 lies above right of 0; it lies above left of 0 too when it
        does so at l, the function being convex there. The best p is the middle, or the first behind it that will do.
        """
        f_low, f_high = f(lower), f(upper)
        wide = upper - lower >= NARROW
        chord = (f_high - f_low) / np.where(wide, upper - lower, 1.0)
        near = np.maximum(lower, 0.0)
        far = np.maximum(upper, near)
        for _ in range(BISECTIONS):
            half = (near + far) / 2
            good = f(half) + slope_of(half) * (lower - half) >= f_low
            far, near = np.where(good, half, far), np.where(good, near, half)
        point = np.maximum(far, (lower + upper) / 2)
        by_chord = (upper <= 0) | ((lower < 0) & (chord <= slope_of(upper)))
        slope = np.where(by_chord, chord, slope_of(point))
        at = np.where(by_chord, lower, point)
        value = np.maximum(f(at) - slope * at, np.maximum(f_low - slope * lower, f_high - slope * upper))
        flat = slope_of(np.minimum(np.abs(lower), np.abs(upper)))
        slope, value = np.where(wide, slope, flat), np.where(wide, value, f_high - flat * lower)
        return slope, value + SMOOTH_ERROR * (1 + np.abs(lower) + np.abs(upper))

    return replace(_sampled(f, lipschitz, 2.0**-20, bends), rule=_mirrored(above, above, middle), range=None)


class Bends(NamedTuple):
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


def _edge(points: Floats, values: Floats) -> Floats:
    """Nearly the slope of the hull's edge over the middle: points above a line replace its ends."""
    left, right = (np.full((1, *points.shape[1:]), end, dtype=np.int64) for end in (0, SAMPLES - 1))
    for _ in range(EDGE_STEPS):
        ends = np.concatenate([left, right])
        (x, x2), (y, y2) = (np.take_along_axis(part, ends, 0) for part in (points, values))
        slope: Floats = (y2 - y) / np.where(x2 > x, x2 - x, 1.0)
        best = (values - slope * points).argmax(axis=0)[None]
        before = np.take_along_axis(points, best, 0) < points[SAMPLES // 2]
        left, right = np.where(before, best, left), np.where(before, right, best)
    return slope


def _sampled(f: Curve, steepness: float, error: float, bends: Bends, *kinks: float) -> Function:
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

    def rule(lower: Floats, upper: Floats) -> Lines:
        """Along the slope at the middle, or along the hull's edge where that is clearly better there."""
        points, values, gap, size = sample(lower, upper)
        middle = (lower + upper) / 2
        tangent = (f(middle + DIFFERENCE) - f(middle - DIFFERENCE)) / (2 * DIFFERENCE)
        found = []
        for sign in (-1.0, 1.0):
            along = np.where(upper - lower < NARROW, tangent, sign * _edge(points, sign * values))
            room = (SAMPLED_ERROR * (size + np.abs(s) * np.abs(points).max(axis=0)) for s in (tangent, along))
            gaps = (most(sign * (values - s * points), gap) for s in (tangent, along))
            first, second = (a + b for a, b in zip(gaps, room, strict=True))
            better = sign * along * middle + second + CLEARLY * size < sign * tangent * middle + first
            found += [np.where(better, along, tangent), sign * np.where(better, second, first)]
        return Lines(*found)

    def along(lower: Floats, upper: Floats, share: Floats) -> Lines:
        points, values, gap, size = sample(lower, upper)
        wide = upper - lower >= NARROW
        steep = np.diff(values[:SAMPLES], axis=0) / np.where(wide, (upper - lower) / (SAMPLES - 1), 1.0)
        slope = steep.min(axis=0) + share * (steep.max(axis=0) - steep.min(axis=0)) + (upper - lower) * 0.0
        room = SAMPLED_ERROR * (size + np.abs(slope) * np.abs(points).max(axis=0))
        low, high = (most(sign * (values - slope * points), gap) + room for sign in (-1.0, 1.0))
        return Lines(slope, -low, slope, high)

    def ends(lower: Floats, upper: Floats) -> Pair:
        _, values, gap, size = sample(lower, upper)
        return -most(-values, gap) - SAMPLED_ERROR * size, most(values, gap) + SAMPLED_ERROR * size

    def slopes(lower: Floats, upper: Floats) -> Pair:
        """A difference around the middle is f' at some point near it, and f' changes by at most |f''| times the way."""
        middle = (lower + upper) / 2
        slope = (f(middle + DIFFERENCE) - f(middle - DIFFERENCE)) / (2 * DIFFERENCE)
        room = bends.largest * ((upper - lower) / 2 + DIFFERENCE) + SLOPE_ERROR * (
            1 + np.abs(middle) + np.abs(f(middle))
        )
        kinked = np.zeros(lower.shape, dtype=bool)
        for kink in kinks:
            kinked |= (lower - DIFFERENCE <= kink) & (kink <= upper + DIFFERENCE)
        low, high = (np.where(kinked, sign * steepness, slope + sign * room) for sign in (-1.0, 1.0))
        return low, high

    return Function(f, steepness, error, rule, ends, along=along, slopes=slopes)


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


def _selu(z: Floats) -> Floats:
    return np.asarray(1.0507009873554805 * np.where(z >= 0, z, 1.6732632423543772 * _elu(z)))


def _gelu(z: Floats) -> Floats:
    return z * sigmoid(math.sqrt(8 / math.pi) * z * (1 + 0.044715 * z * z))


def _logcosh(z: Floats) -> Floats:
    return np.asarray(np.abs(z) + np.log1p(np.exp(-2 * np.abs(z))) - math.log(2.0))


def _hardsigmoid(z: Floats) -> Floats:
    return np.clip((z + 3.0) / 6.0, 0.0, 1.0)


def _falling(scale: float, rate: float = 1.0, growth: float = 0.0) -> Curve:
    return lambda a: (scale + growth * a) * np.exp(-rate * a)


RELU = Function(
    lambda z: np.maximum(z, 0.0),
    *(1.0, 0.0, _leaky(0.0).rule),
    undecided=lambda a, b: (a < 0) & (b > 0),
    least=0.0,
    slopes=_leaky(0.0).slopes,
)
SAME = Function(
    lambda z: z,
    *(1.0, 0.0, lambda a, b: Lines(np.ones_like(a), np.zeros_like(a), np.ones_like(a), np.zeros_like(a))),
    undecided=lambda a, b: np.zeros(a.shape, dtype=bool),
)
"""What is carried past a layer as it is."""


def _larger(plain: bool) -> Function:
    """The larger one of a and b, which stand in blocks before their difference d = b - a: `a + relu(d)`.

    Planes say more about a and b unless they are `plain`: values of states.
    """

    def rule(lower: Floats, upper: Floats) -> Lines:
        """Below, a or b, whichever has the larger lower end; above, a mean of two planes.

        Relu's chord of d, and the chord of the convex max(x, m), where x is that of a and b with the larger upper end
        and m the upper end of the other. The second counts where the ends of d tell little beside those of a and b.
        """
        (a, b, d), (a_up, b_up, d_up) = np.split(lower, 3, axis=-1), np.split(upper, 3, axis=-1)
        open_ = (d < 0) & (d_up > 0)
        joint = np.where(open_, np.maximum(a_up - a + (b_up - b), _VANISHED), 1.0)
        width, sure, first = np.where(open_, d_up - d, 1.0), (d >= 0) * 1.0, a_up >= b_up
        slope = np.where(open_, _gentle((b - a) / joint), sure)
        chord = np.where(open_, d_up / width, sure)
        apart = np.where(open_, _gentle(width / joint - _APART), 0.0)
        top, other = np.maximum(a_up, b_up), np.minimum(a_up, b_up)
        rise = np.where(open_, np.maximum(top - np.where(first, a, b), _VANISHED), 1.0)
        steep = apart * np.clip((top - other) / rise, 0.0, 1.0)
        high = np.where(open_, (apart - steep) * top - (1 - apart) * chord * d, 0.0)
        sizes = sum(np.split(np.maximum(np.abs(lower), np.abs(upper)), 3, axis=-1))
        room = np.where(open_, _PLANE_ERROR * sizes, 0.0)
        one, zero = np.ones_like(a), np.zeros_like(a)
        above = np.concatenate([1 - apart + steep * first, steep * ~first, (1 - apart) * chord], axis=-1)
        return Lines(np.concatenate([one, zero, slope], axis=-1), zero, above, high + room)

    def value(z: Floats) -> Floats:
        return np.asarray(np.maximum(*np.split(z, 3, axis=-1)[:2]))

    def undecided(lower: Floats, upper: Floats) -> NDArray[np.bool_]:
        bends = larger.unstable(lower, upper)
        return bends if plain else np.concatenate([np.split(bends, 3, axis=-1)[2]] * 3, axis=-1)

    larger = Function(value, 1.0, 0.0, rule, undecided=undecided, least=0.0, blocks=3)
    return larger


def _gentle(share: Floats) -> Floats:
    return np.clip(0.5 + 64.0 * share, 0.0, 1.0)


LARGER = {plain: _larger(plain) for plain in (False, True)}
"""By whether a and b are plain."""
_TANH = _s_shaped(np.tanh, lambda z: 1.0 - np.tanh(z) ** 2, 0.0, 1.0, Bends(0.77, _falling(8.0, 2.0)))
_SIGMOID = _s_shaped(sigmoid, lambda z: sigmoid(z) * sigmoid(-z), 0.5, 0.25, Bends(0.097, _falling(1.0)))
_ELU = _sampled(_elu, 1.0, 2.0**-20, Bends(1.0, _falling(1.0), 0.0))

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
    # Bounds of f'' and f'. tanh: as tanhshrink; sigmoid: s (1 - s)(1 - 2 s) <= 1 / (6 sqrt 3); elu: e^z; softplus:
    # s(1 - s) <= e^-|z| for s = sigmoid; tanhshrink: 2 t (1 - t^2), at most 4 / (3 sqrt 3), with 1 - t^2 <= 4 e^-2|z|;
    # logcosh: 1 - t^2; lisht: 2 (1 - t^2)(1 - z t); swish: s'(2 + z (1 - 2 s)); gelu_erf: (2 - z^2) e^(-z^2 / 2) /
    # sqrt(2 pi); gelu and mish: the largest on a fine grid, at and near 0, with room above; f' of the last four too.
    "elu": _ELU,
    "celu": _ELU,
    # ONNX stores the constants of selu as float32, whatever the network computes in.
    "selu": replace(
        _sampled(_selu, 1.7581, 2.0**-19, Bends(1.7581, _falling(1.7581), 0.0), 0.0), either=("float64", "real")
    ),
    "softplus": _sampled(_softplus, 1.0, 2.0**-20, Bends(0.25, _falling(1.0))),
    "logsigmoid": _sampled(lambda z: -_softplus(-z), 1.0, 2.0**-20, Bends(0.25, _falling(1.0))),
    "softsign": _sampled(lambda z: z / (1.0 + np.abs(z)), 1.0, 2.0**-21, Bends(2.0, lambda a: 2 / (1 + a) ** 3)),
    "tanhshrink": _sampled(lambda z: z - np.tanh(z), 1.0, 2.0**-18, Bends(0.77, _falling(8.0, 2.0))),
    "logcosh": replace(_sampled(_logcosh, 1.0, 2.0**-18, Bends(1.0, _falling(4.0, 2.0))), either=("real",)),
    "gelu": replace(_sampled(_gelu, 1.13, 2.0**-18, Bends(0.81, _falling(8.0, 1.0, 8.0))), either=("real",)),
    "gelu_erf": _sampled(
        lambda z: z / 2 * (1 + _erf(z / np.sqrt(2.0))),
        *(1.13, 2.0**-18, Bends(0.798, lambda a: 0.4 * (2 + a * a) * np.exp(-a * a / 2))),
    ),
    "swish": _sampled(lambda z: z * sigmoid(z), 1.1, 2.0**-18, Bends(0.505, _falling(2.0, 1.0, 1.0))),
    "mish": _sampled(lambda z: z * np.tanh(_softplus(z)), 1.09, 2.0**-18, Bends(0.66, _falling(9.0, 1.0, 9.0))),
    "lisht": _sampled(lambda z: z * np.tanh(z), 1.2, 2.0**-18, Bends(2.0, _falling(8.0, 2.0, 8.0))),
    "hardsigmoid": _sampled(_hardsigmoid, 0.167, 2.0**-21, Bends(0.0), -3.0, 3.0),
    "hardswish": _sampled(
        lambda z: z * _hardsigmoid(z), 1.5, 2.0**-20, Bends(0.334, np.ones_like, 3.0, True), -3.0, 3.0
    ),
    "softshrink": _sampled(lambda z: z - np.clip(z, -0.5, 0.5), 1.0, 2.0**-22, Bends(0.0), -0.5, 0.5),
}
