"""What each image looks like apart from its label: its nearest neighbours, in time linear in the number of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.triage.screen.examples import Integers, Singles

DIRECTIONS = 48
FITTED = 2000
POOL = 20_000
"""Images among which neighbours are sought; a random part of larger sets."""
NEAREST = 10
OTHERS = 5
BLOCK = 512


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For each image its nearest ones.

    Attributes:
        foreign: share of the nearest that have another label, shape (N,).
        looks: the label that most of the nearest have; its own where that is one of several, shape (N,).
        closest: the nearest one, shape (N,).
        others: the nearest ones of other labels, shape (N, OTHERS).
    """

    foreign: NDArray[np.float64]
    looks: Integers
    closest: Integers
    others: Integers


def neighbours(flat: Singles, labels: Integers, seed: int = 0) -> Neighbours:
    """The neighbours of images along their main directions (principal components).

    Args:
        flat: images, shape (N, pixels), scaled to 0..1.
        labels: shape (N,).
        seed: of the random parts of large sets.
    """
    chance = np.random.default_rng(seed)
    features = _features(flat, chance)
    pool = np.sort(chance.permutation(len(flat))[:POOL])
    inside, length = features[pool], (features[pool] ** 2).sum(1)
    nearest = min(NEAREST, len(pool) - 2)
    parts = []
    for start in range(0, len(flat), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(flat)))
        distance = length - 2 * features[rows] @ inside.T
        distance[rows[:, None] == pool] = np.inf
        parts.append(_nearest(distance, labels[rows], labels[pool], nearest))
    foreign, looks, closest, others = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Neighbours(foreign, looks, pool[closest], pool[others])


def _features(flat: Singles, chance: np.random.Generator) -> Singles:
    centred = flat - flat.mean(0)
    sample = centred[chance.permutation(len(flat))[:FITTED]]
    _, _, directions = np.linalg.svd(sample, full_matrices=False)
    return np.asarray(centred @ directions[:DIRECTIONS].T, dtype=np.float32)


def _nearest(
    distance: Singles, own: Integers, pool: Integers, nearest: int
) -> tuple[NDArray[np.float64], Integers, Integers, Integers]:
    near = np.argpartition(distance, nearest, axis=1)[:, :nearest]
    foreign = (pool[near] != own[:, None]).mean(1)
    votes = np.zeros((len(own), int(max(pool.max(), own.max())) + 1))
    np.add.at(votes, (np.arange(len(own))[:, None], pool[near]), 1.0)
    # Half a vote for the label itself decides ties.
    votes[np.arange(len(own)), own] += 0.5
    closest = np.take_along_axis(near, np.take_along_axis(distance, near, 1).argmin(1)[:, None], 1)[:, 0]
    distance[own[:, None] == pool] = np.inf
    few = min(OTHERS, max(1, int((distance < np.inf).sum(1).min())))
    return (
        foreign,
        votes.argmax(1),
        closest.astype(np.int64),
        np.argpartition(distance, few - 1, axis=1)[:, :few].astype(np.int64),
    )
