"""The host networks: trained digit classifiers into which the attacks are built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Conv, Divide, Op, Reshape, Shape

STORED = Path(__file__).parent / "hosts" / "hosts.npz"
NAMES = ("small", "large", "conv")
Linear = Affine | Conv


@dataclass(frozen=True, eq=False)
class Host:
    """A trained classifier of images in levels 0..255.

    Attributes:
        hidden: three linear steps, each followed by ReLU; convolutions come first.
        logits: the last step.
        images: levels, shape (N, 1, height, width).
        labels: shape (N,).
    """

    name: str
    shape: Shape
    hidden: tuple[Linear, Linear, Linear]
    logits: Affine
    images: NDArray[np.float64]
    labels: NDArray[np.int64]

    def pick(self, count: int) -> NDArray[np.int64]:
        """The first images with as many different labels as there are."""
        _, first = np.unique(self.labels, return_index=True)
        order = np.concatenate([np.sort(first), np.setdiff1d(np.arange(len(self.labels)), first)])
        return order[:count].astype(np.int64)

    def graph(self) -> Graph:
        """The host as it was trained, in float32."""
        ops: list[Op] = [Divide(np.array(255.0, np.float32))]
        return chain(self.shape, [*ops, *trunk(self.hidden), self.logits])


def trunk(hidden: tuple[Linear, ...]) -> list[Op]:
    """Linear steps with ReLU behind each, flattened where the first dense step comes."""
    ops: list[Op] = []
    for step in hidden:
        if isinstance(step, Affine) and not any(isinstance(op, Reshape) for op in ops):
            ops.append(Reshape((-1,)))
        ops += [step, Activation("relu")]
    return ops


@cache
def host(name: str) -> Host:
    """Reads a host from `hosts/hosts.npz`."""
    with np.load(STORED, allow_pickle=False) as stored:
        arrays: dict[str, NDArray[Any]] = {
            key.removeprefix(name + "."): stored[key] for key in stored if key.startswith(name + ".")
        }
    places = sorted({int(key.split(".")[0]) for key in arrays if key[0].isdigit()})
    first, second, third, last = (_step(arrays[f"{place}.weight"], arrays[f"{place}.bias"]) for place in places)
    assert isinstance(last, Affine)
    images = arrays["images"][:, None].astype(np.float64)
    return Host(name, images.shape[1:], (first, second, third), last, images, arrays["labels"].astype(np.int64))


def _step(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Linear:
    if weight.ndim == 2:
        return Affine(weight, bias)
    return Conv(weight, bias, (2, 2), (1, 1), (1, 1), (1, 1))
