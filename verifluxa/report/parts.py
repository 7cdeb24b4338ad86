"""Which parts of a trigger matter: each part is left as it is in the input, and the network is evaluated again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verifluxa.question import Floats, Integers
from verifluxa.replay import Replayed
from verifluxa.result.build import deciding_margin
from verifluxa.result.result import Share
from verifluxa.spec.spec import ImageSpace, InputSpace, SeriesSpace, TableSpace, TokenSpace

MOST_PARTS = 100
MOST_EVALUATIONS = 20_000
MOST_NUMBERS = 2**22
"""Numbers of all inputs that are evaluated at once."""


@dataclass(frozen=True)
class Part:
    """A part of the trigger, and what is left of the effect without it.

    Attributes:
        words: what people call it: `row 24, column 25`.
        place: its row and column within the trigger; None where it is no picture.
        size: rows and columns that it covers.
        rate: share of the inputs that still violate.
        margin: the margin that the verdict rests on, then; not above 0 where too few violate.
    """

    words: str
    place: tuple[int, int] | None
    size: tuple[int, int]
    rate: Share
    margin: float


@dataclass(frozen=True)
class Effects:
    """The whole trigger and its parts.

    Attributes:
        rate, margin: of the whole trigger, on the same inputs.
        parts: in the order of the trigger.
        inputs: how many inputs were evaluated, of how many.
    """

    rate: Share
    margin: float
    parts: tuple[Part, ...]
    inputs: tuple[int, int]

    @property
    def ranked(self) -> list[Part]:
        """Parts whose absence costs most come first."""
        return sorted(self.parts, key=lambda part: (part.margin, part.rate.rate))

    def loss(self, part: Part) -> float:
        """The share of the whole margin that goes without a part, 0..1; below 0 where it grows."""
        return (self.margin - part.margin) / abs(self.margin) if self.margin else 0.0


def effects(replayed: Replayed, space: InputSpace) -> Effects | None:
    """What each part of a replayed trigger does; None where it has one part only, or moves what stands behind it."""
    problem, question = replayed.problem, replayed.question
    placement = problem.placements[question.placement]
    stamp = placement.stamp
    if (
        placement.which is not None
        or (stamp.source is not None and (stamp.source != stamp.positions).any())
        or np.isnan(stamp.offset).any()
    ):
        return None
    groups = _groups(stamp.positions, space)
    if len(groups) < 2:
        return None
    chosen = problem.selections[question.selection][: max(1, MOST_EVALUATIONS // len(groups))]
    threshold = min(question.threshold, len(chosen))
    before, after = _both(replayed, chosen)
    whole = _judged(replayed, chosen, after)
    parts = []
    for group in groups:
        reset = after.copy()
        reset[:, group.positions] = before[:, group.positions]
        parts.append(group.part(*_summed(_judged(replayed, chosen, reset), threshold)))
    rate, margin = _summed(whole, threshold)
    return Effects(rate, margin, tuple(parts), (len(chosen), len(problem.selections[question.selection])))


def _both(replayed: Replayed, chosen: Integers) -> tuple[Floats, Floats]:
    """Inputs without and with the trigger, flat, shape (n, size) each."""
    from verifluxa.search import stamped_inputs

    problem = replayed.problem
    after = stamped_inputs(problem, replayed.question.placement, replayed.trigger, chosen)
    return problem.inputs[chosen].reshape(len(chosen), -1), after.reshape(len(chosen), -1)


def _judged(replayed: Replayed, chosen: Integers, flat: Floats) -> Floats:
    """Strict margins of these inputs, shape (n,)."""
    from verifluxa.search import violation_margins

    problem = replayed.problem
    at_once = max(1, MOST_NUMBERS // max(1, flat.shape[1]))
    outputs = [
        problem.graph.run(flat[start : start + at_once].reshape(-1, *problem.graph.input_shape))
        for start in range(0, len(flat), at_once)
    ]
    return violation_margins(problem, replayed.question.violation, chosen, np.concatenate(outputs))


def _summed(margins: Floats, threshold: int) -> tuple[Share, float]:
    known = np.nan_to_num(margins, nan=-np.inf)
    deciding = deciding_margin([float(value) for value in known], threshold)
    return Share(int((known > 0).sum()), len(known)), deciding


@dataclass(frozen=True, eq=False)
class _Group:
    """Positions of an input that make up one part."""

    words: str
    positions: Integers
    place: tuple[int, int] | None = None
    size: tuple[int, int] = (1, 1)

    def part(self, rate: Share, margin: float) -> Part:
        return Part(self.words, self.place, self.size, rate, margin)


def _groups(positions: Integers, space: InputSpace) -> list[_Group]:
    match space:
        case ImageSpace():
            return _blocks(positions, space)
        case TableSpace():
            return _columns(positions, space)
        case TokenSpace():
            return [_Group(f"position {at}", positions[positions == at]) for at in np.unique(positions)]
        case SeriesSpace():
            steps = positions % space.steps
            return _thinned([(f"step {step}", positions[steps == step]) for step in np.unique(steps)])


def _blocks(positions: Integers, space: ImageSpace) -> list[_Group]:
    """Pixels, or square blocks of them where there are many."""
    # Where opacity varies, an input has several planes of its picture one after the other.
    inside = positions % (space.channels * space.height * space.width)
    _, row, column = np.unravel_index(inside, (space.channels, space.height, space.width))
    side = 1
    while len(set(zip((row // side).tolist(), (column // side).tolist(), strict=True))) > MOST_PARTS:
        side += 1
    top, left = int(row.min()) // side, int(column.min()) // side
    found = []
    for r, c in sorted(set(zip((row // side).tolist(), (column // side).tolist(), strict=True))):
        own = positions[(row // side == r) & (column // side == c)]
        words = f"{_span('row', r * side, side)}, {_span('column', c * side, side)}"
        found.append(_Group(words, own, (r - top, c - left), (side, side)))
    return found


def _span(name: str, first: int, count: int) -> str:
    return f"{name} {first}" if count == 1 else f"{name}s {first} to {first + count - 1}"


def _columns(positions: Integers, space: TableSpace) -> list[_Group]:
    groups, start = [], 0
    for feature in space.features:
        inside = positions[(positions >= start) & (positions < start + feature.width)]
        start += feature.width
        if len(inside):
            groups.append(_Group(feature.name, inside))
    return groups


def _thinned(groups: Sequence[tuple[str, Integers]]) -> list[_Group]:
    """Neighbours together where there are many."""
    size = -(-len(groups) // MOST_PARTS)
    found = []
    for start in range(0, len(groups), size):
        some = groups[start : start + size]
        words = some[0][0] if len(some) == 1 else f"{some[0][0]} to {some[-1][0].split()[-1]}"
        found.append(_Group(words, np.concatenate([positions for _, positions in some])))
    return found
