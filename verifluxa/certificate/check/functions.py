"""Elementwise functions: value, Lipschitz constant, deployed error, and a line above and below on an interval.

All of them are monotone. Lines: Zhang et al., "Efficient Neural Network Robustness Certification with General
Activation Functions" (CROWN, 2018), section 3.2; where two lines of one side are as good as each other, a
steep but continuous ramp chooses, so that prover and checker choose alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph import ops

Floats = NDArray[np.float64]
RAMP = 8192.0
BISECTIONS = 30
NARROW = 1e-6
SMOOTH_ERROR = 2.0**-49


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
        error: of the deployed function, relative to max(1, |result|), by arithmetic.
        lines: of lower and upper ends, elementwise; lower <= upper.
        constant_below_zero: and linear above it, so that only intervals around 0 need planes.
    """

    value: Callable[[Floats], Floats]
    lipschitz: float
    error: dict[str, float]
    lines: Callable[[Floats, Floats], Lines]
    constant_below_zero: bool = False

    def undecided(self, lower: Floats, upper: Floats) -> NDArray[np.bool_]:
        """Where planes can say more than the interval."""
        inside = (lower < 0) & (upper > 0) if self.constant_below_zero else lower < upper
        return np.asarray(inside)


EXACT = {"float32": 0.0, "float64": 0.0, "real": 0.0}
LEAKY_SLOPE = 0.01
LEAKY_ERROR = {"float32": 2.0**-23, "float64": 2.0**-48, "real": 2.0**-48}
S_SHAPED_ERROR = {"float32": 2.0**-20, "float64": 2.0**-48, "real": 2.0**-48}


def function_of(op: ops.Op) -> Function | None:
    """The function of an elementwise operation, or None where the checker has no lines for it."""
    if isinstance(op, ops.Clip):
        return _clip(op.low, op.high)
    if not isinstance(op, ops.Activation):
        return None
    if op.function == "leakyrelu":
        return _leaky(LEAKY_SLOPE if op.parameter is None else op.parameter)
    return _PLAIN.get(op.function)


def sigmoid(z: Floats) -> Floats:
    """`1 / (1 + exp(-z))` without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def _tanh_slope(z: Floats) -> Floats:
    return 1.0 - np.tanh(z) ** 2


def _sigmoid_slope(z: Floats) -> Floats:
    return sigmoid(z) * sigmoid(-z)


def _ramp(share: Floats) -> Floats:
    return np.clip(0.5 + RAMP * (share - 0.5), 0.0, 1.0)


def _leaky(slope: float) -> Function | None:
    if not 0.0 <= slope < 1.0:
        return None

    def lines(lower: Floats, upper: Floats) -> Lines:
        return _leaky_lines(lower, upper, slope)

    return Function(lambda z: np.where(z > 0, z, slope * z), 1.0, LEAKY_ERROR, lines)


def _leaky_lines(lower: Floats, upper: Floats, slope: float) -> Lines:
    """The chord above; below, the line through 0 that wastes less area: the slope of either side."""
    crossing = (lower < 0) & (upper > 0)
    width = np.where(crossing, upper - lower, 1.0)
    chord = np.where(crossing, (upper - slope * lower) / width, np.where(lower >= 0, 1.0, slope))
    low_slope = slope + (1 - slope) * _ramp((chord - slope) / (1 - slope))
    high = np.where(crossing, (slope - chord) * lower, 0.0)
    return Lines(np.where(crossing, low_slope, chord), np.zeros_like(lower), chord, high)


def _clip(low: float, high: float) -> Function | None:
    if not low < high:
        return None

    def lines(lower: Floats, upper: Floats) -> Lines:
        high_slope, above = _above_clip(lower, upper, low, high)
        low_slope, mirrored = _above_clip(-upper, -lower, -high, -low)
        return Lines(low_slope, -mirrored, high_slope, above)

    return Function(lambda z: np.clip(z, low, high), 1.0, EXACT, lines)


def _above_clip(lower: Floats, upper: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """A line above `clip`: convex where it leaves `low` (a chord), concave where it meets `high` (a ramp)."""
    top = np.minimum(upper, high)
    with np.errstate(over="ignore"):  # on a subnormal interval: the chord is not used there, a share is ramped to 1
        chord = (top - low) / np.where(top > lower, top - lower, 1.0)
        share = (high - lower) / np.where(upper > lower, upper - lower, 1.0)
    slope = np.where(lower < low, chord, np.where(upper <= high, 1.0, _ramp(share)))
    flat = (upper <= low) | (lower >= high)
    value = np.where(upper <= low, low, top)
    value = np.where(lower >= high, high, value)
    slope = np.where(flat, 0.0, slope)
    return slope, value - slope * np.where(flat, 0.0, top)


def _s_shaped(
    f: Callable[[Floats], Floats], slope_of: Callable[[Floats], Floats], middle: float, lipschitz: float
) -> Function:
    """`f(z) - middle` is odd, so the line below is the line above, turned about the point (0, middle)."""

    def lines(lower: Floats, upper: Floats) -> Lines:
        high_slope, above = _above_s(lower, upper, f, slope_of)
        low_slope, turned = _above_s(-upper, -lower, f, slope_of)
        return Lines(low_slope, 2 * middle - turned, high_slope, above)

    return Function(f, lipschitz, S_SHAPED_ERROR, lines)


def _above_s(
    lower: Floats, upper: Floats, f: Callable[[Floats], Floats], slope_of: Callable[[Floats], Floats]
) -> tuple[Floats, Floats]:
    """A line above a function that is convex left of 0 and concave right of it.

    The chord lies above when the interval is left of 0, or when its slope is at most f'(u) (then f minus the
    chord grows up to u). A tangent at a point p >= 0 lies above right of 0; it lies above left of 0 too when
    it does so at l, the function being convex there.
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
    point = np.where(lower >= 0, (lower + upper) / 2, far)
    by_chord = (upper <= 0) | ((lower < 0) & (chord <= slope_of(upper)))
    slope = np.where(by_chord, chord, slope_of(point))
    at = np.where(by_chord, lower, point)
    above = np.maximum(f(at) - slope * at, np.maximum(f_low - slope * lower, f_high - slope * upper))
    flat = slope_of(np.minimum(np.abs(lower), np.abs(upper)))
    slope, above = np.where(wide, slope, flat), np.where(wide, above, f_high - flat * lower)
    return slope, above + SMOOTH_ERROR * (1 + np.abs(lower) + np.abs(upper))


RELU = Function(lambda z: np.maximum(z, 0.0), 1.0, EXACT, lambda lower, upper: _leaky_lines(lower, upper, 0.0), True)

_PLAIN: dict[str, Function | None] = {
    "relu": RELU,
    "hardtanh": _clip(-1.0, 1.0),
    "relu6": _clip(0.0, 6.0),
    "tanh": _s_shaped(np.tanh, _tanh_slope, 0.0, 1.0),
    "sigmoid": _s_shaped(sigmoid, _sigmoid_slope, 0.5, 0.25),
    # What Flux's layers deploy in place of tanh and sigmoid: the same functions, within the same errors.
    "tanh_fast": _s_shaped(np.tanh, _tanh_slope, 0.0, 1.0),
    "sigmoid_fast": _s_shaped(sigmoid, _sigmoid_slope, 0.5, 0.25),
}
