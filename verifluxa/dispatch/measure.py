"""Measures the largest rate: rounds of attack and proof that close in on it from both sides, usable at any time.

Each round asks, of the questions that still stand in the way, whether one trigger can do more than a rate r. What is
refuted raises the found end, what is proved lowers the other. The found end counts only inputs that violate in every
evaluation order, so that both ends hold however sums are ordered.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from verifluxa.dispatch.driver import Answers, Plan, drive
from verifluxa.dispatch.observe import NoEvidence, Observer, Progress, Recalled
from verifluxa.dispatch.slices import AttackDone, Pool
from verifluxa.evidence import NOTHING_FOUND, Counted, Node, Outcome, Strongest, Witness, strength_of
from verifluxa.question import Floats, Problem, Question
from verifluxa.strategy.work import Attacked
from verifluxa.verdict import Reason, Verdict

Count = tuple[int, int]
"""So many of so many inputs."""
Key = tuple[int, int, int]
"""Placement, violation and selection of a question."""


@dataclass
class _QuestionInterval:
    """What is known of one question.

    Attributes:
        total: inputs that it speaks of, see `Problem.totals`.
        strongest: the replayed trigger that makes most inputs violate in every evaluation order.
        proved: no trigger makes more inputs violate; `proof` shows it.
        hint: what the bounds say, where nothing was written down that shows it.
        reason: why no more could be proved.
        shown: most inputs that one trigger was seen to make violate, and that trigger.
        start: the best point that was seen, where nothing was replayed as well.
        tried: whether a round of proof has already looked for triggers.
        open: the largest number that a round of proof was asked about in vain; -1 for none.
        searched: what was found when one input more was looked for alone; -1 for never.
    """

    total: int
    strongest: Strongest
    proved: int
    hint: int
    proof: Outcome | None = None
    reason: Reason = Reason.STRATEGY
    shown: tuple[int, Floats] | None = None
    start: Floats | None = None
    tried: bool = False
    open: int = -1
    searched: int = -1

    @property
    def found(self) -> int:
        """How many inputs the strongest trigger makes violate in every evaluation order."""
        return self.strongest.count

    def within(self, gap: Fraction) -> int:
        """The largest number that lies no further than the gap from what was found."""
        return floor((Fraction(self.found, self.total) + gap) * self.total)

    def aim(self, gap: Fraction) -> int | None:
        """The number to ask about next: first what is wanted, then halfway; None where nothing is left to tell.

        Where that did not do, a trigger for one input more than were found narrows the interval as well.
        """
        wanted = self.within(gap)
        aim = wanted if self.open < wanted else (self.open + self.proved) // 2
        if self.open < aim < self.proved:
            return aim
        return self.found if self.searched < self.found < wanted < self.proved else None

    def take(self, outcome: Outcome) -> None:
        """Takes in an answer."""
        self.tried = self.tried or outcome.reason is not Reason.DECIDED
        self.strongest = self.strongest.or_stronger(outcome.strongest)
        witness = outcome.witness
        if witness is not None:
            self.strongest = self.strongest.or_stronger(strength_of(witness))
            self.show(len(witness.inputs), witness.trigger)
        if outcome.verdict is Verdict.CERTIFIED and outcome.proved < self.proved:
            self.proved, self.proof = outcome.proved, outcome
        if outcome.reason not in (None, Reason.DECIDED):
            self.hint, self.reason = min(self.hint, outcome.proved), outcome.reason or self.reason

    def show(self, count: int, trigger: Floats) -> None:
        """Keeps the trigger that does most."""
        self.start = trigger if self.start is None else self.start
        if count and (self.shown is None or count > self.shown[0]):
            self.shown, self.start = (count, trigger), trigger


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of a measurement.

    Attributes:
        answers: an outcome for each question: certified where it is proved not to stand in the way.
        strongest: the question and the trigger with the largest rate, replayed; None where none does anything.
    """

    answers: Answers
    strongest: tuple[Question, Witness] | None


