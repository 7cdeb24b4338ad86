"""The judge of split trees accepts a right one and refuses every way of spoiling it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.certificate.steps import edit
from tests.soundness.build import levels
from tests.soundness.cases import aimed, diamond_problem, hat, one_pixel, square
from tests.soundness.judge import Wrong, check_witness, judge, on_grid, sample
from tests.soundness.table import table
from tests.soundness.tree import BadTree, check_tree, leaves
from tests.soundness.truth import Oracle, grid
from verifluxa.evidence import (
    CONTRADICTED,
    OPEN,
    BoxSplit,
    Counted,
    FarkasTerm,
    Joint,
    JointClosing,
    NeuronSplit,
    Node,
    Outcome,
    PrunedDisjunct,
    SlabSplit,
    Split,
    Strongest,
    Witness,
)
from verifluxa.question import Problem
from verifluxa.verdict import Reason, Verdict

TWO_HALVES = diamond_problem(square(1, 8), [[0.0, 2.5], [8.0, 2.5]], aimed(2))
ROW = TWO_HALVES.violations[0].by_label[0][0][0]


def closed(*dropped: PrunedDisjunct) -> Node:
    return Node(list(dropped), Counted())


def split(how: BoxSplit | SlabSplit, low: Node, high: Node, *dropped: PrunedDisjunct) -> Node:
    return Node(list(dropped), Split(how, [low, high]))


def certified(tree: Node | None, problem: Problem = TWO_HALVES) -> Outcome:
    question = next(problem.all_questions())
    return Outcome(
        question, Verdict.CERTIFIED, None, Strongest(1, np.array([4.0])), 1, tree=tree, directions=np.array([[1.0]])
    )


def check(outcome: Outcome, problem: Problem = TWO_HALVES) -> None:
    check_tree(problem, outcome, list(grid(problem.domain)))


def good() -> Node:
    """Input 1 falls on 0..4, input 0 on 5..8; a strip split in the upper half changes nothing."""
    upper = split(SlabSplit(0, 6.5), closed(), closed(), PrunedDisjunct(0, (ROW,)))
    return split(BoxSplit(0, 4.0, 5.0), closed(PrunedDisjunct(1, (ROW,))), upper)


def test_a_right_tree_is_accepted() -> None:
    check(certified(good()))
    assert leaves(good()) == 3


def _lost_leaf(tree: Node) -> None:
    tree.children.pop()


def _open_leaf(tree: Node) -> None:
    tree.children[0].step = None


def _no_drop(tree: Node) -> None:
    tree.children[0].dropped.clear()


def _wrong_input(tree: Node) -> None:
    tree.children[0].dropped[:] = [PrunedDisjunct(0, (ROW,))]


def _too_early(tree: Node) -> None:
    tree.dropped.append(tree.children[0].dropped.pop())


def _gap(tree: Node) -> None:
    edit(tree, partition=BoxSplit(0, 4.0, 6.0))


def _overlap(tree: Node) -> None:
    edit(tree, partition=BoxSplit(0, 4.0, 4.0))


def _off_grid(tree: Node) -> None:
    edit(tree, partition=BoxSplit(0, 3.5, 4.5))


def _outside(tree: Node) -> None:
    edit(tree, partition=BoxSplit(0, 9.0, 10.0))


def _moved(tree: Node) -> None:
    edit(tree, partition=BoxSplit(0, 6.0, 7.0))


def _wrong_row(tree: Node) -> None:
    tree.children[0].dropped[:] = [PrunedDisjunct(1, (1 - ROW,))]


def _open_row(tree: Node) -> None:
    tree.children[0].dropped[:] = [PrunedDisjunct(1, (OPEN,))]


def _too_many_rows(tree: Node) -> None:
    tree.children[0].dropped[:] = [PrunedDisjunct(1, (ROW, ROW))]


def _stranger(tree: Node) -> None:
    tree.children[0].dropped.append(PrunedDisjunct(2, (ROW,)))


def _foreign_plane(tree: Node) -> None:
    tree.children[0].dropped[:] = [PrunedDisjunct(1, (ROW,), (1 - ROW,))]


def _contradiction_without_reason(tree: Node) -> None:
    tree.children[0].dropped[:] = [PrunedDisjunct(1, (CONTRADICTED,))]


SPOILS = [
    *(_lost_leaf, _open_leaf, _no_drop, _wrong_input, _too_early, _gap, _overlap, _off_grid, _outside),
    *(_moved, _wrong_row, _open_row, _too_many_rows, _stranger, _foreign_plane, _contradiction_without_reason),
]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoiled_tree_is_refused(spoil: Callable[[Node], None]) -> None:
    tree = copy.deepcopy(good())
    spoil(tree)
    with pytest.raises(BadTree):
        check(certified(tree))


def test_no_tree_and_no_proof_are_refused() -> None:
    with pytest.raises(BadTree, match="without a tree"):
        check(certified(None))
    with pytest.raises(BadTree, match="has no tree"):
        check(replace(certified(good()), verdict=Verdict.UNKNOWN))


def test_clipped_claims_hold_where_the_planes_are_met() -> None:
    tree = good()
    tree.children[0].dropped[:] = [PrunedDisjunct(1, (ROW,), (ROW,))]
    check(certified(tree))
    tree.children[0].dropped[:] = [PrunedDisjunct(1, (CONTRADICTED,), (ROW,))]
    check(certified(tree))


def test_a_case_of_a_neuron_may_be_empty_for_its_own_input() -> None:
    def cases(of: int) -> Node:
        tree = good()
        ends = [closed(PrunedDisjunct(1, (CONTRADICTED,))), closed(PrunedDisjunct(1, (ROW,)))]
        tree.children[0] = Node(step=Split(NeuronSplit(of, 0, 0), ends))
        return tree

    check(certified(cases(1)))
    with pytest.raises(BadTree, match="said to be below zero"):
        check(certified(cases(0)))


def test_alternatives_fall_one_by_one() -> None:
    problem = table()["two inputs by opposite rows, never at once"].problem
    drops = [PrunedDisjunct(0, (OPEN, 1)), PrunedDisjunct(1, (0,))]
    low, high = closed(PrunedDisjunct(0, (0,))), closed(PrunedDisjunct(1, (OPEN, 1)))
    check(certified(split(BoxSplit(0, 1.0, 2.0), low, high, *drops), problem), problem)
    with pytest.raises(BadTree, match="inputs remain"):
        check(certified(split(BoxSplit(0, 1.0, 2.0), low, high, drops[0]), problem), problem)


def jointly(*parts: Joint, need_one: bool = False) -> Outcome:
    """Both inputs open at the root, closed together; true for need 2, false for need 1."""
    clips = ((0, 0, (ROW,)), (1, 0, ()))
    outcome = certified(Node(step=JointClosing(parts[0], clips, (4.0,))))
    return replace(outcome, question=outcome.question._replace(threshold=1)) if need_one else outcome


DUAL = Joint((FarkasTerm(0, 0, ROW, False, 0.5), FarkasTerm(1, 0, ROW, True, 0.5)), (0.0,))


def test_a_joint_closing_is_accepted_where_it_is_true() -> None:
    check(jointly(DUAL))
    check(jointly(Joint(branch_on=1, children=(DUAL, DUAL))))
    with pytest.raises(BadTree, match="enough inputs violate"):
        check(jointly(DUAL, need_one=True))


@pytest.mark.parametrize(
    "joint",
    [
        Joint((FarkasTerm(2, 0, ROW, False, 0.5),)),
        Joint((FarkasTerm(0, 1, ROW, False, 0.5),)),
        Joint((FarkasTerm(0, 0, 1 - ROW, False, 0.5),)),
        Joint((FarkasTerm(0, 0, ROW, False, -0.5),)),
        Joint((FarkasTerm(0, 0, ROW, False, float("nan")),)),
        Joint(children=(DUAL, DUAL)),
        Joint(branch_on=1, children=(DUAL,)),
        Joint(branch_on=2, children=(DUAL, DUAL)),
        Joint(branch_on=1, children=(DUAL, Joint(branch_on=1, children=(DUAL, DUAL)))),
        Joint(DUAL.weights, branch_on=1, children=(DUAL, DUAL)),
    ],
)
def test_a_malformed_joint_closing_is_refused(joint: Joint) -> None:
    with pytest.raises(BadTree):
        check(jointly(joint))


@pytest.mark.parametrize("clips", [((0, 0, ()),), ((0, 0, ()), (1, 0, (1 - ROW,))), ((0, 0, ()), (0, 0, ()))])
def test_clips_name_each_open_claim_once(clips: tuple[tuple[int, int, tuple[int, ...]], ...]) -> None:
    with pytest.raises(BadTree):
        check(certified(Node(step=JointClosing(DUAL, clips, (4.0,)))))


def test_a_cut_strip_must_not_lose_points() -> None:
    """Both halves of a strip are closed, so a point on the cut counts in both: input 0 still violates at 2."""
    low, high = closed(PrunedDisjunct(1, (ROW,))), closed(PrunedDisjunct(0, (ROW,)))
    check(certified(split(SlabSplit(0, 4.0), low, high)))
    with pytest.raises(BadTree, match="met on the node"):
        check(certified(split(SlabSplit(0, 2.0), low, high)))


def test_continuous_halves_share_their_end() -> None:
    problem = diamond_problem(levels(1, 0, 8, 0), [[0.0, 2.5], [8.0, 2.5]], aimed(2))
    points = list(Oracle(problem).points(next(problem.all_questions())))
    low, high = closed(PrunedDisjunct(1, (ROW,))), closed(PrunedDisjunct(0, (ROW,)))
    check_tree(problem, certified(split(BoxSplit(0, 4.0, 4.0), low, high), problem), points)
    with pytest.raises(BadTree, match="halves"):
        check_tree(problem, certified(split(BoxSplit(0, 4.0, 5.0), low, high), problem), points)


def falsified(trigger: float, inputs: tuple[int, ...] = (0,), margins: tuple[float, ...] = (0.5,)) -> Outcome:
    question = next(ONE_HAT.all_questions())
    strongest = Strongest(1, np.array([trigger]))
    return Outcome(question, Verdict.FALSIFIED, None, strongest, 1, Witness(np.array([trigger]), inputs, margins, 1))


ONE_HAT = one_pixel(hat(4, 3, 2.5), square(1, 8))


def run_judge(outcome: Outcome, problem: Problem = ONE_HAT) -> None:
    oracle = Oracle(problem)
    judge(problem, outcome, oracle.truth(outcome.question), list(grid(problem.domain)), oracle)


def test_a_right_witness_is_accepted() -> None:
    run_judge(falsified(4.0))


@pytest.mark.parametrize(
    "outcome",
    [
        falsified(3.0),
        falsified(4.25),
        falsified(12.0),
        falsified(4.0, (0, 0), (0.5, 0.5)),
        falsified(4.0, (0,), (0.25,)),
        falsified(4.0, (0,), ()),
        falsified(4.0, (), ()),
        replace(falsified(4.0), witness=None),
        replace(falsified(4.0), strongest=Strongest(2)),
        replace(falsified(4.0), proved=0),
        replace(falsified(4.0), reason=Reason.TIME),
        replace(falsified(4.0), verdict=Verdict.UNKNOWN),
        replace(certified(closed(), ONE_HAT), proved=0, strongest=Strongest()),
    ],
)
def test_a_wrong_outcome_is_refused(outcome: Outcome) -> None:
    with pytest.raises(Wrong):
        run_judge(outcome)


def test_a_tie_is_no_witness() -> None:
    tie = one_pixel(hat(4, 3, 3.0), square(1, 8))
    witness = Witness(np.array([4.0]), (0,), (0.0,), 0)
    outcome = replace(falsified(4.0), question=next(tie.all_questions()), witness=witness)
    with pytest.raises(Wrong):
        check_witness(tie, outcome, Oracle(tie))


def test_sampled_points_are_legal_triggers() -> None:
    mixed = table()["one grid, one continuous coordinate, radius 0.75"].problem.domain
    points = sample(mixed, 40, np.random.default_rng(0))
    assert len(set(points)) > 10
    assert all(on_grid(mixed, point) for point in points)
