"""What one look at the data says, and how several looks become one ranking.

Each look gives suspicions: a group of examples and how likely it is planted, between 0 and 1. An example takes from
each look its strongest suspicion, and its rank is that of `1 - product of (1 - s)` over the looks: it is suspect when
one look is sure, and the more looks agree, the more so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verifluxa.triage.screen.examples import Floats, Integers


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: row and column of the top-left one, and its side."""

    row: int
    column: int
    side: int


@dataclass(frozen=True, eq=False)
class Suspicion:
    """A group of examples that share something.

    Attributes:
        look: what gave it: `patch`, `token`, `combination`, `change`, `duplicate`, `neighbours`, `spectral`,
            `clusters`.
        reason: in words, what the examples share.
        members: their positions in the file.
        score: of each of them, in 0..1.
        box: where to look in a picture, or None.
    """

    look: str
    reason: str
    members: Integers
    score: Floats
    box: Box | None = None


@dataclass(frozen=True)
class Suspect:
    """An example of the ranked list: its position, score, and the suspicions against it, the strongest first."""

    index: int
    score: float
    reasons: tuple[Suspicion, ...]


def ranked(suspicions: Sequence[Suspicion], count: int, most: int) -> list[Suspect]:
    """The examples with the highest scores, at most so many.

    Args:
        suspicions: of all looks.
        count: how many examples there are.
        most: how long the list may be.
    """
    scores = combined(suspicions, count)
    order = np.argsort(-scores, kind="stable")[:most]
    listed = [int(index) for index in order if scores[index] > 0]
    against: dict[int, list[tuple[float, Suspicion]]] = {index: [] for index in listed}
    for one in suspicions:
        for index, score in zip(one.members.tolist(), one.score.tolist(), strict=True):
            if index in against:
                against[index].append((score, one))
    return [Suspect(index, float(scores[index]), _strongest(against[index])) for index in listed]


def combined(suspicions: Sequence[Suspicion], count: int) -> Floats:
    """The score of each example, shape (count,)."""
    innocent = np.ones(count)
    for look in dict.fromkeys(one.look for one in suspicions):
        strongest = np.zeros(count)
        for one in suspicions:
            if one.look == look:
                np.maximum.at(strongest, one.members, one.score)
        innocent *= 1 - np.clip(strongest, 0, 1)
    return 1 - innocent


def _strongest(against: list[tuple[float, Suspicion]]) -> tuple[Suspicion, ...]:
    """One suspicion of each look."""
    ordered = sorted(against, key=lambda item: -item[0])
    kept: dict[str, Suspicion] = {}
    for _, one in ordered:
        kept.setdefault(one.look, one)
    return tuple(kept.values())
