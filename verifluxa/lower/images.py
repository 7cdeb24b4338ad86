"""Image triggers: where their stamps lie and where their values live."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from verifluxa.question import AffineInputMap, Domain, Placement
from verifluxa.spec.spec import ImageSpace, PatchTrigger


def placement(trigger: PatchTrigger, place: tuple[int, int], space: ImageSpace) -> Placement:
    """A patch at a place (row, column)."""
    row, column = place
    shape = (space.channels, trigger.height, trigger.width)
    channel, down, right = (axis.ravel() for axis in np.indices(shape))
    positions = (channel * space.height + row + down) * space.width + column + right
    size = len(positions)
    stamp = AffineInputMap(positions.astype(np.int64), np.zeros(size), np.eye(size), np.zeros(size))
    return Placement((("row", row), ("column", column)), stamp)


def domain(trigger: PatchTrigger, space: ImageSpace) -> Domain:
    """The range of the patch's levels, the same at each place."""
    size = space.channels * trigger.height * trigger.width
    step = 0.0 if trigger.step is None else float(trigger.step)
    low, high = outward(trigger.low, trigger.high)
    return Domain(np.full(size, low), np.full(size, high), np.full(size, step))


def outward(low: Fraction, high: Fraction) -> tuple[float, float]:
    """The ends of a range as floats; they may lie between floats: outward, so that nothing of it is left out."""
    lowest, highest = float(low), float(high)
    lowest = math.nextafter(lowest, -math.inf) if Fraction(lowest) > low else lowest
    highest = math.nextafter(highest, math.inf) if Fraction(highest) < high else highest
    return lowest, highest
