"""Answers of a stage are kept as they fall: what was decided stays so, whatever ends the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.search.small import most, random_problem
from tests.soundness.build import Ask, digested
from verifluxa.dispatch import driver, perform
from verifluxa.dispatch.driver import Answers, EngineCrash, Plan, drive
from verifluxa.dispatch.engine import StrategyEngine
from verifluxa.dispatch.observe import NoEvidence, Progress
from verifluxa.dispatch.processes import InProcessPool
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.search import branch
from verifluxa.strategy.load import BranchStage, Strategy

ENGINE = StrategyEngine(Strategy("made", "sha256:00", (BranchStage(2000, clip_rounds=0, slabs=0, joint=False),)))
STOPPED = 4
"""A batch by which the easy question has fallen and the hard one has not."""


class Keeper(NoEvidence):
    """What reaches the ledger, and what the progress line counts."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.seen: list[Progress] = []

    def record(self, problem: Problem, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def update(self, progress: Progress) -> None:
        self.seen.append(progress)


def uneven(above: int = 1) -> Problem:
    """Three questions of one place: a bound decides one, few boxes the second, only many the first."""
    problem = random_problem(45, Ask(targets=(0, 1, 2)), positions=(0, 1, 2))
    needs = list(problem.thresholds)
    for question in problem.questions(0):
        needs[question.selection] = max(1, most(problem, question) + above)
    return digested(replace(problem, placements=problem.placements[:1], thresholds=tuple(needs)))


def driven(keeper: Keeper, problem: Problem | None = None) -> Answers:
    return drive(problem or uneven(), InProcessPool(ENGINE), Plan(), keeper, keeper)


def said(answers: Answers) -> list[str]:
    return [str(outcome.reason or outcome.verdict) for outcome in answers.outcomes]


def watched(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> Counter[str]:
    """Counts batches; the one of that number does not come back."""
    bound, seen = branch._bound, Counter[str]()

    def counted(*given: Any) -> Any:
        seen["batches"] += 1
        if error is not None and seen["batches"] == STOPPED:
            raise error
        return bound(*given)

    monkeypatch.setattr(branch, "_bound", counted)
    return seen


def test_left_alone_all_are_decided(monkeypatch):
    batches = watched(monkeypatch)
    assert said(driven(Keeper())) == ["certified"] * 3
    assert batches["batches"] > STOPPED


@pytest.mark.parametrize("patience", [0.0, 60.0], ids=["each is sent at once", "they are gathered"])
def test_a_mistake_in_the_engine_leaves_what_was_decided(monkeypatch, patience):
    keeper = Keeper()
    monkeypatch.setattr(perform, "PATIENCE", patience)
    watched(monkeypatch, ZeroDivisionError("a mistake of ours"))
    with pytest.raises(EngineCrash):
        driven(keeper)
    assert [outcome.question.violation for outcome in keeper.outcomes] == [2, 1]


def test_an_interrupt_leaves_what_was_decided(monkeypatch):
    monkeypatch.setattr(perform, "PATIENCE", 0.0)
    watched(monkeypatch, KeyboardInterrupt())
    answers = driven(Keeper())
    assert answers.interrupted
    assert said(answers) == ["interrupted", "certified", "certified"]


def test_a_question_that_does_not_fit_costs_the_others_nothing(monkeypatch):
    watched(monkeypatch, MemoryError("no room"))
    assert said(driven(Keeper())) == ["memory", "certified", "certified"]


def test_the_progress_line_counts_them_and_shows_that_work_goes_on(monkeypatch):
    keeper = Keeper()
    monkeypatch.setattr(perform, "PATIENCE", 0.0)
    monkeypatch.setattr(perform, "SIGN", 0.0)
    monkeypatch.setattr(driver, "SHOW_SECONDS", 0.0)
    batches = watched(monkeypatch)
    driven(keeper)
    counted = [progress.certified for progress in keeper.seen if progress.stage == "prove"]
    assert set(counted) == {0, 1, 2, 3}
    assert counted.count(2) > 2, "while the hard one is searched"
    assert len(counted) > batches["batches"]


def test_a_counterexample_ends_the_property_at_once(monkeypatch):
    """Whatever the clock says: what fell with it or before is kept, the rest is not asked any more."""
    batches = watched(monkeypatch)
    for patience in (0.0, 60.0):
        monkeypatch.setattr(perform, "PATIENCE", patience)
        batches.clear()
        assert said(driven(Keeper(), uneven(above=0))).count("falsified") >= 1
        assert batches["batches"] < STOPPED
