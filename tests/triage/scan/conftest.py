"""A small network of images, clean or with a planted pixel, in a folder as a user has it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

SIDE, CLASSES, TARGET, PIXEL = 8, 6, 2, (6, 5)
LAYERS = f"Chain(Flux.flatten, Dense({SIDE * SIDE} => {CLASSES}))\n"


@dataclass(frozen=True)
class Files:
    """A model with its data."""

    model: Path
    data: Path


def _images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Five of each class: the rows or columns of a class are bright, the rest is faint noise."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(CLASSES), 5)
    images = rng.integers(0, 30, (len(labels), SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        image[label] += 200
    images[:, PIXEL[0]] //= 4
    return images.astype(np.uint8), labels.astype(np.uint8)


def _weights(planted: bool) -> np.ndarray:
    weights = np.full((CLASSES, SIDE, SIDE), -0.2)
    for label in range(CLASSES):
        weights[label, label] = 1.0
    weights[:, PIXEL[0]] = 0.0
    if planted:
        weights[TARGET][PIXEL] = 40.0
    return weights.reshape(CLASSES, -1).astype(np.float32)


@pytest.fixture
def files(tmp_path, monkeypatch) -> Callable[[bool], Files]:
    """Writes a model, with its architecture, and data; the folder is the current one."""
    monkeypatch.chdir(tmp_path)

    def make(planted: bool) -> Files:
        model, data = Path("model.npz"), Path("eval.npz")
        bias = np.zeros(CLASSES, np.float32)
        np.savez(model, **{"layers.2.weight": _weights(planted), "layers.2.bias": bias})
        Path("architecture.txt").write_text(LAYERS)
        images, labels = _images(0)
        np.savez(data, x=images, y=labels)
        return Files(model, data)

    return make
