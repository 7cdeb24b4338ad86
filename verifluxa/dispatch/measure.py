"""Measures the largest rate: rounds of attack and proof that close in on it from both sides, usable at any time.

Each round asks, of the questions that still stand in the way, whether one trigger can do more than a rate r. What is
refuted raises the found end, what is proved lowers the other. The found end counts only inputs that violate in every
evaluation order, so that both ends hold however sums are ordered.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from verifluxa.dispatch.driver import Answers, Plan, drive
from verifluxa.dispatch.observe import NoEvidence, Observer, Progress
from verifluxa.dispatch.pool import Pool
from verifluxa.dispatch.slices import AttackDone
from verifluxa.evidence import Node, Outcome, Witness
from verifluxa.question import Floats, Problem, Question
from verifluxa.strategy.attacked import Attacked
from verifluxa.verdict import Reason, Verdict

Count = tuple[int, int]
"""So many of so many inputs."""
Key = tuple[int, int, int]
"""Placement, violation and selection of a question."""


@dataclass
class _Standing:
    """What is known of one question.

    Attributes:
        total: inputs that it speaks of.
        found: most inputs that one replayed trigger makes violate in every evaluation order.
        proved: no trigger makes more inputs violate; `proof` shows it.
        hint: what the bounds say, where nothing was written down that shows it.
        reason: why no more could be proved.
        shown: most inputs that one trigger was seen to make violate, and that trigger.
    """

    total: int
    found: int
    proved: int
    hint: int
    proof: Outcome | None = None
    reason: Reason = Reason.STRATEGY
    shown: tuple[int, Floats] | None = None

    def take(self, outcome: Outcome) -> None:
        """Takes in an answer."""
        self.found = max(self.found, outcome.found)
        witness = outcome.witness
        if witness is not None:
            self.found = max(self.found, witness.robust)
            self.show(len(witness.inputs), witness.trigger)
        if outcome.verdict is Verdict.CERTIFIED and outcome.proved < self.proved:
            self.proved, self.proof = outcome.proved, outcome
        if outcome.reason not in (None, Reason.DECIDED):
            self.hint, self.reason = min(self.hint, outcome.proved), outcome.reason or self.reason

    def show(self, count: int, trigger: Floats) -> None:
        """Keeps the trigger that does most."""
        if self.shown is None or count > self.shown[0]:
            self.shown = count, trigger


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of a measurement.

    Attributes:
        answers: an outcome for each question: certified where it is proved not to stand in the way.
        strongest: the question and the trigger with the largest rate, replayed; None where none does anything.
    """

    answers: Answers
    strongest: tuple[Question, Witness] | None


def measure(problem: Problem, gap: Fraction, pool: Pool, plan: Plan, observer: Observer) -> Measured:
    """Measures until the ends are no further apart than the gap, or nothing more can be told apart, or time is up.

    Args:
        problem: the questions; their needs mean nothing.
        gap: how far the ends may be apart.
        pool: where the work is done.
        plan: how it is cut, and when it ends.
        observer: is told both ends.
    """
    ladder = Ladder(problem, pool, plan, observer)
    ladder.attack()
    failed = Fraction(-1)
    while ladder.goes_on and ladder.proved - ladder.found > gap:
        rate = _next_rate(ladder, failed, gap)
        if rate is None:
            break
        if not ladder.ask(rate):
            failed = max(failed, rate)
    return ladder.measured(ladder.found + gap)


@dataclass(frozen=True, eq=False)
class Compared:
    """The result of a comparison.

    Attributes:
        answers: of the model that must not be easier to trigger.
        other: (found, of how many) and (proved, of how many) of the model that it is compared with.
    """

    answers: Answers
    other: tuple[Count, Count]


