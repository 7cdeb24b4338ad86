"""What a statement asks: violations, selections of inputs, needs, and which pairs of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from verifluxa.errors import DataError
from verifluxa.lower.outputs import per_input_violation, targeted, untargeted
from verifluxa.question import Integers, Violation
from verifluxa.spec.spec import PerInput, Statement


@dataclass(frozen=True, eq=False)
class Asked:
    """What the statement becomes: violations, selections, needs and the pairs that are asked."""

    violations: tuple[Violation, ...]
    selections: tuple[Integers, ...]
    needs: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


def ask(statement: Statement, labels: Integers, classes: int, name: str) -> Asked:
    """What a statement asks of the counted inputs, whose labels are given (shape (N,))."""
    everything = np.arange(len(labels))
    if isinstance(statement, PerInput):
        _not_empty(len(labels), name, None)
        violation = per_input_violation(statement, classes)
        single = tuple(np.array([i]) for i in everything)
        return Asked((violation,), single, (1,) * len(single), tuple((0, i) for i in range(len(single))))
    violations, selections, needs = [], [], []
    for target in statement.targets or (None,):
        others = statement.selection.label_is_not_target and target is not None
        chosen = np.flatnonzero(labels != target) if others else everything
        _not_empty(len(chosen), name, target)
        violations.append(targeted(target, classes) if target is not None else untargeted(classes))
        selections.append(chosen)
        needs.append(math.floor(statement.limit * len(chosen)) + 1)
    return Asked(tuple(violations), tuple(selections), tuple(needs), tuple((t, t) for t in range(len(violations))))


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
