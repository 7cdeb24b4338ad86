"""Image triggers: where their stamps lie and where their values live."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from verifluxa.question import Domain, Placement, Stamp
from verifluxa.spec.spec import ImageSpace, PatchTrigger


def placement(trigger: PatchTrigger, place: tuple[int, int], space: ImageSpace) -> Placement:
    """A patch at a place (row, column)."""
    row, column = place
    shape = (space.channels, trigger.height, trigger.width)
    channel, down, right = (axis.ravel() for axis in np.indices(shape))
    positions = (channel * space.height + row + down) * space.width + column + right
    size = len(positions)
    stamp = Stamp(positions.astype(np.int64), np.zeros(size), np.eye(size), np.zeros(size))
    return Placement((("row", row), ("column", column)), stamp)


def domain(trigger: PatchTrigger, space: ImageSpace) -> Domain:
    """The range of the patch's levels, the same at each place."""
    size = space.channels * trigger.height * trigger.width
    step = 0.0 if trigger.step is None else float(trigger.step)
    low, high = float(trigger.low), float(trigger.high)
    # The ends of a continuous range may lie between floats: outward, so that nothing of it is left out.
    low = math.nextafter(low, -math.inf) if Fraction(low) > trigger.low else low
    high = math.nextafter(high, math.inf) if Fraction(high) < trigger.high else high
    return Domain(np.full(size, low), np.full(size, high), np.full(size, step))
