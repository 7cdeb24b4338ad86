"""Neuron splits and optimised slopes against enumeration: questions about one input, and the evidence they leave."""

from __future__ import annotations

import numpy as np
import pytest

from tests.search.small import BranchSettings, counts, in_float32, in_real, most, random_problem, searched, with_need
from tests.soundness.build import Ask, Family, levels, make_problem, mlp, replacing
from tests.soundness.judge import judge
from tests.soundness.truth import Oracle
from verifluxa.bounds.optimise import AlphaSettings
from verifluxa.certificate.tree_codec import decode_tree, encode_tree
from verifluxa.evidence import NeuronSplit, Node, Outcome
from verifluxa.question import Problem, Question
from verifluxa.search.initial_bounds import bound_root, optimise_root
from verifluxa.search.workspace import workspace_of
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Verdict

NEURONS = BranchSettings(boxes=400, alpha=8, neurons=1)
EACH = Ask(per_input=True)


def run(problem: Problem, questions: list[Question], how: BranchSettings) -> list[Outcome]:
    work = workspace_of(problem)
    return searched(work, bound_root(work, questions, "interval"), how)


def nodes(root: Node) -> list[Node]:
    return [root, *(node for child in root.children for node in nodes(child))]


@pytest.mark.parametrize("arithmetic", [in_real, in_float32])
@pytest.mark.parametrize("seed", range(6))
def test_single_inputs_agree_with_enumeration(seed: int, arithmetic: object) -> None:
    problem = arithmetic(random_problem(seed, EACH))  # type: ignore[operator]
    split = 0
    for outcome in run(problem, problem.questions(0), NEURONS):
        strict, loose = (most(problem, outcome.question, strict) for strict in (True, False))
        if outcome.verdict is Verdict.CERTIFIED:
            assert loose == 0
            assert outcome.tree is not None
            split += any(isinstance(node.split, NeuronSplit) for node in nodes(outcome.tree))
            flat = encode_tree(outcome.tree)
            assert encode_tree(decode_tree(flat, "here")) == flat
        elif outcome.verdict is Verdict.FALSIFIED:
            assert strict == 1
        else:
            assert strict == 0, "what can be refuted is refuted on so small a domain"
            assert loose == 1, "only ties stay open"


def test_neurons_alone_decide_a_wide_trigger() -> None:
    """Twelve values of a trigger, eleven neurons: their cases are far fewer than the boxes of a fine grid."""
    random = np.random.default_rng(3)
    size = 12
    layers = (
        (random.normal(size=(6, size)), random.normal(size=6)),
        (random.normal(size=(5, 6)), random.normal(size=5)),
    )
    last = (random.normal(size=(2, 5)), np.array([0.0, -42.0]))
    graph = mlp((1, 1, size), *layers, last)
    family = Family((replacing(range(size)),), levels(size, -1, 1, 0))
    bound = make_problem(graph, np.zeros((1, size)), [0], family, Ask(per_input=True))
    points = random.uniform(-1, 1, (4000, size))
    question = bound.questions(0)[0]
    assert counts(bound, question, points, strict=False).max() == 0
    (by_neurons,) = run(bound, [question], BranchSettings(boxes=200, alpha=8, neurons=4))
    assert by_neurons.verdict is Verdict.CERTIFIED


@pytest.mark.parametrize("seed", range(4))
def test_optimised_slopes_only_take_claims_away(seed: int) -> None:
    """What alpha drops cannot happen, and nothing that CROWN dropped comes back."""
    problem = in_real(random_problem(seed, Ask(targets=(0, 1, 2))))
    work, questions = workspace_of(problem), problem.questions(0)
    before = bound_root(work, questions, "crown")
    for first, second in zip(before, optimise_root(work, before, AlphaSettings(15)), strict=True):
        assert second.remaining <= first.remaining
        assert second.remaining >= most(problem, first.question)
        assert {(d.input, d.rows) for d in first.dropped()} <= {(d.input, d.rows) for d in second.dropped()}


@pytest.mark.parametrize("seed", range(3))
def test_thorough_is_right_and_repeats_itself(seed: int) -> None:
    problem = in_real(random_problem(seed, Ask(targets=(1,))))
    question = with_need(problem, 2)
    oracle = Oracle(problem)
    first, second = (decide(problem, [question], load_strategy("thorough"))[0] for _ in range(2))
    judge(problem, first, oracle.truth(question), list(oracle.points(question)), oracle)
    assert (first.verdict, first.found, first.proved, first.boxes) == (
        second.verdict,
        second.found,
        second.proved,
        second.boxes,
    )
