"""What a statement asks: rows of outputs, violations, selections of inputs, thresholds, and which pairs of them.

Where inputs move (`around D within r`): the move e of all pixels that a patch leaves alone is a variable like the
patch's own levels. `x + e`, clipped to the range of the space, is every image of the ball and no other. Bounds then
follow each pixel through the network, and a counterexample may be any image of the ball. Where one trigger speaks for
many inputs, each moves by itself, so there the move is an error of the input (`Problem.spread`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import DataError
from verifluxa.lower.outputs import Classes, Untouched, downward, upward
from verifluxa.lower.reading import Placed, outward
from verifluxa.question import (
    NO_DOUBT,
    AffineInputMap,
    Domain,
    Doubt,
    Floats,
    Integers,
    OutputConstraints,
    Placement,
    Violation,
)
from verifluxa.spec.spec import ImageSpace, InputSpace, OutputRow, PerInput, RateBound, Statement
from verifluxa.spec.spec import Rows as Groups

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
    identity, everywhere = np.eye(size), np.arange(size)
    moved = tuple(_moving(one, one.domain or domain, radius, identity, everywhere) for one in placements)
    return moved, moved[0].domain or domain


def _moving(
    placement: Placement, domain: Domain, radius: Fraction, identity: Floats, everywhere: Integers
) -> Placement:
    nothing = np.zeros(len(everywhere))
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


@dataclass(frozen=True, eq=False)
class Counting:
    """Of the inputs that may count: which ones do so in every evaluation, and which ones in the replay, shape (N,)."""

    surely: NDArray[np.bool_]
    replayed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StatementQuery:
    """What the statement becomes: rows, violations, selections, thresholds, the pairs that are asked, labels, doubt."""

    rows: OutputConstraints
    violations: tuple[Violation, ...]
    selections: tuple[Integers, ...]
    thresholds: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    labels: Integers
    doubt: Doubt = NO_DOUBT


def ask_outputs(
    claim: RateBound | PerInput,
    rows: OutputConstraints,
    violation: Violation,
    labels: Integers,
    counting: Counting,
    name: str,
) -> StatementQuery:
    """What a claim about outputs asks.

    Args:
        claim: the claim.
        rows, violation, labels: of `output_rows`.
        counting: which inputs count.
        name: of the property.
    """
    _not_empty(len(labels), name, None)
    if isinstance(claim, PerInput):
        return _each(rows, violation, labels, counting)
    everything = np.arange(len(labels))
    thresholds, doubt = _thresholds(claim, (None,), (everything,), counting)
    return StatementQuery(rows, (violation,), (everything,), thresholds, ((0, 0),), labels, doubt)


def ask_classes(
    claim: RateBound | PerInput, classes: Classes, labels: Integers, counting: Counting, name: str
) -> StatementQuery:
    """What a claim about classes asks.

    Args:
        claim: the claim.
        classes: of the model.
        labels: of the inputs that may count, shape (N,).
        counting: which inputs count.
        name: of the property.
    """
    if isinstance(claim, PerInput):
        _not_empty(len(labels), name, None)
        return _each(classes.rows, classes.single(claim), labels, counting)
    everything = np.arange(len(labels))
    violations, selections = [], []
    targets = claim.targets or (None,)
    for target in targets:
        others = claim.selection.label_is_not_target and target is not None
        chosen = np.flatnonzero(labels != target) if others else everything
        _not_empty(len(chosen), name, target)
        violations.append(classes.targeted(target) if target is not None else classes.untargeted())
        selections.append(chosen)
    thresholds, doubt = _thresholds(claim, targets, selections, counting)
    pairs = tuple((number, number) for number in range(len(violations)))
    return StatementQuery(classes.rows, tuple(violations), tuple(selections), thresholds, pairs, labels, doubt)


def _thresholds(
    claim: RateBound, targets: Sequence[int | None], selections: Sequence[Integers], counting: Counting
) -> tuple[tuple[int, ...], Doubt]:
    """How many inputs must violate: of those that may count, to refute the bound whichever of them count; and doubt.

    Those in doubt may violate, but are no part of what the rate is a share of. A selection in which no input counts in
    every evaluation has no such number: there only a replay can say anything.
    """
    ways = list(zip(targets, selections, strict=True))
    sure = [int(counting.surely[chosen].sum()) for _, chosen in ways]
    replayed = tuple(threshold_of(claim, target, int(counting.replayed[chosen].sum())) for target, chosen in ways)
    thresholds = tuple(
        threshold_of(claim, target, count) if count else threshold
        for (target, _), count, threshold in zip(ways, sure, replayed, strict=True)
    )
    empty = tuple(number for number, count in enumerate(sure) if not count)
    return thresholds, _doubt(counting, replayed, empty)


def _doubt(counting: Counting, replay_thresholds: tuple[int, ...], empty: tuple[int, ...] = ()) -> Doubt:
    if counting.surely.all():
        return NO_DOUBT
    doubtful, absent = np.flatnonzero(~counting.surely), np.flatnonzero(~counting.replayed)
    return Doubt(tuple(doubtful.tolist()), tuple(absent.tolist()), replay_thresholds, empty)


def threshold_of(claim: RateBound, target: int | None, count: int) -> int:
    """How many of `count` inputs must violate together to refute the bound."""
    limit = claim.limit_of(target) * count
    return max(1, math.ceil(limit)) if claim.below else math.floor(limit) + 1


def _each(rows: OutputConstraints, violation: Violation, labels: Integers, counting: Counting) -> StatementQuery:
    single, ones = tuple(np.array([i]) for i in range(len(labels))), (1,) * len(labels)
    pairs = tuple((0, i) for i in range(len(labels)))
    return StatementQuery(rows, (violation,), single, ones, pairs, labels, _doubt(counting, ones))


def _not_empty(count: int, name: str, target: int | None) -> None:
    if count:
        return
    about = "" if target is None else f" for target {target}"
    raise DataError(
        "VF3201",
        f"property {name!r} has no input left{about}, so there is nothing to prove",
        expected="at least one input that meets the conditions",
        remedy="loosen `where`, raise `take`, or check that model and data belong together",
    )


# Conditions on outputs: the rows of a statement, with what the network gives on the untouched input put in

LABEL = "outputs"


def reads_untouched(groups: Groups) -> bool:
    """Whether a condition speaks of `f(x)` as well, so that each input has rows of its own."""
    return any(any(row.clean) for group in groups for row in group)


def output_rows(
    groups: Groups, count: int, untouched: Untouched | None
) -> tuple[OutputConstraints, Violation, Integers]:
    """OutputConstraints, the violation, and the labels by which its alternatives are chosen.

    Args:
        groups: the condition.
        count: of inputs.
        untouched: needed where the condition speaks of `f(x)`; then the labels are the numbers of the inputs.
    """
    own = [row for group in groups for row in group]
    kinds = count if untouched is not None else 1
    width = len(own[0].stamped)
    coefficients = np.array([[float(value) for value in row.stamped] for row in own]).reshape(len(own), width)
    ends = [_constants(row, untouched, kind) for kind in range(kinds) for row in own]
    constants, replayed, sure = (np.array(part) for part in zip(*ends, strict=True))
    rows = OutputConstraints(
        np.tile(coefficients, (kinds, 1)),
        constants,
        np.tile([row.closed for row in own], kinds),
        replayed,
        sure,
    )
    by_label = tuple(_alternatives(groups, kind * len(own)) for kind in range(kinds))
    labels = np.arange(count) if untouched is not None else np.zeros(count, dtype=np.int64)
    return rows, Violation(LABEL, None, by_label), labels


def _alternatives(groups: Groups, start: int) -> tuple[tuple[int, ...], ...]:
    found = []
    for group in groups:
        found.append(tuple(range(start, start + len(group))))
        start += len(group)
    return tuple(found)


def _constants(row: OutputRow, untouched: Untouched | None, kind: int) -> tuple[float, float, float]:
    """For the proof (upper end of all evaluations of f(x)), for the replay, for what is sure (the lower end)."""
    if untouched is None or not any(row.clean):
        return upward(row.constant), downward(row.constant), downward(row.constant)
    used = [(value, index) for index, value in enumerate(row.clean) if value]
    middle, reach, played = row.constant, Fraction(0), row.constant
    for factor, index in used:
        value, radius, replayed = (
            float(part[kind, index]) for part in (untouched.value, untouched.radius, untouched.replayed)
        )
        if not np.isfinite([value, radius, replayed]).all():
            # Nothing can be said of this input: its rows are always met in a proof, never in a replay.
            return np.finfo(np.float64).max, -np.finfo(np.float64).max, -np.finfo(np.float64).max
        middle += factor * Fraction(value)
        reach += abs(factor) * Fraction(radius)
        played += factor * Fraction(replayed)
    return upward(middle + reach), downward(played), downward(middle - reach)
