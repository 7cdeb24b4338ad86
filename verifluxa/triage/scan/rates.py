"""Both ends of the rate at every place and for every target: proved by bounds, found by an attack where that pays.

The bounds come first. They take one pass for all targets of a place, and no trigger does more than they say; so the
attack goes where they leave most room. A proof that was not reached in the time leaves no upper end.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from verifluxa.dispatch.engine import StrategyEngine
from verifluxa.dispatch.slices import ProofSlice
from verifluxa.errors import UnsupportedError
from verifluxa.evidence import Outcome
from verifluxa.question import Floats, Problem, Question
from verifluxa.result.result import Share
from verifluxa.search import AttackSettings, enumerable, placed_table, run_attack, witness_of, workspace_of
from verifluxa.strategy.load import BoundStage, Strategy
from verifluxa.verdict import Verdict

BOUNDS = Strategy("scan", "", (BoundStage("crown"),))
"""One pass of linear bounds a place; words and other listed values are tried one and all in its stead."""
ATTACK = AttackSettings(inputs=0, starts=8, steps=40, coordinate_rounds=4)


@dataclass(frozen=True, eq=False)
class Ends:
    """What is known of one place and target.

    Attributes:
        question: which.
        found: inputs that `trigger` drives to the target in every evaluation order.
        proved: no trigger drives more inputs there; None where that was not proved in the time.
        trigger: the strongest that was found, shape (d,), or None.
        tried: whether triggers were looked for.
    """

    question: Question
    found: Share
    proved: Share | None
    trigger: Floats | None = None
    tried: bool = False

    @property
    def room(self) -> Share:
        """What a trigger may do for all that is known."""
        return self.proved or Share(self.found.total, self.found.total)


@dataclass(frozen=True, eq=False)
class Where:
    """Where the attack goes.

    Attributes:
        places: so many places for each target, by what the bounds leave.
        hints: for (placement, target) the share of the target's smallest mask that lies there; one more place.
    """

    places: int = 2
    hints: Mapping[tuple[int, int], float] = field(default_factory=dict)


def ignore(words: str) -> None:
    """Tells nobody what was left out."""


def proved_ends(problem: Problem, deadline: float, unfinished: Callable[[str], None] = ignore) -> list[Ends]:
    """Proves an upper end for every question that there is time for; the others have none.

    Args:
        problem: the questions; their needs mean nothing.
        deadline: on the clock of `time.monotonic`.
        unfinished: is told in words what the deadline left out.
    """
    # More than all: whatever the bounds leave is certified, and says how much that is.
    every = replace(problem, thresholds=tuple(len(selection) + 1 for selection in problem.selections))
    engine = StrategyEngine(BOUNDS, threads=1)
    found: dict[Question, Ends] = {}
    for done, placement in enumerate(_spread_out(len(every.placements))):
        if time.monotonic() > deadline:
            unfinished(f"bounds at {len(every.placements) - done} of {len(every.placements)} places")
            break
        for outcome in itertools.chain.from_iterable(engine.prove(every, ProofSlice((placement,), None, {}, deadline))):
            assert isinstance(outcome, Outcome)
            found[outcome.question] = _ends(every, outcome)
    return [found.get(question) or _nothing(every, question) for question in every.all_questions()]


def _spread_out(count: int) -> Iterable[int]:
    """All numbers below `count`, coarse steps first: where time runs out the whole image was looked at."""
    step = 7
    return (number for start in range(step) for number in range(start, count, step))


def _ends(problem: Problem, outcome: Outcome) -> Ends:
    total = problem.totals[outcome.question.selection]
    proved = Share(min(outcome.proved, total), total) if outcome.verdict is Verdict.CERTIFIED else None
    tried = proved is not None and outcome.stage == "enumerate"
    return Ends(outcome.question, Share(outcome.found, total), proved, None, tried)


def _nothing(problem: Problem, question: Question) -> Ends:
    return Ends(question, Share(0, problem.totals[question.selection]), None)


def found_ends(
    problem: Problem, ends: list[Ends], where: Where, deadline: float, unfinished: Callable[[str], None] = ignore
) -> list[Ends]:
    """Looks for triggers where the proved ends leave most room, and where a smallest mask lies.

    Args:
        problem: the questions.
        ends: of all of them.
        where: the attack goes.
        deadline: on the clock of `time.monotonic`.
        unfinished: is told in words what the deadline left out.
    """
    work = workspace_of(problem)
    better: dict[Question, Ends] = {}
    promising = _promising(ends, where)
    for done, (placement, asked) in enumerate(promising.items()):
        if time.monotonic() > deadline:
            unfinished(f"the attack at {len(promising) - done} of {len(promising)} places")
            break
        if all(one.tried for one in asked) or enumerable(work, placement) is not None:
            continue
        try:
            candidates = run_attack(work, [one.question for one in asked], ATTACK)
        except UnsupportedError:
            break
        for one, candidate in zip(asked, candidates, strict=True):
            trigger = candidate.trigger.cpu().numpy()
            seen = witness_of(work, one.question, trigger)
            found = Share(seen.robust, one.found.total)
            better[one.question] = replace(one, found=found, trigger=trigger, tried=True)
    return [better.get(one.question, one) for one in ends]


def _promising(ends: list[Ends], where: Where) -> Mapping[int, list[Ends]]:
    """The questions to attack, by placement, the most promising placement first."""

    def promise(one: Ends) -> float:
        return where.hints.get(one.question[:2], 0.0) if one.proved is None else float(one.proved.rate)

    chosen: dict[Question, Ends] = {}
    for own in by_target(ends).values():
        own.sort(key=lambda one: (-promise(one), one.question))
        hinted = max(own, key=lambda one: (where.hints.get(one.question[:2], 0.0), promise(one)))
        chosen |= {one.question: one for one in (*own[: where.places], hinted)}
    grouped: dict[int, list[Ends]] = {}
    for one in sorted(chosen.values(), key=lambda one: (-promise(one), one.question)):
        grouped.setdefault(one.question.placement, []).append(one)
    return grouped


def by_target(ends: Iterable[Ends]) -> dict[int, list[Ends]]:
    """The ends of each target."""
    found: dict[int, list[Ends]] = {}
    for one in ends:
        found.setdefault(one.question.violation, []).append(one)
    return found


def strongest(ends: Iterable[Ends]) -> Ends:
    """The one with the largest found rate; among equals the one with most room."""
    return max(ends, key=lambda one: (one.found.rate, one.tried, one.room.rate, -one.question.placement))


def largest_proved(ends: Iterable[Ends]) -> Share | None:
    """No trigger at any of these places does more; None where one of them has no proved end."""
    shares = [one.proved for one in ends]
    known = [share for share in shares if share is not None]
    return max(known, key=lambda share: share.rate) if known and len(known) == len(shares) else None


MOST = 10
"""Shown for each class."""


@dataclass(frozen=True, eq=False)
class Word:
    """A word or value.

    Attributes:
        said: what people call it.
        placement, place: where it does most: an index into the problem's placements, and what people call it.
        target: the class.
        found: inputs of other classes that it sends there, in every evaluation order.
        trigger: the same for the network, shape (d,).
    """

    said: str
    placement: int
    place: tuple[tuple[str, int], ...]
    target: int
    found: Share
    trigger: Floats


def rank_words(problem: Problem, deadline: float, unfinished: Callable[[str], None] = ignore) -> list[Word]:
    """The strongest words for each class, strongest first; `unfinished` is told which places the deadline left out."""
    work = workspace_of(problem)
    best: dict[tuple[int, str], Word] = {}
    for placement, place in enumerate(problem.placements):
        cut = enumerable(work, placement)
        if cut is None:
            continue
        if time.monotonic() > deadline:
            unfinished(f"words or values at {len(problem.placements) - placement} of {len(problem.placements)} places")
            break
        try:
            table, slots = placed_table(work.at(placement), cut, placement, deadline)
        except UnsupportedError:
            break
        if table is None:
            unfinished(f"words or values at {len(problem.placements) - placement} of {len(problem.placements)} places")
            break
        triggers = slots.triggers()
        for violation, selection in problem.pairs:
            chosen = problem.selections[selection]
            counts = table.certain[violation][chosen].sum(0)
            for at in np.argsort(-counts, kind="stable")[:MOST]:
                said = ", ".join(problem.domain_of(placement).described(triggers[at])) or str(triggers[at].tolist())
                share = Share(int(counts[at]), len(chosen))
                word = Word(said, placement, place.label, violation, share, triggers[at])
                known = best.get((violation, said))
                if known is None or known.found.count < word.found.count:
                    best[violation, said] = word
    return sorted(best.values(), key=lambda word: (-word.found.rate, word.target, word.said))


def with_triggers(ends: Sequence[Ends], words: Sequence[Word]) -> list[Ends]:
    """The same ends; those that a word reaches have it for their trigger."""
    known: dict[tuple[int, int], Word] = {}
    for word in words:
        known.setdefault((word.placement, word.target), word)
    found = []
    for one in ends:
        said = known.get(one.question[:2])
        fits = one.trigger is None and said is not None and said.found.count == one.found.count
        found.append(replace(one, trigger=said.trigger) if fits and said is not None else one)
    return found
