"""The stage: right on the ground truth, honest about what it cannot decide, and on leaves of a split tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.certificate.scenes import Shape, scene
from tests.certificate.steps import is_unrecorded
from tests.search.small import random_problem, with_need
from tests.smt.queries import in_float32
from tests.soundness.build import Ask, Family, digested, levels, make_problem, mlp, replacing
from tests.soundness.cases import Case, hat, line, one_pixel
from tests.soundness.judge import judge
from tests.soundness.judge_floats import judge_float32
from tests.soundness.networks import hardest, problems
from tests.soundness.table import table
from tests.soundness.truth import Oracle, grid
from verifluxa.certificate.evidence_lines import record_of
from verifluxa.evidence import Node, Outcome, Unrecorded
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation, Affine, Reshape
from verifluxa.question import Problem, Question
from verifluxa.search.initial_bounds import bound_root
from verifluxa.search.leaves import SplitTree
from verifluxa.search.refine import refine_with_smt
from verifluxa.search.workspace import workspace_of
from verifluxa.smt.decide import Answer, Sat, Unknown
from verifluxa.smt.query import Query
from verifluxa.stages import SmtStage
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BoundStage, BranchStage, Stage, Strategy, load_strategy
from verifluxa.verdict import Reason, Verdict

NAMES = list(table())
SMT = SmtStage(seconds=60.0)
LITTLE = BranchStage(boxes=4, joint=False)


def strategy(*stages: Stage) -> Strategy:
    """Some stages and nothing else."""
    return Strategy("some", "sha256:0", stages)


WAYS = {
    "smt alone": strategy(SMT),
    "exact-small": load_strategy("exact-small"),
    "exact-small without attack": load_strategy("exact-small").without("attack"),
    "leaves": strategy(LITTLE, SMT),
}


def only(problem: Problem, *stages: Stage, question: Question | None = None) -> Outcome:
    """One question through some stages."""
    (outcome,) = decide(problem, [question or problem.questions(0)[0]], strategy(*stages))
    return outcome


def check(problem: Problem, outcome: Outcome) -> None:
    """The judge of the soundness tests, with all of the domain."""
    oracle = Oracle(problem)
    judge(problem, outcome, oracle.truth(outcome.question), list(oracle.points(outcome.question)), oracle)


def check_case(case: Case, how: str) -> None:
    """A case must come out right, and be decided where it can be."""
    (outcome,) = decide(case.problem, [case.question], few_boxes(WAYS[how], case))
    check(case.problem, outcome)
    assert outcome.verdict is case.verdict or (outcome.verdict is Verdict.UNKNOWN and not case.decidable)


def few_boxes(found: Strategy, case: Case) -> Strategy:
    """A small budget where no budget helps."""
    if case.decidable:
        return found
    stages = [replace(s, boxes=min(s.boxes, 200)) if isinstance(s, BranchStage) else s for s in found.stages]
    return replace(found, stages=tuple(stages))


@pytest.mark.parametrize(
    ("name", "how"), [(name, list(WAYS)[k % len(WAYS)]) for k, name in enumerate(NAMES[:: len(NAMES) // 50])]
)
def test_the_ground_truth_is_decided(name: str, how: str) -> None:
    check_case(table()[name], how)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", WAYS)
def test_all_of_the_ground_truth_is_decided(name: str, how: str) -> None:
    check_case(table()[name], how)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(problems())
def test_random_networks_at_their_exact_counts(problem: Problem) -> None:
    """Asked at the count, where they must not be certified, and one above, where they must."""
    for shift in (0, 1):
        question, truth = hardest(problem, shift)
        outcome = only(problem, SMT, question=question)
        check(problem, outcome)
        # An open row that touches 0 is not met, but any error at all lets it be.
        touching = truth.verdict is Verdict.UNKNOWN or not problem.constraints.closed.all()
        assert outcome.verdict is truth.verdict or (touching and outcome.reason is Reason.PRECISION)


@pytest.mark.parametrize("name", [name for name in NAMES[3::40] if "continuous" not in name])
def test_float32_answers_are_never_wrong(name: str) -> None:
    case = table()[name]
    problem = digested(replace(case.problem, arithmetic="float32"))
    assert problem.graph.dtype == "float32"
    assert problem.placements[0].stamp.replaces
    outcome = only(problem, SMT, question=case.question)
    assert outcome.verdict in case.float32
    judge_float32(problem, outcome, list(grid(problem.domain)), Oracle(problem), np.random.default_rng(0))


def steep(lead: float) -> Problem:
    """Class 1 leads by `lead - 1000 t`: on 0..255 the error of float32 is near 0.05, at t = 0 next to nothing."""
    return in_float32(one_pixel(line(-1000.0, lead), levels(1, 0, 255)))


def test_points_that_only_rounding_admits_are_left_out() -> None:
    """The solver's candidate t = 0 does not violate in any evaluation, and no other point does."""
    outcome = only(steep(-1e-3), SMT)
    assert outcome.verdict is Verdict.CERTIFIED
    assert outcome.tree == Node(step=Unrecorded())
    judge_float32(steep(-1e-3), outcome, list(grid(steep(0).domain)), Oracle(steep(-1e-3)), np.random.default_rng(0))


