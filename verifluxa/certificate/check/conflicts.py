"""Leaves that are closed by conflicts: alternatives of different inputs that no trigger of the region meets together.

Where all alternatives of a conflict are met, each of their rows is at least 0, and so is any sum of their upper planes
with weights >= 0. A case knows the signs of some values of its inputs, whose bounds are cut at 0 there; the two cases
of a value cover it. For `threshold` inputs to violate, an alternative of each has to be met, and no such choice may
hold all alternatives of a conflict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from verifluxa.certificate.check.bound_checker import MOST_VALUES, BoundChecker, DisjunctCheck, NodeCheck, unproved
from verifluxa.certificate.check.bounds import Sign
from verifluxa.certificate.check.clipped_cases import Node, Plane, check_clipped_cases, clips, summed
from verifluxa.certificate.check.intermediate import intermediate_bounds
from verifluxa.evidence import Case, Conflict, Conflicts

Key = tuple[int, int]
"""An input and the number of one of its alternatives."""
MOST_CHOICES, MOST_INPUTS = 500_000, 400
"""Steps and depth of the search for a choice."""


def check_conflicts(checker: BoundChecker, check: NodeCheck, leaf: Conflicts) -> int | None:
    """Recomputes the conflicts of a leaf.

    Returns:
        The most inputs that can violate together, fewer than needed; None where there are too many choices to say.

    Raises:
        CertificateError: VF5054 for a conflict that does not follow, VF5055 where enough inputs are left without one.
    """
    if leaf.ends:
        checker.known[check.at - checker.first] = {**intermediate_bounds(checker, check), **check.known}
    for conflict in leaf.conflicts:
        if clips(conflict.case):
            _clipped(checker, check, conflict)
            continue
        cases: list[list[Plane]] = []
        for case, signs in _ends(check, conflict.case, ()):
            cases.append(list(_entries(check, conflict, case, signs)))
            if sum(map(len, cases)) * checker.placement.size > MOST_VALUES:
                _refute(checker, check, cases)
                cases = []
        _refute(checker, check, cases)
    known, threshold = [frozenset(conflict.claims) for conflict in leaf.conflicts], check.question.threshold
    options = [[(index, number) for number in alternatives] for index, alternatives in check.left.items()]
    most = _most(options, known, threshold)
    if most is not None and most >= threshold:
        raise unproved(
            "VF5055", f"the conflicts of a leaf leave {most} inputs, {threshold} are needed", check.subdomain
        )
    return most


def _clipped(checker: BoundChecker, check: NodeCheck, conflict: Conflict) -> None:
    """A conflict with cases that start from clipped bounds, which only a single claim may have."""
    (index, number), *more = conflict.claims or [(-1, 0)]
    if more or number >= len(check.question.alternatives.get(index, ())):
        raise unproved("VF5054", "cases are clipped that are not of one claim", check.subdomain)

    def read(node: Node) -> list[Plane]:
        return list(_entries(check, conflict, *node))

    check_clipped_cases(checker, DisjunctCheck(check.at, index, number, None, ()), conflict.case, read, check.subdomain)


def _ends(check: NodeCheck, case: Case, signs: tuple[Sign, ...]) -> Iterator[tuple[Case, tuple[Sign, ...]]]:
    """The cases that are not split further, each with the signs that are known there."""
    if case.split is None:
        yield case, signs
        return
    neuron = check.question.placement.neuron(case.split.layer, case.split.neuron)
    if neuron is None or len(case.children) != 2:
        raise unproved("VF5054", "a conflict splits a neuron that the network does not have", check.subdomain)
    for positive, child in zip((False, True), case.children, strict=True):
        yield from _ends(check, child, (*signs, Sign(case.split.input, *neuron, positive)))


def _entries(check: NodeCheck, conflict: Conflict, case: Case, signs: tuple[Sign, ...]) -> Iterator[Plane]:
    """The planes of a case with their weights."""
    question = check.question
    for plane in case.planes:
        alternatives, row = question.alternatives.get(plane.input, ()), question.row(plane.row)
        met = (plane.input, plane.position) in conflict.claims and plane.position < len(alternatives)
        if not met or row is None or row not in alternatives[plane.position] or plane.weight < 0:
            raise unproved(
                "VF5054", f"a conflict has a row of input {plane.input} that need not be met", check.subdomain
            )
        own = tuple(sign for sign in signs if sign.input == plane.input)
        entry = DisjunctCheck(check.at, plane.input, plane.position, None, (), plane.slopes, plane.betas, own)
        yield entry, row, plane.weight


def _refute(checker: BoundChecker, check: NodeCheck, cases: Sequence[Sequence[Plane]]) -> None:
    """Each case needs an entry that cannot be, or planes whose weighted sum is below 0 on the whole region."""
    every = [plane for case in cases for plane in case]
    weight = np.array([weight for _, _, weight in every])
    number = np.repeat(np.arange(len(cases)), [len(case) for case in cases])
    found = checker.examine([entry for entry, _, _ in every], 0)
    planes = checker.planes(found.state, found.places, [row for _, row, _ in every])
    _, most = summed(checker, planes, weight, number, np.full(len(cases), check.at - checker.first))
    fine = (np.bincount(number, found.gone, len(cases)) > 0) | (most < 0)
    if not fine.all():
        raise unproved(
            "VF5054", "alternatives that are said to exclude each other may be met together", check.subdomain
        )


@dataclass
class _Choices:
    """A search for alternatives of different inputs that hold no conflict; out of steps everything seems possible."""

    options: Sequence[Sequence[Key]]
    conflicts: dict[Key, list[frozenset[Key]]]
    steps: int = MOST_CHOICES

    def possible(self, at: int, taken: frozenset[Key], threshold: int) -> bool:
        """Whether so many inputs from one on can join those that are taken."""
        self.steps -= 1
        if threshold == 0 or self.steps < 0:
            return True
        if len(self.options) - at < threshold:
            return False
        for key in self.options[at]:
            joined = taken | {key}
            held = any(conflict <= joined for conflict in self.conflicts.get(key, ()))
            if not held and self.possible(at + 1, joined, threshold - 1):
                return True
        return self.possible(at + 1, taken, threshold)


def _most(options: Sequence[Sequence[Key]], known: Sequence[frozenset[Key]], threshold: int) -> int | None:
    """The most inputs, at most `need`, that can be chosen together; None where the search is too large."""
    conflicts: dict[Key, list[frozenset[Key]]] = {}
    for conflict in known:
        for key in conflict:
            conflicts.setdefault(key, []).append(conflict)
    busiest = sorted(options, key=lambda keys: -sum(len(conflicts.get(key, ())) for key in keys))
    choices, most = _Choices(busiest, conflicts), min(threshold, len(options))
    while len(options) <= MOST_INPUTS and not choices.possible(0, frozenset(), most):
        most -= 1
    return most if len(options) <= MOST_INPUTS and choices.steps >= 0 else None
