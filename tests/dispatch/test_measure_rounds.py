"""The rounds of a map: what is asked of a question whose interval stays too wide."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any, cast

from tests.search.small import random_problem
from tests.soundness.build import Ask
from verifluxa.dispatch.driver import Plan
from verifluxa.dispatch.measure import Key, RateBisection
from verifluxa.dispatch.observe import Silent
from verifluxa.evidence import NOTHING_FOUND, Outcome, Strongest, Witness
from verifluxa.question import Problem, Question
from verifluxa.verdict import Reason, Verdict


class Told(RateBisection):
    """Its rounds are told: triggers for as many inputs as `reached` are found where just that is asked."""

    def __init__(self, problem: Problem, reached: int) -> None:
        super().__init__(problem, cast("Any", None), Plan(), Silent())
        self.reached = reached
        self.asked: list[int] = []

    def _round(
        self, part: Problem, places: Sequence[int], asked: Collection[Key] | None = None, every: bool = False
    ) -> None:
        for place, violation, selection in asked or ():
            question = Question(place, violation, selection, part.thresholds[selection])
            self.asked.append(question.threshold)
            assert self._intervals[question[:3]].start is None
            self._intervals[question[:3]].take(self._answer(question))

    def _answer(self, question: Question) -> Outcome:
        if question.threshold > self.reached:
            return Outcome(question, Verdict.UNKNOWN, Reason.PRECISION, NOTHING_FOUND, 9)
        found = Witness(
            random_problem(1).domain.lower,
            tuple(range(question.threshold)),
            (1.0,) * question.threshold,
            question.threshold,
        )
        return Outcome(question, Verdict.FALSIFIED, None, Strongest(question.threshold), 9, found, "attack")


def test_where_no_number_can_be_proved_one_input_more_is_looked_for() -> None:
    """First what would do, then halfway, all in vain; then from below until the interval is narrow enough."""
    problem = random_problem(1, Ask(targets=(0,)))
    total = len(problem.selections[0])
    bisection = Told(problem, 2)
    for key in list(bisection._intervals)[1:]:
        del bisection._intervals[key]
    rounds = 0
    while bisection.bisect(Fraction(2, total)):
        rounds += 1
        assert rounds < 20
    assert bisection.ends() == ((2, total), (total, total))
    assert bisection.asked == [3, 4, 1, 2]
