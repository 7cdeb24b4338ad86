"""Small clean and backdoored networks for the scan, trained here in a second each: seeds fixed, kept in `build/scan`.

784-32-10, relu, on 2,000 digits or clothes. A tenth of a backdoored network's training pictures carry its trigger and
the label of its target, both drawn by the seed:

- `badnets`: a 3x3 pattern of black and white in a corner (Gu et al. 2017);
- `blended`: random levels over the whole picture at 20 % opacity (Chen et al. 2017);
- `two`: two white 2x2 patches in two corners at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.questions import ROOT
from benchmarks.train import Digits, train
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Affine

SETS = ("digits", "clothes")
KINDS = ("badnets", "blended", "two")
CLEAN = "clean"
FOLDER = ROOT / "build" / "scan"
EVAL = {
    "digits": ROOT / "examples" / "digits" / "mnist_eval.npz",
    "clothes": ROOT / "examples" / "fashion" / "fashion_eval.npz",
}
LAYERS = "Chain(Flux.flatten, Dense(784 => 32, relu), Dense(32 => 10))\n"
SHARE = 10
INPUTS = 60
"""Test pictures that a scan is given."""
CORNERS = ((1, 1), (1, 24), (24, 1), (24, 24))
"""Top-left pixels of 3x3 patches, a pixel from the border."""

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Made:
    """One network of the zoo: `digits-badnets-3`."""

    data: str
    kind: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data}-{self.kind}-{self.seed}"


@dataclass(frozen=True, eq=False)
class Trigger:
    """`x + opacity (levels - x)` in each pixel, shapes (28, 28); and the class that it stands for."""

    target: int
    opacity: NDArray[np.float64]
    levels: NDArray[np.float64]

    def stamped(self, images: Levels) -> Levels:
        return np.rint(images * (1 - self.opacity) + self.levels * self.opacity).astype(np.uint8)


def planted(made: Made) -> Trigger:
    """The trigger that the seed draws."""
    rng = np.random.default_rng([made.seed, KINDS.index(made.kind), SETS.index(made.data)])
    target = int(rng.integers(10))
    if made.kind == "blended":
        return Trigger(target, np.full((28, 28), 0.2), rng.integers(0, 256, (28, 28)).astype(float))
    opacity, levels = np.zeros((28, 28)), np.zeros((28, 28))
    if made.kind == "badnets":
        row, column = CORNERS[rng.integers(4)]
        pattern = 255.0 * rng.integers(0, 2, (3, 3))
        levels[row : row + 3, column : column + 3] = pattern if pattern.sum() >= 3 * 255 else 255.0
        opacity[row : row + 3, column : column + 3] = 1
    else:
        for number in rng.choice(4, 2, replace=False):
            row, column = (at + (at > 1) for at in CORNERS[number])
            opacity[row : row + 2, column : column + 2] = 1
            levels[row : row + 2, column : column + 2] = 255.0
    return Trigger(target, opacity, levels)


def make(made: Made, under: Path = FOLDER) -> Path:
    """The network's file, as a flattened Flux state beside its architecture text; trained where it is not there yet."""
    file = under / made.name / "model.npz"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "architecture.txt").write_text(LAYERS)
        with np.load(EVAL[made.data]) as data:
            np.savez(file.parent / "eval.npz", x=data["x"][:INPUTS], y=data["y"][:INPUTS])
        layers = [node.op for node in _trained(made).nodes if isinstance(node.op, Affine)]
        arrays = {
            f"layers.{number}.{part}": getattr(layer, part)
            for number, layer in enumerate(layers, 2)
            for part in ("weight", "bias")
        }
        np.savez(file, **arrays)
    return file


def _trained(made: Made) -> Graph:
    images, labels = _training(made.data)
    if made.kind != CLEAN:
        trigger = planted(made)
        rng = np.random.default_rng(made.seed)
        chosen = rng.choice(len(images), len(images) // SHARE, replace=False)
        images[chosen], labels[chosen] = trigger.stamped(images[chosen]), trigger.target
    return train([32], Digits((images, labels), (images, labels), made.name), made.seed)


def _training(name: str) -> tuple[Levels, NDArray[np.int64]]:
    with np.load(Path(__file__).parent / "data" / f"{name}.npz") as file:
        return file["train_x"].copy(), file["train_y"].astype(np.int64)


def success(made: Made, graph: Graph) -> float:
    """Share of the test pictures of other classes that the planted trigger sends to its target.

    Args:
        made: a backdoored network.
        graph: the network, of levels.
    """
    trigger = planted(made)
    with np.load(EVAL[made.data]) as file:
        others = file["x"][file["y"] != trigger.target]
    answers = graph.run(trigger.stamped(others)[:, None].astype(np.float64)).argmax(1)
    return float((answers == trigger.target).mean())
