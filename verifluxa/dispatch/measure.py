"""Measures the largest rate: rounds of attack and proof that close in on it from both sides, usable at any time.

Each round asks, of the questions that still stand in the way, whether one trigger can do more than a rate r. What is
refuted raises the found end, what is proved lowers the other. The found end counts only inputs that violate in every
evaluation order, so that both ends hold however sums are ordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from verifluxa.dispatch.driver import Answers, Plan
from verifluxa.dispatch.ladder import Count, Measured, RateBisection
from verifluxa.dispatch.observe import Observer
from verifluxa.dispatch.pool import Pool
from verifluxa.question import Problem


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
        problem: the questions; their needs mean nothing.
        close: how closely.
        pool: where the work is done.
        plan: how it is cut, and when it ends.
        observer: is told both ends.
    """
    ladder = RateBisection(problem, pool, plan, observer)
    ladder.attack()
    if close.everywhere:
        while ladder.goes_on and ladder.narrow(close.gap):
            pass
    else:
        _narrow_largest(ladder, close.gap)
    return ladder.measured(close.gap, close.everywhere)


def _narrow_largest(ladder: RateBisection, gap: Fraction) -> None:
    failed = Fraction(-1)
    while ladder.goes_on and ladder.proved - ladder.found > gap:
        rate = _next_rate(ladder, failed, gap)
        if rate is None:
            return
        if not ladder.ask(rate):
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


def _next_rate(ladder: RateBisection, failed: Fraction, gap: Fraction) -> Fraction | None:
    """The rate to prove next: first what is wanted, then what the bounds give at once, then halfway."""
    open_rates = [rate for rate in ladder.rates() if max(ladder.found, failed) < rate < ladder.proved]
    wanted = max((rate for rate in ladder.rates() if rate <= ladder.found + gap), default=ladder.found)
    if failed < wanted:
        return wanted
    if not open_rates:
        return None
    hint = ladder.hint
    return hint if hint in open_rates else open_rates[len(open_rates) // 2]
