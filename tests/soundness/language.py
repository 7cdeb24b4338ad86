"""Tiny worlds in which the truth of a spec is counted by hand: nothing of the lowering is used for it.

Images of 2 x 3 pixels and a few levels, networks of small whole numbers (exact in every arithmetic), triggers
written down once more in Python, all of them tried on all inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verifluxa.inputs import Choice
from verifluxa.library import Library, resolve
from verifluxa.result.result import PropertyResult
from verifluxa.verdict import Verdict
from verifluxa.verify import Request, run

Numbers = NDArray[np.int64]
Trigger = Callable[[NDArray[np.object_]], NDArray[np.object_]]
"""What one trigger of a family makes of an image (channels, 2, 3) of fractions."""

HEIGHT, WIDTH = 2, 3


@dataclass(frozen=True, eq=False)
class Net:
    """`Dense(relu) ... Dense`: weights and biases of whole numbers; a relu between layers."""

    layers: tuple[tuple[Numbers, Numbers], ...]

    def __call__(self, image: NDArray[np.object_]) -> list[Fraction]:
        """The outputs, exactly; pixels are counted channel by channel, row by row."""
        state = [Fraction(value) for value in image.ravel()]
        for number, (weight, bias) in enumerate(self.layers):
            state = [
                sum((int(w) * s for w, s in zip(row, state, strict=True)), Fraction(int(b)))
                for row, b in zip(weight, bias, strict=True)
            ]
            if number + 1 < len(self.layers):
                state = [max(value, Fraction(0)) for value in state]
        return state

    def save(self, folder: Path, name: str) -> None:
        """`NAME.npz` and `NAME.txt`, as a spec names them."""
        arrays = {}
        words = ["Flux.flatten"]
        for number, (weight, bias) in enumerate(self.layers):
            arrays[f"layers.{number + 2}.weight"] = weight.astype(np.float32)
            arrays[f"layers.{number + 2}.bias"] = bias.astype(np.float32)
            relu = ", relu" if number + 1 < len(self.layers) else ""
            words.append(f"Dense({weight.shape[1]} => {weight.shape[0]}{relu})")
        np.savez(folder / f"{name}.npz", **arrays)
        (folder / f"{name}.txt").write_text(f"Chain({', '.join(words)})")


def net(seed: int, outputs: int, hidden: int = 4, inputs: int = HEIGHT * WIDTH) -> Net:
    """A random network with small whole weights."""
    random = np.random.default_rng(seed)
    sizes = [inputs, hidden, outputs] if hidden else [inputs, outputs]
    return Net(
        tuple(
            (random.integers(-3, 4, (after, before)), random.integers(-4, 5, after))
            for before, after in pairwise(sizes)
        )
    )


def images(seed: int, count: int, most: int = 3, channels: int = 1) -> Numbers:
    """Random images, shape (count, channels, 2, 3)."""
    return np.random.default_rng(seed).integers(0, most + 1, (count, channels, HEIGHT, WIDTH))


@dataclass(frozen=True)
class Met:
    """Whether one input violates: strictly (`sure`), or when ties count (`may`)."""

    sure: bool
    may: bool


@dataclass(frozen=True)
class Truth:
    """The largest number of inputs that one trigger makes violate, strictly and with ties."""

    sure: int
    may: int

    def verdicts(self, need: int) -> set[Verdict]:
        """The verdicts that are right; unknown always is."""
        found = {Verdict.UNKNOWN}
        if self.sure >= need:
            found.add(Verdict.FALSIFIED)
        if self.may < need:
            found.add(Verdict.CERTIFIED)
        return found


def count(
    triggers: list[Trigger], inputs: Numbers, met: Callable[[int, NDArray[np.object_], NDArray[np.object_]], Met]
) -> Truth:
    """Tries every trigger on every input; `met` gets the number of the input, the stamped and the plain image."""
    sure = may = 0
    for trigger in triggers:
        found = []
        for number, image in enumerate(inputs):
            plain = exact(image)
            found.append(met(number, trigger(plain), plain))
        sure, may = max(sure, sum(one.sure for one in found)), max(may, sum(one.may for one in found))
    return Truth(sure, may)


def exact(image: Numbers) -> NDArray[np.object_]:
    """An image of fractions."""
    return np.array([Fraction(int(value)) for value in image.ravel()], dtype=object).reshape(image.shape)


def patches(height: int, width: int, levels: range, channels: int = 1) -> list[Trigger]:
    """All patches of a size at all places."""
    return [
        _patch(row, column, np.array(values, dtype=object).reshape(channels, height, width))
        for row in range(HEIGHT - height + 1)
        for column in range(WIDTH - width + 1)
        for values in product(levels, repeat=channels * height * width)
    ]


def _patch(row: int, column: int, values: NDArray[np.object_]) -> Trigger:
    def trigger(image: NDArray[np.object_]) -> NDArray[np.object_]:
        result = image.copy()
        result[:, row : row + values.shape[1], column : column + values.shape[2]] = values
        return result

    return trigger


def reaches(outputs: list[Fraction], target: int) -> Met:
    """Whether the class is the target."""
    others = [value for number, value in enumerate(outputs) if number != target]
    return Met(outputs[target] > max(others), outputs[target] >= max(others))


def leaves(outputs: list[Fraction], label: int) -> Met:
    """Whether the class is another than the label."""
    others = [value for number, value in enumerate(outputs) if number != label]
    return Met(max(others) > outputs[label], max(others) >= outputs[label])


def without_attack(folder: Path, name: str = "balanced") -> str:
    """A strategy of the library without its attack, as a file."""
    head, *stages = resolve(Library.SOLVERS, name).text.split("[[stage]]")
    kept = [stage for stage in stages if 'kind = "attack"' not in stage]
    path = folder / "no_attack.toml"
    path.write_text("[[stage]]".join([head, *kept]))
    return str(path)


@dataclass(frozen=True, eq=False)
class World:
    """A folder with a spec, its models and its data."""

    folder: Path

    def model(self, name: str, network: Net) -> None:
        """Adds a model."""
        network.save(self.folder, name)

    def data(self, inputs: Numbers, labels: list[int] | None = None, name: str = "eval") -> None:
        """Adds a data set."""
        arrays: dict[str, Numbers] = {"x": inputs}
        if labels is not None:
            arrays["y"] = np.array(labels)
        np.savez(self.folder / f"{name}.npz", **arrays)

    def results(self, spec: str, budget: float | None = 60.0, **settings: str) -> Iterator[PropertyResult]:
        """What the whole pipeline says of every property, with the attack and without it."""
        path = self.folder / "tiny.vfx"
        path.write_text(spec)
        for strategy in ("balanced", without_attack(self.folder)):
            found = run(Request(str(path), Choice(params=settings), strategy, budget=budget))
            yield from found.properties


HEAD = """spec 1

input tile : image(2 px, 3 px, 1 ch) of 0..3 level

data eval : tile { file = "eval.npz" }

trigger dot : tile { replace 1 px x 1 px at any with 0..3 level }

trigger bar : tile { replace 1 px x 2 px at any with 0..3 level }
"""


def picture(folder: Path, name: str, levels: Numbers) -> None:
    """A PNG file; levels of shape (height, width), or (height, width, 3)."""
    Image.fromarray(levels.astype(np.uint8)).save(folder / name)


def declare(name: str, output: str, more: str = "") -> str:
    """A model as a spec declares it."""
    files = f'file = "{name}.npz" architecture = "{name}.txt"'
    return f"model {name} : tile -> {output} {{ {files} encode = level {more} }}\n"