def test_a_tie_stays_unknown_for_its_precision() -> None:
    for problem in (
        steep(0.0),
        one_pixel(hat(4, 3, 3.0), levels(1, 0, 8)),
        one_pixel(line(-1.0, 0.0), levels(1, 0, 8, 0)),
    ):
        outcome = only(problem, SMT)
        assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.PRECISION)
        assert outcome.tree is None


def test_a_tie_does_not_hide_a_witness_elsewhere() -> None:
    """A tie at t = 0, and class 0 ahead by far at t = 19 and 20."""
    graph = mlp(
        (1, 1, 1), ([[1.0], [-1.0], [1.0]], [0.0, 0.0, -18.5]), ([[-1.0, -1.0, 40.0], [0.0, 0.0, 0.0]], [0.0, 0.0])
    )
    problem = make_problem(graph, [[3.0]], [1], Family((replacing([0]),), levels(1, 0, 20)), Ask(targets=(0,)))
    for wanted in (problem, in_float32(problem)):
        assert only(wanted, SMT).verdict is Verdict.FALSIFIED


def test_inputs_count_once_whatever_their_alternatives() -> None:
    """Untargeted: each input has two alternatives, asked one by one and then together."""
    problem = random_problem(11, Ask())
    question = problem.questions(0)[0]
    truth = Oracle(problem).truth(question)
    assert 1 < truth.strict == truth.most < len(problem.selections[question.selection])
    for need, verdict in ((truth.most, Verdict.FALSIFIED), (truth.most + 1, Verdict.CERTIFIED)):
        outcome = only(problem, SMT, question=with_need(problem, need))
        assert outcome.verdict is verdict
        check(problem, outcome)


def smooth() -> Problem:
    """Class 1 leads by tanh(t / 4) - tanh(t / 4 + 1) - 0.05 on -40..40; bounds on all of it do not see that."""
    ops = [
        Reshape((-1,)),
        Affine(np.array([[0.25], [0.25]], np.float32), np.array([0.0, 1.0], np.float32)),
        Activation("tanh"),
        Affine(np.array([[0.0, 0.0], [1.0, -1.0]], np.float32), np.array([0.0, -0.05], np.float32)),
    ]
    family = Family((replacing([0]),), levels(1, -40, 40))
    return make_problem(chain((1, 1, 1), ops), [[0.0]], [0], family, Ask(targets=(1,)))


def test_a_smooth_network_is_left_to_the_next_stage() -> None:
    outcome = only(smooth(), SMT)
    assert (outcome.verdict, outcome.reason, outcome.stage) == (Verdict.UNKNOWN, Reason.UNSUPPORTED, "smt")
    outcome = only(smooth(), SMT, BranchStage())
    assert (outcome.verdict, outcome.stage) == (Verdict.CERTIFIED, "branch")


