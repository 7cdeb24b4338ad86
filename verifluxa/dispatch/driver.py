"""One loop for every pool: attack all placements first, then prove, and give every question an outcome."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from verifluxa.dispatch.collector import ResultCollector
from verifluxa.dispatch.long import AssignedUnit, UnitScheduler
from verifluxa.dispatch.observe import EvidenceSink, NoEvidence, Observer, Progress, Silent
from verifluxa.dispatch.slices import (
    NOT_LAST,
    AttackDone,
    AttackSlice,
    Crashed,
    Decided,
    Event,
    HandedBack,
    Lost,
    OutOfMemory,
    PieceDone,
    PieceSlice,
    Pool,
    ProofDone,
    ProofSlice,
    Refused,
    Slice,
    described,
)
from verifluxa.errors import UnsupportedError
from verifluxa.evidence import Outcome
from verifluxa.question import Problem, Question
from verifluxa.strategy.work import Checkpoint, Limits
from verifluxa.verdict import Reason

log = logging.getLogger(__name__)

Group = tuple[int, ...]
"""Placements that travel together in one slice."""


Work = Group | AssignedUnit

TICK_SECONDS = 0.5


class EngineCrash(RuntimeError):
    """A mistake in the engine: an internal error, never a verdict."""


@dataclass(frozen=True)
class Plan:
    """How the driver cuts and limits the work.

    Attributes:
        attack_slice, prove_slice: placements in one slice of each kind.
        deadline: when the budget ends, on the clock, or None.
        tries: how often the slice of a dead worker is tried in all.
        grace: seconds past the deadline that workers have to come back by themselves.
        limits: how long one slice may branch on a question before it is cut into pieces; None: until it is decided.
        pieces: into how many pieces what is open of a question is cut; 0: twice as many as there are workers.
        every: whether all questions are asked, also after a counterexample.
        attack_first: whether all questions are attacked before any is proved; else those that bounds leave open.
        warm: questions that have a split tree from elsewhere, which is tried first (`dispatch.warm`).
        shown: seconds between two looks at the progress.
        clock: seconds.
    """

    attack_slice: int = 64
    prove_slice: int = 4
    deadline: float | None = None
    tries: int = 2
    grace: float = 10.0
    limits: Limits | None = None
    pieces: int = 0
    every: bool = False
    attack_first: bool = True
    warm: Iterable[Checkpoint] = ()
    shown: float = 0.1
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, eq=False)
class Answers:
    """The outcome of each question, in the order of the problem's questions, without the split trees."""

    outcomes: tuple[Outcome, ...]
    attack_seconds: float
    seconds: float
    interrupted: bool


def drive(
    problem: Problem,
    pool: Pool,
    plan: Plan,
    observer: Observer | None = None,
    evidence: EvidenceSink | None = None,
) -> Answers:
    """Answers every question of a problem.

    The attack is finished over all placements before anything is proved, also where it has already found a
    counterexample: it is short, and the strongest trigger says more than the first one.

    Raises:
        VerifluxaError: what the engine refuses for a reason that the user can mend.
        EngineCrash: when the engine fails; no question gets a verdict from that.
    """
    return _Drive(problem, pool, plan, observer or Silent(), evidence or NoEvidence()).answers()


def unasked(problem: Problem, reason: Reason, evidence: EvidenceSink | None = None) -> Answers:
    """Gives every question of a problem the same unknown, without asking one."""
    collector = ResultCollector(problem, evidence or NoEvidence())
    collector.give_up_rest(reason)
    return _answers(collector, 0.0, 0.0, reason is Reason.INTERRUPTED)


def _answers(collector: ResultCollector, attack_seconds: float, seconds: float, interrupted: bool) -> Answers:
    outcomes = tuple(collector.outcomes[question] for question in collector.problem.all_questions())
    return Answers(outcomes, attack_seconds, seconds, interrupted)


