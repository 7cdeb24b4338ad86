"""Halves that start from the clipped ends of the domain above: never looser, and of the same claim alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.certificate.steps import edit, edited, joint_of
from tests.search.small import (
    BranchSettings,
    all_triggers,
    counts,
    in_float32,
    in_real,
    most,
    random_problem,
    with_need,
    with_thresholds,
)
from tests.search.test_branching import check, run
from tests.soundness.build import Ask, Family, dense, levels, make_problem, relu, replacing
from tests.soundness.tree import BadTree
from verifluxa.bounds.linear import Interval, Subproblems
from verifluxa.bounds.net import Net
from verifluxa.evidence import NOTHING_FOUND, Node, Outcome
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Reshape
from verifluxa.question import Problem
from verifluxa.search.branch import Steps
from verifluxa.search.disjuncts import BoundContext, Verdicts, decided
from verifluxa.search.inherit import inherited_bounds
from verifluxa.search.replay import stamped_inputs
from verifluxa.search.workspace import Claims
from verifluxa.verdict import Verdict

HOW = BranchSettings(slabs=0, joint=False, inherit=True)
SEEDS = range(20)


@dataclass(frozen=True, eq=False)
class Bounded:
    """A batch of domains of a search, as its claims were decided."""

    scene: BoundContext
    claims: Claims
    pairs: Subproblems
    verdicts: Verdicts


Arithmetic = Callable[[Problem], Problem]
BOTH = pytest.mark.parametrize("arithmetic", [in_real, in_float32], ids=["real", "float32"])
"""All weights are small whole numbers, so that nothing is rounded in float32 either: values are the same in both."""


def hard(seed: int, arithmetic: Arithmetic) -> Problem:
    """Everything that is asked one above the most that can be reached is true, and takes some domains to prove."""
    problem = arithmetic(random_problem(seed, Ask()))
    return replace(problem, thresholds=(max(1, most(problem, problem.questions(0)[0]) + 1),) * len(problem.thresholds))


def watched(arithmetic: Arithmetic) -> Iterator[Bounded]:
    """Every batch of the searches of some questions that can be proved."""
    seen: list[Bounded] = []

    def watch(scene: BoundContext, claims: Claims, pairs: Subproblems, *more: Any) -> Verdicts:
        verdicts = decided(scene, claims, pairs, *more)
        seen.append(Bounded(scene, claims, pairs, verdicts))
        return verdicts

    for seed in SEEDS:
        problem = hard(seed, arithmetic)
        run(problem, [problem.questions(0)[0]], HOW, steps=Steps(decide=watch))
        yield from seen
        seen.clear()


def nodes(outcome: Outcome) -> Iterator[Node]:
    waiting = [outcome.tree] if outcome.tree else []
    while waiting:
        node = waiting.pop()
        waiting += node.children
        yield node


@BOTH
def test_bounds_of_a_part_are_never_looser_than_those_handed_down(arithmetic: Arithmetic) -> None:
    compared = 0
    for batch in watched(arithmetic):
        last = batch.verdicts.last
        for (least, most_), layer in zip(batch.pairs.take(last.at).known, last.layers, strict=False):
            assert bool((layer.lower >= least).all())
            nothing_is_left = layer.upper == layer.lower
            assert bool((nothing_is_left | (layer.upper <= most_)).all())
            compared += int((torch.isfinite(least) & (layer.upper > layer.lower)).sum())
    assert compared > 500


@BOTH
def test_what_is_handed_down_holds_wherever_the_claim_is_met(arithmetic: Arithmetic) -> None:
    """At every trigger of a part that meets the claim each neuron of the network lies within its ends."""
    met = 0
    for batch in watched(arithmetic):
        scene, (at, shape) = batch.scene, (batch.verdicts.last.at, batch.scene.geometry)
        triggers = torch.as_tensor(all_triggers(scene.work.problem.domain))
        for number, claim in enumerate(at.tolist()):
            domain, input_ = batch.pairs.domain[claim], batch.pairs.input[claim]
            inside = ((triggers - shape.center[domain]).abs() <= shape.half[domain] + 1e-9).all(1)
            points = triggers[inside]
            state, ends = points, []
            for layer in scene.net.layers:
                ends.append(state @ layer.weight.T + layer.offset_of(input_.expand(len(points))))
                state = layer.apply(ends[-1])
            rows = scene.work.row_values(state, batch.claims.alternative[claim].expand(len(points)))
            meets = (rows >= 0).all(1)
            met += int(meets.sum()) * bool(batch.pairs.known)
            for layer_ends, bounds in zip(ends[:-1], batch.verdicts.last.layers, strict=False):
                assert bool((layer_ends[meets] >= bounds.lower[number] - 1e-9).all())
                assert bool((layer_ends[meets] <= bounds.upper[number] + 1e-9).all())
    assert met > 50


HUGE, SMALL = 2.0**25, 2.0**15


def order_counts(arithmetic: str) -> Problem:
    """Two inputs that meet their claim at small triggers, and two that do at huge ones, in float32 alone.

    Of a trigger (s, t) the latter have the margin `1/2 - ((s + 4096 3/4) - (s + 4096))`, which is -1/4, but 1/2 where
    the sum is rounded; the radius is above 1/4 for s > 2^16 or so. The others need `s <= 2^15`, the one t high and
    the other t low, so that one of them is open in either half.
    """
    gate = 4 * HUGE
    first: list[list[float]] = [[-1, 2, 2 * gate, 0], [-1, -2, 0, 2 * gate], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]]
    offsets = [SMALL - 2 * HUGE - gate, SMALL - gate, 4096.75, 4096, 0]
    second: list[list[float]] = [[0, 0, 0, 0, 0], [1, 1, -1, 1, -gate]]
    steps = [Reshape((-1,)), relu(), dense(first, offsets), relu(), dense(second, [0, 0.5])]
    inputs = np.zeros((4, 1, 1, 4))
    inputs[0, 0, 0, 2] = inputs[1, 0, 0, 3] = 1
    family = Family((replacing((0, 1)),), levels(2, -(2.0**19), HUGE, 2.0**19))
    ask = Ask(targets=(1,), need=2, arithmetic=arithmetic)
    return make_problem(chain((1, 1, 4), steps), inputs, [0] * 4, family, ask)


def test_the_radii_of_another_claim_would_certify_what_float32_refutes() -> None:
    """Where a claim is met values are small, and so are errors; another claim's values may be huge there."""
    real, rounded = order_counts("real"), order_counts("float32")
    huge = np.array([[HUGE, 0.0]])
    assert counts(rounded, rounded.questions(0)[0], huge, strict=True).tolist() == [0], "not in exact arithmetic"
    answers = rounded.graph.run(stamped_inputs(rounded, 0, huge[0], np.arange(4)))
    assert (answers[:, 1] > answers[:, 0]).tolist() == [False, False, True, True]
    how = replace(HOW, batch=1, boxes=50)
    certified = [run(problem, [problem.questions(0)[0]], how)[0].verdict for problem in (real, rounded)]
    assert certified == [Verdict.CERTIFIED, Verdict.UNKNOWN]
    assert run(rounded, [rounded.questions(0)[0]], how, steps=MIXED)[0].verdict is Verdict.CERTIFIED


