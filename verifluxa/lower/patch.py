"""Values that are replaced: the plain patch of an image, a stretch of time in all of its channels."""

from __future__ import annotations

import numpy as np

from verifluxa.lower.reading import Placed, Reads, outward
from verifluxa.question import AffineInputMap, Domain, Placement
from verifluxa.spec.spec import ImageSpace, SeriesSpace
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.spec.triggers.stretch import SeriesTrigger


def place_patch(trigger: PatchTrigger, space: ImageSpace, reads: Reads) -> Placed:
    """A placement for each place (row, column), with one value for each pixel and channel."""
    shape = (space.channels, trigger.height, trigger.width)
    channel, down, right = (axis.ravel() for axis in np.indices(shape))
    size = len(channel)
    placed = []
    for row, column in trigger.places:
        positions = (channel * space.height + row + down) * space.width + column + right
        stamp = AffineInputMap(positions.astype(np.int64), np.zeros(size), np.eye(size), np.zeros(size))
        placed.append(Placement((("row", row), ("column", column)), stamp))
    low, high = outward(trigger.low, trigger.high)
    domain = Domain(np.full(size, low), np.full(size, high), np.full(size, float(trigger.step or 0)))
    return tuple(placed), domain


def place_stretch(trigger: SeriesTrigger, space: SeriesSpace, reads: Reads) -> Placed:
    """One placement for each first step; inputs are (channels, steps)."""
    size = trigger.length * len(trigger.channels)
    placed = []
    for place in trigger.places:
        steps = np.arange(place, place + trigger.length)
        positions = (np.array(trigger.channels)[:, None] * space.steps + steps).ravel()
        stamp = AffineInputMap(positions, np.zeros(size), np.eye(size), np.zeros(size))
        placed.append(Placement((("step", place),), stamp))
    low, high = outward(trigger.low, trigger.high)
    return tuple(placed), Domain(np.full(size, low), np.full(size, high), np.full(size, float(trigger.step or 0)))
