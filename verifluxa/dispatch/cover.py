"""Before anything is called certified: the split tree covers the whole domain, and each leaf is closed once.

This is the driver's own check of what workers sent and what was put together from pieces. It looks at the shape
alone; `cert check` recomputes why the leaves are closed.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.evidence import BoxSplit, Node, Outcome, SlabSplit, parts_of
from verifluxa.question import Domain, Problem


class NotCovered(RuntimeError):
    """A tree that leaves something out: a mistake of ours, never a verdict."""


@dataclass(frozen=True)
class _Place:
    node: Node
    lower: tuple[float, ...]
    upper: tuple[float, ...]


def check_cover(problem: Problem, outcome: Outcome) -> None:
    """Walks the tree of a certified question.

    Raises:
        NotCovered: a split leaves a gap, goes beyond its box or has not two halves or all its cases, or a leaf is open.
    """
    if outcome.tree is None:
        raise NotCovered(f"{outcome.question} is certified without a tree")
    domain = problem.domain_of(outcome.question.placement)
    slabs = 0 if outcome.directions is None else len(outcome.directions)
    waiting = [_Place(outcome.tree, tuple(domain.lower.tolist()), tuple(domain.upper.tolist()))]
    while waiting:
        place = waiting.pop()
        node = place.node
        if node.step is None:
            raise NotCovered(f"{outcome.question}: a leaf is open")
        if node.split is None:
            continue
        if len(node.children) != parts_of(node.split):
            raise NotCovered(f"{outcome.question}: a split has not its halves or cases")
        if isinstance(node.split, BoxSplit):
            waiting += _halves(place, node.split, domain, outcome)
        else:
            if isinstance(node.split, SlabSplit) and node.split.direction >= slabs:
                raise NotCovered(f"{outcome.question}: a split along a direction that is not there")
            waiting += [_Place(child, place.lower, place.upper) for child in node.children]


def _halves(place: _Place, split: BoxSplit, domain: Domain, outcome: Outcome) -> list[_Place]:
    """The halves [lower, low_end] and [high_start, upper]: on a grid nothing but the next line may lie between."""
    at, low, high = split.coordinate, split.low_end, split.high_start
    inside = 0 <= at < len(place.lower) and place.lower[at] <= low <= high <= place.upper[at]
    if not inside or (high != low and not _adjacent(domain, at, low, high)):
        raise NotCovered(f"{outcome.question}: coordinate {at} is split at {low} and {high}")
    first, second = place.node.children
    upper = (*place.upper[:at], low, *place.upper[at + 1 :])
    lower = (*place.lower[:at], high, *place.lower[at + 1 :])
    return [_Place(first, place.lower, upper), _Place(second, lower, place.upper)]


def _adjacent(domain: Domain, at: int, low: float, high: float) -> bool:
    """Whether no point of the domain lies strictly between the two in a coordinate: of its list, or of its grid."""
    for listed in domain.lists:
        for values in listed.points.T[listed.coordinates == at].tolist():
            return not any(low < value < high for value in values)
    step, start = float(domain.step[at]), float(domain.lower[at])
    return step > 0 and low == start + round((low - start) / step) * step and high <= low + step
