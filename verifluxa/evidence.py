"""What closes a question: the typed split tree, and the witness that refutes. Plain data, JSON lines.

A node of the tree stands for a domain (the root's is the question's). At each node some inputs fall
away: for every alternative of their violation one row is below zero on the whole domain. What fell at a
node stays away below it. A leaf is closed when fewer than `need` inputs remain.

Alternatives may fall one by one on the path from the root: an input is gone once each of its alternatives
has fallen, here or above.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.question import Question
from verifluxa.verdict import Reason, Verdict

OPEN = -1
"""In `Dropped.rows`: this alternative does not fall here."""
CONTRADICTED = -2
"""In `Dropped.rows`: the clipped bounds of some neuron cross, so the alternative cannot be met."""


class Dropped(NamedTuple):
    """Alternatives of one input that cannot be met on the node's domain.

    Attributes:
        input: index into the problem's inputs.
        rows: for every alternative, in order, the row that is below zero, or OPEN, or CONTRADICTED.
        planes: the rows that clipped the input's neurons, one per clipping round; empty when plain
            bounds were enough. With planes, exactly one entry of `rows` is not OPEN (clipping speaks of one
            alternative); an input may stand in several records.
    """

    input: int
    rows: tuple[int, ...]
    planes: tuple[int, ...] = ()


@dataclass(frozen=True)
class BoxSplit:
    """Halves [lower, low_end] and [high_start, upper] of one coordinate (adjacent grid lines, or equal)."""

    coordinate: int
    low_end: float
    high_start: float


@dataclass(frozen=True)
class StripSplit:
    """Halves of one strip direction's range at `cut` (both closed)."""

    direction: int
    cut: float


Split = BoxSplit | StripSplit


@dataclass
class Node:
    """A domain of the tree. `split` None: a leaf, closed by counting when `closed`, else open."""

    dropped: list[Dropped] = field(default_factory=list)
    split: Split | None = None
    children: list[Node] = field(default_factory=list)
    closed: bool = False


@dataclass(frozen=True, eq=False)
class Witness:
    """A trigger on the grid, replayed on the unsimplified network in the deployed arithmetic.

    Attributes:
        trigger: tau in the user's units, shape (d,).
        inputs: the inputs (indices into the problem's) that violate strictly in the replay.
        margins: the strict margin of each of them, in output units.
        robust: how many of them violate in every evaluation order (margin above the error radius).
    """

    trigger: NDArray[np.float64]
    inputs: tuple[int, ...]
    margins: tuple[float, ...]
    robust: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """The answer to one question.

    Attributes:
        found: most inputs that one replayed trigger makes violate in every evaluation order.
        proved: no trigger of the domain makes more inputs violate than this.
        stage: the stage that decided, or the last one that tried.
        boxes: domains that were bounded.
        tree: the split tree when certified (strip directions beside it), else None.
    """

    question: Question
    verdict: Verdict
    reason: Reason | None
    found: int
    proved: int
    witness: Witness | None = None
    stage: str = ""
    boxes: int = 0
    seconds: float = 0.0
    tree: Node | None = None
    directions: NDArray[np.float64] | None = None
