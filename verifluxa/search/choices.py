"""Choices of one claim for each of so many inputs without a conflict: found, or shown not to exist. Plain numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MOST_INPUTS = 400
"""The search goes as deep as there are inputs; more of them are left alone."""
Choice = tuple[int, ...]
"""Claims by their numbers, ascending."""


@dataclass
class _Walk:
    """A depth-first search over inputs, each with one of its claims or left out.

    Attributes:
        options: open claims of each input, inputs with most conflicts first.
        threshold: how many inputs have to be taken.
        conflicts: sets of claims; `of` names for each claim those that hold it.
        nodes: how many steps are left.
        missing: of each conflict, how many of its claims are not taken.
        taken: so far.
    """

    options: list[Sequence[int]]
    threshold: int
    conflicts: Sequence[frozenset[int]]
    of: dict[int, list[int]]
    nodes: int
    missing: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)

    def go(self, at: int) -> bool:
        """Whether the rest can be taken from input `at` on; what was taken stays where it can."""
        if len(self.taken) == self.threshold:
            return True
        if len(self.options) - at < self.threshold - len(self.taken) or self.nodes < 0:
            return False
        for claim in self.options[at]:
            self.nodes -= 1
            held = self.of.get(claim, ())
            if any(self.missing[number] == 1 for number in held):
                continue
            self._count(held, -1)
            self.taken.append(claim)
            if self.go(at + 1):
                return True
            self.taken.pop()
            self._count(held, 1)
        return self.go(at + 1)

    def _count(self, held: Iterable[int], change: int) -> None:
        for number in held:
            self.missing[number] += change


@dataclass(frozen=True)
class Chosen:
    """A choice, or None: there is none where `complete`, else the search was too large."""

    choice: Choice | None
    complete: bool


def choose(
    options: Sequence[Sequence[int]], conflicts: Sequence[frozenset[int]], threshold: int, nodes: int = 20000
) -> Chosen:
    """Looks for a choice without a conflict.

    Args:
        options: the open claims of each input.
        conflicts: sets of claims that cannot be met together.
        threshold: how many inputs have to violate.
        nodes: steps of the search.
    """
    if sum(map(bool, options)) < threshold:
        return Chosen(None, True)
    if len(options) > MOST_INPUTS:
        return Chosen(None, False)
    of: dict[int, list[int]] = {}
    for number, conflict in enumerate(conflicts):
        for claim in conflict:
            of.setdefault(claim, []).append(number)

    def weight(claims: Sequence[int]) -> int:
        return -sum(len(of.get(claim, ())) for claim in claims)

    calm = [sorted(claims, key=lambda claim: len(of.get(claim, ()))) for claims in options if claims]
    walk = _Walk(sorted(calm, key=weight), threshold, conflicts, of, nodes, [len(conflict) for conflict in conflicts])
    found = walk.go(0)
    return Chosen(tuple(sorted(walk.taken)) if found else None, found or walk.nodes >= 0)


def several(
    options: Sequence[Sequence[int]], conflicts: Sequence[frozenset[int]], threshold: int, count: int, nodes: int
) -> tuple[list[Choice], bool]:
    """Up to `count` choices, and whether no others exist where there are fewer."""
    known = list(conflicts)
    choices: list[Choice] = []
    while len(choices) < count:
        found = choose(options, known, threshold, nodes)
        if found.choice is None:
            return choices, found.complete
        choices.append(found.choice)
        known.append(frozenset(found.choice))
    return choices, True