class _Drive:
    """The state of one drive; it ends with it."""

    def __init__(self, problem: Problem, pool: Pool, plan: Plan, observer: Observer, evidence: EvidenceSink) -> None:
        self.problem = problem
        self.pool = pool
        self.plan = plan
        self.observer = observer
        self.collector = ResultCollector(problem, evidence, plan.every)
        self.started = plan.clock()
        self.shown = 0.0
        self.stage = "attack"
        self.placements_attacked = 0
        self.attack_seconds = 0.0
        self.losses: Counter[int] = Counter()
        self.losses_in_a_row = 0
        self.pending: deque[Work] = deque()
        self.flying = 0
        self.long = UnitScheduler(self.collector, plan.deadline, plan.limits, plan.pieces or pool.capacity, plan.tries)

    def answers(self) -> Answers:
        """Runs the attack, then the proof, and closes what is left."""
        interrupted = False
        log.info("%s: %d questions, %d workers", self.problem.name, self.problem.size, self.pool.workers)
        try:
            attacked = self._recall()
            self.pool.load(self.problem)
            if self.plan.attack_first:
                self._attack(attacked)
            for begun in self.plan.warm:
                self.long.begin_anew(begun)
            self._prove()
            self._give_up_rest(Reason.TIME)
        except KeyboardInterrupt:
            interrupted = True
            self._give_up_rest(Reason.INTERRUPTED)
        finally:
            self.pool.cancel()
        self._show(at_once=True)
        counts = ", ".join(f"{number:,} {verdict}" for verdict, number in self.collector.counts.items())
        log.info("%s: %s", self.problem.name, counts)
        return _answers(self.collector, self.attack_seconds, self.plan.clock() - self.started, interrupted)

    def _recall(self) -> frozenset[int]:
        """Takes over what an earlier run has left; returns the placements that it attacked."""
        known = self.collector.evidence.recall(self.problem)
        for item in known.attacked:
            self.collector.attack(item)
        for outcome in known.outcomes:
            self.collector.record(outcome)
        for begun in known.begun:
            self.long.begin(begun)
        self.placements_attacked, self.attack_seconds = len(known.placements), known.seconds
        return known.placements

    def _give_up_rest(self, reason: Reason) -> None:
        """Closes whatever is open; what was begun keeps what was found on the way."""
        self.long.give_up(reason)
        self.collector.give_up_rest(reason)

    def _attack(self, done: frozenset[int]) -> None:
        everywhere = [place for place in range(len(self.problem.placements)) if place not in done]
        before, started = self.attack_seconds, self.plan.clock()
        try:
            self._work(_groups(everywhere, self.plan.attack_slice), self._attack_slice)
        finally:
            if self.flying:  # what did not come back cannot say how long it took: at least what has passed
                self.attack_seconds = max(self.attack_seconds, before + self.plan.clock() - started)
        self._show(at_once=True)

    def _prove(self) -> None:
        self.stage = "prove"
        log.info("%s: attacked in %.1f s, found %.4f", self.problem.name, self.attack_seconds, self.collector.best)
        groups = _groups(range(len(self.problem.placements)), self.plan.prove_slice)
        # Where the attack came closest, a counterexample is likeliest and a proof takes longest: first.
        groups.sort(key=self._closeness, reverse=True)
        self._work([*self.long.parts_of_all(), *groups], self._proof_slice)

    def _closeness(self, group: Group) -> float:
        found = [
            attacked.found / self.collector.population(question)
            for question in self.collector.open_questions(group, None)
            if (attacked := self.collector.attacked.get(question)) is not None
        ]
        return max(found, default=0.0)

    def _attack_slice(self, work: Work) -> Slice | None:
        assert not isinstance(work, AssignedUnit)
        return AttackSlice(work, self.plan.deadline)

    def _proof_slice(self, work: Work) -> Slice | None:
        if isinstance(work, AssignedUnit):
            slice, more = self.long.order(work)
            self.pending.extendleft(more)
            return slice
        pairs = self.collector.open_pairs()
        asked = None if len(pairs) == len(self.problem.pairs) else pairs
        questions = [q for q in self.collector.open_questions(work, asked) if q not in self.long]
        if not questions:
            return None
        known = {
            question: self.collector.attacked[question] for question in questions if question in self.collector.attacked
        }
        return ProofSlice(work, asked, known, self.plan.deadline, self.plan.limits)

    def _work(self, work: Iterable[Work], make: Callable[[Work], Slice | None]) -> None:
        """Keeps the pool fed until everything is done, time is up or nothing is left to decide."""
        self.pending, self.flying = deque(work), 0
        while not (self.stage == "prove" and self.collector.is_decided):
            if self._late(0.0):
                self.pending.clear()
            while self.pending and self.flying < self.pool.capacity:
                slice = make(self.pending.popleft())
                if slice is not None:
                    self.pool.submit(slice)
                    self.flying += 1
            if not self.flying or self._late(self.plan.grace) or self._hopeless():
                return
            event = self.pool.next(TICK_SECONDS)
            self._show()
            if event is None:
                continue
            self.pending.extendleft(self._handle(event))
            if not isinstance(event, NOT_LAST):
                self.flying -= 1

    def _handle(self, event: Event) -> Sequence[Work]:
        """Takes an event in; returns the work that is to be done (again)."""
        if isinstance(event, Lost):
            self.losses_in_a_row += 1
            log.warning("a worker was lost with %s", described(event.slice))
            return self._after_loss(event.slice)
        self.losses_in_a_row = 0
        match event:
            case AttackDone():
                self._take_attack(event)
            case Decided():
                for outcome in event.outcomes:
                    self.collector.record(outcome)
            case HandedBack():
                return self.long.take_over(event)
            case PieceDone():
                return self.long.take(event)
            case ProofDone():
                self._expect_nothing_open(event.slice)
            case OutOfMemory():
                log.warning("no memory for %s: %s", described(event.slice), event.message)
                return self._after_out_of_memory(event.slice)
            case Refused():
                self._refuse(event)
            case Crashed():
                raise EngineCrash(event.traceback)
        return []

    def _take_attack(self, event: AttackDone) -> None:
        if self._late(0.0):  # what the deadline has kept it from is attacked when the run is taken up again
            reached = {attacked.question.placement for attacked in event.attacked}
            places = tuple(place for place in event.slice.placements if place in reached)
            event = replace(event, slice=replace(event.slice, placements=places))
        self.placements_attacked += len(event.slice.placements)
        self.attack_seconds += event.seconds
        self.collector.evidence.attacked(self.problem, event)
        for attacked in event.attacked:
            self.collector.attack(attacked)

    def _expect_nothing_open(self, slice: ProofSlice) -> None:
        forgotten = [question for question in self._open_of(slice) if question not in self.long]
        if forgotten:
            raise EngineCrash(f"the engine ended a slice without an answer to {forgotten[0]}")

    def _open_of(self, slice: AttackSlice | ProofSlice) -> list[Question]:
        """The questions of a slice that still need an outcome: none of an attack, which is only a help."""
        if isinstance(slice, AttackSlice):
            return []
        return self.collector.open_questions(slice.placements, slice.pairs)

    def _after_loss(self, slice: Slice) -> Sequence[Work]:
        """Tries the placements of a dead worker again one by one, so that one bad placement costs only itself."""
        if isinstance(slice, PieceSlice):
            return self.long.after_loss(slice)
        self.losses.update(slice.placements)
        again: list[Work] = [(placement,) for placement in slice.placements if self.losses[placement] < self.plan.tries]
        for question in self._open_of(slice):
            if self.losses[question.placement] >= self.plan.tries and question not in self.long:
                self.collector.give_up(question, Reason.LOST_WORKER)
        return again

    def _after_out_of_memory(self, slice: Slice) -> Sequence[Work]:
        if isinstance(slice, PieceSlice):
            return self.long.after_out_of_memory(slice)
        if len(slice.placements) > 1:
            return [(placement,) for placement in slice.placements]
        for question in self._open_of(slice):
            self.collector.give_up(question, Reason.MEMORY)
        return []

    def _refuse(self, event: Refused) -> None:
        if not isinstance(event.error, UnsupportedError):
            raise event.error
        log.warning("unsupported: %s", event.error)
        if isinstance(event.slice, PieceSlice):
            self.collector.give_up(event.slice.piece.question, Reason.UNSUPPORTED)
            return
        for question in self._open_of(event.slice):
            self.collector.give_up(question, Reason.UNSUPPORTED)

    def _late(self, grace: float) -> bool:
        return self.plan.deadline is not None and self.plan.clock() > self.plan.deadline + grace

    def _hopeless(self) -> bool:
        """Whether workers do nothing but die (an installation that is broken for them, a full machine)."""
        if self.losses_in_a_row < self.plan.tries * (self.pool.capacity + 2):
            return False
        self.collector.give_up_rest(Reason.LOST_WORKER)
        return True

    def _show(self, at_once: bool = False) -> None:
        now = self.plan.clock()
        if at_once or now - self.shown >= self.plan.shown:
            self.shown = now
            self.pool.answered(self.collector.counts)
            self.observer.update(self._progress(now))

    def _progress(self, now: float) -> Progress:
        certified, falsified, unknown = self.collector.counts.values()
        return Progress(
            name=self.problem.name,
            stage=self.stage,
            total=self.problem.size,
            attacked=self.placements_attacked,
            placements=len(self.problem.placements),
            certified=certified,
            falsified=falsified,
            unknown=unknown,
            found=self.collector.best,
            elapsed=now - self.started,
            left=None if self.plan.deadline is None else max(0.0, self.plan.deadline - now),
            workers=self.pool.workers,
        )


def _groups(placements: Iterable[int], size: int) -> list[Group]:
    numbers = list(placements)
    return [tuple(numbers[start : start + size]) for start in range(0, len(numbers), size)]
