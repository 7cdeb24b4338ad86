"""Cases of which input is the first to violate: against enumeration, and that none of them may be left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.search.small import all_triggers, in_real, most, random_problem
from tests.search.test_branching import answers_at_the_count, nodes, run
from tests.soundness.build import Ask
from verifluxa.evidence import InputSplit, Outcome
from verifluxa.question import Problem, Question
from verifluxa.search import cases, settle
from verifluxa.search.claims import ClaimBounds, Scene
from verifluxa.search.halving import Open
from verifluxa.search.settle import BranchSettings
from verifluxa.verdict import Verdict

ONE, TWO = Ask(targets=(1,)), Ask()
"""One alternative for each input, and two, of which one must have fallen before the input has a case."""
HOW = BranchSettings(inherit=True, clip_rounds=1, gate=0.0, strips=0)


def problems(seeds: range, ask: Ask) -> Iterator[Problem]:
    for seed in seeds:
        problem = in_real(random_problem(seed, ask))
        if len(problem.selections[0]):
            yield problem


def tried(problem: Problem, how: BranchSettings) -> list[Outcome]:
    """The proofs with cases."""
    outcomes = answers_at_the_count(problem, how)
    return [one for one in outcomes if any(isinstance(node.split, InputSplit) for node in nodes(one.tree))]


@pytest.mark.parametrize("ask", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("thin", [cases.THIN, 1e9])
def test_answers_by_cases_agree_with_enumeration(monkeypatch: pytest.MonkeyPatch, ask: Ask, thin: float) -> None:
    monkeypatch.setattr(cases, "THIN", thin)
    split = sum(len(tried(problem, HOW)) for problem in problems(range(40), ask))
    assert split > 0 or thin < 1


@pytest.mark.soak
@pytest.mark.parametrize("ask", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("start", range(100, 2100, 200))
def test_many_answers_by_cases_agree_with_enumeration(monkeypatch: pytest.MonkeyPatch, ask: Ask, start: int) -> None:
    monkeypatch.setattr(cases, "THIN", 1e9)
    for how in (HOW, BranchSettings(inherit=True)):
        assert sum(len(tried(problem, how)) for problem in problems(range(start, start + 200), ask)) > 0


def test_the_first_case_alone_would_certify_what_is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cases.input_cases

    def fewer(*arguments: Any) -> Any:
        found = real(*arguments)
        return found and found[-1:]  # the search takes the last one first

    monkeypatch.setattr(cases, "THIN", 1e9)
    monkeypatch.setattr(settle, "input_cases", fewer)
    assert wrong(monkeypatch)


def test_what_a_case_is_given_holds_wherever_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every trigger that meets the question, in the case of the first input that violates."""
    held = []
    real = cases.input_cases

    def watch(scene: Scene, domain: Open, last: ClaimBounds, need: int) -> list[Open] | None:
        found = real(scene, domain, last, need)
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

    monkeypatch.setattr(cases, "THIN", 1e9)
    monkeypatch.setattr(settle, "input_cases", watch)
    assert not wrong(monkeypatch)
    assert len(held) > 20
    assert len(set(held)) > 1


def reached(scene: Scene, domain: Open, need: int) -> Iterator[tuple[set[int], dict[int, list[Tensor]]]]:
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
        if len(violating) >= need and domain.must <= violating <= set(domain.claims.input.tolist()):
            values = {int(every.input[at]): [part[at] for part in sums[:-1]] for at in meets.nonzero()[:, 0].tolist()}
            yield violating, values


def test_nothing_is_wrong_where_triggers_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "THIN", 1e9)
    assert not wrong(monkeypatch)


def wrong(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many questions that can be refuted are certified by a search that looks for no triggers."""
    monkeypatch.setattr(settle, "_refutes", lambda *_: False)
    outcomes = [run(problem, [question], replace(HOW, boxes=60))[0] for problem, question in refuted()]
    return sum(outcome.verdict is Verdict.CERTIFIED for outcome in outcomes)


@cache
def refuted() -> list[tuple[Problem, Question]]:
    """Questions for as many inputs as can be reached."""
    asked = [(problem, problem.questions(0)[0]) for problem in problems(range(40), ONE)]
    needs = [most(problem, question, strict=True) for problem, question in asked]
    return [(one, question._replace(need=need)) for (one, question), need in zip(asked, needs, strict=True) if need > 1]
