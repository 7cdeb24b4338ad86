"""Trigger inversion on images: for each class the smallest mask, and the smallest change, that drives inputs there.

*Mask*: `x + m (p - x)` with a mask `m` in 0..1 per pixel and a pattern `p`; the sum of `m` is minimised (Wang et al.,
"Neural Cleanse", IEEE S&P 2019, equations 2 and 3). *Change*: `clip(x + d)`; the Euclidean length of `d` is minimised,
which also shows triggers that are spread thin over the whole image (Chen et al. 2017). Both are searched by Adam, all
classes at once; the weight of the size rises while enough inputs reach the class and falls otherwise. Heuristics:
a smaller trigger than the one found may exist.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from verifluxa.graph.graph import Graph
from verifluxa.graph.run import forward
from verifluxa.question import Floats, Integers

CHECKED = 3
"""Smallest triggers that are tried on all inputs in any case."""
AT_ONCE = 2**24
"""Numbers of the stamped inputs of all classes that are searched together."""


@dataclass(frozen=True)
class InversionSettings:
    """How a trigger is searched.

    Attributes:
        inputs: most inputs.
        steps: of Adam, for each kind.
        success: share of the inputs of other classes that must reach the class.
        turn: factor by which the weight of the size rises or falls at each step.
        seed: of the starting points.
    """

    inputs: int = 40
    steps: int = 250
    success: float = 0.95
    turn: float = 1.15
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Kind:
    """Masks or changes.

    Attributes:
        name: `mask` or `change`.
        rate: the learning rate of Adam.
        weight: that the size begins with.
    """

    name: str
    rate: float
    weight: float


MASK = Kind("mask", 0.1, 1e-3)
CHANGE = Kind("change", 0.02, 0.1)


@dataclass(frozen=True, eq=False)
class Inverted:
    """The smallest triggers of one kind that were found.

    Attributes:
        size: for each class the sum of the mask in pixels, or the length of the change in full ranges of a level; NaN
            where none was found; shape (K,).
        mask: shape (K, 1, H, W); ones for changes.
        pattern: levels that are put, or added, shape (K, C, H, W).
        success: share of the other classes' inputs that reach the class as deployed, shape (K,); NaN where it
            was not tried.
        steps: that the search made, of those that it was to make.
    """

    kind: Kind
    size: Floats
    mask: Floats
    pattern: Floats
    success: Floats
    steps: tuple[int, int]

    def stamped(self, inputs: Floats, target: int, levels: tuple[float, float]) -> Floats:
        """Inputs (N, C, H, W) with the trigger of a class, in whole levels."""
        mask, pattern = self.mask[target], self.pattern[target]
        moved = inputs + (mask * (pattern - inputs) if self.kind is MASK else pattern)
        return np.asarray(np.clip(np.rint(moved), *levels))


@dataclass(frozen=True, eq=False)
class Scene:
    """What triggers are searched on.

    Attributes:
        graph: the deployed network, of images (C, H, W) to one score for each class.
        inputs: in levels, shape (N, C, H, W).
        labels: shape (N,).
        levels: the range of a level.
        deadline: on the clock of `time.monotonic`.
    """

    graph: Graph
    inputs: Floats
    labels: Integers
    levels: tuple[float, float]
    deadline: float


def invert(scene: Scene, kind: Kind, settings: InversionSettings) -> Inverted:
    """Searches the smallest trigger of every class."""
    classes = scene.graph.output_shape[0]
    some = replace(scene, inputs=scene.inputs[: settings.inputs], labels=scene.labels[: settings.inputs])
    share = max(1, AT_ONCE // max(1, some.inputs.size))
    parts = []
    for first in range(0, classes, share):
        parts.append(_search(some, kind, settings, torch.arange(first, min(first + share, classes))))
    done = min(steps for steps, _ in parts)
    size, mask, pattern = (np.concatenate(part) for part in zip(*(found for _, found in parts), strict=True))
    found = Inverted(kind, size, mask, pattern, np.full(classes, np.nan), (done, settings.steps))
    return replace(found, success=_successes(scene, found))


@dataclass
class _Best:
    """The smallest triggers so far, of some classes."""

    size: Tensor
    mask: Tensor
    pattern: Tensor

    def take(self, better: Tensor, size: Tensor, mask: Tensor, pattern: Tensor) -> None:
        self.size = torch.where(better, size, self.size)
        self.mask[better], self.pattern[better] = mask[better], pattern[better]


def _search(
    scene: Scene, kind: Kind, settings: InversionSettings, targets: Tensor
) -> tuple[int, tuple[Floats, Floats, Floats]]:
    """How many steps were made before the deadline; sizes, masks and patterns."""
    low, high = scene.levels
    dtype = torch.float64 if scene.graph.dtype == "float64" else torch.float32
    inputs = torch.as_tensor((scene.inputs - low) / (high - low), dtype=dtype)
    counts = (torch.as_tensor(scene.labels)[None] != targets[:, None]).to(dtype)
    counts = counts / counts.sum(1, keepdim=True).clamp_min(1)
    free = _start(kind, (len(targets), *inputs.shape[1:]), settings.seed, dtype)
    weight = torch.full((len(targets),), kind.weight, dtype=dtype)
    optimizer = torch.optim.Adam(free, kind.rate, betas=(0.5, 0.9))
    best = _Best(torch.full_like(weight, torch.nan), torch.zeros_like(free[0][:, :1]), torch.zeros_like(free[-1]))
    steps = 0
    while steps < settings.steps and time.monotonic() <= scene.deadline:
        steps += 1
        mask, pattern, size = _trigger(kind, free)
        stamped = inputs + mask[:, None] * (pattern[:, None] - inputs) if kind is MASK else inputs + pattern[:, None]
        scores = forward(scene.graph, low + (high - low) * stamped.clamp(0, 1).flatten(0, 1))
        wanted = targets.repeat_interleave(len(inputs))
        losses = torch.nn.functional.cross_entropy(scores, wanted, reduction="none").view(counts.shape)
        reached = ((scores.argmax(1) == wanted).view(counts.shape) * counts).sum(1) >= settings.success
        with torch.no_grad():
            best.take(reached & ~(size >= best.size), size, mask, pattern)
        optimizer.zero_grad()
        torch.autograd.backward((losses * counts).sum() + (weight * size).sum())
        optimizer.step()
        weight = torch.where(reached, weight * settings.turn, weight / settings.turn).clamp(1e-5, 10)
    levels = low + (high - low) * best.pattern if kind is MASK else (high - low) * best.pattern
    found = (best.size, best.mask, levels)
    first, second, third = (part.detach().to(torch.float64).numpy() for part in found)
    return steps, (first, second, third)


def _start(kind: Kind, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> list[Tensor]:
    """The free numbers: mask and pattern behind a sigmoid, or the change itself."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, *shape, generator=generator, dtype=dtype)
    start = [0.1 * noise[0, :, :1] - 2, 0.1 * noise[1]] if kind is MASK else [1e-3 * noise[0]]
    return [part.clone().requires_grad_(True) for part in start]