def mixed_ends(net: Net, batch: list[Any]) -> tuple[Interval, ...]:
    """The claims of a domain change their ends among each other."""
    return tuple((low.roll(1, 0), high.roll(1, 0)) for low, high in inherited_bounds(net, batch))


MIXED = Steps(inherit=mixed_ends)


@BOTH
def test_the_ends_of_another_claim_would_certify_what_is_false(arithmetic: Arithmetic) -> None:
    """Where the claims of a domain change their ends among each other a question is certified that is refuted."""
    assert any(certifies_what_is_false(arithmetic(random_problem(seed, Ask()))) for seed in range(120))


def certifies_what_is_false(problem: Problem) -> bool:
    """A question for as many inputs as a trigger reaches."""
    need = most(problem, problem.questions(0)[0], strict=True)
    (outcome,) = run(problem, [with_need(problem, max(1, need))], replace(HOW, batch=1), steps=MIXED)
    return need > 0 and outcome.verdict is Verdict.CERTIFIED


@BOTH
@pytest.mark.parametrize("seed", [160, 219])
def test_ends_that_exclude_each_other_close_what_a_single_trigger_leaves(seed: int, arithmetic: Arithmetic) -> None:
    """At a single trigger its own values lie outside of what was handed down where the claim is not met there."""
    problem = arithmetic(random_problem(seed, Ask()))
    need = most(problem, problem.questions(0)[0]) + 1
    (outcome,) = run(problem, [with_need(problem, need)], replace(HOW, joint=True, slabs=3, clip_rounds=4))
    assert outcome.verdict is Verdict.CERTIFIED
    check(problem, outcome)


