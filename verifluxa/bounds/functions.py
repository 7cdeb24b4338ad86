"""Elementwise functions that have sound linear bounds: value, Lipschitz constant, relaxation, float error.

One row per function in `FUNCTIONS`; a function without a row is not provable (unknown(unsupported)).
Bounds that are NaN or infinite come out as NaN everywhere, which never closes anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds.jump import jump_lines, jump_value, round_lines, round_value
from verifluxa.bounds.rounding import FUNCTION_ERROR, SMALLEST
from verifluxa.bounds.smooth import SMOOTH, Smooth, lines, value_range, with_parameter
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.ops import Activation, Clip, Op

Parameters = tuple[float, ...]

RAMP, TIE = 2.0**20, 2.0**-20
"""Steepness of a choice between two lines that are nearly as good as each other, and how far behind the tie it begins:
see `_ramp`."""
LEAST = 2.0**-1074
"""The smallest float64 above 0: nothing else that is not 0 is changed by it."""
CLIPS: dict[str, Parameters] = {"hardtanh": (-1.0, 1.0), "relu6": (0.0, 6.0)}
"""Activations that are a clip."""
BISECTIONS, NEWTON, EVALUATED = 30, 6, 2.0**-50
"""Halvings that place a tangent of an S-shaped function, and steps of Newton's method in place of them, which
look at values within so much."""
SMOOTH_SLACK = 2.0**-44
"""Added to the intercepts of sigmoid and tanh: far above the error of evaluating them in float64."""


ROUNDED_CONSTANTS = frozenset({"selu", "gelu", "logcosh"})
"""Functions with constants of their own that float32 rounds; a leaky slope of 0.01 is a parameter here."""
CONSTANT_ERROR = 2.0**-22
"""How far these functions, and those with a parameter of at most 1, move where float32 rounds their constants, relative
to max(1, |result|): by two roundings of the result of selu (2^-23 and a little), by less for the others."""


class Relaxation(NamedTuple):
    """`lower_slope * z + lower_intercept <= f(z) <= upper_slope * z + upper_intercept` on [l, u], elementwise."""

    lower_slope: Tensor
    lower_intercept: Tensor
    upper_slope: Tensor
    upper_intercept: Tensor


@dataclass(frozen=True)
class Function:
    """One row: `value(z, parameters)`, `lipschitz(parameters)`, `relax(l, u, parameters)`.

    `span(l, u, parameters)` gives the least and largest value on an interval; None: nondecreasing, the values at the
    ends. A Lipschitz constant that is infinite says that the function jumps; it is nondecreasing then.
    """

    value: Callable[[Tensor, Parameters], Tensor]
    lipschitz: Callable[[Parameters], float]
    relax: Callable[[Tensor, Tensor, Parameters], Relaxation]
    span: Callable[[Tensor, Tensor, Parameters], tuple[Tensor, Tensor]] | None = None


def function_of(op: Op) -> tuple[str, Parameters] | None:
    """The row and parameters of an elementwise operation, or None where it has no bounds.

    A clip at an end that float32 rounds is not exact, and has no bounds here; nor has trelu at such a threshold, or
    below 0; nor has a function with a parameter that may be flushed to 0.
    """
    if isinstance(op, Clip):
        return ("clip", (op.low, op.high)) if all(float(np.float32(end)) == end for end in (op.low, op.high)) else None
    return _activation(op) if isinstance(op, Activation) else None


def _activation(op: Activation) -> tuple[str, Parameters] | None:
    if op.function in CLIPS:
        return "clip", CLIPS[op.function]
    usual = ACTIVATIONS[op.function].parameter
    parameter = usual if op.parameter is None else op.parameter
    if parameter is not None and 0 < abs(parameter) < SMALLEST["float32"]:
        return None
    if op.function == "leakyrelu" and parameter is not None:
        # Only with these slopes it is max(z, slope z), and rises.
        return ("leakyrelu" if 0 <= parameter < 1 else "two slopes"), (parameter,)
    if op.function == "trelu" and parameter is not None:
        return ("trelu", (parameter,)) if parameter >= 0 and float(np.float32(parameter)) == parameter else None
    if parameter != usual and parameter is not None:
        known = op.function in SMOOTH and with_parameter(op.function, parameter) is not None
        return (op.function, (parameter,)) if known else None
    return (op.function, ()) if op.function in FUNCTIONS else None


def span_of(name: str, parameters: Parameters) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Least and largest value on intervals, or None for a nondecreasing function: the values at the ends."""
    span = FUNCTIONS[name].span
    return None if span is None else lambda lower, upper: span(lower, upper, parameters)