def _trigger(kind: Kind, free: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Mask, pattern and size of each class."""
    if kind is MASK:
        mask = torch.sigmoid(free[0])
        return mask, torch.sigmoid(free[1]), mask.sum((1, 2, 3))
    # The root has no gradient at 0.
    return torch.ones_like(free[0][:, :1]), free[0], (free[0].square().sum((1, 2, 3)) + 1e-9).sqrt()


def _successes(scene: Scene, found: Inverted) -> Floats:
    """Shares of the inputs of other classes that reach each class, by the deployed network, in whole levels."""
    shares = np.full(len(found.size), np.nan)
    for number, target in enumerate(np.argsort(found.size)[: (~np.isnan(found.size)).sum()]):
        others = scene.inputs[scene.labels != target]
        # The smallest ones are what matters, also where the search has used up its time.
        if len(others) and (number < CHECKED or time.monotonic() < scene.deadline):
            scores = scene.graph.run(found.stamped(others, int(target), scene.levels))
            shares[target] = (scores.argmax(1) == target).mean()
    return shares


def mask_shares(found: Inverted, stamps: Sequence[Integers]) -> dict[tuple[int, int], float]:
    """For each stamp and class the share of the class's mask that lies under the stamp.

    Args:
        found: masks.
        stamps: for each placement flat positions in an input (C, H, W).
    """
    pixels = found.mask.shape[2] * found.mask.shape[3]
    flat = found.mask.reshape(len(found.mask), pixels)
    whole = np.maximum(flat.sum(1), 1e-9)
    shares: dict[tuple[int, int], float] = {}
    for number, positions in enumerate(stamps):
        under = flat[:, np.unique(positions % pixels)].sum(1) / whole
        shares |= {(number, target): float(share) for target, share in enumerate(under)}
    return shares
