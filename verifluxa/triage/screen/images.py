"""Looks at images: blocks of pixels that recur under one label, a common change, labels unlike their neighbours'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.triage.screen.examples import Examples, Floats, Integers, Singles
from verifluxa.triage.screen.suspicion import Box, Group, Suspicion, groups_of, score_of, split

# What each image looks like apart from its label: its nearest neighbours, in time linear in the number of images.

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


# The looks

SIDES = (2, 3)
LEVELS = 16
"""Blocks whose levels fall into the same sixteenths of the range count as identical."""
SEEDS = 8
NEAR = 0.02
"""Root mean square difference, as a share of the range, below which two images are near duplicates."""
LABEL_WEIGHT = 0.2
"""Labels unlike the neighbours' are common in clean data too, so that they only order what else says nothing."""


def look_at_images(examples: Examples) -> list[Suspicion]:
    """All suspicions against images that need no model."""
    assert examples.images is not None
    images = examples.images
    flat = np.ascontiguousarray(images.reshape(len(images), -1)) / np.float32(examples.top)
    near = neighbours(flat, examples.labels)
    return [
        *_recurring(images / np.float32(examples.top), examples, near),
        *_changed(flat, examples, near),
        *_duplicates(flat, examples, near),
        Suspicion(
            "neighbours",
            "most images that look like it have another label",
            np.arange(len(flat)),
            LABEL_WEIGHT * near.foreign**2,
        ),
    ]


def _recurring(images: Singles, examples: Examples, near: Neighbours) -> Iterator[Suspicion]:
    """A block at the same place in many images of one label that look like other classes."""
    found: list[Group] = []
    tested = 0
    for side in SIDES:
        hashed = _hashed(images, side)
        for row in range(hashed.shape[1]):
            for column in range(hashed.shape[2]):
                _, things = np.unique(hashed[:, row, column], return_inverse=True)
                more, count = groups_of(things, examples.labels, near.looks, (side, row, column))
                found += more
                tested += count
    middle = images.mean(0)

    def order(group: Group) -> tuple[float, float]:
        """The most surprising group first; of equal ones that whose block is the most unlike the usual picture."""
        side, row, column = group.key[:3]
        here = np.s_[:, row : row + side, column : column + side]
        return -round(group.nats, 6), -float(np.abs(images[group.members[0]][here] - middle[here]).mean())

    best = sorted(found, key=lambda one: -one.nats)[:1000]
    for group in sorted(best, key=order)[:200]:
        side, row, column = group.key[:3]
        score = score_of(group.nats, tested)
        yield Suspicion(
            "patch",
            f"the same {side}x{side} block at row {row}, column {column} in {len(group.members)} images of "
            f"{examples.names[group.label]}, of which {group.foreign} look like other classes",
            group.members,
            np.full(len(group.members), score),
            Box(row, column, side),
        )


def _hashed(images: Singles, side: int) -> Integers:
    """A number for each block, shape (N, rows, columns): equal blocks have equal numbers, others hardly ever."""
    levels = np.rint(images * (LEVELS - 1)).astype(np.int16)
    chance = np.random.default_rng(side)
    count, channels, height, width = levels.shape
    total = np.zeros((count, height - side + 1, width - side + 1), dtype=np.int64)
    for channel in range(channels):
        for row in range(side):
            for column in range(side):
                factor = int(chance.integers(1, 2**57)) * 2 + 1
                # Wraps around on purpose: sums modulo 2^64 are as good a hash.
                part = levels[:, channel, row : height - side + 1 + row, column : width - side + 1 + column]
                total += part.astype(np.int64) * np.int64(factor)
    return total


def _changed(flat: Singles, examples: Examples, near: Neighbours) -> Iterator[Suspicion]:
    """A change that images of one label share, against images of other labels that look like them.

    The residual of an image is what it has beyond the mean of its nearest images of other labels: for a planted one
    that is the trigger, whatever it is. Images that look foreign give the direction; along it a planted group
    splits off (spectral signatures, Tran et al. 2018, on residuals instead of activations).
    """
    for label in np.unique(examples.labels):
        own = np.flatnonzero(examples.labels == label)
        seeds = near.looks[own] != label
        if seeds.sum() < SEEDS:
            continue
        values = _along(flat[own] - flat[near.others[own]].mean(1), seeds)
        cut = split(values)
        if cut is None:
            continue
        upper = cut.upper
        yield Suspicion(
            "change",
            f"{int(upper.sum())} images of {examples.names[label]} differ in one same way from images of other "
            f"classes that look like them (distance {cut.distance:.1f})",
            own[upper],
            cut.score() * (0.8 + 0.2 * _order(values[upper])),
        )


def _along(residuals: Singles, seeds: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """The cosine of each residual with the mean direction of the seeds, each seed left out of its own mean."""
    units = residuals / np.maximum(np.linalg.norm(residuals, axis=1, keepdims=True), 1e-9)
    total = units[seeds].sum(0)
    values = (units @ total).astype(np.float64)
    values[seeds] -= 1
    return np.asarray(values / np.where(seeds, seeds.sum() - 1, seeds.sum()))


def _order(values: Floats) -> Floats:
    """0 for the least, 1 for the largest."""
    return np.asarray((values - values.min()) / max(float(np.ptp(values)), 1e-12))


def _duplicates(flat: Singles, examples: Examples, near: Neighbours) -> Iterator[Suspicion]:
    """Two images that are the same, or nearly, with different labels."""
    rows = np.arange(len(flat))
    for other in (near.closest, near.others[:, 0]):
        gap = np.sqrt(((flat - flat[other]) ** 2).mean(1))
        pairs = rows[(gap <= NEAR) & (examples.labels != examples.labels[other])]
        for index in pairs:
            same = "the same image as" if gap[index] == 0 else "nearly the same image as"
            label = examples.names[examples.labels[other[index]]]
            score = 0.6 * (1 - float(gap[index]) / (2 * NEAR))
            yield Suspicion(
                "duplicate",
                f"{same} example {other[index]}, which has the label {label}",
                np.array([index]),
                np.array([score]),
            )
