"""`around D within r`, claim by claim: where each question is about one input, its move is part of the trigger.

The move e of all pixels that a patch leaves alone is a variable like the patch's own levels: `x + e`, clipped to the
range of the space, is every image of the ball and no other. Bounds then follow each pixel through the network, and a
counterexample may be any image of the ball. Where one trigger speaks for many inputs, each moves by itself, so there
the move is an error of the input (`Problem.spread`).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from verifluxa.lower.reading import Placed, outward
from verifluxa.question import AffineInputMap, Domain, Floats, Placement
from verifluxa.spec.spec import ImageSpace, InputSpace, PerInput, Statement

MAX_PIXELS = 4096
"""Times channels: the networks of the prover are dense in the values of a trigger."""


def moves(statement: Statement, space: InputSpace) -> bool:
    """Whether inputs move as a part of the trigger: one input each, and stamps that put legal levels in place."""
    if not isinstance(statement, PerInput) or not isinstance(space, ImageSpace) or not statement.selection.radius:
        return False
    if space.channels * space.height * space.width > MAX_PIXELS:
        return False
    return all(member.puts_levels(space) for member in statement.trigger.families())


def moving(placements: tuple[Placement, ...], domain: Domain, size: int, radius: Fraction) -> Placed:
    """The placements with a value for each pixel, in the order of the image: a level of the stamp, or a move.

    Args:
        placements: whose stamps copy each value to a pixel of its own.
        domain: of those that have none of their own.
        size: numbers of an image.
        radius: of the ball; where it is whole, moves are whole levels.
    """
    identity, nothing, everywhere = np.eye(size), np.zeros(size), np.arange(size)
    shared = identity, nothing, everywhere
    moved = tuple(_moving(one, one.domain or domain, radius, shared) for one in placements)
    return moved, moved[0].domain or domain


def _moving(
    placement: Placement, domain: Domain, radius: Fraction, shared: tuple[Floats, Floats, np.ndarray]
) -> Placement:
    identity, nothing, everywhere = shared
    stamp = placement.stamp
    source = stamp.gain.argmax(1)
    low, high = outward(-radius, radius)
    keep, lower, upper = np.ones(len(nothing)), np.full(len(nothing), low), np.full(len(nothing), high)
    step = np.full(len(nothing), 1.0 if radius.denominator == 1 else 0.0)
    keep[stamp.positions] = 0.0
    for to, values in ((lower, domain.lower), (upper, domain.upper), (step, domain.step)):
        to[stamp.positions] = values[source]
    return replace(
        placement, stamp=AffineInputMap(everywhere, keep, identity, nothing), domain=Domain(lower, upper, step)
    )
