"""Who watches a run, and who keeps what closed its questions. Both may do nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from verifluxa.dispatch.slices import AttackDone, PieceDone
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.strategy.work import Attacked, Checkpoint


@dataclass(frozen=True)
class Progress:
    """Where the work on one property stands.

    Attributes:
        name: the property.
        stage: `attack` or `prove`.
        total: number of questions.
        attacked: placements that were searched for triggers.
        placements: number of placements.
        certified, falsified, unknown: questions decided so far.
        found: the largest rate that a replayed trigger reached so far.
        elapsed: seconds since the work on the property began.
        left: seconds until the budget ends; None without a budget.
        workers: how many work at the same time.
        proved: no trigger reaches a larger rate, as far as is known; None where that is not measured.
    """

    name: str
    stage: str
    total: int
    attacked: int
    placements: int
    certified: int
    falsified: int
    unknown: int
    found: Fraction
    elapsed: float
    left: float | None
    workers: int = 1
    proved: Fraction | None = None

    @property
    def done(self) -> int:
        """Questions that have their answer."""
        return self.certified + self.falsified + self.unknown


class Observer(Protocol):
    """Is told about progress; must not raise."""

    def update(self, progress: Progress) -> None:
        """Called after each event, at most a few times a second."""
        ...


class Silent:
    """Watches nothing."""

    def update(self, progress: Progress) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class Both:
    """Tells two observers."""

    first: Observer
    second: Observer

    def update(self, progress: Progress) -> None:
        """Tells both."""
        self.first.update(progress)
        self.second.update(progress)


@dataclass(frozen=True, eq=False)
class Recalled:
    """What an earlier run, which was killed, has left in the ledger.

    Attributes:
        placements: those that were attacked.
        attacked: what the attack found there.
        outcomes: the questions that have their answer.
        begun: questions that go on in pieces, with all that came back.
        seconds: that the attack took.
    """

    placements: frozenset[int] = frozenset()
    attacked: tuple[Attacked, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    begun: tuple[Checkpoint, ...] = ()
    seconds: float = 0.0


class EvidenceSink(Protocol):
    """Keeps what closed each question, as it comes, so that memory does not grow with the number of leaves."""

    def begin(self, problem: Problem, data: str) -> None:
        """The questions of this problem follow; `data` is the digest of the data file."""
        ...

    def recall(self, problem: Problem) -> Recalled:
        """What is known already of the problem that was begun last."""
        ...

    def attacked(self, problem: Problem, done: AttackDone) -> None:
        """An attack slice is finished."""
        ...

    def begun(self, problem: Problem, begun: Checkpoint) -> None:
        """A question goes on in pieces."""
        ...

    def grown(self, problem: Problem, done: PieceDone) -> None:
        """A piece of a question came back."""
        ...

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """One outcome; each question of the problem has exactly one."""
        ...

    def end(self, problem: Problem) -> None:
        """Every question of the problem has been recorded."""
        ...


class NoEvidence:
    """Keeps nothing."""

    def begin(self, problem: Problem, data: str) -> None:
        """Does nothing."""

    def recall(self, problem: Problem) -> Recalled:
        """Knows nothing."""
        return Recalled()

    def attacked(self, problem: Problem, done: AttackDone) -> None:
        """Does nothing."""

    def begun(self, problem: Problem, begun: Checkpoint) -> None:
        """Does nothing."""

    def grown(self, problem: Problem, done: PieceDone) -> None:
        """Does nothing."""

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """Does nothing."""

    def end(self, problem: Problem) -> None:
        """Does nothing."""
