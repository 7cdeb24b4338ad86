"""Cases of which input is the first to violate: against enumeration, none may be left out, others may go on below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.search.small import (
    BranchSettings,
    all_triggers,
    in_float32,
    in_real,
    most,
    random_problem,
    reordered,
    with_thresholds,
)
from tests.search.test_branching import answers_at_the_count, check, nodes, run
from tests.search.test_explore_further import begun, finished
from tests.soundness.build import Ask
from verifluxa.dispatch.pieces import at, open_paths
from verifluxa.evidence import InputSplit, Node, Outcome
from verifluxa.question import Problem, Question
from verifluxa.search.branch import Steps
from verifluxa.search.disjuncts import BoundContext, DisjunctBounds
from verifluxa.search.splitters import Subdomain, input_cases
from verifluxa.verdict import Verdict

ONE, TWO = Ask(targets=(1,)), Ask()
"""One alternative for each input, and two, of which one must have fallen before the input has a case."""
THIN = BranchSettings(inherit=True, clip_rounds=1, gate=0.0, slabs=0)
HOW = with_thresholds(THIN, thin=1e9)
"""Cases of inputs are tried first, however much of a domain they leave."""
UNSEEN = Steps(refutes=lambda *_: False)
"""A search that looks for no triggers."""


Arithmetic = Callable[[Problem], Problem]
ARITHMETICS: tuple[Arithmetic, ...] = (in_real, in_float32)
BOTH = pytest.mark.parametrize("arithmetic", ARITHMETICS, ids=["real", "float32"])


def problems(seeds: range, ask: Ask, every: Sequence[Arithmetic] = (in_real,)) -> Iterator[Problem]:
    for seed in seeds:
        problem = every[seed % len(every)](random_problem(seed, ask))
        if len(problem.selections[0]):
            yield problem


def tried(problem: Problem, how: BranchSettings) -> list[Outcome]:
    """The proofs with splitters."""
    outcomes = answers_at_the_count(problem, how)
    return [one for one in outcomes if any(isinstance(node.split, InputSplit) for node in nodes(one.tree))]


@pytest.mark.parametrize("ask", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("how", [HOW, THIN], ids=["first", "thin"])
def test_answers_by_cases_agree_with_enumeration(ask: Ask, how: BranchSettings) -> None:
    split = sum(len(tried(problem, how)) for problem in problems(range(20), ask, ARITHMETICS))
    assert split > 0 or how is not HOW


@pytest.mark.soak
@pytest.mark.parametrize("ask", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("start", range(100, 2100, 200))
def test_many_answers_by_cases_agree_with_enumeration(ask: Ask, start: int) -> None:
    for how in (HOW, with_thresholds(BranchSettings(inherit=True), thin=1e9)):
        assert sum(len(tried(problem, how)) for problem in problems(range(start, start + 200), ask, ARITHMETICS)) > 0


def test_the_first_case_alone_would_certify_what_is_false() -> None:
    def fewer(*arguments: Any) -> Any:
        found = input_cases(*arguments)
        return found and found[-1:]  # the search takes the last one first

    assert any(wrong(replace(UNSEEN, cases=fewer)))


def test_what_a_case_is_given_holds_wherever_it_does() -> None:
    """At every trigger that meets the question, in the case of the first input that violates; and nothing is wrong."""
    held = []

    def watch(
        scene: BoundContext, domain: Subdomain, last: DisjunctBounds, need: int, thin: float
    ) -> list[Subdomain] | None:
        found = input_cases(scene, domain, last, need, thin)
        for violating, values in reached(scene, domain, need) if found else ():
            assert isinstance(domain.node.split, InputSplit)
            first = next(number for number, (input_, _) in enumerate(domain.node.split.cases) if input_ in violating)
            case = found[::-1][first] if found else domain
            claims = {int(input_): at for at, input_ in enumerate(case.claims.input)}
            assert violating <= set(claims)
            for input_ in violating:
                for (lower, upper), value in zip(case.ends, values[input_], strict=True):
                    assert bool((value >= lower[claims[input_]] - 1e-9).all())
                    assert bool((value <= upper[claims[input_]] + 1e-9).all())
            held.append(first)
        return found

    assert not any(wrong(replace(UNSEEN, cases=watch)))
    assert len(held) > 20
    assert len(set(held)) > 1


def reached(scene: BoundContext, domain: Subdomain, need: int) -> Iterator[tuple[set[int], dict[int, list[Tensor]]]]:
    """The triggers of a domain that meet a question with one alternative for each input, where its cases hold.

    Yields:
        The inputs that violate, and of each what the hidden layers sum.
    """
    triggers = torch.as_tensor(all_triggers(scene.work.problem.domain))
    every = scene.work.claims(0, 0)
    for trigger in triggers[((triggers >= domain.lower) & (triggers <= domain.upper)).all(1)]:
        state, sums = trigger.expand(len(every), -1), []
        for layer in scene.net.layers:
            sums.append(state @ layer.weight.T + layer.offset_of(every.input))
            state = layer.apply(sums[-1])
        meets = (scene.work.row_values(state, every.alternative) >= 0).all(1)
        violating = set(every.input[meets].tolist())
        if len(violating) >= need and domain.assumed_violating <= violating <= set(domain.claims.input.tolist()):
            values = {int(every.input[at]): [part[at] for part in sums[:-1]] for at in meets.nonzero()[:, 0].tolist()}
            yield violating, values


def wrong(steps: Steps) -> Iterator[bool]:
    """Whether questions that can be refuted are certified, one after the other."""
    for problem, question in refuted():
        (outcome,) = run(problem, [question], replace(HOW, boxes=60), steps=steps)
        yield outcome.verdict is Verdict.CERTIFIED


@cache
def refuted() -> list[tuple[Problem, Question]]:
    """Questions for as many inputs as can be reached."""
    asked = [(problem, problem.questions(0)[0]) for problem in problems(range(40), ONE)]
    needs = [most(problem, question, strict=True) for problem, question in asked]
    return [
        (one, question._replace(threshold=need)) for (one, question), need in zip(asked, needs, strict=True) if need > 1
    ]


TRUE, FALSE = (61, 84, 113, 125, 130, 135), (3, 6, 31, 38, 52)
"""Seeds of which one domain leaves open leaves below cases: asked for one input more than a trigger reaches, and for as
many, of a search that looks for no triggers."""


@BOTH
def test_leaves_below_a_case_are_finished_by_others(arithmetic: Arithmetic) -> None:
    """They know which inputs of the cases violate, and start from no ends that hold in the case."""
    for problem in (arithmetic(random_problem(seed, ONE)) for seed in TRUE):
        assert gone_on(problem, most(problem, problem.questions(0)[0]) + 1) is Verdict.CERTIFIED


@BOTH
def test_leaves_below_a_case_prove_nothing_that_is_false(arithmetic: Arithmetic) -> None:
    for problem in (arithmetic(random_problem(seed, ONE)) for seed in FALSE):
        assert gone_on(problem, most(problem, problem.questions(0)[0], strict=True), UNSEEN) is Verdict.UNKNOWN


def gone_on(problem: Problem, need: int, steps: Steps | None = None) -> Verdict:
    """What others say of a question who finish leaves that a search left below cases, two domains at a time."""
    first = begun(problem, problem.questions(0)[0]._replace(threshold=need), 1, HOW, steps)
    assert first.cut_short
    assert any(is_below_a_case(first.root, path) for path in open_paths(first.root))
    outcome = finished(problem, first, 2, HOW, steps).outcome
    check(problem, outcome)
    return outcome.verdict


@BOTH
@pytest.mark.parametrize("seed", [TRUE[1], FALSE[-1]])
def test_verdicts_are_those_of_any_batch_any_order_and_any_number_of_workers(arithmetic: Arithmetic, seed: int) -> None:
    problem, verdicts = arithmetic(random_problem(seed, ONE)), set()
    question, turned = problem.questions(0)[0], reordered(problem, seed)
    for need in range(2, len(problem.selections[question.selection]) + 1):
        asked = question._replace(threshold=need)
        answers = [run(one, [asked], replace(HOW, batch=size)) for one in (problem, turned) for size in (1, 7, 4096)]
        found = {outcome.verdict for (outcome,) in answers}
        first = begun(problem, asked, 1, HOW)
        found.add((finished(problem, first, 2, HOW) if first.cut_short else first).outcome.verdict)
        assert len(found) == 1
        verdicts |= found
    assert Verdict.CERTIFIED in verdicts


def is_below_a_case(root: Node, path: tuple[int, ...]) -> bool:
    return any(isinstance(at(root, path[:depth]).split, InputSplit) for depth in range(len(path)))