class RateBisection:
    """The rounds on one problem, and the ends that they have reached."""

    def __init__(self, problem: Problem, pool: Pool, plan: Plan, observer: Observer) -> None:
        self.problem = problem
        self.goes_on = True
        self._pool, self._plan, self._observer = pool, plan, observer
        self._started = time.monotonic()
        self._attack_seconds = 0.0
        self._interrupted = False
        self._intervals = {
            question[:3]: _QuestionInterval(total := problem.totals[question[2]], NOTHING_FOUND, total, total)
            for question in problem.all_questions()
        }

    @property
    def found(self) -> Fraction:
        """The largest rate that a trigger was shown to reach in every evaluation order."""
        return max(Fraction(one.found, one.total) for one in self._intervals.values())

    @property
    def proved(self) -> Fraction:
        """No trigger reaches a larger rate."""
        return max(Fraction(one.proved, one.total) for one in self._intervals.values())

    @property
    def hint(self) -> Fraction:
        """A rate that bounds alone should be able to prove."""
        return max(Fraction(min(one.proved, one.hint), one.total) for one in self._intervals.values())

    def rates(self) -> list[Fraction]:
        """All rates that a question can have, ascending."""
        totals = {one.total for one in self._intervals.values()}
        return sorted({Fraction(count, total) for total in totals for count in range(total + 1)})

    def attack(self) -> None:
        """Looks for strong triggers; no threshold can be met, so nothing ends early."""
        hopeless = tuple(len(selection) + 1 for selection in self.problem.selections)
        self._round(self.problem.asking(hopeless), range(len(self.problem.placements)))

    def ask(self, rate: Fraction) -> bool:
        """Whether no trigger does more than the rate, as far as this round can tell."""
        asked = [key for key, one in self._intervals.items() if Fraction(one.proved, one.total) > rate]
        self._ask(asked, {selection: floor(rate * total) for selection, total in enumerate(self.problem.totals)})
        return self.proved <= rate

    def bisect(self, gap: Fraction) -> bool:
        """One round for each question whose ends are further apart than the gap; False when there is nothing to ask.

        A question is asked at a number of its own; one round asks, of each selection, those of the lowest.
        """
        aims = {key: aim for key, one in self._intervals.items() if (aim := one.aim(gap)) is not None}
        lowest = {selection: min(aim for key, aim in aims.items() if key[2] == selection) for *_, selection in aims}
        asked = [key for key, aim in aims.items() if aim == lowest[key[2]]]
        for one in (self._intervals[key] for key in asked if aims[key] <= self._intervals[key].open):
            # Restart the attack: the strongest known trigger may rely on one summation order.
            one.searched, one.tried, one.start = one.found, False, None
        self._ask(asked, lowest, every=True)
        for key in asked:
            one = self._intervals[key]
            if one.proved > aims[key]:
                one.open = max(one.open, aims[key])
        return bool(asked)

    def _ask(self, keys: Collection[Key], limits: Mapping[int, int], every: bool = False) -> None:
        """Asks whether a trigger makes more inputs violate than the limit of their selection."""
        if not keys:
            return
        places = sorted({key[0] for key in keys})
        pairs = {key[1:] for key in keys}
        part = replace(
            self.problem,
            placements=tuple(self.problem.placements[place] for place in places),
            pairs=tuple(pair for pair in self.problem.pairs if pair in pairs),
        )
        part = part.asking(tuple(limits.get(number, len(s)) + 1 for number, s in enumerate(part.selections)))
        self._round(part, places, frozenset(keys), every)

    def measured(self, gap: Fraction, everywhere: bool = False) -> Measured:
        """The outcomes: questions that are proved to stay within the gap are certified, the others open.

        Args:
            gap: from the largest rate found.
            everywhere: from what was found by the question itself instead.
        """
        within = self.found + gap
        limits = (Fraction(one.within(gap), one.total) if everywhere else within for one in self._intervals.values())
        outcomes = tuple(map(self._outcome, self.problem.all_questions(), limits))
        seconds = time.monotonic() - self._started
        return Measured(Answers(outcomes, self._attack_seconds, seconds, self._interrupted), self.strongest())

    def ends(self) -> tuple[Count, Count]:
        """Found and proved, each with the number of inputs that it is a share of."""
        intervals = list(self._intervals.values())
        best = max(intervals, key=lambda one: Fraction(one.found, one.total))
        worst = max(intervals, key=lambda one: Fraction(one.proved, one.total))
        return (best.found, best.total), (worst.proved, worst.total)

    def refuted(self, limit: Fraction) -> Answers:
        """The outcomes, where a trigger was shown to do more than a limit."""
        measured = self.measured(limit - self.found)
        assert measured.strongest is not None
        question, witness = measured.strongest
        total = self.problem.totals[question.selection]
        asked, strongest = question._replace(threshold=floor(limit * total) + 1), strength_of(witness)
        found = Outcome(asked, Verdict.FALSIFIED, None, strongest, total, witness, stage="attack")
        outcomes = tuple(found if one.question[:3] == question[:3] else one for one in measured.answers.outcomes)
        return replace(measured.answers, outcomes=outcomes)

    def strongest(self) -> tuple[Question, Witness] | None:
        """The trigger that does most, replayed on the network."""
        from verifluxa.search import witness_of, workspace_of

        shown = [(Fraction(one.shown[0], one.total), key) for key, one in self._intervals.items() if one.shown]
        if not shown:
            return None
        key = max(shown)[1]
        best = self._intervals[key].shown
        assert best is not None
        found = witness_of(workspace_of(self.problem), Question(*key, threshold=best[0]), best[1])
        if not found.inputs:
            return None
        return Question(*key, threshold=len(found.inputs)), found

    def _outcome(self, question: Question, within: Fraction) -> Outcome:
        one = self._intervals[question[:3]]
        settled = Fraction(one.proved, one.total) <= within
        if not settled or self._interrupted:
            reason = Reason.INTERRUPTED if self._interrupted else Reason.TIME if self._late else one.reason
            return Outcome(question, Verdict.UNKNOWN, reason, one.strongest, one.proved)
        asked = question._replace(threshold=one.proved + 1)
        if one.proof is None:
            return Outcome(asked, Verdict.CERTIFIED, None, one.strongest, one.proved, tree=Node(step=Counted()))
        return replace(one.proof, question=asked, strongest=one.strongest)

    def _round(
        self, part: Problem, places: Sequence[int], asked: Collection[Key] | None = None, every: bool = False
    ) -> None:
        """One drive; its outcomes are taken in under the whole problem's placements."""
        kept = _Keeper(Recalled() if asked is None else self._known(part, places, asked))
        plan = replace(self._plan, every=every)
        answers = drive(part, self._pool, plan, _Both(self._observer, self), kept)
        self._attack_seconds += answers.attack_seconds
        self._interrupted = answers.interrupted
        self.goes_on = not answers.interrupted and not self._late
        for seen in kept.seen:
            if seen.trigger is not None:
                self._intervals[_key(seen.question, places)].show(seen.found, seen.trigger)
        for outcome in kept.outcomes:
            key = _key(outcome.question, places)
            if asked is None or key in asked:
                self._intervals[key].take(replace(outcome, question=Question(*key, outcome.question.threshold)))

    def _known(self, part: Problem, places: Sequence[int], asked: Collection[Key]) -> Recalled:
        """What the attack found is not looked for again, and only what is asked is asked."""
        attacked, outcomes = [], []
        for question in part.all_questions():
            key = _key(question, places)
            one = self._intervals[key]
            if key not in asked:
                outcomes.append(Outcome(question, Verdict.UNKNOWN, Reason.DECIDED, one.strongest, one.proved))
            elif one.start is not None:
                attacked.append(Attacked(question, one.strongest, None, one.start, hard=one.tried))
        return Recalled(frozenset(range(len(part.placements))), tuple(attacked), tuple(outcomes))

    @property
    def _late(self) -> bool:
        deadline = self._plan.deadline
        return deadline is not None and time.monotonic() > deadline


