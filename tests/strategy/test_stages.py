"""Questions through the stages of a strategy: who decides what, and what an undecided question says."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.search.small import in_float32, most, random_problem
from tests.soundness.build import Ask, Family, dense, digested, levels, make_problem, mlp, replacing
from tests.soundness.judge import judge
from tests.soundness.truth import Oracle
from verifluxa.evidence import NOTHING_FOUND, Outcome, Strongest, Witness
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation
from verifluxa.question import Problem, Question
from verifluxa.search.attack import AttackSettings, run_attack
from verifluxa.search.workspace import Workspace
from verifluxa.stages import CrossStage
from verifluxa.strategy import attacking
from verifluxa.strategy import decide as decide_module
from verifluxa.strategy.attacking import attack_slice
from verifluxa.strategy.decide import decide, prove_slice
from verifluxa.strategy.load import AttackStage, BoundStage, BranchStage, Stage, Strategy, load_strategy
from verifluxa.strategy.work import Attacked, Run
from verifluxa.verdict import Reason, Verdict


def strategy(*stages: Stage) -> Strategy:
    return Strategy("made", "sha256:00", stages)


ATTACK, INTERVAL, CROWN = AttackStage(0, 4, 12, 16, 8, 20), BoundStage("interval"), BoundStage("crown")
BRANCH = BranchStage(boxes=2000, joint=True)


def steady() -> Problem:
    """The label wins by far whatever the trigger does; intervals see it."""
    return one_value(mlp((1, 1, 1), ([[1.0], [0.0]], [0.0, 100.0])))


def crossing() -> Problem:
    """A neuron reads the difference of two equal ones: its interval is wide, its planes say 0."""
    first, second = ([[1.0], [1.0]], [0.0, 0.0]), ([[1.0, -1.0], [0.0, 0.0]], [0.0, 0.0])
    return one_value(mlp((1, 1, 1), first, second, ([[1.0, 0.0], [0.0, 0.0]], [-0.5, 0.0])))


def hard() -> Problem:
    """One input more than any trigger reaches: true, and no single bound shows it."""
    problem = random_problem(26, positions=(0, 1, 2))
    return digested(replace(problem, thresholds=(most(problem, problem.questions(0)[0]) + 1,)))


def reachable() -> Problem:
    """The trigger 20 sends the input to class 0."""
    return one_value(mlp((1, 1, 1), ([[1.0], [0.0]], [0.0, 19.5])))


def one_value(graph) -> Problem:  # type: ignore[no-untyped-def]
    family = Family((replacing([0]),), levels(1, 0, 20))
    return make_problem(graph, [[0.0]], [1], family, Ask(targets=(0,)))


def proved(problem: Problem, placements: list[int], attacked: dict[Question, Attacked], run: Run) -> list[Any]:
    return list(itertools.chain.from_iterable(prove_slice(problem, placements, attacked, run)))


def only(problem: Problem, *stages: Stage) -> Outcome:
    (outcome,) = decide(problem, problem.questions(0), strategy(*stages))
    return outcome


def test_cases_of_a_single_input_come_before_the_hard_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they close needs none, and what a short attack finds needs no cases."""
    asked = record_settings(monkeypatch)
    closed = only_unattacked(tent())
    assert (closed.stage, closed.verdict) == ("cross", Verdict.CERTIFIED)
    assert [settings.coordinate_rounds for settings in asked] == [0]
    met = only_unattacked(reachable())
    assert (met.stage, met.verdict) == ("attack", Verdict.FALSIFIED)


def record_settings(monkeypatch: pytest.MonkeyPatch) -> list[AttackSettings]:
    """Of each attack that is made from now on."""
    asked: list[AttackSettings] = []

    def recorded(work: Workspace, questions: Sequence[Question], settings: AttackSettings, *more: Any) -> Any:
        asked.append(settings)
        return run_attack(work, questions, settings, *more)

    for module in (attacking, decide_module):
        monkeypatch.setattr(module, "run_attack", recorded)
    return asked


def tent() -> Problem:
    """At most -5 for class 0, at the trigger 10; lines along one slope say more than 0."""
    return one_value(mlp((1, 1, 1), ([[1.0], [1.0]], [0.0, -10.0]), ([[1.0, -2.0], [0.0, 0.0]], [-15.0, 0.0])))


def only_unattacked(problem: Problem) -> Outcome:
    stages = (ATTACK, INTERVAL, CROWN, CrossStage(values=0, alone=0), BRANCH)
    (outcome,) = proved(problem, [0], {}, Run(strategy(*stages)))
    assert isinstance(outcome, Outcome)
    oracle = Oracle(problem)
    judge(problem, outcome, oracle.truth(outcome.question), list(oracle.points(outcome.question)), oracle)
    return outcome


