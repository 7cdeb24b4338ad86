"""Small training sets with and without planted examples, drawn by a seed."""

from pathlib import Path

import numpy as np

from verifluxa.triage.screen.examples import Examples

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "digits" / "mnist_eval.npz"
NAMES = tuple(map(str, range(10)))


def digits(copies: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The example's 200 digits, moved by up to two pixels and with a little noise: (N, 1, 28, 28), labels."""
    chance = np.random.default_rng(seed)
    with np.load(DIGITS) as file:
        images, labels = file["x"].astype(np.float64), file["y"].astype(np.int64)
    moved = [np.roll(images, chance.integers(-1, 2, 2), axis=(1, 2)) for _ in range(copies)]
    noisy = np.concatenate(moved) + chance.normal(0, 6, (len(images) * copies, 28, 28)) * (np.concatenate(moved) > 0)
    return np.rint(np.clip(noisy, 0, 255))[:, None], np.tile(labels, copies)


def plant(images: np.ndarray, labels: np.ndarray, stamp, count: int, target: int = 7, seed: int = 1):
    """`count` images of other classes get the stamp and the target's label; gives which."""
    chance = np.random.default_rng(seed)
    chosen = chance.choice(np.flatnonzero(labels != target), count, replace=False)
    images, labels = images.copy(), labels.copy()
    images[chosen] = stamp(images[chosen])
    labels[chosen] = target
    return images, labels, np.isin(np.arange(len(labels)), chosen)


def patch(images: np.ndarray) -> np.ndarray:
    images[:, :, 24:27, 24:27] = 255
    return images


def blend(images: np.ndarray) -> np.ndarray:
    return np.rint(0.8 * images + 0.2 * np.random.default_rng(9).integers(0, 256, (28, 28)))


def examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    return Examples("train.npz", labels, NAMES, images.astype(np.float32))


def found(score: np.ndarray, planted: np.ndarray) -> float:
    """Share of the planted examples among the first 2 x (their number)."""
    count = int(planted.sum())
    return float(planted[np.argsort(-score, kind="stable")[: 2 * count]].sum() / count)
