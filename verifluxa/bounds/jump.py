"""trelu: 0 up to its threshold t >= 0, and z above it, with a jump of t in between.

A jump has no Lipschitz constant, but lines around it all the same: on an interval that holds t the function lies
between the hull's lines. A deployed value near t may fall on either side: both are within the lines, since the interval
holds every deployed argument.
"""

from __future__ import annotations

import torch
from torch import Tensor

Parameters = tuple[float, ...]


def jump_value(z: Tensor, parameters: Parameters) -> Tensor:
    """trelu(z)."""
    return torch.where(z <= parameters[0], torch.zeros_like(z), z)


def jump_lines(lower: Tensor, upper: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lower slope and intercept, upper slope and intercept.

    Exact on either side. Across t, above: the chord from (l, 0) to (u, u) where l <= 0, which passes above (t, t),
    else the better at the middle of z itself and the line from (l, 0) through (t, t); below: the better of 0 and
    the line through (t, 0) and (u, u).
    """
    threshold = parameters[0]
    zero, one = torch.zeros_like(lower), torch.ones_like(lower)
    left, right = upper <= threshold, lower > threshold
    beyond = (lower + upper) / 2 > threshold
    early = torch.where(beyond, one, threshold / (threshold - lower))
    chord = torch.where(lower <= 0, upper / (upper - lower), early)
    start = torch.where((lower > 0) & beyond, zero, -chord * lower)
    upper_slope = torch.where(left, zero, torch.where(right, one, chord))
    upper_at = torch.where(left | right, zero, start)
    steep = torch.where(beyond, upper / (upper - threshold), zero)
    lower_slope = torch.where(left, zero, torch.where(right, one, steep))
    lower_at = torch.where(left | right, zero, -steep * threshold)
    # Far above the error of evaluating these lines in float64; nothing where they are exact.
    size = lower.abs() + upper.abs() + threshold
    slack = torch.where(left | right, zero, 2.0**-48 * (1 + lower_slope.abs() + upper_slope.abs()) * size)
    return lower_slope, lower_at - slack, upper_slope, upper_at + slack
