"""Heuristics: what a decision seems to hang on. They prove nothing, and they may disagree.

- *Gradient*: how fast the lead of the target changes, times the range of each number (Simonyan, Vedaldi, Zisserman
  2014, arXiv:1312.6034); computed in float64 on the network itself. Of a word: its effect to first order against the
  padding, since a word has no range.
- *Occlusion*: how much of the lead is gone once a window is blanked (Zeiler, Fergus 2014, arXiv:1311.2901).
- *SHAP*: Shapley values of windows that do not overlap, by the library `shap` (Lundberg, Lee 2017, arXiv:1705.07874).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from verifluxa.errors import UsageError
from verifluxa.graph.graph import Graph
from verifluxa.graph.run import forward
from verifluxa.question import Floats, Integers
from verifluxa.search.tail import split
from verifluxa.spec.spec import ImageSpace, InputSpace, TableSpace, TokenSpace

# The decision that is explained: one input, its trigger, and the windows that people can point at.


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


# The heuristics

AT_ONCE = 1024
"""Blanked inputs that run together."""
MOST_PLAYERS = 128
SAMPLES = 1024
"""Coalitions that SHAP tries."""


def gradient(case: Case) -> Floats:
    """The size of the gradient of the lead at the triggered input, shape of an input."""
    cut = split(case.graph, len(case.graph.nodes) - 1)
    if cut is None or cut.table is None:
        slope = _slope(case, case.graph, case.after[None])[0]
        return np.asarray(np.abs(slope) * case.ranges)
    rows, nothing = (cut.rows(one.reshape(1, -1)) for one in (case.after, case.blank))
    slope = _slope(case, cut.tail, rows)
    effect = (slope * (rows - nothing)).reshape(case.after.size, cut.features).sum(1)
    return np.asarray(np.abs(effect)).reshape(case.after.shape)


def _slope(case: Case, graph: Any, inputs: Floats) -> Floats:
    point = torch.tensor(inputs, dtype=torch.float64, requires_grad=True)
    scores = forward(graph, point)[0]
    others = torch.cat([scores[: case.target], scores[case.target + 1 :]])
    (slope,) = torch.autograd.grad(scores[case.target] - others.max(), point)
    found: Floats = slope.numpy()
    return found


def occlusion(case: Case) -> Floats:
    """How much of the lead each window carries, shape (windows,)."""
    whole = case.margins(case.after[None])[0]
    parts = [
        case.margins(case.blanked([window.positions for window in case.windows[start : start + AT_ONCE]]))
        for start in range(0, len(case.windows), AT_ONCE)
    ]
    return np.asarray(whole - np.concatenate(parts))


def apart(case: Case) -> list[Integers]:
    """Windows that do not overlap, in order, and what they leave of the input; at most `MOST_PLAYERS`."""
    chosen: list[Integers] = []
    taken = np.zeros(case.after.size, dtype=bool)
    for window in case.windows:
        if not taken[window.positions].any():
            taken[window.positions] = True
            chosen.append(window.positions)
    left = np.flatnonzero(~taken)
    chosen += [left] if len(left) else []
    while len(chosen) > MOST_PLAYERS:
        pairs = [chosen[at : at + 2] for at in range(0, len(chosen), 2)]
        chosen = [np.concatenate(pair) for pair in pairs]
    return chosen


def shapley(case: Case, seed: int) -> Floats:
    """Shapley values of the lead, spread evenly over the numbers of each player, shape of an input.

    Raises:
        UsageError: VF8006 where the library is not installed.
    """
    library = shap_library()
    players = apart(case)

    def lead(present: Floats) -> Floats:
        gone = [[at for at, there in zip(players, row, strict=True) if not there] for row in present]
        return case.margins(case.blanked([np.concatenate(at) if at else np.zeros(0, np.int64) for at in gone]))

    explainer = library.KernelExplainer(lead, np.zeros((1, len(players))))
    # It draws from NumPy's own generator, which others may use as well.
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        values = explainer.shap_values(np.ones(len(players)), nsamples=SAMPLES, l1_reg=False, silent=True)
    finally:
        np.random.set_state(before)
    found = np.zeros(case.after.size)
    for at, value in zip(players, values, strict=True):
        found[at] = value / len(at)
    return found.reshape(case.after.shape)


def shap_library() -> Any:
    """The library.

    Raises:
        UsageError: VF8006 where it is not installed.
    """
    try:
        return importlib.import_module("shap")
    except ImportError:
        raise UsageError(
            "VF8006",
            "SHAP values need the library `shap`, which is not installed",
            expected="pip install 'verifluxa[shap]'",
            remedy="or leave --shap out: gradients and occlusion need nothing more",
        ) from None
