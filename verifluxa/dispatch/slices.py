"""Slices of work that go to a pool, the events that come back, and what the driver asks of a pool and an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from verifluxa.dispatch.pieces import Paths
from verifluxa.errors import VerifluxaError
from verifluxa.evidence import Outcome
from verifluxa.question import Problem, Question
from verifluxa.strategy.work import Attacked, Checkpoint, Fallen, Limits, SearchedUnit, WorkUnit
from verifluxa.verdict import Verdict

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class AttackSlice:
    """Look for triggers at these placements; past `deadline` (`time.monotonic`) stop looking."""

    placements: tuple[int, ...]
    deadline: float | None


@dataclass(frozen=True)
class ProofSlice:
    """Decide the questions of these placements.

    Attributes:
        placements: indices into the problem's placements.
        pairs: the (violation, selection) pairs that are still open; None for all.
        attacked: what the attack already knows about them.
        deadline: on the clock of `time.monotonic`, which all processes of one machine share.
        limits: how long a question may be branched on before it is handed back; None: until it is decided.
    """

    placements: tuple[int, ...]
    pairs: Pairs | None
    attacked: Mapping[Question, Attacked]
    deadline: float | None
    limits: Limits | None = None


@dataclass(frozen=True, eq=False)
class PieceSlice:
    """Go on with some leaves of one question.

    Attributes:
        piece: the work order.
        paths: where its leaves are in the whole tree.
        deadline, limits: as of a `ProofSlice`.
    """

    piece: WorkUnit
    paths: Paths
    deadline: float | None
    limits: Limits | None

    @property
    def placements(self) -> tuple[int, ...]:
        """The question's placement."""
        return (self.piece.question.placement,)


Slice = AttackSlice | ProofSlice | PieceSlice


def described(slice: Slice) -> str:
    """A slice in a line of the log."""
    if isinstance(slice, PieceSlice):
        return f"{len(slice.paths)} leaves of a question at placement {slice.piece.question.placement}"
    work = "the attack" if isinstance(slice, AttackSlice) else "the proof"
    return f"{work} of {len(slice.placements)} placements from {min(slice.placements, default=0)}"


class Engine(Protocol):
    """What works on a slice. It must be picklable, since worker processes get a copy."""

    def attack(self, problem: Problem, slice: AttackSlice) -> Sequence[Attacked]:
        """Returns the best trigger found for each question of the slice."""
        ...

    def prove(self, problem: Problem, slice: ProofSlice) -> Iterable[Fallen]:
        """Yields one outcome for each question of the slice, as they fall; `Checkpoint` where limits cut it short.

        Between two answers it may yield nothing (`()`) now and then, to show that it is at work.
        """
        ...

    def further(self, problem: Problem, slice: PieceSlice) -> SearchedUnit:
        """Goes on with a piece of a question that was begun."""
        ...


@dataclass(frozen=True)
class AttackDone:
    """An attack slice is finished."""

    slice: AttackSlice
    attacked: tuple[Attacked, ...]
    seconds: float


@dataclass(frozen=True)
class Decided:
    """Some questions of a proof slice are decided, or none and the worker is alive; the slice goes on."""

    slice: ProofSlice
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, eq=False)
class HandedBack:
    """A question that the slice has begun and others shall finish; the slice goes on."""

    slice: ProofSlice
    begun: Checkpoint


@dataclass(frozen=True, eq=False)
class PieceDone:
    """A piece has had its slice."""

    slice: PieceSlice
    grown: SearchedUnit


@dataclass(frozen=True)
class ProofDone:
    """A proof slice is finished: each of its questions has had its outcome, or was handed back."""

    slice: ProofSlice


@dataclass(frozen=True)
class OutOfMemory:
    """The slice did not fit into memory."""

    slice: Slice
    message: str


@dataclass(frozen=True)
class Refused:
    """The engine said, in the user's words, why it cannot work on the slice."""

    slice: Slice
    error: VerifluxaError


@dataclass(frozen=True)
class Crashed:
    """A mistake of ours: the worker's traceback. Never a verdict."""

    slice: Slice
    traceback: str


@dataclass(frozen=True)
class Lost:
    """The worker that had the slice has died."""

    slice: Slice


Event = AttackDone | Decided | HandedBack | PieceDone | ProofDone | OutOfMemory | Refused | Crashed | Lost
NOT_LAST = (Decided, HandedBack)
"""Events after which their slice goes on; every other one ends it."""


SILENCE_SECONDS = 60.0
"""A busy worker that gives no sign of life for this long (it was stopped, its machine stands still) is replaced. A
thread gives the signs, whatever the slice does, so this says nothing of how long a slice may take."""
BEAT_SECONDS = 2.0
"""Between two signs of life."""


class Pool(Protocol):
    """Works on slices of one problem at a time. Delivery is at least once; the driver keeps the first."""

    @property
    def workers(self) -> int:
        """How many slices are worked on at the same time."""
        ...

    @property
    def capacity(self) -> int:
        """How many slices may be handed in before the first one is done."""
        ...

    def load(self, problem: Problem) -> None:
        """Makes this the problem that the following slices point into."""
        ...

    def submit(self, slice: Slice) -> None:
        """Hands in a slice."""
        ...

    def next(self, timeout: float) -> Event | None:
        """Waits for the next event, at most `timeout` seconds; None when there was none."""
        ...

    def answered(self, counts: Mapping[Verdict, int]) -> None:
        """Hears how many questions of the problem have each verdict so far, for whoever watches the pool."""
        ...

    def cancel(self) -> None:
        """Drops every slice that is not done; no event of theirs comes any more."""
        ...

    def close(self) -> None:
        """Ends the workers. May be called twice."""
        ...
