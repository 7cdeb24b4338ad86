"""Dense relu networks trained here on real digits, for the hard questions: seeds fixed, some seconds each.

The digit example holds 200 digits only. `VERIFLUXA_MNIST` may name an NPZ file with `train_x`, `train_y`, `test_x`
and `test_y` (uint8 images of 28 x 28 pixels and their labels); without it the example's digits, moved by a
pixel in every direction, serve for both: the networks then know them by heart, and the questions are easier.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.questions import DIGITS
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Op, Reshape

EPOCHS, BATCH, RATE, DECAY = 30, 128, 4e-3, 1e-4
LEVELS = 255.0


@dataclass(frozen=True, eq=False)
class Digits:
    """Images (N, 28, 28) in levels 0..255 and labels, for training and for testing."""

    train: tuple[NDArray[np.uint8], NDArray[np.int64]]
    test: tuple[NDArray[np.uint8], NDArray[np.int64]]
    source: str


def digits() -> Digits:
    """The digits of `VERIFLUXA_MNIST`, or those of the example."""
    named = os.environ.get("VERIFLUXA_MNIST")
    if named:
        with np.load(Path(named)) as file:
            parts = {name: file[name] for name in ("train_x", "train_y", "test_x", "test_y")}
        train, test = ((parts[f"{which}_x"], parts[f"{which}_y"].astype(np.int64)) for which in ("train", "test"))
        return Digits(train, test, f"{len(train[1])} digits of MNIST")
    with np.load(DIGITS / "mnist_eval.npz") as file:
        images, labels = file["x"], file["y"].astype(np.int64)
    moved = [np.roll(images, move, axis=(1, 2)) for move in product((-1, 0, 1), repeat=2)]
    return Digits((np.concatenate(moved), np.tile(labels, len(moved))), (images, labels), "the example's 200 digits")


def train(hidden: Sequence[int], data: Digits, seed: int = 0) -> Graph:
    """A relu network with these hidden widths that reads encoded (0..1) images of shape (N, 1, 28, 28)."""
    torch.manual_seed(seed)
    images, labels = data.train
    sizes = [images[0].size, *hidden, int(labels.max()) + 1]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    parts: list[nn.Module] = [nn.Flatten()]
    for layer in layers:
        parts += [layer, nn.ReLU()]
    _fit(nn.Sequential(*parts[:-1]), torch.as_tensor(images / LEVELS, dtype=torch.float32), torch.as_tensor(labels))
    ops: list[Op] = [Reshape((-1,))]
    for layer in layers:
        ops += [Affine(layer.weight.detach().numpy(), layer.bias.detach().numpy()), Activation("relu")]
    return chain((1, *images.shape[1:]), ops[:-1])


def _fit(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Adam with one cycle of the learning rate; each batch is moved by up to a pixel."""
    steps = EPOCHS * (-(-len(images) // BATCH))
    optimizer = torch.optim.Adam(net.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images))
        for start in range(0, len(images), BATCH):
            chosen = order[start : start + BATCH]
            shift = torch.randint(-1, 2, (2,)).tolist()
            optimizer.zero_grad()
            moved = torch.roll(images[chosen], shift, (1, 2))
            torch.autograd.backward(nn.functional.cross_entropy(net(moved), labels[chosen]))
            optimizer.step()
            schedule.step()
