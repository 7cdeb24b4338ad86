"""Networks of any width and depth for the growth curves: trained here on the example's digits, in seconds.

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
from verifluxa.graph.ops import Activation, Affine, Op, Reshape

STEPS = 60
RATE = 0.003
DECAY = 1e-3


def trained(hidden: Sequence[int], images: NDArray[np.float64], labels: NDArray[np.int64]) -> Graph:
    """A dense relu network with these hidden widths on encoded (0..1) images of shape (N, 1, H, W)."""
    torch.manual_seed(0)
    sizes = [images[0].size, *hidden, int(labels.max()) + 1]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    parts: list[nn.Module] = [nn.Flatten()]
    for layer in layers:
        parts += [layer, nn.ReLU()]
    net = nn.Sequential(*parts[:-1])
    _train(net, torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels))
    return _graph(layers, images.shape[1:])


def _train(net: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(net(inputs), labels))
        optimizer.step()


def _graph(layers: Sequence[nn.Linear], shape: tuple[int, ...]) -> Graph:
    ops: list[Op] = [Reshape((-1,))]
    for layer in layers:
        ops += [Affine(layer.weight.detach().numpy(), layer.bias.detach().numpy()), Activation("relu")]
    return chain(shape, ops[:-1])
