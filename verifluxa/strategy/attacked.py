"""What an attack found out about one question: goes from attack slices to proof slices. No torch here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.evidence import Witness
from verifluxa.question import Question


class Attacked(NamedTuple):
    """What an attack found out about one question.

    Attributes:
        question: the question.
        found: most inputs that one replayed trigger makes violate in every evaluation order; 0 where
            nothing was replayed.
        witness: the trigger, where it refutes.
        trigger: the best point that was seen, shape (d,); a start for later tries.
        hard: whether the harder attack, which what the bounds leave open meets, was made on it already.
    """

    question: Question
    found: int
    witness: Witness | None
    trigger: NDArray[np.float64] | None = None
    hard: bool = False
