"""What the model says of inputs that are none: noise, constant images, scrambled data, data from elsewhere.

A class that swallows them is where the network sends whatever it does not know. That is common in models without a
backdoor as well, so it is shown and does not enter the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from verifluxa.graph.graph import Graph
from verifluxa.question import Floats
from verifluxa.spec.spec import Output

COUNT = 100


@dataclass(frozen=True)
class Swallowed:
    """One kind of strange inputs.

    Attributes:
        kind: in words.
        count: how many there were.
        shares: of each class among the answers, shape (K,); they do not add up to 1 where some are of no class.
    """

    kind: str
    count: int
    shares: tuple[float, ...]

    @property
    def top(self) -> int:
        """The class that gets most of them."""
        return int(np.argmax(self.shares))


def strange_images(inputs: Floats, low: float, high: float, seed: int) -> Mapping[str, Floats]:
    """Strange images of the shape of these, by what they are; whole levels."""
    rng = np.random.default_rng(seed)
    shape = (COUNT, *inputs.shape[1:])
    constant = np.rint(np.linspace(low, high, 17))
    blank = np.broadcast_to(constant.reshape(-1, 1, 1, 1), (17, *inputs.shape[1:]))
    return {
        "noise, each level equally likely": np.rint(rng.uniform(low, high, shape)),
        "noise, black and white": np.where(rng.random(shape) < 0.5, low, high),
        "blank images, from darkest to brightest": np.ascontiguousarray(blank),
        "the data with its pixels scrambled": _scrambled(inputs[:COUNT], rng),
    }


def shuffled_columns(inputs: Floats, seed: int) -> Mapping[str, Floats]:
    """Rows whose values come from different inputs: each place keeps the values that it has in the data."""
    rng = np.random.default_rng(seed)
    flat = inputs[:COUNT].reshape(len(inputs[:COUNT]), -1).copy()
    for column in range(flat.shape[1]):
        flat[:, column] = rng.permutation(flat[:, column])
    return {"the data with its values shuffled among the inputs": flat.reshape(-1, *inputs.shape[1:])}


def swallowed(graph: Graph, output: Output, strange: Mapping[str, Floats]) -> list[Swallowed]:
    """Which classes the deployed network gives to strange inputs."""
    from verifluxa.lower.deploy import predictions

    found = []
    for kind, inputs in strange.items():
        answers = predictions(graph, inputs, output)
        shares = tuple(float((answers == target).mean()) for target in range(output.count))
        found.append(Swallowed(kind, len(inputs), shares))
    return found


def _scrambled(inputs: Floats, rng: np.random.Generator) -> Floats:
    flat = inputs.reshape(len(inputs), -1)
    return np.stack([rng.permutation(row) for row in flat]).reshape(inputs.shape)
