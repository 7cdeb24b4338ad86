"""A small convolutional network trained here, plainly or against perturbations: seeds fixed, some minutes.

Two convolutions (4x4, stride 2, padding 1) and two dense layers, as the small networks that papers on universal
perturbations use, only narrower. Adversarial training is that of Madry et al. 2018 (ICLR): projected gradient
ascent on the loss, in every batch anew; the size of the perturbation grows over the first half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.train import LEVELS, Digits
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Conv, Op, Reshape

CHANNELS, WINDOW, STRIDE, PAD, DENSE = (4, 8), 4, 2, 1, 48
EPOCHS, BATCH, RATE = 12, 100, 4e-3
ATTACK_STEPS = 5
"""Steps of the ascent, each of 2.5 / ATTACK_STEPS times the perturbation's size."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that reads encoded (0..1) images of shape (N, 1, 28, 28), and its share of right test digits."""

    graph: Graph
    accuracy: float


def train_conv(data: Digits, size: float = 0.0, seed: int = 0) -> Trained:
    """Trains a network.

    Args:
        data: digits of 28 x 28 pixels.
        size: of the perturbations, in units of encoded pixels; 0: plain training.
        seed: of the weights and of the batches' order.
    """
    torch.manual_seed(seed)
    net = _net(int(data.train[1].max()) + 1)
    images = torch.as_tensor(data.train[0][:, None] / LEVELS, dtype=torch.float32)
    _fit(net, images, torch.as_tensor(data.train[1]), size)
    tests = torch.as_tensor(data.test[0][:, None] / LEVELS, dtype=torch.float32)
    with torch.no_grad():
        right = net(tests).argmax(1).numpy() == data.test[1]
    return Trained(_graph(net), float(right.mean()))


def _net(classes: int) -> nn.Sequential:
    first, second = CHANNELS
    side = 28 // STRIDE**2
    return nn.Sequential(
        nn.Conv2d(1, first, WINDOW, STRIDE, PAD),
        nn.ReLU(),
        nn.Conv2d(first, second, WINDOW, STRIDE, PAD),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * side**2, DENSE),
        nn.ReLU(),
        nn.Linear(DENSE, classes),
    )


def _fit(net: nn.Module, images: Tensor, labels: Tensor, size: float) -> None:
    batches = -(-len(images) // BATCH)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * batches)
    for epoch in range(EPOCHS):
        grown = size * min(1.0, 2 * (epoch + 1) / EPOCHS)
        for chosen in torch.split(torch.randperm(len(images)), BATCH):
            batch = _attacked(net, images[chosen], labels[chosen], grown) if grown else images[chosen]
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(net(batch), labels[chosen]))
            optimizer.step()
            schedule.step()


def _attacked(net: nn.Module, images: Tensor, labels: Tensor, size: float) -> Tensor:
    moved = images + size * (2 * torch.rand_like(images) - 1)
    for _ in range(ATTACK_STEPS):
        leaf = moved.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(net(leaf), labels), leaf)
        moved = leaf.detach() + 2.5 * size / ATTACK_STEPS * gradient.sign()
        moved = images + (moved - images).clamp(-size, size)
    return moved


def _graph(net: nn.Sequential) -> Graph:
    ops: list[Op] = []
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            pair = (STRIDE, STRIDE), (PAD, PAD), (PAD, PAD), (1, 1)
            ops.append(Conv(_array(layer.weight), _array(layer.bias), *pair))
        elif isinstance(layer, nn.Linear):
            ops.append(Affine(_array(layer.weight), _array(layer.bias)))
        else:
            ops.append(Activation("relu") if isinstance(layer, nn.ReLU) else Reshape((-1,)))
    return chain((1, 28, 28), ops)


def _array(value: Tensor | None) -> np.ndarray:
    assert value is not None
    return value.detach().numpy()
