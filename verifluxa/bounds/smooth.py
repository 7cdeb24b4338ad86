"""Sound lines around any function with a bounded second derivative, monotone or not, by sampling.

Between two neighbours of a sample of [l, u], h apart, a function f with |f''| <= c there leaves its chord by at most
c h^2 / 8 (the error of linear interpolation, e.g. Atkinson, An Introduction to Numerical Analysis, 3.2). So for ANY
slope s, max over [l, u] of f(z) - s z <= max over the segments of their ends' larger value + c h^2 / 8. Kinks of f
are sample points too.

The area under a line grows with its value at the middle, and no line above f can be lower there than the hull of f
is: the best slope is that of the edge of the sample's upper hull over the middle, or the tangent where the middle is
a point of the hull. Both are tried for each line; the better at the middle is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.graph.activations import ACTIVATIONS

SAMPLES = 33
"""Points per interval, ends included; the middle is one of them."""
SLACK = 2.0**-40
"""Of the terms' size: far above the error of evaluating these functions in float64."""
EDGE_STEPS = 6
"""Steps towards the hull's edge over the middle; each leaves a sound slope."""
CLEARLY = 2.0**-20
"""An edge must be better than the tangent by this share of the terms: where the middle lies on the hull both are as
good as each other, and a recomputation has to choose alike."""

Tail = Callable[[Tensor], Tensor]


def exponential(scale: float, rate: float, growth: float = 0.0) -> Tail:
    """`(scale + growth a) exp(-rate a)`, falling where growth <= rate * scale."""
    return lambda a: (scale + growth * a) * (-rate * a).exp()


def _constant(a: Tensor) -> Tensor:
    return torch.full_like(a, torch.inf)


@dataclass(frozen=True)
class Smooth:
    """A function by its NNlib name, `|f''| <= curvature` away from its kinks, |f'| <= steepness.

    `tail(a)` bounds |f''(z)| too, for all |z| >= a; with `straight` it is 0 for z > 0.
    """

    name: str
    curvature: float
    steepness: float
    kinks: tuple[float, ...] = ()
    tail: Tail = _constant
    straight: bool = False
    parameter: float | None = None

    def value(self, z: Tensor) -> Tensor:
        """f(z); without a parameter with the default one."""
        row = ACTIVATIONS[self.name]
        usual = row.parameter or 0.0
        return row.apply(z, usual if self.parameter is None else self.parameter)

    def bend(self, low: Tensor, high: Tensor) -> Tensor:
        """A bound of |f''| on [low, high], kinks left out."""
        nearest = torch.maximum(low, -high).clamp(min=0)
        bound = self.tail(nearest).clamp(max=self.curvature)
        return torch.where(low >= 0, torch.zeros_like(bound), bound) if self.straight else bound


SMOOTH: dict[str, Smooth] = {
    row.name: row
    for row in (
        Smooth("elu", 1.0, 1.0, (), exponential(1.0, 1.0), True),
        Smooth("celu", 1.0, 1.0, (), exponential(1.0, 1.0), True),
        Smooth("selu", 1.76, 1.76, (0.0,), exponential(1.76, 1.0), True),
        Smooth("softplus", 0.26, 1.0, (), exponential(1.0, 1.0)),
        Smooth("logsigmoid", 0.26, 1.0, (), exponential(1.0, 1.0)),
        Smooth("softsign", 2.0, 1.0, (), lambda a: 2 / (1 + a) ** 3),
        Smooth("tanhshrink", 0.78, 1.0, (), exponential(8.0, 2.0)),
        Smooth("logcosh", 1.0, 1.0, (), exponential(4.0, 2.0)),
        Smooth("gelu", 1.2, 1.2, (), exponential(8.0, 1.0, 8.0)),
        # f'' = phi(z) (2 - z^2), at most 2 phi(0) < 0.798; f' = Phi(z) + z phi(z), largest at sqrt 2: 1.129.
        Smooth("gelu_erf", 0.8, 1.13, (), lambda a: 0.4 * (2 + a * a) * (-a * a / 2).exp()),
        Smooth("swish", 0.51, 1.1, (), exponential(2.0, 1.0, 1.0)),
        Smooth("mish", 1.0, 1.1, (), exponential(9.0, 1.0, 9.0)),
        Smooth("lisht", 2.01, 1.2, (), exponential(8.0, 2.0, 8.0)),
        Smooth("hardsigmoid", 0.0, 0.17, (-3.0, 3.0)),
        Smooth("hardswish", 0.34, 1.5, (-3.0, 3.0), lambda a: torch.where(a >= 3, 0.0, 1.0).to(a)),
        Smooth("softshrink", 0.0, 1.0, (-0.5, 0.5)),
    )
}
"""Bounds of the derivatives: analytic where a closed form is short, else the maxima on a dense grid with room
above (a test samples them); all tend to 0 or to a constant slope at both ends."""


def _elu(p: float) -> Smooth:
    """`p (e^z - 1)` left of 0: a kink unless p is 1."""
    return Smooth("elu", abs(p), max(1.0, abs(p)), (0.0,), exponential(abs(p), 1.0), True, p)


def _celu(p: float) -> Smooth | None:
    """`p (e^(z / p) - 1)` left of 0; with a negative p it grows without end."""
    return Smooth("celu", 1 / p, 1.0, (0.0,), exponential(1 / p, 1 / p), True, p) if p > 0 else None


