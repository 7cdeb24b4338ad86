"""Functions that jump: trelu, which is 0 up to its threshold t >= 0 and z above it, and rounding to whole numbers.

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


def round_value(z: Tensor, parameters: Parameters) -> Tensor:
    """The nearest whole number, of two the even one; its gradient is that of z, so that a search sees past the steps.

    Exact: the nearest whole number less z is a float, and adding that to z gives the whole number.
    """
    return z + (z.detach().round() - z.detach())


def round_lines(lower: Tensor, upper: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lower slope and intercept, upper slope and intercept.

    Exact where the ends round to the same number. Else the best at the middle of three lines above: the flat one
    through the highest step, `z + 1/2`, which touches all steps, and the one from (l, round(l)) to the start of the
    next step, which is no flatter and so lies above all others. Below the mirrored ones: -round(-z) is round(z).
    """
    first, last = lower.round(), upper.round()
    same = first == last
    upper_slope, upper_at = _above_steps(lower, upper, first, last)
    lower_slope, mirrored = _above_steps(-upper, -lower, -last, -first)
    zero = torch.zeros_like(lower)
    # Far above the error of evaluating these lines in float64; nothing where they are exact.
    slack = 2.0**-48 * (1 + upper_slope.abs() + lower_slope.abs()) * (1 + lower.abs() + upper.abs())
    return (
        torch.where(same, zero, lower_slope),
        torch.where(same, first, -mirrored - slack),
        torch.where(same, zero, upper_slope),
        torch.where(same, last, upper_at + slack),
    )


def _above_steps(lower: Tensor, upper: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and intercept of a line above round(z) on [lower, upper], whose ends round to `first` and `last`."""
    middle = (lower + upper) / 2
    zero, one = torch.zeros_like(lower), torch.ones_like(lower)
    width = first + 0.5 - lower
    steep = torch.where(width > 0, 1 / width, torch.full_like(width, torch.inf))
    values = (last, middle + 0.5, torch.where(width > 0, first + steep * (middle - lower), torch.inf))
    flat = (last <= values[1]) & (last <= values[2])
    inclined = ~flat & (values[1] <= values[2])
    steep = torch.where(flat | inclined, zero, steep)
    slope = torch.where(flat, zero, torch.where(inclined, one, steep))
    at = torch.where(flat, last, torch.where(inclined, torch.full_like(last, 0.5), first - steep * lower))
    return slope, at
