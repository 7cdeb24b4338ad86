"""Open leaves of a tree: their domains and claims follow from the splits and drops on the way."""

from __future__ import annotations

import math

import torch

from tests.search.small import random_problem
from tests.soundness.build import Ask
from verifluxa.evidence import OPEN, BoxSplit, Counted, Node, PrunedDisjunct, SlabSplit, Split
from verifluxa.question import Domain
from verifluxa.search.leaves import SplitTree, open_leaves
from verifluxa.search.refine import plain_domain
from verifluxa.search.splitters import Subdomain
from verifluxa.search.workspace import workspace_of

PROBLEM = random_problem(11, Ask())
QUESTION = PROBLEM.questions(0)[0]
WORK = workspace_of(PROBLEM)
DIRECTIONS = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)


def found(root: Node) -> list[Subdomain]:
    """The open leaves of a tree on the square 0..6."""
    return list(open_leaves(WORK, SplitTree(QUESTION, root, DIRECTIONS)))


def pairs(leaf: Subdomain) -> set[tuple[int, int]]:
    """Its claims as (input, position)."""
    return set(zip(leaf.claims.input.tolist(), leaf.claims.position.tolist(), strict=True))


def described(domain: Domain) -> tuple[list[float], list[float], list[tuple[list[float], float, float]]]:
    """A domain as plain numbers."""
    strips = domain.slabs
    rows = [] if strips is None else zip(strips.directions.tolist(), strips.lower, strips.upper, strict=True)
    return domain.lower.tolist(), domain.upper.tolist(), [(row, float(low), float(high)) for row, low, high in rows]


def test_a_tree_without_splits_is_its_own_leaf() -> None:
    root = Node()
    (leaf,) = found(root)
    assert leaf.node is root
    assert described(plain_domain(WORK, leaf, DIRECTIONS)) == ([0, 0], [6, 6], [])
    assert len(leaf.claims) == 2 * len(PROBLEM.selections[QUESTION.selection])


def test_closed_leaves_are_passed_over() -> None:
    assert found(Node(step=Counted())) == []
    open_ = Node()
    root = Node(step=Split(BoxSplit(0, 2.0, 3.0), [Node(step=Counted()), open_]))
    assert [leaf.node for leaf in found(root)] == [open_]


def test_splits_on_the_way_make_the_domain() -> None:
    """Box at 2 | 3, then in the upper half a strip at 4, whose halves end or begin there."""
    inner = Node(step=Split(SlabSplit(1, 4.0), [Node(), Node()]))
    root = Node(step=Split(BoxSplit(0, 2.0, 3.0), [Node(), inner]))
    first, second, third = (described(plain_domain(WORK, leaf, DIRECTIONS)) for leaf in found(root))
    assert first == ([0, 0], [2, 6], [])
    assert (second[:2], third[:2]) == (([3, 0], [6, 6]), ([3, 0], [6, 6]))
    ((direction, low, high),) = second[2]
    assert (direction, high) == ([1, -1], 4.0)
    assert low < -6
    ((direction, low, high),) = third[2]
    assert (direction, low) == ([1, -1], 4.0)
    assert 6 < high < math.inf


def test_what_fell_stays_away_below() -> None:
    """A drop at the root holds in both halves, one in a half only there; one alternative may fall without the other."""
    first, second = (int(i) for i in PROBLEM.selections[QUESTION.selection][:2])
    low = Node([PrunedDisjunct(second, (OPEN, 1))])
    root = Node([PrunedDisjunct(first, (0, 1))], Split(BoxSplit(1, 1.0, 2.0), [low, Node()]))
    left, right = (pairs(leaf) for leaf in found(root))
    everything = pairs(found(Node())[0])
    assert everything - right == {(first, 0), (first, 1)}
    assert right - left == {(second, 1)}