HAT = one_pixel(hat(4, 3, 3.5), levels(1, 0, 8))


def test_too_many_case_splits_are_left_to_the_next_stage() -> None:
    without_clipping = one_pixel(hat(4, 3, 3.0), levels(1, 0, 8))
    outcome = only(without_clipping, replace(SMT, unstable=0))
    assert (outcome.verdict, outcome.reason, outcome.proved) == (Verdict.UNKNOWN, Reason.STRATEGY, 1)
    problem = random_problem(11, Ask())
    question = problem.questions(0)[0]
    need = Oracle(problem).truth(question).most + 1
    outcome = only(problem, replace(SMT, unstable=0), question=with_need(problem, need))
    assert outcome.reason is Reason.STRATEGY
    outcome = only(problem, replace(SMT, unstable=0), BranchStage(), question=with_need(problem, need))
    assert (outcome.verdict, outcome.stage) == (Verdict.CERTIFIED, "branch")


def test_inputs_with_too_many_case_splits_count_as_violating() -> None:
    """The first input always violates and bends nowhere; the second does so where |t - 5| < 0.5, which bends."""
    first = ([[1.0, 100.0], [-1.0, 100.0], [0.0, 300.0]], [-5.0, 5.0, 0.0])
    graph = mlp((1, 1, 2), first, ([[0.0, 0.0, 0.0], [-1.0, -1.0, 1.0]], [0.0, 0.5]))
    family = Family((replacing([0]),), levels(1, 0, 8))
    problem = make_problem(graph, [[0.0, 1.0], [0.0, 0.0]], [0, 0], family, Ask(targets=(1,), need=2))
    check(problem, only(problem, replace(SMT, unstable=0)))
    assert only(problem, replace(SMT, unstable=0)).verdict is not Verdict.CERTIFIED
    assert only(problem, replace(SMT, unstable=3)).verdict is Verdict.FALSIFIED


def test_no_time_left_is_said() -> None:
    outcome = only(HAT, replace(SMT, seconds=1e-9))
    assert (outcome.verdict, outcome.reason, outcome.stage) == (Verdict.UNKNOWN, Reason.TIME, "smt")