@pytest.mark.parametrize(
    ("problem", "stage"),
    [(steady(), "interval"), (crossing(), "crown"), (hard(), "branch"), (reachable(), "attack")],
    ids=["steady", "crossing", "hard", "reachable"],
)
def test_each_stage_says_that_it_decided(problem: Problem, stage: str) -> None:
    outcome = only(problem, ATTACK, INTERVAL, CROWN, BRANCH)
    assert outcome.stage == stage
    assert outcome.verdict is (Verdict.FALSIFIED if stage == "attack" else Verdict.CERTIFIED)
    assert outcome.reason is None
    assert (outcome.tree is not None) == (outcome.verdict is Verdict.CERTIFIED)
    assert (outcome.witness is not None) == (outcome.verdict is Verdict.FALSIFIED)
    oracle = Oracle(problem)
    judge(problem, outcome, oracle.truth(outcome.question), list(oracle.points(outcome.question)), oracle)


def test_stages_that_cannot_decide_leave_it_to_the_next() -> None:
    assert only(crossing(), INTERVAL).verdict is Verdict.UNKNOWN
    assert only(crossing(), CROWN).verdict is Verdict.CERTIFIED
    assert only(crossing(), BRANCH).verdict is Verdict.CERTIFIED, "branching looks itself where nobody did"
    assert only(reachable(), BRANCH).verdict is Verdict.FALSIFIED
    assert only(reachable(), INTERVAL, CROWN).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("problem", [steady(), crossing(), hard()], ids=["steady", "crossing", "hard"])
def test_an_attack_alone_proves_nothing(problem: Problem) -> None:
    for stages in ((ATTACK,), (ATTACK, ATTACK), load_strategy("attack-only").stages):
        outcome = only(problem, *stages)
        assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.STRATEGY)
        assert outcome.proved == len(problem.selections[0])
        assert outcome.boxes == 0
        assert outcome.tree is None


def test_an_attack_on_fewer_inputs_than_are_needed_finds_what_there_is() -> None:
    problem = reachable()
    (question,) = problem.questions(0)
    (outcome,) = decide(problem, [question._replace(threshold=2)], load_strategy("attack-only"))
    assert (outcome.verdict, outcome.found, outcome.proved) == (Verdict.UNKNOWN, 1, 1)


def test_a_strategy_that_ends_early_says_so() -> None:
    outcome = only(hard(), INTERVAL, CROWN)
    assert (outcome.verdict, outcome.reason, outcome.stage) == (Verdict.UNKNOWN, Reason.STRATEGY, "crown")
    assert outcome.boxes == 1


def test_the_rate_that_is_proved_is_kept_when_the_question_stays_open() -> None:
    problem = random_problem(26, positions=(0, 1, 2))
    question = problem.questions(0)[0]._replace(threshold=1)
    (outcome,) = decide(problem, [question], strategy(CROWN))
    assert outcome.verdict is Verdict.UNKNOWN
    assert most(problem, question) <= outcome.proved <= 6


def unsupported() -> Problem:
    return one_value(chain((1,), [Activation("trelu", -0.5), dense([[1.0], [0.0]], [0.0, 100.0])]))


@pytest.mark.parametrize("stages", [(INTERVAL,), (CROWN, BRANCH), (BRANCH,), (ATTACK, INTERVAL, BRANCH)])
def test_what_has_no_bounds_is_unsupported(stages: tuple[BoundStage | BranchStage, ...]) -> None:
    outcome = only(unsupported(), *stages)
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.UNSUPPORTED)
    assert outcome.proved == 1


def test_an_attack_on_what_has_no_bounds_finds_nothing() -> None:
    assert attack_slice(unsupported(), [0], Run(strategy(ATTACK))) == []


@pytest.mark.parametrize("stages", [(INTERVAL, CROWN), (BRANCH,), (ATTACK, BRANCH)])
def test_past_the_deadline_the_rest_is_unknown(stages: tuple[BoundStage, ...]) -> None:
    run = Run(strategy(*stages), deadline=time.monotonic() - 1)
    problem = random_problem(2, Ask(targets=(0, 2)))
    outcomes = list(proved(problem, [0, 1], {}, run))
    assert [outcome.question for outcome in outcomes] == list(problem.all_questions())
    assert {(outcome.verdict, outcome.reason) for outcome in outcomes} == {(Verdict.UNKNOWN, Reason.TIME)}
    assert all(attacked.witness is None for attacked in attack_slice(problem, [0, 1], run))
    assert run.is_late
    assert not Run(run.strategy).is_late
    assert not Run(run.strategy, time.monotonic() + 1e6).is_late