def _softshrink(p: float) -> Smooth | None:
    return Smooth("softshrink", 0.0, 1.0, (-p, p), parameter=p) if p >= 0 else None


def _two_slopes(p: float) -> Smooth:
    """A leaky relu with any slope left of 0."""
    return Smooth("leakyrelu", 0.0, max(1.0, abs(p)), (0.0,), parameter=p)


PARAMETRISED: dict[str, Callable[[float], Smooth | None]] = {
    "elu": _elu,
    "celu": _celu,
    "softshrink": _softshrink,
    "two slopes": _two_slopes,
}


def with_parameter(name: str, parameter: float | None = None) -> Smooth | None:
    """A row with its usual parameter or another one; None where it has no bounds."""
    return SMOOTH.get(name) if parameter is None else PARAMETRISED[name](parameter)


@dataclass(frozen=True, eq=False)
class Sample:
    """Points and values, kinks last; of each segment between neighbours the room above and below its chord."""

    points: Tensor
    values: Tensor
    gap: Tensor
    size: Tensor

    def most(self, values: Tensor) -> Tensor:
        """An upper end of a function that bends as f does, from its values at the points."""
        ends = torch.maximum(values[..., : SAMPLES - 1], values[..., 1:SAMPLES]) + self.gap
        most = ends.amax(-1)
        if values.shape[-1] > SAMPLES:
            most = torch.maximum(most, values[..., SAMPLES:].amax(-1) + self.gap.amax(-1))
        return most


def sample_of(row: Smooth, lower: Tensor, upper: Tensor) -> Sample:
    """The sample of a function on [lower, upper], kinks clamped into it."""
    share = torch.linspace(0.0, 1.0, SAMPLES, dtype=lower.dtype, device=lower.device)
    points = lower[..., None] + (upper - lower)[..., None] * share
    points = torch.cat([points[..., :-1], upper[..., None]], -1)
    step = (upper - lower) / (SAMPLES - 1) * (1 + SLACK)
    # A computed point may be off by a rounding: the segments are widened by far more.
    room = SLACK * points.abs()
    gap = row.bend(points[..., :-1] - room[..., :-1], points[..., 1:] + room[..., 1:]) * (step**2 / 8)[..., None]
    kinks = [torch.minimum(torch.maximum(torch.full_like(lower, k), lower), upper) for k in row.kinks]
    if kinks:
        points = torch.cat([points, torch.stack(kinks, -1)], -1)
    values = row.value(points)
    return Sample(points, values, gap, points.abs().amax(-1) + values.abs().amax(-1))


def _edge(sample: Sample, sign: float) -> Tensor:
    """The slope of the hull's edge over the middle, nearly: points that lie above a line replace its ends."""
    points, values = sample.points, sign * sample.values
    middle = points[..., SAMPLES // 2]
    left = torch.zeros_like(middle, dtype=torch.long)[..., None]
    right = left + SAMPLES - 1
    for _ in range(EDGE_STEPS):
        x, y = (part.gather(-1, torch.cat([left, right], -1)) for part in (points, values))
        slope = (y[..., 1] - y[..., 0]) / (x[..., 1] - x[..., 0])
        best = (values - slope[..., None] * points).argmax(-1, keepdim=True)
        before = points.gather(-1, best) < middle[..., None]
        left, right = torch.where(before, best, left), torch.where(before, right, best)
    return sign * slope


def above(sample: Sample, slope: Tensor, sign: float) -> Tensor:
    """The intercept of the line above (sign 1) or below (sign -1) along any slope."""
    rest = sign * (sample.values - slope[..., None] * sample.points)
    room = SLACK * (1 + sample.size + slope.abs() * sample.points.abs().amax(-1))
    return sign * (sample.most(rest) + room)


def _line(sample: Sample, slopes: tuple[Tensor, Tensor], sign: float) -> tuple[Tensor, Tensor]:
    """Of two lines above (sign 1) or below (sign -1) the first, or the second where it is clearly better."""
    middle = sample.points[..., SAMPLES // 2]
    tries = [(slope, above(sample, slope, sign)) for slope in slopes]
    first, second = (sign * (slope * middle + intercept) for slope, intercept in tries)
    better = second + CLEARLY * (1 + sample.size) < first
    return torch.where(better, tries[1][0], tries[0][0]), torch.where(better, tries[1][1], tries[0][1])


def lines(row: Smooth, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lower slope and intercept, upper slope and intercept on [lower, upper]; NaN and infinite ends give NaN."""
    sample = sample_of(row, lower, upper)
    middle = (lower + upper) / 2
    tangent = (row.value(middle + 1e-4) - row.value(middle - 1e-4)) / 2e-4
    found: list[Tensor] = []
    for sign in (-1.0, 1.0):
        edge = torch.where(upper - lower < 1e-6, tangent, _edge(sample, sign))
        found += _line(sample, (tangent, edge), sign)
    return found[0], found[1], found[2], found[3]


def value_range(row: Smooth, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest value on [lower, upper], outward; infinite where an end is not finite."""
    sample = sample_of(row, lower, upper)
    finite = torch.isfinite(lower) & torch.isfinite(upper)
    room = SLACK * (1 + sample.size)
    low, high = -sample.most(-sample.values) - room, sample.most(sample.values) + room
    return torch.where(finite, low, -torch.inf), torch.where(finite, high, torch.inf)