class Stubborn:
    """A solver that always gives the same answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self, memory_mb: int) -> Stubborn:
        return self

    def __enter__(self) -> Stubborn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def decide(self, query: Query, seconds: float) -> Answer:
        self.asked += 1
        return self.answer


def refined(problem: Problem, question: Question, solver: Stubborn) -> Outcome:
    """One question that bounds leave open, by this solver."""
    work = workspace_of(problem)
    (rooted,) = bound_root(work, [question], "crown")
    (outcome,) = refine_with_smt(work, [SplitTree(question, Node(dropped=rooted.dropped()))], SMT, None, solver)
    return outcome


def hard() -> tuple[Problem, Question]:
    """A question that neither bounds nor clipping decide."""
    problem = random_problem(11, Ask())
    truth = Oracle(problem).truth(problem.questions(0)[0])
    return problem, with_need(problem, truth.most + 1)


@pytest.mark.parametrize("reason", [Reason.TIME, Reason.MEMORY, Reason.LOST_WORKER, Reason.STRATEGY])
def test_an_unknown_of_the_solver_keeps_its_reason(reason: Reason) -> None:
    problem, question = hard()
    for asked in (question, with_need(problem, 1)):
        outcome = refined(problem, asked, Stubborn(Unknown(reason)))
        assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, reason)


@pytest.mark.parametrize(
    "point", [(Fraction(0), Fraction(0)), (Fraction(7, 3), Fraction(5, 3)), (Fraction(99), Fraction(-1))]
)
def test_candidates_that_do_not_violate_refute_nothing(point: tuple[Fraction, ...]) -> None:
    """A solver that lies in this direction costs an answer, never a wrong one; and it is not asked for ever."""
    liar = Stubborn(Sat(point))
    problem, question = hard()
    outcome = refined(problem, question, liar)
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.PRECISION)
    assert liar.asked < 100


def leaves(node: Node) -> list[Node]:
    """All leaves of a tree."""
    return [leaf for child in node.children for leaf in leaves(child)] if node.children else [node]


@pytest.mark.parametrize("strips", [0, 2])
def test_open_leaves_of_a_search_are_closed(strips: int) -> None:
    """What branching left open when its boxes were spent; the judge checks every leaf at every point in it."""
    seen: list[Node] = []
    for seed in range(8):
        problem = random_problem(seed, Ask())
        question = problem.questions(0)[0]
        need = Oracle(problem).truth(question).most + 1
        outcome = only(problem, replace(LITTLE, slabs=strips), SMT, question=with_need(problem, need))
        assert outcome.verdict is Verdict.CERTIFIED
        check(problem, outcome)
        assert outcome.tree is not None
        seen += leaves(outcome.tree) if outcome.tree.split is not None and outcome.stage == "smt" else []
    assert sum(is_unrecorded(leaf) for leaf in seen) > 3
    assert sum(not is_unrecorded(leaf) for leaf in seen) > 3


def test_a_witness_on_a_leaf_is_found() -> None:
    found = set()
    for seed in range(8):
        problem = random_problem(seed, Ask(targets=(1,)))
        question = problem.questions(0)[0]
        asked = len(problem.selections[question.selection])
        need = Oracle(problem).truth(question).strict if asked else 0
        if need:
            outcome = only(problem, replace(LITTLE, boxes=1), SMT, question=with_need(problem, need))
            assert outcome.verdict is Verdict.FALSIFIED
            check(problem, outcome)
            found.add(outcome.stage)
    assert "smt" in found


def test_bounds_that_suffice_are_kept_as_evidence() -> None:
    """Clipping alone closes the leaf: nothing is left to the solver, and what clipped can be rechecked."""
    problem = random_problem(8, Ask())
    outcome = only(problem, SMT, question=with_need(problem, 5))
    check(problem, outcome)
    assert (outcome.verdict, outcome.stage) == (Verdict.CERTIFIED, "smt")
    assert outcome.tree is not None
    assert not is_unrecorded(outcome.tree)
    assert any(drop.planes for drop in outcome.tree.dropped)


def test_the_checker_counts_what_it_cannot_decide_again() -> None:
    found = scene(1, Shape(limit=Fraction(1, 10)))
    ask = strategy(BoundStage(), SMT)
    records = [
        record_of(outcome)
        for place in range(len(found.problem.placements))
        for outcome in decide(found.problem, found.problem.questions(place), ask)
    ]
    by_solver = [r for r in records if r.tree is not None and is_unrecorded(r.tree)]
    tally = found.check(records)
    assert by_solver
    assert tally.unrechecked == len(by_solver)
    assert tally.leaves == tally.verdicts[Verdict.CERTIFIED] - len(by_solver)


def test_the_shelf_holds_the_limits() -> None:
    found = [stage for stage in load_strategy("exact-small").stages if isinstance(stage, SmtStage)]
    assert [(stage.seconds, stage.memory_mb, stage.unstable) for stage in found] == [(30.0, 2000, 32)]


def test_several_questions_share_a_solver_and_keep_their_answers() -> None:
    """All questions of two placements at once, as one by one."""
    problem = random_problem(5, Ask(targets=(0, 1, 2)))
    asked: Sequence[Question] = list(problem.all_questions())
    together = decide(problem, asked, strategy(SMT))
    alone: list[Any] = [decide(problem, [question], strategy(SMT))[0].verdict for question in asked]
    assert [outcome.question for outcome in together] == asked
    assert [outcome.verdict for outcome in together] == alone
    assert len(set(alone)) > 1
