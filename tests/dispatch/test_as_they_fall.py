"""Answers of a stage are kept as they fall: what was decided stays so, whatever ends the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.search.small import most, random_problem
from tests.soundness.build import Ask, digested
from verifluxa.dispatch.driver import Answers, EngineCrash, Plan, drive
from verifluxa.dispatch.engine import StrategyEngine
from verifluxa.dispatch.observe import NoEvidence, Progress
from verifluxa.dispatch.perform import Pace
from verifluxa.dispatch.processes import InProcessPool
from verifluxa.dispatch.slices import ProofSlice
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.search import branch
from verifluxa.strategy.load import BranchStage, Strategy
from verifluxa.strategy.work import Fallen

ENGINE = StrategyEngine(Strategy("made", "sha256:00", (BranchStage(2000, clip_rounds=0, slabs=0, joint=False),)))
STOPPED = 7
"""A step by which the easy question has fallen and the hard one has not."""


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


AT_ONCE = Pace(gathered=0.0, silent=0.0)


def driven(
    keeper: Keeper, engine: StrategyEngine = ENGINE, pace: Pace = AT_ONCE, problem: Problem | None = None
) -> Answers:
    return drive(problem or uneven(), InProcessPool(engine, pace), Plan(shown=0.0), keeper, keeper)


def said(answers: Answers) -> list[str]:
    return [str(outcome.reason or outcome.verdict) for outcome in answers.outcomes]


@dataclass(frozen=True)
class Watched(StrategyEngine):
    """Counts steps; the one of that number ends in an error."""

    error: BaseException | None = None
    seen: Counter[str] = field(default_factory=Counter)

    def prove(self, problem: Problem, slice: ProofSlice) -> Iterator[Fallen]:
        for fallen in super().prove(problem, slice):
            self.seen["batches"] += 1
            if self.error is not None and self.seen["batches"] == STOPPED:
                raise self.error
            yield fallen


def watched(error: BaseException | None = None) -> Watched:
    return Watched(ENGINE.strategy, error=error)


def test_left_alone_all_are_decided():
    engine = watched()
    assert said(driven(Keeper(), engine)) == ["certified"] * 3
    assert engine.seen["batches"] > STOPPED


@pytest.mark.parametrize("patience", [0.0, 60.0], ids=["each is sent at once", "they are gathered"])
def test_a_mistake_in_the_engine_leaves_what_was_decided(patience):
    keeper = Keeper()
    with pytest.raises(EngineCrash):
        driven(keeper, watched(ZeroDivisionError("a mistake of ours")), Pace(gathered=patience))
    assert [outcome.question.violation for outcome in keeper.outcomes] == [2, 1]


def test_an_interrupt_leaves_what_was_decided():
    answers = driven(Keeper(), watched(KeyboardInterrupt()))
    assert answers.interrupted
    assert said(answers) == ["interrupted", "certified", "certified"]


def test_a_question_that_does_not_fit_costs_the_others_nothing(monkeypatch):
    bound, batches = branch._bound, iter(range(1, 10**6))

    def counted(*given: Any) -> Any:
        if next(batches) == STOPPED:
            raise MemoryError("no room")
        return bound(*given)

    monkeypatch.setattr(branch, "_bound", counted)
    assert said(driven(Keeper())) == ["memory", "certified", "certified"]


def test_the_progress_line_counts_them_and_shows_that_work_goes_on():
    keeper, engine = Keeper(), watched()
    driven(keeper, engine)
    counted = [progress.certified for progress in keeper.seen if progress.stage == "prove"]
    assert set(counted) == {0, 1, 2, 3}
    assert counted.count(2) > 2, "while the hard one is searched"
    assert len(counted) > engine.seen["batches"]


def test_a_counterexample_ends_the_property_at_once():
    """Whatever the clock says: what fell with it or before is kept, the rest is not asked any more."""
    for patience in (0.0, 60.0):
        engine = watched()
        answers = driven(Keeper(), engine, Pace(gathered=patience), uneven(above=0))
        assert said(answers).count("falsified") >= 1
        assert engine.seen["batches"] < STOPPED