def function_error(name: str, arithmetic: str, parameters: Parameters = ()) -> float:
    """Error of the deployed function relative to max(1, |result|); the verifier's own is below 2^-48.

    A parameter above 1 multiplies the error, as it does the values. In `real`, a constant that float32 rounds counts
    both as it is written and rounded, since a file or the function itself may hold either. So do the constants of selu
    in float64, which ONNX stores as float32.
    """
    if FUNCTION_ERROR[name] == 0.0:
        return 0.0
    error = FUNCTION_ERROR[name] if arithmetic == "float32" else 2.0**-48
    rounded = name in ROUNDED_CONSTANTS or not all(float(np.float32(p)) == p for p in parameters)
    if (arithmetic == "real" and rounded) or (arithmetic == "float64" and name == "selu"):
        error += CONSTANT_ERROR
    return error * max([1.0, *map(abs, parameters)])


def relax(name: str, lower: Tensor, upper: Tensor, parameters: Parameters) -> Relaxation:
    """Linear bounds of a function on elementwise intervals.

    Args:
        name: a key of `FUNCTIONS`.
        lower, upper: any shape; lower <= upper where they are numbers.
        parameters: of the function, such as a leaky slope.
    """
    lines = FUNCTIONS[name].relax(lower, upper, parameters)
    width = upper - lower
    return lines if math.isfinite(width.sum()) else Relaxation(*(part + width * 0.0 for part in lines))


def _ramp(share: Tensor) -> Tensor:
    """0 up to a half, 1 beyond, steep but continuous: a recomputation that differs a little gives nearly the same.

    An exact tie, which small networks often have, lies before the ramp: rounding does not move it there. Shares on the
    ramp are so few that bounds are those of the plain rule (of 5,193 neurons a ramp of 1 / 8192 caught two).
    """
    return (RAMP * share).sub_(RAMP * (0.5 + TIE)).clamp_(0.0, 1.0)


def _relu_like(lower: Tensor, upper: Tensor, slope: float) -> Relaxation:
    """max(z, slope * z): the chord above (Zhang et al. 2018, CROWN, eq. 6), an adaptive line below.

    The lower slope is 1 or `slope`, whichever wastes less area, with a ramp between the two: any value in [slope, 1]
    is sound.
    """
    below, above = lower.clamp(max=0), upper.clamp(min=0)
    # 1 and 0 exactly where the sign is known.
    share = above / (above - below).clamp_(min=LEAST)
    parts = share, _ramp(share)
    upper_slope, lower_slope = (part if slope == 0.0 else slope + (1.0 - slope) * part for part in parts)
    return Relaxation(lower_slope, torch.zeros_like(lower), upper_slope, (slope - upper_slope) * below)


def _relu(lower: Tensor, upper: Tensor, parameters: Parameters) -> Relaxation:
    return _relu_like(lower, upper, 0.0)


def _leakyrelu(lower: Tensor, upper: Tensor, parameters: Parameters) -> Relaxation:
    return _relu_like(lower, upper, parameters[0])


