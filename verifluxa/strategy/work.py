"""What a worker is given and what it gives back: how to run, what attacks found, pieces of a hard question.

Plain values without torch; they go between processes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.evidence import NOTHING_FOUND, Node, Outcome, Strongest, Witness
from verifluxa.question import Question
from verifluxa.strategy.load import Strategy
from verifluxa.verdict import Reason


@dataclass(frozen=True)
class Limits:
    """How much branching one slice may do on a question: domains, seconds; None: as much as the strategy allows.

    With `boxes` alone a run is reproducible; `seconds` keep slices even on machines of different speed.
    """

    boxes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Run:
    """How one run works on its questions.

    Attributes:
        strategy: the stages.
        deadline: on the clock of `time.monotonic`; past it the rest is unknown(time). None: no limit.
        device: `cpu`, or a torch device such as `cuda`.
        limits: how much branching a question may have before it is handed back as `Checkpoint`; None: no limit.
    """

    strategy: Strategy
    deadline: float | None = None
    device: str = "cpu"
    limits: Limits | None = None

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() > self.deadline


class Attacked(NamedTuple):
    """What an attack found out about one question.

    Attributes:
        question: the question.
        strongest: the replayed trigger that makes most inputs violate in every evaluation order.
        witness: the trigger, where it refutes.
        trigger: the best point that was seen, shape (d,); a start for later tries.
        hard: whether the harder attack, which what the bounds leave open meets, was made on it already.
    """

    question: Question
    strongest: Strongest = NOTHING_FOUND
    witness: Witness | None = None
    trigger: NDArray[np.float64] | None = None
    hard: bool = False

    @property
    def found(self) -> int:
        """How many inputs the strongest trigger makes violate in every evaluation order."""
        return self.strongest.count


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A question that a slice has begun and not finished.

    Attributes:
        question: the question.
        stage: index of the branching stage in the strategy.
        root: its split tree so far.
        directions: of its slabs, shape (m, d).
        boxes, seconds: spent so far.
        strongest: the strongest trigger that was replayed.
        proved: inputs that were open at the root.
        closed: most inputs that were left in a closed leaf.
        allowed: what the strategy allows for it in all.
        later: whether stages behind branching may still decide it.
        reason: why some leaves stay open for good, or None.
    """

    question: Question
    stage: int
    root: Node
    directions: NDArray[np.float64]
    boxes: int
    seconds: float
    strongest: Strongest
    proved: int
    closed: int
    allowed: Limits
    later: bool
    reason: Reason | None = None


Fallen = tuple[Outcome | Checkpoint, ...]
"""What fell at one moment of a slice: questions that were decided, or handed back unfinished; possibly none."""


@dataclass(frozen=True, eq=False)
class WorkUnit:
    """A work order: grow these leaves.

    Attributes:
        question: the question.
        stage: index of the branching stage in the strategy.
        root: the tree down to those leaves; everything else in it looks closed. It is no evidence.
        directions: of its slabs, shape (m, d).
        last: whether branching has spent its budget, and the stages behind it shall have the whole tree.
    """

    question: Question
    stage: int
    root: Node
    directions: NDArray[np.float64]
    last: bool = False


@dataclass(frozen=True, eq=False)
class SearchedUnit:
    """A piece after a slice.

    Attributes:
        root: as it was given, its leaves grown.
        boxes, seconds: spent on it.
        strongest: the strongest trigger that was replayed.
        witness: a trigger that refutes the question, or None.
        closed: most inputs that were left in a closed leaf.
        cut_short: whether the slice ended before every leaf was looked at.
        reason: why leaves stay open for good, or None.
        outcome: the answer of the later stages, for the last piece alone.
    """

    root: Node
    boxes: int
    seconds: float
    strongest: Strongest
    witness: Witness | None
    closed: int
    cut_short: bool
    reason: Reason | None
    outcome: Outcome | None = None