def test_ends_go_down_only_where_they_were_clipped_and_they_are_few() -> None:
    kept: dict[str, int] = {"real": 0, "float32": 0, "too many": 0, "not clipped": 0}
    for seed in SEEDS:
        problem = hard(seed, in_real)
        question = problem.questions(0)[0]
        answers = {"real": run(problem, [question], HOW)[0]}
        answers["float32"] = run(in_float32(problem), [question], HOW)[0]
        answers["not clipped"] = run(problem, [question], replace(HOW, clip_rounds=0))[0]
        answers["too many"] = run(problem, [question], with_thresholds(HOW, kept=1))[0]
        for what, outcome in answers.items():
            assert outcome.verdict is Verdict.CERTIFIED
            kept[what] += sum(len(node.clips) for node in nodes(outcome))
        check(problem, answers["real"])
        check(in_float32(problem), answers["float32"])
    assert min(kept["real"], kept["float32"]) > 0
    assert (kept["too many"], kept["not clipped"]) == (0, 0)


@BOTH
def test_a_row_may_rest_on_another_that_clipped_above(arithmetic: Arithmetic) -> None:
    problem = arithmetic(random_problem(8, Ask(targets=(1,))))
    question = problem.questions(0)[0]._replace(threshold=1)
    (outcome,) = run(problem, [question], BranchSettings(slabs=2, clip_rounds=1, inherit=True))
    assert outcome.verdict is Verdict.CERTIFIED
    check(problem, outcome)
    for node in nodes(outcome):
        if node.clips:
            edit(node, clips=())
    with pytest.raises(BadTree, match="is said to be below zero and is not"):
        check(problem, outcome)


@BOTH
@pytest.mark.parametrize(("worth", "everything"), [(0.0, False), (2.0, True)])
def test_ends_go_down_where_they_are_narrower_than_those_from_above(
    worth: float, everything: bool, arithmetic: Arithmetic
) -> None:
    """Never: then all parts start from what the first domain knew. Always: then each names what is open in it."""
    how, below = with_thresholds(replace(HOW, joint=True), inherited_from=0, narrower=worth), 0
    for seed in SEEDS:
        problem = hard(seed, arithmetic)
        (outcome,) = run(problem, [problem.questions(0)[0]], how)
        assert outcome.verdict is Verdict.CERTIFIED
        check(problem, outcome)
        below += sum(
            node.split is not None and bool(node.clips) and node is not outcome.tree for node in nodes(outcome)
        )
    assert bool(below) == everything


@BOTH
def test_a_proof_keeps_the_clips_that_something_below_rests_on(arithmetic: Arithmetic) -> None:
    for seed in SEEDS:
        problem = hard(seed, arithmetic)
        (outcome,) = run(problem, [problem.questions(0)[0]], replace(HOW, joint=True))
        for node in nodes(outcome):
            bare = edited(node, clips=()) if node.clips else node
            bare = replace(bare, dropped=[])
            below = Outcome(outcome.question, outcome.verdict, None, NOTHING_FOUND, 0, tree=bare)
            named = {item.input for part in nodes(below) for item in part.dropped}
            weighted = {clip[0] for part in nodes(below) if joint_of(part) is not None for clip in part.clips}
            assert {clip[0] for clip in node.clips if node.split is not None} <= named | weighted
