"""What an attack found out about one question: goes from attack slices to proof slices. No torch here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.evidence import NOTHING_FOUND, Strongest, Witness
from verifluxa.question import Question


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