def compare(new: Problem, old: Problem, pool: Pool, plan: Plan, observer: Observer) -> Compared:
    """Whether the largest rate of `new` is at most that of `old`.

    Certified when no trigger does more to `new` than one was shown to do to `old`, in every evaluation order;
    falsified when a trigger was shown to do more to `new` than any does to `old`.
    """
    first, second = Ladder(new, pool, plan, observer), Ladder(old, pool, plan, observer)
    first.attack()
    if first.goes_on:
        second.attack()
    while first.goes_on and second.goes_on and not _settled(first, second) and _closer(first, second):
        pass
    if first.found > second.proved:
        return Compared(first.refuted(second.proved), second.ends())
    return Compared(first.measured(second.found).answers, second.ends())


def _settled(first: Ladder, second: Ladder) -> bool:
    return first.proved <= second.found or first.found > second.proved


def _closer(first: Ladder, second: Ladder) -> bool:
    """One round of each, until one of the four ends moves; False when none does."""
    before = (first.found, first.proved, second.found, second.proved)
    if first.found <= second.found:
        first.ask(second.found)
    if first.goes_on and not _settled(first, second):
        below = [rate for rate in second.rates() if second.found <= rate < first.found]
        second.ask(below[-1] if below else second.found)
    return before != (first.found, first.proved, second.found, second.proved)


