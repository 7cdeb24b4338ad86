"""Groups of examples that share a small thing (a block of pixels, a word, values) and a label.

A thing that is planted ties examples of other classes to one label. So two shares are large: of the examples with the
thing and the label, those that look like another class apart from it; and of all examples with the thing that do not
look like the label's class, those that have the label all the same. That more than half of n examples do so by chance
has a probability of at most `exp(-n KL(share, 1/2))` where each does so with probability 1/2 or less (Chernoff); times
the number of groups that were looked at (union bound), that is how surprising a group is: by the weaker of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.triage.screen.examples import Floats, Integers

LEAST = 4
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
    nats[members < LEAST] = 0
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
    return found, int((members >= LEAST).sum())


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
