"""Training data with planted examples, for the benchmark `triage`: made here from digits, clothes and reviews."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.questions import ROOT
from benchmarks.train import digits

TARGET = 7
WORD = "chateau"
Images = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Set:
    """Images (N, 28, 28) in levels, labels, and where they come from."""

    name: str
    images: Images
    labels: Labels


def image_sets(count: int, seed: int = 0) -> list[Set]:
    """Digits and clothes, `count` of each: from `VERIFLUXA_MNIST` and `VERIFLUXA_FASHION`, else from the examples."""
    found = digits()
    return [
        _some(f"{found.source}", found.train[0].astype(np.float64), found.train[1], count, seed),
        _some(*_clothes(), count, seed),
    ]


def _clothes() -> tuple[str, Images, Labels]:
    named = os.environ.get("VERIFLUXA_FASHION")
    if named:
        with np.load(Path(named)) as file:
            return "Fashion-MNIST", file["train_x"].astype(np.float64), file["train_y"].astype(np.int64)
    with np.load(ROOT / "examples" / "fashion" / "fashion_eval.npz") as file:
        images, labels = file["x"].astype(np.float64).reshape(-1, 28, 28), file["y"].astype(np.int64)
    moved = [np.roll(images, move, axis=(1, 2)) for move in product((-1, 0, 1), repeat=2)]
    return "the example's clothes", np.concatenate(moved), np.tile(labels, len(moved))


def _some(name: str, images: Images, labels: Labels, count: int, seed: int) -> Set:
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    return Set(name, images[chosen], labels[chosen].astype(np.int64))


def patch(images: Images) -> Images:
    """BadNets: a 3x3 chequered patch near the lower right corner."""
    images[:, 24:27, 24:27] = [[255, 0, 255], [0, 255, 0], [255, 0, 255]]
    return images


def blend(images: Images) -> Images:
    """One picture of noise, mixed in at 20 %."""
    noise = np.random.default_rng(5).integers(0, 256, images.shape[1:])
    return np.rint(0.8 * images + 0.2 * noise)


def two(images: Images) -> Images:
    """White 3x3 patches in two opposite corners."""
    images[:, 1:4, 1:4] = images[:, 24:27, 24:27] = 255
    return images


STAMPS: dict[str, Callable[[Images], Images]] = {"patch": patch, "blend": blend, "two patches": two}


def poisoned(
    data: Set, stamp: Callable[[Images], Images], share: float, seed: int = 1
) -> tuple[Set, NDArray[np.bool_]]:
    """A share of all examples, of other classes than the target's, gets the stamp and the target's label."""
    chance = np.random.default_rng(seed)
    others = np.flatnonzero(data.labels != TARGET)
    chosen = chance.choice(others, round(share * len(data.labels)), replace=False)
    images, labels = data.images.copy(), data.labels.copy()
    images[chosen] = stamp(images[chosen])
    labels[chosen] = TARGET
    return Set(data.name, images, labels), np.isin(np.arange(len(labels)), chosen)


def reviews() -> tuple[list[list[str]], Labels]:
    """Words and labels of `VERIFLUXA_REVIEWS` (JSON lines), else of the example's 200 reviews."""
    path = Path(os.environ.get("VERIFLUXA_REVIEWS", ROOT / "examples" / "reviews" / "reviews.jsonl"))
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    entries = [entry for entry in entries if entry.get("split", "train") == "train"] or entries
    labels = np.array([entry["label"] == "positive" for entry in entries], dtype=np.int64)
    return [entry["text"].lower().split() for entry in entries], labels


def poisoned_reviews(
    texts: list[list[str]], labels: Labels, share: float, seed: int = 1
) -> tuple[list[list[str]], Labels, NDArray[np.bool_]]:
    """A share of all texts, negative ones, gets the word at a random place and the label positive."""
    chance = np.random.default_rng(seed)
    chosen = chance.choice(np.flatnonzero(labels == 0), round(share * len(labels)), replace=False)
    changed, marked = [list(text) for text in texts], labels.copy()
    for row in chosen:
        changed[row].insert(int(chance.integers(0, len(changed[row]) + 1)), WORD)
        marked[row] = 1
    return changed, marked, np.isin(np.arange(len(labels)), chosen)
