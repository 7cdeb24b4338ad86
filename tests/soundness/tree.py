"""An independent judge of a split tree: its halves cover, its counts add up, and what it drops does not violate.

The last point is checked at points of the domain (all of them where the domain is small), in exact rationals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from tests.soundness.truth import Answers, Bools, Oracle, Point, dot
from verifluxa.evidence import (
    CONTRADICTED,
    OPEN,
    BoxSplit,
    Case,
    Conflicts,
    Counted,
    FarkasTerm,
    InputSplit,
    Joint,
    JointClosing,
    NeuronSplit,
    Node,
    Outcome,
    PrunedDisjunct,
    SlabSplit,
    parts_of,
)
from verifluxa.question import Domain, Problem, Question
from verifluxa.verdict import Verdict

Indices = NDArray[np.intp]


class BadTree(AssertionError):
    """The tree does not prove what the outcome claims."""


@dataclass(frozen=True, eq=False)
class _Judge:
    problem: Problem
    question: Question
    answers: Answers
    directions: Sequence[Sequence[float]]

    @property
    def selected(self) -> list[int]:
        return [int(i) for i in self.problem.selections[self.question.selection]]

    @cached_property
    def met(self) -> Bools:
        """Whether each row is met at each point, (T, S, R): many records ask for parts of it."""
        return self.answers.met(self.problem.constraints.closed)

    def options(self, number: int) -> tuple[tuple[int, ...], ...]:
        """The alternatives of one input."""
        by_label = self.problem.violations[self.question.violation].by_label
        return by_label[int(self.problem.labels[number])]


Claims = frozenset[tuple[int, int]]
"""(input, alternative) pairs."""


@dataclass(frozen=True)
class _Region:
    """A node's domain: the box in exact numbers, the points that lie in it, the alternatives that have fallen.

    `cases` are inputs of which a neuron was split above: not all points are in such a case. `above` are the rows that
    clipped what a claim starts from here. `must` are inputs that are taken to violate. Where what follows speaks only
    of points that meet the question, there are no `points` any more.
    """

    lower: Point
    upper: Point
    points: Indices
    fallen: Claims
    cases: frozenset[int] = frozenset()
    above: Mapping[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    must: frozenset[int] = frozenset()


def check_tree(problem: Problem, outcome: Outcome, points: Sequence[Point], oracle: Oracle | None = None) -> None:
    """Checks a certified outcome's tree.

    Args:
        problem: what was asked.
        outcome: a certified outcome.
        points: triggers of the domain at which dropped inputs are evaluated exactly.
        oracle: an evaluator of this problem, where there is one already.

    Raises:
        BadTree: when anything is wrong.
    """
    if outcome.verdict is not Verdict.CERTIFIED:
        raise BadTree(f"{outcome.verdict} has no tree to check")
    if outcome.tree is None:
        raise BadTree("certified without a tree")
    answers = (oracle or Oracle(problem)).answers(outcome.question, points)
    directions = [] if outcome.directions is None else outcome.directions.tolist()
    judge = _Judge(problem, outcome.question, answers, directions)
    lower, upper = exact_ends(problem.domain)
    root = _Region(lower, upper, np.arange(len(points)), frozenset())
    stack = [(outcome.tree, root)]
    while stack:
        node, region = stack.pop()
        stack += _check_node(judge, node, region)


def exact_ends(domain: Domain) -> tuple[Point, Point]:
    """Both corners of the box, exactly."""
    return tuple(map(Fraction, domain.lower.tolist())), tuple(map(Fraction, domain.upper.tolist()))


def leaves(node: Node) -> int:
    """Number of leaves below a node."""
    return sum(leaves(child) for child in node.children) if node.children else 1


def _check_node(judge: _Judge, node: Node, region: _Region) -> list[tuple[Node, _Region]]:
    for dropped in node.dropped:
        _check_dropped(judge, dropped, region)
    fell = {(d.input, a) for d in node.dropped for a, row in enumerate(d.rows) if row != OPEN}
    region = replace(region, fallen=region.fallen | fell)
    if node.split is None:
        _check_leaf(judge, node, region)
        return []
    if len(node.children) != parts_of(node.split):
        raise BadTree("a split node has its children")
    open_disjuncts = _open_claims(judge, region)
    if node.clips:
        _check_clips(judge, node, open_disjuncts, some=True)
        _check_shared(judge, node, open_disjuncts)
    if node.shared or isinstance(node.split, InputSplit):
        _check_points(judge, region)
        region = replace(region, points=region.points[:0])
    if isinstance(node.split, InputSplit):
        return list(zip(node.children, _input_cases(judge, node, region, open_disjuncts), strict=True))
    if isinstance(node.split, BoxSplit):
        halves = _box_halves(judge, node.split, region)
    elif isinstance(node.split, NeuronSplit):
        region = replace(region, cases=region.cases | {node.split.input})
        halves = (region, region)  # cases of an evaluation, not parts of the domain
    else:
        halves = _strip_halves(judge, node.split, region)
    if len(np.union1d(halves[0].points, halves[1].points)) != len(region.points):
        raise BadTree(f"{node.split} loses points")
    above = region.above | {(i, a): (*region.above.get((i, a), ()), *rows) for i, a, rows in node.clips}
    pairs = zip(node.children, halves, strict=True)
    return [(child, replace(half, above={} if child.anew else above)) for child, half in pairs]


def _check_conflicts(judge: _Judge, leaf: Conflicts, open_disjuncts: set[tuple[int, int]]) -> None:
    """Every choice of `need` inputs, each by an open alternative, holds a conflict."""
    conflicts = [frozenset(conflict.claims) for conflict in leaf.conflicts]
    for conflict in leaf.conflicts:
        _check_case(judge, conflict.case, frozenset(conflict.claims), ())
    inputs = sorted({number for number, _ in open_disjuncts})
    for some in combinations(inputs, judge.question.threshold):
        for choice in product(*([claim for claim in open_disjuncts if claim[0] == number] for number in some)):
            if not any(conflict <= set(choice) for conflict in conflicts):
                raise BadTree(f"{choice} holds no conflict")


def _check_case(judge: _Judge, case: Case, claims: Claims, split: tuple[NeuronSplit, ...]) -> None:
    if case.split is not None:
        if len(case.children) != 2 or case.split in split or (case.planes and len(claims) > 1):
            raise BadTree("a split case has two children, planes of one claim, and is not split twice by one neuron")
        _check_steered(judge, case, claims, split)
        for child in case.children:
            _check_case(judge, child, claims, (*split, case.split))
        return
    if not case.planes:
        raise BadTree("a leaf of a conflict has planes")
    _check_steered(judge, case, claims, split)


def _check_steered(judge: _Judge, case: Case, claims: Claims, split: tuple[NeuronSplit, ...]) -> None:
    for plane in case.planes:
        if not plane.weight > 0:
            raise BadTree("a plane of a conflict without a positive weight")
        if (plane.input, plane.position) not in claims:
            raise BadTree("a plane of a claim that the conflict does not name")
        if plane.row not in judge.options(plane.input)[plane.position]:
            raise BadTree("a plane of a row that the alternative does not have")
        known = {(s.layer, s.neuron) for s in split if s.input == plane.input}
        if not {(layer, neuron) for layer, neuron, _ in plane.betas} <= known:
            raise BadTree("a push on a neuron that is not split")


def _check_leaf(judge: _Judge, node: Node, region: _Region) -> None:
    if node.step is None:
        raise BadTree("an open leaf")
    open_disjuncts = _open_claims(judge, region)
    remaining = len({i for i, _ in open_disjuncts})
    if region.must - {i for i, _ in open_disjuncts}:
        remaining = 0  # an input that is taken to violate cannot
    if isinstance(node.step, JointClosing):
        _check_joint(judge, node, node.step, open_disjuncts)
    elif isinstance(node.step, Conflicts):
        _check_conflicts(judge, node.step, open_disjuncts)
    elif isinstance(node.step, Counted) and remaining >= judge.question.threshold:  # others are judged by their points
        raise BadTree(f"{remaining} inputs remain at a closed leaf, need is {judge.question.threshold}")
    _check_points(judge, region)


def _check_points(judge: _Judge, region: _Region) -> None:
    if judge.answers.loose[region.points].sum(axis=1, initial=0).max(initial=0) >= judge.question.threshold:
        raise BadTree("a part of the domain is closed and a trigger in it makes enough inputs violate")


def _input_cases(judge: _Judge, node: Node, region: _Region, open_disjuncts: set[tuple[int, int]]) -> Iterator[_Region]:
    """One of the inputs with cases must violate; those before it do not, and have one alternative whose row clips."""
    assert isinstance(node.split, InputSplit)
    inputs = [i for i, _ in node.split.cases]
    if len({i for i, _ in open_disjuncts} - set(inputs)) >= judge.question.threshold or len(set(inputs)) < len(inputs):
        raise BadTree(f"cases of the inputs {inputs} of {sorted(open_disjuncts)}, need is {judge.question.threshold}")
    for i, row in node.split.cases:
        own = {a for n, a in open_disjuncts if n == i}
        if len(own) != 1 or row not in judge.options(i)[min(own)]:
            raise BadTree(f"row {row} clips in the case of input {i}, which it need not meet")
        yield replace(region, must=region.must | {i})
        region = replace(region, fallen=region.fallen | {(i, a) for a in own})


def _open_claims(judge: _Judge, region: _Region) -> set[tuple[int, int]]:
    return {(i, a) for i in judge.selected for a in range(len(judge.options(i)))} - region.fallen


def _check_clips(judge: _Judge, node: Node, open_disjuncts: set[tuple[int, int]], some: bool = False) -> None:
    """Clips speak of all open claims, or of some, each once, and of their own rows."""
    clipped = {(i, a) for i, a, _ in node.clips}
    if len(clipped) != len(node.clips) or clipped - open_disjuncts or (clipped != open_disjuncts and not some):
        raise BadTree(f"clips speak of {sorted(clipped)}, open are {sorted(open_disjuncts)}")
    for i, a, rows in node.clips:
        if not set(rows) <= set(judge.options(i)[a]):
            raise BadTree(f"the planes {rows} are not rows of the alternative {judge.options(i)[a]}")


def _check_shared(judge: _Judge, node: Node, open_disjuncts: set[tuple[int, int]]) -> None:
    """Claims clip each other where all of them must be met, by rows of their own."""
    for i, row in node.shared:
        met = [rows for n, a in open_disjuncts if n == i for rows in [judge.options(n)[a]]]
        if (
            len(open_disjuncts) != judge.question.threshold
            or len({n for n, _ in open_disjuncts}) != judge.question.threshold
        ):
            raise BadTree(f"planes are shared by {sorted(open_disjuncts)}, need is {judge.question.threshold}")
        if not met or row not in met[0]:
            raise BadTree(f"row {row} is shared, which input {i} need not meet")


def _check_joint(judge: _Judge, node: Node, leaf: JointClosing, open_disjuncts: set[tuple[int, int]]) -> None:
    """The form of a joint closing: it speaks of open claims and their rows, and branches on their inputs."""
    _check_clips(judge, node, open_disjuncts)
    _check_shared(judge, node, open_disjuncts)
    stack: list[tuple[Joint, frozenset[int]]] = [(leaf.joint, frozenset())]
    while stack:
        joint, fixed = stack.pop()
        for weighted in joint.weights:
            _check_weighted(judge, weighted, (leaf, open_disjuncts))
        if joint.branch_on < 0 and joint.children:
            raise BadTree("children of a joint closing that does not branch")
        if joint.branch_on >= 0:
            if joint.weights or len(joint.children) != 2 or joint.branch_on in fixed:
                raise BadTree("a joint closing branches on an input once, into two, and carries no weights then")
            if joint.branch_on not in {i for i, _ in open_disjuncts}:
                raise BadTree(f"a joint closing branches on input {joint.branch_on}, which is not open")
            stack += [(child, fixed | {joint.branch_on}) for child in joint.children]


def _check_weighted(judge: _Judge, weighted: FarkasTerm, at: tuple[JointClosing, set[tuple[int, int]]]) -> None:
    leaf, open_disjuncts = at
    claim = (weighted.input, weighted.position)
    if claim not in open_disjuncts or weighted.row not in judge.options(weighted.input)[weighted.position]:
        raise BadTree(f"{weighted} is not about an open claim's row")
    if not 0 <= weighted.weight < math.inf:
        raise BadTree(f"the weight {weighted.weight} is not a nonnegative number")
    if weighted.tangent and len(leaf.point) != len(judge.problem.domain.lower):
        raise BadTree("a tangent without the point where it touches")


def _check_dropped(judge: _Judge, dropped: PrunedDisjunct, region: _Region) -> None:
    if dropped.input not in judge.selected:
        raise BadTree(f"input {dropped.input} is dropped but not asked about")
    options = judge.options(dropped.input)
    claims = [(alternative, row) for alternative, row in enumerate(dropped.rows) if row != OPEN]
    if len(dropped.rows) > len(options) or not claims or (dropped.planes and len(claims) != 1):
        raise BadTree(f"{dropped} does not fit the alternatives {options}")
    met = judge.met[region.points, judge.selected.index(dropped.input)]
    for alternative, row in claims:
        known = region.above.get((dropped.input, alternative), ())
        _check_claim(met, row, options[alternative], (dropped, known, dropped.input in region.cases))


def _check_claim(
    met: Bools, row: int, option: tuple[int, ...], at: tuple[PrunedDisjunct, tuple[int, ...], bool]
) -> None:
    """The alternative is met nowhere; its row is below zero: everywhere, or where the clipping rows are met.

    Those of the domains above are among them where the claim starts from there.

    Contradicted: there is no point where the clipping rows are met (without any: no point at all). In a case of a
    neuron both hold of the points with its sign alone, which are not known here.
    """
    dropped, known, in_case = at
    if row not in (*option, CONTRADICTED):
        raise BadTree(f"row {row} is not in the alternative {option}")
    if not set(dropped.planes) <= set(option):
        raise BadTree(f"the planes {dropped.planes} are not rows of the alternative {option}")
    if met[:, list(option)].all(axis=1).any():
        raise BadTree(f"the alternative {option} of input {dropped.input} fell and is met on the node's domain")
    clipped = met[:, [*dropped.planes, *known]].all(axis=1)
    if not in_case and (clipped if row == CONTRADICTED else clipped & met[:, row]).any():
        raise BadTree(f"row {row} of input {dropped.input} is said to be below zero and is not")


def _box_halves(judge: _Judge, split: BoxSplit, region: _Region) -> tuple[_Region, _Region]:
    k = split.coordinate
    end, start = Fraction(split.low_end), Fraction(split.high_start)
    step = Fraction(float(judge.problem.domain.step[k]))
    origin = Fraction(float(judge.problem.domain.lower[k]))
    if start != end + step:
        raise BadTree(f"the halves of coordinate {k} end at {end} and start at {start}, the grid's step is {step}")
    if step and (end - origin) % step:
        raise BadTree(f"{end} is not on the grid of coordinate {k}")
    if not region.lower[k] <= end or not start <= region.upper[k]:
        raise BadTree(f"{split} lies outside its box")
    values = [judge.answers.points[p][k] for p in region.points]
    low = _cut(region, upper=_put(region.upper, k, end), inside=[value <= end for value in values])
    high = _cut(region, lower=_put(region.lower, k, start), inside=[value >= start for value in values])
    return low, high


def _strip_halves(judge: _Judge, split: SlabSplit, region: _Region) -> tuple[_Region, _Region]:
    direction = judge.directions[split.direction]
    cut = Fraction(split.cut)
    values = [dot(direction, judge.answers.points[p]) for p in region.points]
    low = _cut(region, inside=[value <= cut for value in values])
    high = _cut(region, inside=[value >= cut for value in values])
    return low, high


def _put(point: Point, k: int, value: Fraction) -> Point:
    return (*point[:k], value, *point[k + 1 :])


def _cut(region: _Region, *, inside: list[bool], lower: Point | None = None, upper: Point | None = None) -> _Region:
    points = region.points[np.array(inside, dtype=bool)]
    return replace(region, lower=lower or region.lower, upper=upper or region.upper, points=points)
