"""Who watches a run, and who keeps what closed its questions. Both may do nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from verifluxa.evidence import Outcome
from verifluxa.question import Problem


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


class EvidenceSink(Protocol):
    """Keeps what closed each question, as it comes, so that memory does not grow with the number of leaves."""

    def begin(self, problem: Problem, data: str) -> None:
        """The questions of this problem follow; `data` is the digest of the data file."""
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

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """Does nothing."""

    def end(self, problem: Problem) -> None:
        """Does nothing."""
