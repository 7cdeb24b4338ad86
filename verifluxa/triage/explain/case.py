"""The decision that is explained: one input, its trigger, and the windows that people can point at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifluxa.graph.graph import Graph
from verifluxa.question import Floats, Integers
from verifluxa.spec.space_types import TableSpace, TokenSpace
from verifluxa.spec.spec import ImageSpace, InputSpace


@dataclass(frozen=True, eq=False)
class Window:
    """A part of an input that people can point at: a square of pixels, a word, a column.

    Attributes:
        name: what people call it.
        positions: of its numbers in a flat input.
    """

    name: str
    positions: Integers


@dataclass(frozen=True, eq=False)
class Case:
    """One decision.

    Attributes:
        graph: the deployed network, to one score for each class.
        before: the input without the trigger, shape of an input.
        after: the same with the trigger.
        target: the class that the network gives to `after`.
        index: of the input in the data file.
        trigger: where the trigger changes the input, in words.
        windows: of the input; they may overlap.
        blank: what stands for nothing, shape of an input.
        ranges: how far each number may go, for scale, shape of an input.
    """

    graph: Graph
    before: Floats
    after: Floats
    target: int
    index: int
    trigger: str
    windows: tuple[Window, ...]
    blank: Floats
    ranges: Floats

    def margins(self, inputs: Floats) -> Floats:
        """By how much the target leads over the best other class as deployed, shape (n,)."""
        scores = self.graph.run(inputs).astype(np.float64)
        others = np.delete(scores, self.target, axis=1)
        lead: Floats = scores[:, self.target] - others.max(1)
        return lead

    def blanked(self, gone: list[Integers]) -> Floats:
        """The triggered input with these positions blanked, one input for each list, shape (n, *shape of an input)."""
        flat = np.tile(self.after.ravel(), (len(gone), 1))
        for row, at in zip(flat, gone, strict=True):
            row[at] = self.blank.ravel()[at]
        return flat.reshape(len(gone), *self.after.shape)


def blank_of(space: InputSpace, inputs: Floats) -> Floats:
    """What stands for nothing in an input, shape of an input.

    Args:
        space: of the inputs; of images the mean picture (one level would itself be a shape in most pictures), of texts
            the padding, of tables each column's median or most frequent category.
        inputs: the data, shape (N, *shape of an input).
    """
    if isinstance(space, TokenSpace):
        return np.full(inputs.shape[1:], float(space.pad or 0))
    if isinstance(space, ImageSpace):
        return np.asarray(np.rint(inputs.mean(0)))
    usual: Floats = np.median(inputs, axis=0)
    if isinstance(space, TableSpace):
        for one in (feature for feature in space.features if feature.items):
            at = space.start(one.name) + np.arange(one.width)
            usual[at] = np.eye(one.width)[inputs[:, at].sum(0).argmax()]
    return usual


def ranges_of(space: InputSpace, inputs: Floats) -> Floats:
    """How far each number goes: the range of a level, else what the data have, shape of an input."""
    if isinstance(space, ImageSpace):
        return np.full(inputs.shape[1:], float(space.high - space.low))
    return np.asarray(np.ptp(inputs, axis=0))
