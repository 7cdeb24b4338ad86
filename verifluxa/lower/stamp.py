"""Image triggers beyond the plain patch: blends, pixel sets, pictures, perturbations, patterns, several at once.

A blend of variable opacity is `x + a (v - x)`, where the opacity `a` and the levels `v` are both of the trigger. A
stamp is affine in the trigger's values, with the same slopes for all inputs; this one is a product of two of them, and
its slope in `a` is the input's own. So the stamp only copies: the deployed network reads three planes, the image, the
opacity of each pixel and the levels, and its first operations blend them. Bounds treat the product as any other
(McCormick's planes), a replay runs it as deployed. Without a trigger the opacity is 0: the image stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verifluxa.graph.ops import Add, Conv, Input, Multiply, Op
from verifluxa.lower.reading import Placed, Reads, outward
from verifluxa.question import AffineInputMap, Domain, Floats, Integers, Placement
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.triggers.stamp import Patterns, Picture, Place, StampTrigger

PLANES = 3
"""What a network in front of which levels are blended reads: the image, the opacity, the levels."""

Steps = list[tuple[Op, tuple[int, ...]]]


@dataclass(frozen=True, eq=False)
class _Sheet:
    """One stamp at (0, 0): positions and, for opacity 1, gains; `strength` is the weight of each position.

    `stored`: whether the gains are the numbers of the spec, see `AffineInputMap.stored`.
    """

    row: Integers
    column: Integers
    channel: Integers
    gain: Floats
    strength: tuple[Fraction, ...]
    stored: bool


def place_stamp(trigger: StampTrigger, space: ImageSpace, reads: Reads) -> Placed:
    """All placements, each with a domain of its own."""
    placed = stamp_placements(trigger, space)
    assert placed[0].domain is not None
    return placed, placed[0].domain


def stamp_placements(trigger: StampTrigger, space: ImageSpace) -> tuple[Placement, ...]:
    """All placements: place by place, and at each one opacity by opacity."""
    sheet = _sheet(trigger, space)
    if trigger.opacity is not None:
        return tuple(_varying(trigger, sheet, group, space) for group in trigger.places)
    return tuple(
        Placement(
            _label(trigger, group, opacity),
            _stamp(trigger, sheet, group, opacity, space),
            _domain(trigger, group, sheet),
        )
        for group in trigger.places
        for opacity in trigger.opacities
    )


def _sheet(trigger: StampTrigger, space: ImageSpace) -> _Sheet:
    channel, pixel = (axis.ravel() for axis in np.indices((space.channels, len(trigger.pixels))))
    places = np.array(trigger.pixels, dtype=np.int64)[pixel]
    size = len(channel)
    stored = True
    if isinstance(trigger.values, Patterns):
        gain = np.array([[float(factor) for factor in pattern] for pattern in trigger.values.patterns]).T
        stored = all(_is_double(factor) for pattern in trigger.values.patterns for factor in pattern)
    else:
        gain = np.eye(size)
    weights = trigger.weights or (Fraction(1),) * len(trigger.pixels)
    return _Sheet(places[:, 0], places[:, 1], channel, gain, tuple(weights[at] for at in pixel), stored)


def _is_double(value: Fraction) -> bool:
    return Fraction(float(value)) == value


def _stamp(
    trigger: StampTrigger, sheet: _Sheet, group: tuple[Place, ...], opacity: Fraction, space: ImageSpace
) -> AffineInputMap:
    """The stamps of one placement put together; each has its own coordinates of tau."""
    strength = [opacity * weight for weight in sheet.strength]
    gain = np.array([float(value) for value in strength])[:, None] * sheet.gain
    # Of a basis, products are rounded as well; of anything else the gains are the strengths.
    plain = not isinstance(trigger.values, Patterns) or set(strength) == {Fraction(1)}
    stored = sheet.stored and plain and all(_is_double(end) for value in set(strength) for end in (value, 1 - value))
    keep = np.array([1.0 if trigger.verb == "add" else float(1 - value) for value in strength])
    positions = [
        (sheet.channel * space.height + sheet.row + row) * space.width + sheet.column + column for row, column in group
    ]
    blocks = np.zeros((len(group), len(keep), len(group), gain.shape[1]))
    for number in range(len(group)):
        blocks[number, :, number] = gain
    return AffineInputMap(
        np.concatenate(positions).astype(np.int64),
        np.tile(keep, len(group)),
        blocks.reshape(len(group) * len(keep), -1),
        np.zeros(len(group) * len(keep)),
        stored=stored,
    )


def _varying(trigger: StampTrigger, sheet: _Sheet, group: tuple[Place, ...], space: ImageSpace) -> Placement:
    """A blend of variable opacity: the first value is the opacity, copied to the second plane; see `blend_steps`."""
    opaque = _stamp(
        replace(trigger, weights=()),
        replace(sheet, strength=(Fraction(1),) * len(sheet.strength)),
        group,
        Fraction(1),
        space,
    )
    known, (low, high) = _domain(trigger, group, sheet), outward(*(trigger.opacity or (Fraction(1), Fraction(1))))
    size, plane = len(opaque.positions), space.channels * space.height * space.width
    gain = np.zeros((2 * size, 1 + opaque.gain.shape[1]))
    gain[:size, 0] = np.tile([float(value) for value in sheet.strength], len(group))
    gain[size:, 1:] = opaque.gain
    return Placement(
        _label(trigger, group, Fraction(1)),
        AffineInputMap(
            np.concatenate([opaque.positions + plane, opaque.positions + 2 * plane]),
            np.zeros(2 * size),
            gain,
            np.zeros(2 * size),
            stored=opaque.stored and all(map(_is_double, sheet.strength)),
        ),
        Domain(
            np.concatenate([[low], known.lower]),
            np.concatenate([[high], known.upper]),
            np.concatenate([[0.0], known.step]),
            names=("opacity {}", *[""] * len(known.lower)),
        ),
    )


def _domain(trigger: StampTrigger, group: tuple[Place, ...], sheet: _Sheet) -> Domain:
    values = trigger.values
    if isinstance(values, Picture):
        lower = upper = np.tile(np.array(values.levels, dtype=np.float64), len(group))
        return Domain(lower, upper, np.ones(len(lower)))
    size = len(group) * sheet.gain.shape[1]
    low, high = outward(values.low, values.high)
    return Domain(np.full(size, low), np.full(size, high), np.full(size, float(values.step or 0)))


def _label(trigger: StampTrigger, group: tuple[Place, ...], opacity: Fraction) -> tuple[tuple[str, int], ...]:
    """`row 3, column 5`; of several at once `row 3, column 5, row 2 20, ...`; the opacity where there are several."""
    label = [("row", group[0][0]), ("column", group[0][1])]
    for number, (row, column) in enumerate(group[1:], start=2):
        label += [(f"row of {number}", row), (f"column of {number}", column)]
    if len(trigger.opacities) > 1:
        percent = opacity * 100
        whole = all((value * 100).denominator == 1 for value in trigger.opacities)
        label.append(("opacity", int(percent)) if whole else ("opacity number", trigger.opacities.index(opacity)))
    return tuple(label)


def blend_steps(space: ImageSpace, dtype: str) -> Steps:
    """The operations in front: an input of three planes to the blended image, which is the value of the last step."""

    def mixed(image: float, opacity: float, levels: float) -> Conv:
        identity = np.eye(space.channels)
        weight = np.concatenate([image * identity, opacity * identity, levels * identity], axis=1)
        return Conv(weight[:, :, None, None].astype(dtype), None, (1, 1), (0, 0), (0, 0), (1, 1))

    return [
        (Input((PLANES * space.channels, space.height, space.width)), ()),
        (mixed(1, 0, 0), (0,)),
        (mixed(0, 1, 0), (0,)),
        (mixed(-1, 0, 1), (0,)),
        (Multiply(), (2, 3)),
        (Add(), (1, 4)),
    ]


def without_trigger(images: Floats) -> Floats:
    """Images (N, channels, height, width) as the blending network reads them: opacity and levels are 0."""
    nothing = np.zeros_like(images)
    return np.concatenate([images, nothing, nothing], axis=1)


def blended(planes: Floats) -> Floats:
    """What people see of inputs of three planes: the images, shape (N, channels, height, width)."""
    image, opacity, levels = np.split(planes, PLANES, axis=1)
    return np.asarray(image + opacity * (levels - image))