@pytest.mark.parametrize("problem", [tent(), hard(), random_problem(2, Ask(targets=(0, 2)))], ids=["one", "few", "two"])
def test_every_attack_has_the_deadline_of_the_run(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = record_settings(monkeypatch)
    stages = ATTACK, CROWN, CrossStage(values=0, alone=0, cases=100), BRANCH
    run = Run(strategy(*stages), time.monotonic() + 1e6)
    attack_slice(problem, [0], run)
    early = len(seen)
    proved(problem, [0], {}, run)
    assert early > 1
    assert len(seen) > early
    assert {settings.deadline for settings in seen} == {run.deadline}


def test_past_the_deadline_what_an_attack_found_is_taken_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """But it is replayed, since it may refute."""
    climbed: list[object] = []
    monkeypatch.setattr(decide_module, "improved", lambda _, candidate, __: climbed.append(candidate) or candidate)
    outcome = only(hard(), ATTACK, BRANCH)
    assert climbed
    climbed.clear()
    monkeypatch.setattr(decide_module, "run_attack", lambda *arguments: (late.append(1), run_attack(*arguments))[1])
    late: list[int] = []
    monkeypatch.setattr(Run, "is_late", property(lambda _: bool(late)))
    (again,) = proved(hard(), [0], {}, Run(strategy(ATTACK, BRANCH)))
    assert not climbed
    assert 0 < again.found <= outcome.found


def test_what_an_attack_found_before_counts() -> None:
    problem = reachable()
    question = problem.questions(0)[0]
    seen = Witness(np.array([20.0]), (0,), (0.5,), 1)
    run = Run(strategy(INTERVAL))
    (outcome,) = proved(problem, [0], {question: Attacked(question, Strongest(1), seen)}, run)
    assert (outcome.verdict, outcome.stage, outcome.found) == (Verdict.FALSIFIED, "attack", 1)
    assert outcome.witness is seen
    (outcome,) = proved(problem, [0], {question: Attacked(question, NOTHING_FOUND, None, np.array([20.0]))}, run)
    assert outcome.verdict is Verdict.UNKNOWN


def test_attacks_over_placements_name_their_questions() -> None:
    problem = random_problem(1, Ask(targets=(0, 2)))
    found = attack_slice(problem, [1, 0], Run(strategy(ATTACK)))
    assert {attacked.question for attacked in found} == set(problem.all_questions())
    for attacked in found:
        assert attacked.trigger is not None
        assert attacked.found <= most(problem, attacked.question, strict=True)
        assert attacked.witness is None or len(attacked.witness.inputs) >= attacked.question.threshold


def test_an_attack_without_a_second_pass_replays_nothing() -> None:
    found = attack_slice(reachable(), [0], Run(strategy(replace(ATTACK, refine=0))))
    assert [(attacked.found, attacked.witness) for attacked in found] == [(0, None)]
    assert only(reachable(), replace(ATTACK, refine=0), BRANCH).verdict is Verdict.FALSIFIED


@pytest.mark.parametrize("seed", range(4))
def test_the_found_count_is_never_above_the_proved_one(seed: int) -> None:
    problem = in_float32(random_problem(seed, Ask(targets=(0, 1, 2))))
    chosen = [q._replace(threshold=n) for q in problem.all_questions() for n in (1, 3)]
    for outcome in decide(problem, chosen, strategy(ATTACK, INTERVAL, CROWN, BRANCH)):
        assert 0 <= outcome.found <= outcome.proved
        if outcome.verdict is Verdict.CERTIFIED:
            assert outcome.proved < outcome.question.threshold


def test_questions_come_back_in_the_order_asked() -> None:
    problem = random_problem(5, Ask(targets=(0, 1, 2)))
    order = [*problem.all_questions()][::-1]
    assert [outcome.question for outcome in decide(problem, order, strategy(CROWN))] == order


def verdicts(problem: Problem, questions: list[Question], seed: int) -> list[tuple[Verdict, int, int]]:
    plan = Strategy("made", "sha256:00", (ATTACK, INTERVAL, CROWN, BRANCH), seed)
    return [(o.verdict, o.found, o.proved) for o in decide(problem, questions, plan)]


def test_a_seed_says_the_same_twice_and_no_seed_changes_a_verdict() -> None:
    problem = random_problem(8)
    questions = [
        question._replace(threshold=need) for question in problem.all_questions() for need in (1, 2, 3, 4, 5, 6)
    ]
    assert verdicts(problem, questions, 3) == verdicts(problem, questions, 3)
    assert [v for v, _, _ in verdicts(problem, questions, 3)] == [v for v, _, _ in verdicts(problem, questions, 4)]
