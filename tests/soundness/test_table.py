"""Every case of the ground-truth table through every strategy: no wrong verdict, count, witness or tree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.soundness.build import digested
from tests.soundness.cases import Case
from tests.soundness.engine import CONFLICTS, STRATEGIES, TRICKS, answer, strategy
from tests.soundness.judge import judge
from tests.soundness.judge_floats import judge_float32
from tests.soundness.table import table
from tests.soundness.truth import Oracle, grid
from verifluxa.strategy.decide import decide
from verifluxa.verdict import Verdict

NAMES = list(table())
FEW = 200
"""Boxes that a question may cost where no budget helps."""


def check(case: Case, name: str) -> Verdict:
    """Runs one case and judges all that comes back."""
    hopeless = case.verdict is Verdict.UNKNOWN or not case.decidable
    outcome = answer(case.problem, case.question, name, FEW if hopeless else None)
    oracle = Oracle(case.problem)
    points = list(oracle.points(case.question))
    judge(case.problem, outcome, oracle.truth(case.question), points, oracle)
    assert outcome.verdict in (case.verdict, Verdict.UNKNOWN)
    return outcome.verdict


@pytest.mark.parametrize("name", NAMES[::2])
def test_balanced_decides_rightly(name: str) -> None:
    case = table()[name]
    assert check(case, "balanced") == case.verdict or not case.decidable


@pytest.mark.parametrize("name", NAMES)
def test_balanced_decides_rightly_with_the_attack_off(name: str) -> None:
    case = table()[name]
    assert check(case, "balanced without attack") == case.verdict or not case.decidable


OTHERS = ["quick without attack", "quick", "attack-only", "exact-small", "exact-small without attack", *TRICKS]
OTHERS += ["thorough", "thorough without attack", CONFLICTS]


def run(name: str, how: str) -> None:
    """Besides what is true: an attack proves nothing, and bounds alone refute nothing."""
    verdict = check(table()[name], how)
    assert how != "attack-only" or verdict is not Verdict.CERTIFIED
    assert how != "quick without attack" or verdict is not Verdict.FALSIFIED


@pytest.mark.parametrize(("name", "how"), [(name, OTHERS[k % len(OTHERS)]) for k, name in enumerate(NAMES[1::2])])
def test_other_strategies_are_never_wrong(name: str, how: str) -> None:
    """One of them for every other case; the soak runs all."""
    run(name, how)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", [*STRATEGIES, *TRICKS, CONFLICTS])
def test_all_strategies_are_never_wrong(name: str, how: str) -> None:
    run(name, how)


def plain(case: Case) -> bool:
    """A float32 network under a trigger without arithmetic, on a grid: what float32 evaluations can be sampled of."""
    problem = case.problem
    return (
        problem.graph.dtype == "float32"
        and problem.placements[0].stamp.replaces
        and bool((problem.domain.step > 0).all())
    )


@pytest.mark.parametrize("name", [name for name in NAMES if plain(table()[name])][::3])
def test_float32_answers_are_never_wrong(name: str) -> None:
    """With `arithmetic` float32: only verdicts that the table allows, and trees that hold in real arithmetic too."""
    case = table()[name]
    problem = digested(replace(case.problem, arithmetic="float32"))
    outcome = answer(problem, case.question, "balanced", FEW)
    assert outcome.verdict in case.float32
    judge_float32(problem, outcome, list(grid(problem.domain)), Oracle(problem), np.random.default_rng(0))


def test_many_questions_at_once_get_their_own_answers() -> None:
    """All questions of a problem with several placements and targets, in any order asked."""
    groups: dict[int, list[Case]] = {}
    for case in table().values():
        if case.decidable and case.problem.size > 1 and case.question in case.problem.all_questions():
            groups.setdefault(id(case.problem), []).append(case)
    assert len(groups) >= 3
    for cases in groups.values():
        order = np.random.default_rng(len(cases)).permutation(len(cases))
        asked = [cases[k] for k in order]
        outcomes = decide(cases[0].problem, [case.question for case in asked], strategy("balanced"))
        assert [outcome.question for outcome in outcomes] == [case.question for case in asked]
        assert [outcome.verdict for outcome in outcomes] == [case.verdict for case in asked]


SAME = [
    ("hat of 3 over 2.5, targeted", "hat of 3 over 3.5, targeted"),
    ("always violated by all of 3, need 1", "never violated by all of 3, need 1"),
    ("asymmetric pattern at its place", "asymmetric pattern with row and column of the place swapped"),
    ("line +1.0 t -7.5, step 0.0", "line +1.0 t -7.5, step 1.0"),
    ("open rows that touch are not met", "closed rows that touch are ties"),
]


@pytest.mark.parametrize("names", SAME)
def test_answers_do_not_depend_on_what_was_asked_before(names: tuple[str, str]) -> None:
    """The digest names the property, not the model, the data or the arithmetic: nothing may be kept by it alone."""
    for name in names * 2:
        case = table()[name]
        check(replace(case, problem=replace(case.problem, digest="sha256:same")), "balanced")


def test_a_proof_in_real_arithmetic_does_not_answer_for_float32() -> None:
    case = table()["encode on level 51, certified"]
    answers = [
        answer(replace(case.problem, arithmetic=arithmetic), case.question, "balanced").verdict
        for arithmetic in ("real", "float32", "real")
    ]
    assert answers == [Verdict.CERTIFIED, Verdict.UNKNOWN, Verdict.CERTIFIED]
