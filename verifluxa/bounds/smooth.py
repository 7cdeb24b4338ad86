"""Sound lines around any function with a bounded second derivative, monotone or not, by sampling.

Between two neighbours of a sample of [l, u], h apart, a function f with |f''| <= c leaves its chord by at most
c h^2 / 8 (the error of linear interpolation, e.g. Atkinson, An Introduction to Numerical Analysis, 3.2). So for ANY
slope s, max over [l, u] of f(z) - s z <= max over the sample + c h^2 / 8. Kinks of f are sample points too.
Two slopes are tried for each line, the chord's and the one at the middle; the better at the middle is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.graph.activations import ACTIVATIONS

SAMPLES = 33
"""Points per interval, ends included."""
SLACK = 2.0**-40
"""Of the terms' size: far above the error of evaluating these functions in float64."""


@dataclass(frozen=True)
class Smooth:
    """A function by its NNlib name, `|f''| <= curvature` away from its kinks, |f'| <= steepness."""

    name: str
    curvature: float
    steepness: float
    kinks: tuple[float, ...] = ()
    parameter: float | None = None

    def value(self, z: Tensor) -> Tensor:
        """f(z); without a parameter with the default one."""
        row = ACTIVATIONS[self.name]
        usual = row.parameter or 0.0
        return row.apply(z, usual if self.parameter is None else self.parameter)


SMOOTH: dict[str, Smooth] = {
    row.name: row
    for row in (
        Smooth("elu", 1.0, 1.0),
        Smooth("celu", 1.0, 1.0),
        Smooth("selu", 1.76, 1.76, (0.0,)),
        Smooth("softplus", 0.26, 1.0),
        Smooth("logsigmoid", 0.26, 1.0),
        Smooth("softsign", 2.0, 1.0),
        Smooth("tanhshrink", 0.78, 1.0),
        Smooth("logcosh", 1.0, 1.0),
        Smooth("gelu", 1.2, 1.2),
        # f'' = phi(z) (2 - z^2), at most 2 phi(0) < 0.798; f' = Phi(z) + z phi(z), largest at sqrt 2: 1.129.
        Smooth("gelu_erf", 0.8, 1.13),
        Smooth("swish", 0.51, 1.1),
        Smooth("mish", 1.0, 1.1),
        Smooth("lisht", 2.01, 1.2),
        Smooth("hardsigmoid", 0.0, 0.17, (-3.0, 3.0)),
        Smooth("hardswish", 0.34, 1.5, (-3.0, 3.0)),
        Smooth("softshrink", 0.0, 1.0, (-0.5, 0.5)),
    )
}
"""Bounds of the derivatives: analytic where a closed form is short, else the maxima on a dense grid with room
above (a test samples them); all tend to 0 or to a constant slope at both ends."""


def _elu(p: float) -> Smooth:
    """`p (e^z - 1)` left of 0: a kink unless p is 1."""
    return Smooth("elu", abs(p), max(1.0, abs(p)), (0.0,), p)


def _celu(p: float) -> Smooth | None:
    """`p (e^(z / p) - 1)` left of 0; with a negative p it grows without end."""
    return Smooth("celu", 1 / p, 1.0, (0.0,), p) if p > 0 else None


def _softshrink(p: float) -> Smooth | None:
    return Smooth("softshrink", 0.0, 1.0, (-p, p), p) if p >= 0 else None


def _two_slopes(p: float) -> Smooth:
    """A leaky relu with any slope left of 0."""
    return Smooth("leakyrelu", 0.0, max(1.0, abs(p)), (0.0,), p)


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
class _Sample:
    points: Tensor
    values: Tensor
    gap: Tensor


def _sample(row: Smooth, lower: Tensor, upper: Tensor) -> _Sample:
    share = torch.linspace(0.0, 1.0, SAMPLES, dtype=lower.dtype, device=lower.device)
    points = lower[..., None] + (upper - lower)[..., None] * share
    points = torch.cat([points[..., :-1], upper[..., None]], -1)
    kinks = [torch.minimum(torch.maximum(torch.full_like(lower, k), lower), upper) for k in row.kinks]
    step = (upper - lower) / (SAMPLES - 1) * (1 + SLACK)
    if kinks:
        points = torch.cat([points, torch.stack(kinks, -1)], -1)
    values = row.value(points)
    size = points.abs().amax(-1) + values.abs().amax(-1)
    return _Sample(points, values, row.curvature * step**2 / 8 + SLACK * (1 + size))


def _line(row: Smooth, sample: _Sample, slopes: tuple[Tensor, Tensor], sign: float) -> tuple[Tensor, Tensor]:
    """The better of two lines above (sign 1) or below (sign -1)."""
    middle = (sample.points[..., 0] + sample.points[..., SAMPLES - 1]) / 2
    best: tuple[Tensor, Tensor] | None = None
    for slope in slopes:
        rest = sign * (sample.values - slope[..., None] * sample.points)
        room = sample.gap + SLACK * slope.abs() * sample.points.abs().amax(-1)
        intercept = sign * (rest.amax(-1) + room)
        if best is None:
            best = (slope, intercept)
            continue
        lower = sign * (slope * middle + intercept) < sign * (best[0] * middle + best[1])
        best = (torch.where(lower, slope, best[0]), torch.where(lower, intercept, best[1]))
    assert best is not None
    return best


def lines(row: Smooth, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lower slope and intercept, upper slope and intercept on [lower, upper]; NaN and infinite ends give NaN."""
    sample = _sample(row, lower, upper)
    width = upper - lower
    chord = (sample.values[..., SAMPLES - 1] - sample.values[..., 0]) / width
    middle = (lower + upper) / 2
    tangent = (row.value(middle + 1e-4) - row.value(middle - 1e-4)) / 2e-4
    chord = torch.where(width < 1e-6, tangent, chord)
    lower_line = _line(row, sample, (chord, tangent), -1.0)
    return (*lower_line, *_line(row, sample, (chord, tangent), 1.0))


def value_range(row: Smooth, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest value on [lower, upper], outward; infinite where an end is not finite."""
    sample = _sample(row, lower, upper)
    finite = torch.isfinite(lower) & torch.isfinite(upper)
    low, high = sample.values.amin(-1) - sample.gap, sample.values.amax(-1) + sample.gap
    return torch.where(finite, low, -torch.inf), torch.where(finite, high, torch.inf)
