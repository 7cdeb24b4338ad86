"""What a statement asks: rows, violations, selections of inputs, needs, and which pairs of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from verifluxa.errors import DataError
from verifluxa.lower.outputs import Classes
from verifluxa.question import Integers, Rows, Violation
from verifluxa.spec.spec import PerInput, RateBound


@dataclass(frozen=True, eq=False)
class Asked:
    """What the statement becomes: rows, violations, selections, needs, the pairs that are asked, labels."""

    rows: Rows
    violations: tuple[Violation, ...]
    selections: tuple[Integers, ...]
    needs: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    labels: Integers


def ask_outputs(claim: RateBound | PerInput, found: tuple[Rows, Violation, Integers], name: str) -> Asked:
    """What a claim about outputs asks.

    Args:
        claim: the claim.
        found: its rows, violation and labels.
        name: of the property.
    """
    rows, violation, labels = found
    _not_empty(len(labels), name, None)
    if isinstance(claim, PerInput):
        return _each(rows, violation, labels)
    everything = np.arange(len(labels))
    return Asked(rows, (violation,), (everything,), (need_of(claim, None, len(labels)),), ((0, 0),), labels)


def ask_classes(claim: RateBound | PerInput, classes: Classes, labels: Integers, name: str) -> Asked:
    """What a claim about classes asks.

    Args:
        claim: the claim.
        classes: of the model.
        labels: of the counted inputs, shape (N,).
        name: of the property.
    """
    if isinstance(claim, PerInput):
        _not_empty(len(labels), name, None)
        return _each(classes.rows, classes.single(claim), labels)
    everything = np.arange(len(labels))
    violations, selections, needs = [], [], []
    for target in claim.targets or (None,):
        others = claim.selection.label_is_not_target and target is not None
        chosen = np.flatnonzero(labels != target) if others else everything
        _not_empty(len(chosen), name, target)
        violations.append(classes.targeted(target) if target is not None else classes.untargeted())
        selections.append(chosen)
        needs.append(need_of(claim, target, len(chosen)))
    pairs = tuple((number, number) for number in range(len(violations)))
    return Asked(classes.rows, tuple(violations), tuple(selections), tuple(needs), pairs, labels)


def need_of(claim: RateBound, target: int | None, count: int) -> int:
    """How many of `count` inputs must violate together to refute the bound."""
    limit = claim.limit_of(target) * count
    return max(1, math.ceil(limit)) if claim.below else math.floor(limit) + 1


def _each(rows: Rows, violation: Violation, labels: Integers) -> Asked:
    single = tuple(np.array([i]) for i in range(len(labels)))
    return Asked(rows, (violation,), single, (1,) * len(single), tuple((0, i) for i in range(len(single))), labels)


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