def _clip_above(lower: Tensor, upper: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """The line above clip(z, low, high): through (min(u, high), itself), from (l, low) when l < low.

    Where u > high any flatter line through (high, high) lies above too; the flat one is lower at the middle of
    [l, u] when that is beyond high.
    """
    top = upper.clamp(max=high)
    zero, one = torch.zeros_like(lower), torch.ones_like(lower)
    chord = (top - low) / (top - lower)
    share = (high - lower) / (upper - lower)
    slope = torch.where(lower < low, chord, one) * torch.where(upper <= high, one, _ramp(share))
    slope = torch.where(upper <= low, zero, torch.where(lower >= high, zero, slope))
    at = torch.where(upper <= low, torch.full_like(lower, low), top)
    value = at.clamp(low, high)
    return slope, value - slope * at


def _clip(lower: Tensor, upper: Tensor, parameters: Parameters) -> Relaxation:
    low, high = parameters
    upper_slope, upper_intercept = _clip_above(lower, upper, low, high)
    lower_slope, mirrored = _clip_above(-upper, -lower, -high, -low)
    return Relaxation(lower_slope, -mirrored, upper_slope, upper_intercept)


_Line = tuple[Tensor, Tensor]
"""Slope and intercept."""


@dataclass(frozen=True)
class _SShaped:
    """A function that is convex left of 0 and concave right of it, `value(z) - center` odd.

    Derivatives are given by the value; `scale` is that of the argument: it is `tanh(z / scale)`, moved and stretched.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    bend: Callable[[Tensor], Tensor]
    center: float
    scale: float

    def tangent_point(self, lower: Tensor, far: Tensor) -> Tensor:
        """The least point in [0, far] whose tangent lies above f(lower), for lower < 0; `far` where there is none.

        By Newton's method within a bracket, then rounded up to the grid of a bisection (`BISECTIONS` halvings), which
        is how it may be recomputed. The start is right for tanh near 0 (-l / 2) and far out (log(2 |l|) / 2).
        """
        left = self.value(lower)
        size = -lower / self.scale
        point = torch.minimum(self.scale * torch.minimum(size / 2, (2 * size).log1p() / 2), far)
        low, high = torch.zeros_like(far), far
        for _ in range(NEWTON):
            value = self.value(point)
            # Rounding alone must not push the point away from an end near 0; the line is moved up by as much below.
            miss = value + self.slope(value) * (lower - point) - left + EVALUATED
            low, high = torch.where(miss < 0, point, low), torch.where(miss < 0, high, point)
            rise = self.bend(value) * (lower - point)
            moved = torch.where(rise > 0, point - miss / rise, point)
            point = torch.minimum(torch.maximum(moved, low), high)
        step = far / 2.0**BISECTIONS
        return torch.minimum(torch.where(step > 0, (point / step).ceil() * step, far), far)

    def points(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Where tangents of the line above touch, and mirrored those of the line below: see `above`."""
        middle = (lower + upper) / 2
        crossing = ((lower < 0) & (upper > 0)).flatten().nonzero()[:, 0]
        if not len(crossing):
            return middle, -middle
        # Few intervals hold 0, and only there is anything to be looked for.
        low, high, between = (part.flatten().index_select(0, crossing) for part in (lower, upper, middle))
        least = self.tangent_point(torch.cat([low, -high]), torch.cat([high, -low]))
        points = torch.maximum(least, torch.cat([between, -between])).view(2, -1)
        above = middle.flatten().index_copy(0, crossing, points[0])
        below = (-middle).flatten().index_copy_(0, crossing, points[1])
        return above.view_as(middle), below.view_as(middle)

    def above(self, lower: Tensor, upper: Tensor, f_lower: Tensor, f_upper: Tensor, point: Tensor) -> _Line:
        """A line above on [l, u].

        Chord where it lies above (its slope is at most f'(u)), else a tangent at a point p >= 0: right of 0 each lies
        above, left of 0 those whose line is still above f(l), which are those from some point on (Zhang et al. 2018,
        table 2). The area under the line grows with its value at the middle m, which as a function of p falls up to m
        and rises behind it (its derivative is f''(p) (m - p)): the best p is m, or the first allowed point behind it.
        The line is moved up to f at l, u and p: a chord lies above f(p) anyway, and where p is a little off, left of 0
        f less the line is largest at an end.

        Args:
            lower, upper: l and u.
            f_lower, f_upper: values of the function there.
            point: p, anywhere within [l, u] where there is a chord.
        """
        width = upper - lower
        chord = (f_upper - f_lower) / width
        narrow = width < 1e-6
        any_narrow = bool(narrow.any())
        if any_narrow:
            chord = torch.where(narrow, self.slope(self.value(lower.abs().minimum(upper.abs()))), chord)
        f_point = self.value(point)
        by_chord = (upper <= 0) | ((lower < 0) & (chord <= self.slope(f_upper)))
        # With weights of 0 and 1 one or the other exactly, several times as fast as `where` (measured).
        slope = torch.lerp(self.slope(f_point), chord, by_chord.to(chord))
        touching = torch.addcmul(f_point, slope, point, value=-1)
        for f, at in ((f_lower, lower), (f_upper, upper)):
            touching = torch.maximum(touching, torch.addcmul(f, slope, at, value=-1))
        intercept = touching + SMOOTH_SLACK * (1 + lower.abs() + point.abs())
        return slope, intercept + torch.where(narrow, width, 0.0) if any_narrow else intercept

    def relax(self, lower: Tensor, upper: Tensor, parameters: Parameters) -> Relaxation:
        """Both lines: the one below is the mirrored line above."""
        values = self.value(lower), self.value(upper)
        mirrored_values = 2 * self.center - values[1], 2 * self.center - values[0]
        points = self.points(lower, upper)
        upper_slope, upper_intercept = self.above(lower, upper, *values, points[0])
        lower_slope, mirrored = self.above(-upper, -lower, *mirrored_values, points[1])
        return Relaxation(lower_slope, 2 * self.center - mirrored, upper_slope, upper_intercept)


_TANH = _SShaped(torch.tanh, lambda v: 1 - v * v, lambda v: -2 * v * (1 - v * v), 0.0, 1.0)
_SIGMOID = _SShaped(torch.sigmoid, lambda v: v * (1 - v), lambda v: v * (1 - v) * (1 - 2 * v), 0.5, 2.0)


def _sampled(name: str) -> Function:
    def row(parameters: Parameters) -> Smooth:
        found = with_parameter(name, *parameters)
        assert found is not None
        return found

    return Function(
        lambda z, p: row(p).value(z),
        lambda p: row(p).steepness,
        lambda lower, upper, p: Relaxation(*lines(row(p), lower, upper)),
        lambda lower, upper, p: value_range(row(p), lower, upper),
    )


FUNCTIONS: dict[str, Function] = {
    "relu": Function(lambda z, _: z.clamp(min=0), lambda _: 1.0, _relu),
    "leakyrelu": Function(lambda z, p: torch.maximum(z, p[0] * z), lambda p: max(1.0, abs(p[0])), _leakyrelu),
    "clip": Function(lambda z, p: z.clamp(p[0], p[1]), lambda _: 1.0, _clip),
    "sigmoid": Function(lambda z, _: torch.sigmoid(z), lambda _: 0.25, _SIGMOID.relax),
    "tanh": Function(lambda z, _: torch.tanh(z), lambda _: 1.0, _TANH.relax),
}
FUNCTIONS |= {"tanh_fast": FUNCTIONS["tanh"], "sigmoid_fast": FUNCTIONS["sigmoid"]}
FUNCTIONS |= {name: _sampled(name) for name in (*SMOOTH, "two slopes")}
FUNCTIONS["trelu"] = Function(jump_value, lambda _: torch.inf, lambda *on: Relaxation(*jump_lines(*on)))
FUNCTIONS["round"] = Function(round_value, lambda _: torch.inf, lambda *on: Relaxation(*round_lines(*on)))
