"""Stretches of time that are replaced, in all of their channels."""

from __future__ import annotations

import numpy as np

from verifluxa.lower.reading import Placed, Reads, outward
from verifluxa.question import AffineInputMap, Domain, Placement
from verifluxa.spec.space_types import SeriesSpace
from verifluxa.spec.triggers.stretch import SeriesTrigger


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
