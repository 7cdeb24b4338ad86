"""From a scan to an explained decision: the strongest trigger, an input that it moves, heuristics and proofs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verifluxa.asking import untouched
from verifluxa.data.dataset import Dataset
from verifluxa.errors import UsageError
from verifluxa.lower import Given, lower
from verifluxa.question import Floats, Problem
from verifluxa.search.replay import stamped
from verifluxa.spec.spec import InputSpace, TableSpace, TokenSpace
from verifluxa.triage.explain.heuristics import Case, Window, blank_of, gradient, occlusion, ranges_of, shapley
from verifluxa.triage.scan.classes import ClassRow
from verifluxa.triage.scan.rates import proved_ends
from verifluxa.triage.scan.road import Scan
from verifluxa.triage.scan.subject import EACH, MODEL, Loaded


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
        after = stamped(problem, best.question.placement, best.trigger, np.arange(len(problem.inputs)))
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
