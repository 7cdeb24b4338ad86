"""What a decision on a triggered input hangs on: heuristics beside what is certified.

- *Gradient*: how fast the lead of the target changes, times the range of each number (Simonyan, Vedaldi, Zisserman
  2014, arXiv:1312.6034); computed in float64 on the network itself. Of a word: its effect to first order against the
  padding, since a word has no range.
- *Occlusion*: how much of the lead is gone once a window is blanked (Zeiler, Fergus 2014, arXiv:1311.2901).
- *SHAP*: Shapley values of windows that do not overlap, by the library `shap` (Lundberg, Lee 2017, arXiv:1705.07874).
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from verifluxa.asking import untouched
from verifluxa.data.dataset import Dataset
from verifluxa.errors import UsageError
from verifluxa.graph.graph import Graph
from verifluxa.graph.run import forward
from verifluxa.lower import Given, lower
from verifluxa.question import Floats, Integers, Problem
from verifluxa.search import split_network, stamped_inputs
from verifluxa.spec.spec import ImageSpace, InputSpace, TableSpace, TokenSpace
from verifluxa.triage.scan.classes import ClassRow
from verifluxa.triage.scan.rates import proved_ends
from verifluxa.triage.scan.run import Scan
from verifluxa.triage.scan.subject import EACH, MODEL, Loaded

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
    cut = split_network(case.graph, len(case.graph.nodes) - 1)
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


@dataclass(frozen=True, eq=False)
class Explained:
    """One decision, explained.

    Attributes:
        case: the decision.
        answers: what the network says without and with the trigger, in words.
        gradient: heuristic, shape of an input.
        occlusion: heuristic, for each window.
        shapley: heuristic, shape of an input; None where it was not asked for.
        certified: for each window whether it is proved that nothing in it, put there alone, changes the answer to the
            triggered input; None where that was not decided in the time.
        arithmetic: that the proofs cover.
    """

    case: Case
    answers: tuple[str, str]
    gradient: Floats
    occlusion: Floats
    shapley: Floats | None
    certified: tuple[bool | None, ...]
    arithmetic: str

    def over_windows(self, values: Floats) -> Floats:
        """Values of numbers, summed over each window, shape (windows,)."""
        flat = values.ravel()
        return np.array([flat[window.positions].sum() for window in self.case.windows])

    def over_input(self, values: Floats) -> Floats:
        """Values of windows, averaged over the windows that hold each number, shape of an input; 0 where none does."""
        total, count = np.zeros(self.case.after.size), np.zeros(self.case.after.size)
        for window, value in zip(self.case.windows, values, strict=True):
            total[window.positions] += value
            count[window.positions] += 1
        return (total / np.maximum(count, 1)).reshape(self.case.after.shape)


def explain(scan: Scan, seconds: float, with_shap: bool, seed: int) -> Explained:
    """Explains what the strongest trigger of the first-ranked class does to one input.

    Args:
        scan: with the trigger.
        seconds: for the proofs.
        with_shap: whether SHAP values are computed.
        seed: of SHAP.

    Raises:
        UsageError: VF8005 where the scan found no trigger that moves an input, VF8006 without the library `shap`.
    """
    loaded = scan.loaded
    index, before, after, where = _moved(scan, scan.rows[0])
    target = scan.rows[0].target
    problem = _alone(loaded, after, target)
    case = Case(
        graph=loaded.graph,
        before=before,
        after=after,
        target=target,
        index=index,
        trigger=where,
        windows=tuple(_windows(loaded.space, problem, after)),
        blank=blank_of(loaded.space, loaded.data.inputs),
        ranges=ranges_of(loaded.space, loaded.data.inputs),
    )
    said = (loaded.class_name(int(loaded.answers[index])), loaded.class_name(target))
    values = shapley(case, seed) if with_shap else None
    proofs = proved_ends(problem, time.monotonic() + seconds)
    certified = tuple(None if one.proved is None else one.proved.count == 0 for one in proofs)
    return Explained(case, said, gradient(case), occlusion(case), values, certified, problem.arithmetic)


def _moved(scan: Scan, row: ClassRow) -> tuple[int, Floats, Floats, str]:
    """The first input that a trigger moves: its index, without and with the trigger, and where the trigger is."""
    problem = scan.loaded.problem
    everything = np.arange(len(problem.inputs))
    for stamp, where in _triggers(scan, row):
        after = stamp
        answers = problem.graph.run(after).argmax(1)
        labels = scan.loaded.data.labels[list(problem.indices)]
        moved = everything[(answers == row.target) & (labels != row.target)]
        if len(moved):
            at = int(moved[0])
            return problem.indices[at], problem.inputs[at], after[at], where
    raise UsageError(
        "VF8005",
        f"no trigger was found that sends an input to {row.name}, so there is nothing to explain",
        remedy="give the scan more time with --budget",
    )


def _triggers(scan: Scan, row: ClassRow) -> Iterator[tuple[Floats, str]]:
    """All inputs with a trigger: of fixed size where one does much, else the smallest mask or change, else any."""
    problem, best = scan.loaded.problem, row.best
    fixed = []
    if best.trigger is not None:
        place = problem.placements[best.question.placement]
        label = ", ".join(f"{name} {value}" for name, value in place.label)
        said = ", ".join(problem.domain_of(best.question.placement).described(best.trigger))
        after = stamped_inputs(problem, best.question.placement, best.trigger, np.arange(len(problem.inputs)))
        fixed.append((after, f"{said} at {label}" if said else label))
    strong = best.found.rate >= 0.5
    yield from fixed if strong else []
    levels = (float(problem.domain.lower.min()), float(problem.domain.upper.max()))
    for one in scan.inverted:
        if not np.isnan(one.size[row.target]):
            yield one.stamped(problem.inputs, row.target, levels), f"the smallest {one.kind.name}"
    yield from [] if strong else fixed


def _alone(loaded: Loaded, after: Floats, target: int) -> Problem:
    """For every window the question whether anything in it changes the answer to the triggered input."""
    prop = next(one for one in loaded.inputs.properties if one.name == EACH)
    data = replace(loaded.data, inputs=after[None], labels=np.array([target]), sampled=None)
    return lower(loaded.inputs.spec, prop, _given(loaded, data))


def _given(loaded: Loaded, data: Dataset) -> Given:
    lifted = loaded.inputs.models[MODEL].lifted
    return Given(lifted.graph, data, loaded.problem.digest, loaded.problem.arithmetic, untouched=untouched)


def _windows(space: InputSpace, problem: Problem, after: Floats) -> Iterator[Window]:
    for place in problem.placements:
        positions = np.unique(place.stamp.positions)
        yield Window(_name(space, place.label, positions, after), positions)


def _name(space: InputSpace, label: tuple[tuple[str, int], ...], positions: np.ndarray, after: Floats) -> str:
    if isinstance(space, TokenSpace):
        word = space.words[int(after.ravel()[positions[0]])]
        return f"word {int(positions[0])}: {word}"
    if isinstance(space, TableSpace):
        return next(one.name for one in space.features if space.start(one.name) == positions[0])
    return ", ".join(f"{name} {value}" for name, value in label)


# An explained decision in words, and as JSON holds it.

MOST = 3
LABEL = "heuristics, which prove nothing"


def lines(explained: Explained) -> Iterator[str]:
    """The largest values of each heuristic, and beside them what is certified."""
    case = explained.case
    before, after = explained.answers
    yield f"input {case.index} is {before}, with the trigger ({case.trigger}) {after}; what that hangs on:"
    yield f"  {LABEL} (the largest of {len(case.windows)} windows):"
    for name, values in heuristics(explained).items():
        order = np.argsort(-values, kind="stable")[:MOST]
        said = "; ".join(f"{case.windows[at].name} ({values[at]:.3g})" for at in order)
        yield f"    {name}: {said}"
    fixed = sum(one is True for one in explained.certified)
    yield f"  certified in {explained.arithmetic}: nothing that is put into one window alone changes the answer"
    yield f"    in {fixed} of {len(case.windows)} windows; not proved in {_open(explained)}"


def heuristics(explained: Explained) -> dict[str, Floats]:
    """Each heuristic over the windows."""
    found = {"gradient": explained.over_windows(explained.gradient), "occlusion": explained.occlusion}
    if explained.shapley is not None:
        found["SHAP"] = explained.over_windows(explained.shapley)
    return found


def _open(explained: Explained) -> str:
    left = [window.name for window, one in zip(explained.case.windows, explained.certified, strict=True) if not one]
    if not left:
        return "none"
    more = "" if len(left) <= MOST else f" and {len(left) - MOST} more"
    return "; ".join(left[:MOST]) + more


def document(explained: Explained) -> dict[str, Any]:
    """The explanation as JSON holds it."""
    values = heuristics(explained)
    case = explained.case
    return {
        "input": case.index,
        "answers": list(explained.answers),
        "trigger": case.trigger,
        "arithmetic": explained.arithmetic,
        "label": LABEL,
        "windows": [
            {
                "name": window.name,
                "certified": explained.certified[at],
                **{name.lower(): float(value[at]) for name, value in values.items()},
            }
            for at, window in enumerate(case.windows)
        ],
    }
