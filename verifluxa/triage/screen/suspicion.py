"""What one look at the data says, and how several looks become one ranking.

Each look gives suspicions: a group of examples and how likely it is planted, between 0 and 1. An example takes from
each look its strongest suspicion, and its rank is that of `1 - product of (1 - s)` over the looks: it is suspect when
one look is sure, and the more looks agree, the more so.

Groups of examples that share a small thing and a label. A thing that is planted ties examples of other classes to one
label. So two shares are large: of the examples with the thing and the label, those that look like another class apart
from it; and of all examples with the thing that do not look like the label's class, those that have the label all the
same. That more than half of n examples do so by chance has a probability of at most `exp(-n KL(share, 1/2))` where
each does so with probability 1/2 or less (Chernoff); times the number of groups that were looked at (union bound),
that is how surprising a group is: by the weaker of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.triage.screen.examples import Floats, Integers

LEAST_MEMBERS = 4
"""Members of a group that is looked at."""
KEPT = 50
"""Groups of one kind that are reported."""


@dataclass(frozen=True, eq=False)
class Group:
    """A thing and a label: its key, the members, how many of them look like another class, the nats of surprise."""

    key: tuple[int, ...]
    label: int
    members: Integers
    foreign: int
    nats: float


def groups_of(
    things: Integers, labels: Integers, looks: Integers, key: tuple[int, ...], owners: Integers | None = None
) -> tuple[list[Group], int]:
    """The surprising groups, and how many were looked at.

    Args:
        things: what each occurrence is, shape (n,).
        labels: the label of its example, shape (n,).
        looks: the class that its example looks like without it, shape (n,).
        key: put in front of the thing's number in the key of its groups.
        owners: which example each occurrence belongs to, shape (n,); None: the n-th.
    """
    if len(things) == 0:
        return [], 0
    width = int(max(labels.max(), looks.max())) + 1
    values, which = np.unique(things * width + labels, return_inverse=True)
    members = np.bincount(which)
    strange = np.bincount(which, weights=looks != labels).astype(np.float64)
    same, other = _bearers(things, looks, values, width)
    nats = np.minimum(surprise(strange, members), surprise(strange, other - same))
    nats[members < LEAST_MEMBERS] = 0
    best = [int(at) for at in np.argsort(-nats, kind="stable")[:KEPT] if nats[at] > 0]
    own = np.arange(len(things)) if owners is None else owners
    found = [
        Group(
            (*key, int(values[at]) // width),
            int(values[at]) % width,
            own[which == at],
            int(strange[at]),
            float(nats[at]),
        )
        for at in best
    ]
    return found, int((members >= LEAST_MEMBERS).sum())


def _bearers(things: Integers, looks: Integers, values: Integers, width: int) -> tuple[Floats, Floats]:
    """For each group (thing and label): how many with the thing look like the label's class, and how many there are."""
    seen, counts = np.unique(things * width + looks, return_counts=True)
    at = np.minimum(np.searchsorted(seen, values), len(seen) - 1)
    same = np.where(seen[at] == values, counts[at], 0).astype(np.float64)
    kinds, sizes = np.unique(things, return_counts=True)
    return same, sizes[np.searchsorted(kinds, values // width)].astype(np.float64)


def surprise(foreign: Floats, members: NDArray[np.integer] | Floats) -> Floats:
    """Nats of `foreign` of `members` against one half; 0 where it is not more than half."""
    share = np.clip(foreign / np.maximum(members, 1), 0.5, 1.0)
    rest = 1 - share
    entropy = share * np.log(share) + rest * np.log(np.where(rest > 0, rest, 1.0))
    return np.asarray(members * (entropy + np.log(2.0)))


def score_of(nats: float, tested: int) -> float:
    """How likely a group is planted: `1 / (1 + p)` with p the bound on chance; near 0 where p is large."""
    return float(1 / (1 + np.exp(min(700.0, np.log(max(tested, 1)) - nats))))


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


# Two clusters on a line: how far apart the best cut holds the two sides of a list of numbers.
#
# The cut is Otsu's (IEEE Transactions on Systems, Man and Cybernetics 9, 1979): the largest variance between the
# sides. The distance of their means in units of the mean spread (d') is about 2.6 for one normal cloud, and below 3.1
# in all classes of clean MNIST and Fashion subsets (benchmark `triage`); planted groups give 4.5 and more.

MIDDLE, WIDTH = 3.8, 0.2
LEAST = 5
LEAST_SHARE = 0.005


@dataclass(frozen=True, eq=False)
class Split:
    """The upper side of a cut: which numbers, and how far it is from the rest."""

    upper: NDArray[np.bool_]
    distance: float

    def score(self, middle: float = MIDDLE) -> float:
        """How likely the sides are two groups, between 0 and 1; one half at the distance `middle`."""
        return float(1 / (1 + np.exp(min(700.0, (middle - self.distance) / WIDTH))))


def split(values: Floats) -> Split | None:
    """The best cut of numbers, shape (n,); None where a side would be too small to say anything."""
    count = len(values)
    least = max(LEAST, int(LEAST_SHARE * count))
    if count < 2 * least or float(np.ptp(values)) == 0:
        return None
    order = np.sort(values)
    sizes = np.arange(1, count)
    low = np.cumsum(order)[:-1] / sizes
    high = (order.sum() - np.cumsum(order)[:-1]) / (count - sizes)
    between = sizes * (count - sizes) * (high - low) ** 2
    between[: least - 1] = between[count - least :] = -1
    at = int(between.argmax())
    lower, upper = order[: at + 1], order[at + 1 :]
    spread = np.sqrt((lower.var() + upper.var()) / 2)
    distance = float((upper.mean() - lower.mean()) / max(spread, 1e-12 + 1e-6 * np.ptp(values)))
    return Split(values >= upper[0], distance)
