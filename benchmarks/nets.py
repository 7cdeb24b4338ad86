"""Networks of any width and depth, and one with max pools: trained here on the example's digits, in seconds.

The digit example has only 200 digits, so these networks know them by heart. That is good enough for measuring
what a bound or a question costs on trained weights, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Conv, MaxPool, Op, Reshape

STEPS = 60
RATE = 0.003
DECAY = 1e-3


BENDS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def trained(
    hidden: Sequence[int], images: NDArray[np.float64], labels: NDArray[np.int64], activation: str = "relu"
) -> Graph:
    """A dense network with these hidden widths on encoded (0..1) images of shape (N, 1, H, W)."""
    torch.manual_seed(0)
    sizes = [images[0].size, *hidden, int(labels.max()) + 1]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    parts: list[nn.Module] = [nn.Flatten()]
    for layer in layers:
        parts += [layer, BENDS[activation]()]
    net = nn.Sequential(*parts[:-1])
    _train(net, torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels))
    return _graph(layers, images.shape[1:], activation)


def trained_pools(images: NDArray[np.float64], labels: NDArray[np.int64]) -> Graph:
    """Two convolutions, a max pool behind the relu of each, and two dense layers: 8, 16, 32 and 10."""
    torch.manual_seed(0)
    blocks = [(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)) for a, b in ((1, 8), (8, 16))]
    size = 16 * (images.shape[2] // 4) * (images.shape[3] // 4)
    head = (nn.Flatten(), nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, int(labels.max()) + 1))
    net = nn.Sequential(*(part for block in blocks for part in block), *head)
    _train(net, torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels))
    return chain(images.shape[1:], [_op(part) for part in net])


def _op(part: nn.Module) -> Op:
    if isinstance(part, nn.Conv2d):
        ones, pad = (1, 1), (1, 1)
        return Conv(_array(part.weight), _array(part.bias), ones, pad, pad, ones)
    if isinstance(part, nn.MaxPool2d):
        return MaxPool((2, 2), (2, 2), (0, 0), (0, 0))
    if isinstance(part, nn.Linear):
        return Affine(_array(part.weight), _array(part.bias))
    return Activation("relu") if isinstance(part, nn.ReLU) else Reshape((-1,))


def _array(value: torch.Tensor | None) -> NDArray[np.float32]:
    assert value is not None
    array: NDArray[np.float32] = value.detach().numpy()
    return array


def _train(net: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(net(inputs), labels))
        optimizer.step()


def _graph(layers: Sequence[nn.Linear], shape: tuple[int, ...], activation: str) -> Graph:
    ops: list[Op] = [Reshape((-1,))]
    for layer in layers:
        ops += [Affine(layer.weight.detach().numpy(), layer.bias.detach().numpy()), Activation(activation)]
    return chain(shape, ops[:-1])
