"""A tree that one search left open is finished by others, leaf by leaf, to the very same tree and answer."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tests.search.small import BranchSettings, in_real, most, random_problem, with_need
from tests.search.test_branching import check
from tests.soundness.build import Ask
from verifluxa.certificate.tree_codec import decode_tree, encode_tree
from verifluxa.dispatch.pieces import at, graft, open_paths, pieces, pruned_to
from verifluxa.question import Problem, Question
from verifluxa.search.branch import BranchResult, Steps, branch_further, branch_on_boxes
from verifluxa.search.initial_bounds import bound_root
from verifluxa.search.leaves import SplitTree
from verifluxa.search.workspace import workspace_of
from verifluxa.verdict import Verdict

WHOLE = BranchSettings(slabs=2)
INHERITING = BranchSettings(slabs=2, joint=False, inherit=True)


def begun(
    problem: Problem, question: Question, boxes: int, how: BranchSettings = WHOLE, steps: Steps | None = None
) -> BranchResult:
    work = workspace_of(problem)
    rooted, how = bound_root(work, [question], "interval"), replace(how, boxes=boxes)
    (explored,) = itertools.chain.from_iterable(branch_on_boxes(work, rooted, how, None, 1, steps))
    return explored


def finished(
    problem: Problem, explored: BranchResult, boxes: int, how: BranchSettings = WHOLE, steps: Steps | None = None
) -> BranchResult:
    """Piece by piece, last piece first, in no more than `boxes` domains a piece."""
    work = workspace_of(problem)
    question, root, directions = explored.outcome.question, explored.root, explored.directions
    waiting, reason = pieces(root, 3), None
    while waiting:
        paths = waiting.pop()
        tree = SplitTree(question, pruned_to(root, paths), directions)
        further = branch_further(work, [tree], replace(how, boxes=boxes), None, 1, steps)
        (part,) = itertools.chain.from_iterable(further)
        graft(root, part.root, paths)
        if part.outcome.verdict is Verdict.FALSIFIED:
            return part
        if part.cut_short:
            waiting += pieces(root, 2, paths)
        else:
            reason = reason or part.outcome.reason
    outcome = replace(explored.outcome, verdict=Verdict.UNKNOWN, reason=reason, tree=None)
    if reason is None:
        outcome = replace(outcome, verdict=Verdict.CERTIFIED, proved=question.threshold - 1)
        outcome = replace(outcome, tree=root, directions=directions.numpy())
    return BranchResult(outcome, root, directions)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shift", [0, 1])
def test_pieces_give_the_tree_that_one_search_gives(seed: int, shift: int) -> None:
    problem = random_problem(seed, Ask())
    question = problem.questions(0)[0]
    need = max(1, most(problem, question) + shift)
    question = with_need(problem, need)
    whole = begun(problem, question, 5000)
    first = begun(problem, question, 2)
    if not first.cut_short:
        return
    ended = finished(problem, first, 2)
    assert ended.outcome.verdict is whole.outcome.verdict
    check(problem, ended.outcome)
    if whole.outcome.verdict is Verdict.CERTIFIED:
        assert encode_tree(ended.root) == encode_tree(whole.root)


def test_leaves_that_a_search_leaves_start_anew_and_give_the_same_answer() -> None:
    """Nothing that a leaf was to inherit is needed by who goes on with it, or looked for in its proof."""
    started_anew = 0
    for seed in range(12):
        problem = in_real(random_problem(seed, Ask()))
        question = with_need(problem, max(1, most(problem, problem.questions(0)[0]) + 1))
        first = begun(problem, question, 3, INHERITING)
        if not first.cut_short:
            continue
        leaves = [at(first.root, path) for path in open_paths(first.root)]
        started_anew += sum(leaf.anew for leaf in leaves)
        ended = finished(problem, first, 2, INHERITING)
        assert ended.outcome.verdict is begun(problem, question, 5000, INHERITING).outcome.verdict
        assert encode_tree(decode_tree(encode_tree(ended.root), "here")) == encode_tree(ended.root)
        check(problem, ended.outcome)
    assert started_anew


def test_a_piece_says_nothing_of_the_leaves_of_others() -> None:
    """The placeholders are closed in the piece alone; the tree they came from still has them open."""
    for seed in range(40):
        problem = random_problem(seed, Ask())
        question = problem.questions(0)[0]
        need = max(1, most(problem, question) + 1)
        question = with_need(problem, need)
        first = begun(problem, question, 3)
        parts = pieces(first.root, 9)
        if len(parts) > 1:
            break
    before = encode_tree(first.root)
    piece = pruned_to(first.root, parts[0])
    assert pieces(piece, 9) == [parts[0]]
    assert encode_tree(first.root) == before
    assert {path for part in parts for path in part} == {path for part in pieces(first.root, 1) for path in part}