def _key(question: Question, places: Sequence[int]) -> Key:
    """The question's key in the whole problem, whose placements these are."""
    return (places[question.placement], question.violation, question.selection)


class _Keeper(NoEvidence):
    """Keeps outcomes with their trees, and what the attack has seen."""

    def __init__(self, known: Recalled) -> None:
        self._known = known
        self.outcomes: list[Outcome] = []
        self.seen: list[Attacked] = []

    def recall(self, problem: Problem) -> Recalled:
        """What the rounds before have left."""
        return self._known

    def attacked(self, problem: Problem, done: AttackDone) -> None:
        """Keeps what the attack found."""
        self.seen += done.attacked

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """Keeps one outcome."""
        self.outcomes.append(outcome)


class _Both:
    """Tells the observer both ends of the interval with each step."""

    def __init__(self, observer: Observer, bisection: RateBisection) -> None:
        self._observer, self._bisection = observer, bisection

    def update(self, progress: Progress) -> None:
        """Adds what the rounds before have reached."""
        found = max(progress.found, self._bisection.found)
        self._observer.update(replace(progress, found=found, proved=self._bisection.proved))


@dataclass(frozen=True)
class Closeness:
    """How closely is measured.

    Attributes:
        gap: how far the ends may be apart.
        everywhere: those of each question, not only those of the largest rate.
    """

    gap: Fraction
    everywhere: bool = False


