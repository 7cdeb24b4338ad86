"""Triggers in time: a stretch of steps that is replaced, in all of its channels."""

from __future__ import annotations

import numpy as np

from verifluxa.lower.images import outward
from verifluxa.question import AffineInputMap, Domain, Placement
from verifluxa.spec.space_types import SeriesSpace, SeriesTrigger


def series_placements(trigger: SeriesTrigger, space: SeriesSpace) -> tuple[Placement, ...]:
    """One placement for each first step; inputs are (channels, steps)."""
    size = trigger.length * len(trigger.channels)
    found = []
    for place in trigger.places:
        steps = np.arange(place, place + trigger.length)
        positions = (np.array(trigger.channels)[:, None] * space.steps + steps).ravel()
        stamp = AffineInputMap(positions, np.zeros(size), np.eye(size), np.zeros(size))
        found.append(Placement((("step", place),), stamp))
    return tuple(found)


def series_domain(trigger: SeriesTrigger) -> Domain:
    """The range of the stretch's values, the same at each place."""
    size = trigger.length * len(trigger.channels)
    low, high = outward(trigger.low, trigger.high)
    return Domain(np.full(size, low), np.full(size, high), np.full(size, float(trigger.step or 0)))
