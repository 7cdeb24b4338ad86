"""Branch and bound against enumeration, its budgets, and what must not change an answer."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.small import BranchSettings, counts, most, random_problem, reordered, searched, with_need
from tests.soundness.build import Ask, Family, digested, levels, make_problem, mlp, replacing
from tests.soundness.cases import one_pixel
from tests.soundness.judge import judge
from tests.soundness.truth import Oracle
from verifluxa.evidence import OPEN, BoxSplit, Node, Outcome, SlabSplit
from verifluxa.question import Domain, Problem, Question, SlabConstraints
from verifluxa.search.branch import Steps
from verifluxa.search.disjuncts import BoundContext, Verdicts, decided
from verifluxa.search.initial_bounds import bound_root
from verifluxa.search.workspace import workspace_of
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Reason, Verdict

LITTLE = settings(max_examples=15, deadline=None, derandomize=True)
WAYS = [
    BranchSettings(clip_rounds=0, slabs=0, joint=False),
    BranchSettings(clip_rounds=2, slabs=0, joint=False),
    BranchSettings(clip_rounds=0, slabs=2, joint=False),
    BranchSettings(clip_rounds=3, slabs=1, joint=False),
    BranchSettings(),
    BranchSettings(batch=1),
    BranchSettings(batch=7, clip_rounds=1),
    BranchSettings(batch=5000, gate=0.0),
    BranchSettings(inherit=True),
    BranchSettings(inherit=True, clip_rounds=1, slabs=0, joint=False),
]


def run(
    problem: Problem,
    questions: list[Question],
    how: BranchSettings,
    deadline: float | None = None,
    steps: Steps | None = None,
) -> list[Outcome]:
    work = workspace_of(problem)
    return searched(work, bound_root(work, questions, "crown"), how, deadline, steps)


def check(problem: Problem, outcome: Outcome) -> None:
    """The soundness judge: verdict, counts, witness, and the tree at every trigger."""
    oracle = Oracle(problem)
    judge(problem, outcome, oracle.truth(outcome.question), list(oracle.points(outcome.question)), oracle)


def answers_at_the_count(problem: Problem, how: BranchSettings) -> list[Outcome]:
    """Asked for more than one input, at the exact count and one above, and held against enumeration."""
    question, found = problem.questions(0)[0], []
    strict, loose = most(problem, question, strict=True), most(problem, question)
    for need in {max(2, strict), max(2, loose + 1)}:
        (outcome,) = run(problem, [question._replace(threshold=need)], how)
        wanted = Verdict.FALSIFIED if strict >= need else Verdict.CERTIFIED if loose < need else Verdict.UNKNOWN
        assert outcome.verdict is wanted
        check(problem, outcome)
        assert outcome.verdict is not Verdict.CERTIFIED or loose <= outcome.proved < need
        found.append(outcome)
    return found


@pytest.mark.parametrize("how", WAYS, ids=str)
@LITTLE
@given(st.integers(0, 10_000), st.sampled_from([Ask(), Ask(targets=(1,))]), st.integers(0, 1))
def test_every_way_agrees_with_enumeration(how: BranchSettings, seed: int, ask: Ask, shift: int) -> None:
    """Asked at the exact count, where it must be refuted, and one above, where it must be proved."""
    problem = random_problem(seed, ask)
    question = problem.questions(0)[0]
    if not len(problem.selections[question.selection]):
        return
    strict, loose = most(problem, question, strict=True), most(problem, question)
    need = max(1, strict + shift)
    (outcome,) = run(problem, [question._replace(threshold=need)], how)
    wanted = Verdict.FALSIFIED if strict >= need else Verdict.CERTIFIED if loose < need else Verdict.UNKNOWN
    assert outcome.verdict is wanted
    check(problem, outcome)


def peak(height: float = 3.0) -> Problem:
    """Four inputs; at tau = 10 input i is ahead by height - i, elsewhere less: relu(tau - 10), relu(10 - tau)."""
    graph = mlp(
        (1, 1, 2),
        ([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [-10.0, 10.0, 0.0]),
        ([[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0]], [height, 0.0]),
    )
    family = Family((replacing([0]),), levels(1, 0, 20))
    return make_problem(graph, [[0.0, float(i)] for i in range(4)], [1] * 4, family, Ask(targets=(0,)))


@pytest.mark.parametrize(
    ("need", "verdict"),
    [(1, Verdict.FALSIFIED), (3, Verdict.FALSIFIED), (4, Verdict.UNKNOWN), (5, Verdict.CERTIFIED)],
)
def test_needs_from_one_to_more_than_all(need: int, verdict: Verdict) -> None:
    """At the peak three inputs are ahead and the fourth ties, which decides nothing."""
    (outcome,) = run(peak(), [with_need(peak(), need)], BranchSettings(boxes=300))
    assert outcome.verdict is verdict
    assert outcome.reason is (Reason.PRECISION if verdict is Verdict.UNKNOWN else None)
    check(peak(), outcome)


@pytest.mark.parametrize("step", [1.0, 0.0])
def test_a_tie_at_a_single_point_ends_as_precision(step: float) -> None:
    problem = replace(peak(), domain=levels(1, 10, 10, step))
    (outcome,) = run(problem, [with_need(problem, 4)], BranchSettings())
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.PRECISION)
    assert outcome.tree is None
    assert outcome.proved == 4
    (outcome,) = run(problem, [with_need(problem, 3)], BranchSettings())
    assert outcome.verdict is Verdict.FALSIFIED


def test_a_tie_does_not_hide_a_witness_elsewhere() -> None:
    """A box that can only be left open must not end the search of the others."""
    graph = mlp(
        (1, 1, 1), ([[1.0], [-1.0], [1.0]], [0.0, 0.0, -18.5]), ([[-1.0, -1.0, 40.0], [0.0, 0.0, 0.0]], [0.0, 0.0])
    )
    family = Family((replacing([0]),), levels(1, 0, 20))
    problem = make_problem(graph, [[3.0]], [1], family, Ask(targets=(0,)))
    (outcome,) = run(problem, [problem.questions(0)[0]], BranchSettings())
    assert outcome.verdict is Verdict.FALSIFIED
    check(problem, outcome)


def plateau(arithmetic: str, height: float) -> Problem:
    """Two inputs, ahead by `height` wherever the sum of three values is from 330 to 430, and by less elsewhere.

    Two large neurons cancel out, which leaves their rounding alone.
    """
    side = [[1.0, 1.0, 1.0, 0.0], [-1.0, -1.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    to_first, bias = [-0.25, -0.25, 0.25, -0.25], [-430.0, 330.0, 1000.0, 1000.0]
    graph = mlp((1, 1, 4), (side, bias), ([to_first, [0.0] * 4], [height, 0.0]))
    family = Family((replacing([0, 1, 2]),), levels(3, 0, 255))
    ask = Ask(targets=(0,), need=2, arithmetic=arithmetic)
    return make_problem(graph, [[0.0] * 4, [0.0] * 3 + [1.0]], [1, 1], family, ask)


@pytest.mark.parametrize(
    ("arithmetic", "height", "verdict"),
    [
        ("float32", -1e-6, Verdict.UNKNOWN),
        ("float32", -1e-2, Verdict.CERTIFIED),
        ("float32", 1e-2, Verdict.FALSIFIED),
        ("real", -1e-6, Verdict.CERTIFIED),
    ],
)
def test_who_knows_a_point_that_no_bound_decides_soon_ends(arithmetic: str, height: float, verdict: Verdict) -> None:
    """Millions of points tie within the rounding of float32; none of them has to be walked down to."""
    problem = plateau(arithmetic, height)
    (outcome,) = run(problem, problem.questions(0), BranchSettings(boxes=1000))
    assert (outcome.verdict, outcome.reason) == (verdict, Reason.PRECISION if verdict is Verdict.UNKNOWN else None)
    assert outcome.boxes < 400


@pytest.mark.parametrize(("height", "verdict"), [(0.5, Verdict.FALSIFIED), (-0.01, Verdict.CERTIFIED)])
def test_continuous_domains(height: float, verdict: Verdict) -> None:
    problem = replace(peak(height), domain=levels(1, 0.25, 20.5, 0.0))
    (outcome,) = run(problem, [with_need(problem, 1)], BranchSettings())
    assert outcome.verdict is verdict
    check(problem, outcome)
    for node in nodes(outcome.tree):
        if isinstance(node.split, BoxSplit):
            assert node.split.low_end == node.split.high_start


def test_a_continuous_tie_ends() -> None:
    """At the peak the only input ties: boxes get smaller until they are not worth splitting."""
    problem = replace(peak(0.0), domain=levels(1, 0.0, 21.0, 0.0))
    (outcome,) = run(problem, [with_need(problem, 1)], BranchSettings(boxes=2000))
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.PRECISION)


def nodes(tree: Node | None) -> list[Node]:
    if tree is None:
        return []
    return [tree, *(node for child in tree.children for node in nodes(child))]


def leaves_cover(node: Node, domain: Domain, box: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The boxes of a tree's leaves; splits must cut the box into adjacent grid lines."""
    if node.split is None:
        assert node.step is not None
        assert not node.children
        return [box]
    first, second = node.children
    if isinstance(node.split, SlabSplit):
        leaves_cover(first, domain, box)
        return leaves_cover(second, domain, box)
    k, split = node.split.coordinate, node.split
    assert split.high_start - split.low_end == domain.step[k]
    assert (split.low_end - domain.lower[k]) % domain.step[k] == 0
    assert box[k][0] <= split.low_end < split.high_start <= box[k][1]
    low, high = [*box], [*box]
    low[k], high[k] = (box[k][0], split.low_end), (split.high_start, box[k][1])
    return leaves_cover(first, domain, low) + leaves_cover(second, domain, high)


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.0, 20.0, 1.0), (0.5, 19.5, 1.0), (-3.0, 18.0, 3.0), (0.0, 20.0, 2.5), (1.0, 20.5, 1.0)]
)
def test_splits_stay_on_the_grid_and_cover_it(low: float, high: float, step: float) -> None:
    """Also where the range does not start at a multiple of the step, or does not end on the grid."""
    problem = replace(peak(0.4), domain=levels(1, low, high, step))
    grid = low + step * np.arange(int((high - low) // step) + 1, dtype=np.float64)
    strict = int(counts(problem, with_need(problem, 1), grid[:, None], strict=True).max())
    (outcome,) = run(problem, [with_need(problem, strict + 1)], BranchSettings(slabs=0, joint=False, clip_rounds=0))
    assert outcome.verdict is Verdict.CERTIFIED
    assert outcome.tree is not None
    boxes = leaves_cover(outcome.tree, problem.domain, [(low, high)])
    covered = [point for point in grid if any(start <= point <= end for ((start, end),) in boxes)]
    assert covered == grid.tolist()
    check(problem, outcome)


def test_strips_are_used_and_off_when_asked() -> None:
    used = dict.fromkeys((0, 2), 0)
    for seed in (5, 29):
        problem, question = deep(seed)
        for strips in used:
            how = BranchSettings(slabs=strips, joint=False, clip_rounds=0)
            (outcome,) = run(problem, [question], how)
            assert outcome.verdict is Verdict.CERTIFIED
            check(problem, outcome)
            used[strips] += sum(isinstance(node.split, SlabSplit) for node in nodes(outcome.tree))
    assert used[0] == 0 < used[2]


@pytest.mark.parametrize("given", [False, True])
def test_strips_bound_a_domain_where_one_was_split_or_came_along(given: bool) -> None:
    """As long as none cuts the box they say nothing that it does not."""
    seen: list[bool] = []

    def watch(scene: BoundContext, *more: Any) -> Verdicts:
        seen.append(len(scene.geometry.directions) > 0)
        return decided(scene, *more)

    problem, question = deep(29)
    if given:
        strips = SlabConstraints(np.ones((1, 3)), np.array([0.0]), np.array([17.0]))
        problem = replace(problem, domain=replace(problem.domain, slabs=strips))
    how = BranchSettings(slabs=2, joint=False, clip_rounds=0, batch=1)
    (outcome,) = run(problem, [question], how, steps=Steps(decide=watch))
    check(problem, outcome)
    assert sum(seen) == below_strips(outcome.tree, given)
    assert given or 0 < sum(seen) < len(seen)


def below_strips(node: Node | None, cut: bool) -> int:
    """Nodes of a tree with a split strip above them."""
    assert node is not None
    return cut + sum(below_strips(child, cut or isinstance(node.split, SlabSplit)) for child in node.children)


def deep(seed: int) -> tuple[Problem, Question]:
    """A question that is true and takes many boxes: three values, one more input than any trigger reaches."""
    problem = random_problem(seed, positions=(0, 1, 2))
    return problem, with_need(problem, most(problem, problem.questions(0)[0]) + 1)


def test_what_a_domain_excludes_stays_excluded_below() -> None:
    """What halves inherit: no alternative that fell above is asked about, named or counted again."""
    below = 0
    for seed, joint in ((26, False), (26, True), (5, True), (29, False)):
        problem, question = deep(seed)
        (outcome,) = run(problem, [question], BranchSettings(joint=joint, slabs=1, clip_rounds=1))
        assert outcome.tree is not None
        waiting: list[tuple[Node, frozenset[tuple[int, int]]]] = [(outcome.tree, frozenset())]
        while waiting:
            node, gone = waiting.pop()
            records = [(d.input, a) for d in node.dropped for a, row in enumerate(d.rows) if row != OPEN]
            assert len(set(records)) == len(records)
            assert gone.isdisjoint([*records, *((i, a) for i, a, _ in node.clips)])
            below += bool(gone) and bool(records)
            waiting += [(child, gone.union(records)) for child in node.children]
    assert below > 20


def test_boxes_run_out() -> None:
    problem, question = deep(26)
    how = BranchSettings(clip_rounds=0, slabs=0, joint=False)
    (whole,) = run(problem, [question], how)
    assert whole.verdict is Verdict.CERTIFIED
    assert whole.boxes > 20
    for boxes in (1, 7):
        (outcome,) = run(problem, [question], replace(how, boxes=boxes, batch=1))
        assert (outcome.verdict, outcome.reason, outcome.boxes) == (Verdict.UNKNOWN, Reason.NODES, boxes)
        assert outcome.tree is None
        assert (
            outcome.proved == bound_root(workspace_of(problem), [question], "crown")[0].remaining >= question.threshold
        )
    (again,) = run(problem, [question], replace(how, boxes=whole.boxes))
    assert again.verdict is Verdict.CERTIFIED


@pytest.mark.parametrize(("seconds", "late"), [(-1.0, False), (None, True), (1e9, True)])
def test_time_runs_out(seconds: float | None, late: bool) -> None:
    problem = peak(-0.01)
    deadline = time.monotonic() - 1 if late else None
    (outcome,) = run(problem, [with_need(problem, 1)], BranchSettings(seconds=seconds), deadline)
    assert (outcome.verdict, outcome.reason, outcome.boxes) == (Verdict.UNKNOWN, Reason.TIME, 0)


def test_a_budget_that_is_not_reached_changes_nothing() -> None:
    problem = peak(-0.01)
    far = time.monotonic() + 1e6
    (outcome,) = run(problem, [with_need(problem, 1)], BranchSettings(seconds=1e6), far)
    assert outcome.verdict is Verdict.CERTIFIED


@pytest.mark.parametrize("batch", [1, 3, 64, 4096])
def test_the_batch_size_does_not_change_verdicts(batch: int) -> None:
    problem = random_problem(6, Ask(targets=(0, 1, 2)))
    questions = [
        question._replace(threshold=need)
        for question in problem.questions(0)
        for need in range(1, len(problem.selections[question.selection]) + 1)
    ]
    wanted = [outcome.verdict for outcome in run(problem, questions, BranchSettings())]
    assert len(set(wanted)) > 1
    assert [outcome.verdict for outcome in run(problem, questions, BranchSettings(batch=batch))] == wanted


def test_the_same_question_gives_the_same_tree_again() -> None:
    problem, question = deep(26)
    first, second = (run(problem, [question], BranchSettings())[0] for _ in range(2))
    assert first.boxes > 20
    assert (first.verdict, first.boxes, first.proved, first.found) == (
        second.verdict,
        second.boxes,
        second.proved,
        second.found,
    )
    assert first.tree == second.tree


def test_directions_come_with_the_tree() -> None:
    problem = peak(-0.01)
    (outcome,) = run(problem, [with_need(problem, 1)], BranchSettings())
    assert outcome.directions is not None
    assert outcome.directions.shape[1] == 1
    wide = random_problem(1, positions=(0, 1, 2))
    (outcome,) = run(wide, [with_need(wide, 6 + 1)], BranchSettings(slabs=2))
    assert outcome.verdict is Verdict.CERTIFIED
    assert outcome.directions is not None
    assert outcome.directions.shape == (2, 3)


def test_float32_never_certifies_what_one_order_breaks() -> None:
    problem = digested(replace(peak(0.0), arithmetic="float32", domain=levels(1, 10, 10)))
    (outcome,) = run(problem, [with_need(problem, 1)], BranchSettings())
    assert outcome.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_a_margin_far_below_the_size_of_the_terms_is_decided(step: float) -> None:
    """The peak is 4 and the threshold lies 2e-10 above it: float64 can tell."""
    graph = mlp(
        (1, 1, 1),
        ([[1.0], [1.0], [1.0]], [0.0, -4.0, -7.0]),
        ([[0.0, 0.0, 0.0], [1.0, -2.0, 1.0]], [0.0, -4.0 - 2e-10]),
        dtype="float64",
    )
    problem = one_pixel(graph, levels(1, 0, 8, step))
    (outcome,) = decide(problem, list(problem.all_questions()), load_strategy("balanced"))
    assert outcome.verdict is Verdict.CERTIFIED


@pytest.mark.parametrize("seed", [3, 6])
def test_the_order_of_inputs_does_not_change_verdicts(seed: int) -> None:
    problem = random_problem(seed, Ask(targets=(0, 1)))
    turned = reordered(problem, seed)
    for number, question in enumerate(problem.questions(0)):
        for need in range(1, len(problem.selections[question.selection]) + 1):
            (first,) = run(problem, [with_need(problem, need, 0, number)], BranchSettings())
            (second,) = run(turned, [with_need(turned, need, 0, number)], BranchSettings())
            assert first.verdict is second.verdict