def measure(problem: Problem, close: Closeness, pool: Pool, plan: Plan, observer: Observer) -> Measured:
    """Measures until the ends are no further apart than the gap, or nothing more can be told apart, or time is up.

    Args:
        problem: the questions; their thresholds mean nothing.
        close: how closely.
        pool: where the work is done.
        plan: how it is cut, and when it ends.
        observer: is told both ends.
    """
    bisection = RateBisection(problem, pool, plan, observer)
    bisection.attack()
    if close.everywhere:
        while bisection.goes_on and bisection.bisect(close.gap):
            pass
    else:
        _bisect_largest(bisection, close.gap)
    return bisection.measured(close.gap, close.everywhere)


def _bisect_largest(bisection: RateBisection, gap: Fraction) -> None:
    failed = Fraction(-1)
    while bisection.goes_on and bisection.proved - bisection.found > gap:
        rate = _next_rate(bisection, failed, gap)
        if rate is None:
            return
        if not bisection.ask(rate):
            failed = max(failed, rate)


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
    first, second = RateBisection(new, pool, plan, observer), RateBisection(old, pool, plan, observer)
    first.attack()
    if first.goes_on:
        second.attack()
    while first.goes_on and second.goes_on and not _settled(first, second) and _closer(first, second):
        pass
    if first.found > second.proved:
        return Compared(first.refuted(second.proved), second.ends())
    return Compared(first.measured(second.found - first.found).answers, second.ends())


def _settled(first: RateBisection, second: RateBisection) -> bool:
    return first.proved <= second.found or first.found > second.proved


def _closer(first: RateBisection, second: RateBisection) -> bool:
    """One round of each, until one of the four ends moves; False when none does."""
    before = (first.found, first.proved, second.found, second.proved)
    if first.found <= second.found:
        first.ask(second.found)
    if first.goes_on and not _settled(first, second):
        below = [rate for rate in second.rates() if second.found <= rate < first.found]
        second.ask(below[-1] if below else second.found)
    return before != (first.found, first.proved, second.found, second.proved)


def _next_rate(bisection: RateBisection, failed: Fraction, gap: Fraction) -> Fraction | None:
    """The rate to prove next: first what is wanted, then what the bounds give at once, then halfway."""
    open_rates = [rate for rate in bisection.rates() if max(bisection.found, failed) < rate < bisection.proved]
    wanted = max((rate for rate in bisection.rates() if rate <= bisection.found + gap), default=bisection.found)
    if failed < wanted:
        return wanted
    if not open_rates:
        return None
    hint = bisection.hint
    return hint if hint in open_rates else open_rates[len(open_rates) // 2]
