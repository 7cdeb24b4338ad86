"""What a statement asks: rows, violations, selections of inputs, needs, and which pairs of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import DataError
from verifluxa.lower.outputs import Classes
from verifluxa.question import NO_DOUBT, Doubt, Integers, Rows, Violation
from verifluxa.spec.spec import PerInput, RateBound


@dataclass(frozen=True, eq=False)
class Counting:
    """Of the inputs that may count: which ones do so in every evaluation, and which ones in the replay, shape (N,)."""

    surely: NDArray[np.bool_]
    replayed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Asked:
    """What the statement becomes: rows, violations, selections, needs, the pairs that are asked, labels, doubt."""

    rows: Rows
    violations: tuple[Violation, ...]
    selections: tuple[Integers, ...]
    needs: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    labels: Integers
    doubt: Doubt = NO_DOUBT


def ask_outputs(
    claim: RateBound | PerInput, found: tuple[Rows, Violation, Integers], counting: Counting, name: str
) -> Asked:
    """What a claim about outputs asks.

    Args:
        claim: the claim.
        found: its rows, violation and labels.
        counting: which inputs count.
        name: of the property.
    """
    rows, violation, labels = found
    _not_empty(len(labels), name, None)
    if isinstance(claim, PerInput):
        return _each(rows, violation, labels, counting)
    everything = np.arange(len(labels))
    needs, doubt = _needs(claim, (None,), (everything,), counting)
    return Asked(rows, (violation,), (everything,), needs, ((0, 0),), labels, doubt)


def ask_classes(
    claim: RateBound | PerInput, classes: Classes, labels: Integers, counting: Counting, name: str
) -> Asked:
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
    needs, doubt = _needs(claim, targets, selections, counting)
    pairs = tuple((number, number) for number in range(len(violations)))
    return Asked(classes.rows, tuple(violations), tuple(selections), needs, pairs, labels, doubt)


def _needs(
    claim: RateBound, targets: Sequence[int | None], selections: Sequence[Integers], counting: Counting
) -> tuple[tuple[int, ...], Doubt]:
    """How many inputs must violate: of those that may count, to refute the bound whichever of them count; and doubt.

    Those in doubt may violate, but are no part of what the rate is a share of. A selection in which no input counts in
    every evaluation has no such number: there only a replay can say anything.
    """
    ways = list(zip(targets, selections, strict=True))
    sure = [int(counting.surely[chosen].sum()) for _, chosen in ways]
    replayed = tuple(need_of(claim, target, int(counting.replayed[chosen].sum())) for target, chosen in ways)
    needs = tuple(
        need_of(claim, target, count) if count else need
        for (target, _), count, need in zip(ways, sure, replayed, strict=True)
    )
    empty = tuple(number for number, count in enumerate(sure) if not count)
    return needs, _doubt(counting, replayed, empty)


def _doubt(counting: Counting, replay_needs: tuple[int, ...], empty: tuple[int, ...] = ()) -> Doubt:
    if counting.surely.all():
        return NO_DOUBT
    doubtful, absent = np.flatnonzero(~counting.surely), np.flatnonzero(~counting.replayed)
    return Doubt(tuple(doubtful.tolist()), tuple(absent.tolist()), replay_needs, empty)


def need_of(claim: RateBound, target: int | None, count: int) -> int:
    """How many of `count` inputs must violate together to refute the bound."""
    limit = claim.limit_of(target) * count
    return max(1, math.ceil(limit)) if claim.below else math.floor(limit) + 1


def _each(rows: Rows, violation: Violation, labels: Integers, counting: Counting) -> Asked:
    single, ones = tuple(np.array([i]) for i in range(len(labels))), (1,) * len(labels)
    pairs = tuple((0, i) for i in range(len(labels)))
    return Asked(rows, (violation,), single, ones, pairs, labels, _doubt(counting, ones))


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