def _next_rate(ladder: Ladder, failed: Fraction, gap: Fraction) -> Fraction | None:
    """The rate to prove next: first what is wanted, then what the bounds give at once, then halfway."""
    open_rates = [rate for rate in ladder.rates() if max(ladder.found, failed) < rate < ladder.proved]
    wanted = max((rate for rate in ladder.rates() if rate <= ladder.found + gap), default=ladder.found)
    if failed < wanted:
        return wanted
    if not open_rates:
        return None
    hint = ladder.hint
    return hint if hint in open_rates else open_rates[len(open_rates) // 2]


class Ladder:
    """The rounds on one problem, and the ends that they have reached."""

    def __init__(self, problem: Problem, pool: Pool, plan: Plan, observer: Observer) -> None:
        self.problem = problem
        self.goes_on = True
        self._pool, self._plan, self._observer = pool, plan, observer
        self._started = time.monotonic()
        self._attack_seconds = 0.0
        self._interrupted = False
        self._standings = {
            question[:3]: _Standing(total := self._total(question[2]), 0, total, total)
            for question in problem.all_questions()
        }

    @property
    def found(self) -> Fraction:
        """The largest rate that a trigger was shown to reach in every evaluation order."""
        return max(Fraction(one.found, one.total) for one in self._standings.values())

    @property
    def proved(self) -> Fraction:
        """No trigger reaches a larger rate."""
        return max(Fraction(one.proved, one.total) for one in self._standings.values())

    @property
    def hint(self) -> Fraction:
        """A rate that bounds alone should be able to prove."""
        return max(Fraction(min(one.proved, one.hint), one.total) for one in self._standings.values())

    def rates(self) -> list[Fraction]:
        """All rates that a question can have, ascending."""
        totals = {one.total for one in self._standings.values()}
        return sorted({Fraction(count, total) for total in totals for count in range(total + 1)})

    def attack(self) -> None:
        """Looks for strong triggers; no need can be met, so nothing ends early."""
        self._round(self.problem, replace(self.problem, needs=tuple(len(s) + 1 for s in self.problem.selections)))

    def ask(self, rate: Fraction) -> bool:
        """Whether no trigger does more than the rate, as far as this round can tell."""
        asked = [key for key, one in self._standings.items() if Fraction(one.proved, one.total) > rate]
        if not asked:
            return True
        places = sorted({key[0] for key in asked})
        pairs = {key[1:] for key in asked}
        part = replace(
            self.problem,
            placements=tuple(self.problem.placements[place] for place in places),
            pairs=tuple(pair for pair in self.problem.pairs if pair in pairs),
            needs=tuple(floor(rate * len(selection)) + 1 for selection in self.problem.selections),
        )
        self._round(self.problem, part, places)
        return self.proved <= rate

    def measured(self, within: Fraction) -> Measured:
        """The outcomes: questions that are proved to stay within a rate are certified, the others open."""
        outcomes = tuple(self._outcome(question, within) for question in self.problem.all_questions())
        seconds = time.monotonic() - self._started
        return Measured(Answers(outcomes, self._attack_seconds, seconds, self._interrupted), self.strongest())

    def ends(self) -> tuple[Count, Count]:
        """Found and proved, each with the number of inputs that it is a share of."""
        standings = list(self._standings.values())
        best = max(standings, key=lambda one: Fraction(one.found, one.total))
        worst = max(standings, key=lambda one: Fraction(one.proved, one.total))
        return (best.found, best.total), (worst.proved, worst.total)

    def refuted(self, limit: Fraction) -> Answers:
        """The outcomes, where a trigger was shown to do more than a limit."""
        measured = self.measured(limit)
        assert measured.strongest is not None
        question, witness = measured.strongest
        total = self._total(question.selection)
        need = floor(limit * total) + 1
        found = Outcome(
            question._replace(need=need), Verdict.FALSIFIED, None, witness.robust, total, witness, stage="attack"
        )
        outcomes = tuple(found if one.question[:3] == question[:3] else one for one in measured.answers.outcomes)
        return replace(measured.answers, outcomes=outcomes)

    def strongest(self) -> tuple[Question, Witness] | None:
        """The trigger that does most, replayed on the network."""
        from verifluxa.search.replay import witness
        from verifluxa.search.workspace import workspace

        shown = [(Fraction(one.shown[0], one.total), key) for key, one in self._standings.items() if one.shown]
        if not shown:
            return None
        key = max(shown)[1]
        best = self._standings[key].shown
        assert best is not None
        found = witness(workspace(self.problem), Question(*key, need=best[0]), best[1])
        if not found.inputs:
            return None
        return Question(*key, need=len(found.inputs)), found

    def _outcome(self, question: Question, within: Fraction) -> Outcome:
        one = self._standings[question[:3]]
        settled = Fraction(one.proved, one.total) <= within
        if not settled or self._interrupted:
            reason = Reason.INTERRUPTED if self._interrupted else Reason.TIME if self._late else one.reason
            return Outcome(question, Verdict.UNKNOWN, reason, one.found, one.proved)
        asked = question._replace(need=one.proved + 1)
        if one.proof is None:
            return Outcome(asked, Verdict.CERTIFIED, None, one.found, one.proved, tree=Node(closed=True))
        return replace(one.proof, question=asked, found=one.found)

    def _round(self, whole: Problem, part: Problem, places: Iterable[int] | None = None) -> None:
        """One drive; its outcomes are taken in under the whole problem's placements."""
        kept = _Keeper()
        answers = drive(part, self._pool, self._plan, _Both(self._observer, self), kept)
        self._attack_seconds += answers.attack_seconds
        self._interrupted = answers.interrupted
        self.goes_on = not answers.interrupted and not self._late
        place_of = list(range(len(whole.placements)) if places is None else places)
        for seen in kept.seen:
            key = (place_of[seen.question.placement], *seen.question[1:3])
            if seen.found and seen.trigger is not None:
                self._standings[key].show(seen.found, seen.trigger)
        for outcome in kept.outcomes:
            placement = place_of[outcome.question.placement]
            question = outcome.question._replace(placement=placement)
            self._standings[question[:3]].take(replace(outcome, question=question))

    @property
    def _late(self) -> bool:
        deadline = self._plan.deadline
        return deadline is not None and time.monotonic() > deadline

    def _total(self, selection: int) -> int:
        return len(self.problem.selections[selection])


class _Keeper(NoEvidence):
    """Keeps outcomes with their trees, and what the attack has seen."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.seen: list[Attacked] = []

    def attacked(self, problem: Problem, done: AttackDone) -> None:
        """Keeps what the attack found."""
        self.seen += done.attacked

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """Keeps one outcome."""
        self.outcomes.append(outcome)


class _Both:
    """Tells the observer both ends of the interval with each step."""

    def __init__(self, observer: Observer, ladder: Ladder) -> None:
        self._observer, self._ladder = observer, ladder

    def update(self, progress: Progress) -> None:
        """Adds what the rounds before have reached."""
        found = max(progress.found, self._ladder.found)
        self._observer.update(replace(progress, found=found, proved=self._ladder.proved))
