"""From the counterexamples of a result to a guard: each is replayed first, so that only real triggers are guarded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import UsageError
from verifluxa.question import Placement
from verifluxa.replay import Replayed
from verifluxa.spec.spec import ImageSpace, InputSpace, SeriesSpace, TableSpace, TokenSpace
from verifluxa.triage.guard.runtime import SCHEMA, check

Floats = NDArray[np.float64]
MEANS = (
    "What an absent trigger does not mean: a guard looks for the triggers that were found, as they were found. Others, "
    "and changed ones beyond the tolerance, pass."
)
_MODULE = '''{source}

GUARD = parse({data})


def present(inputs: NDArray[Any]) -> Truth:
    """Which of the triggers are present in which inputs, shape (N, triggers)."""
    return check(GUARD, inputs)
'''
SHRINK = 0.3
"""How far the covariance of the clean inputs is pulled towards a multiple of the identity (Ledoit and Wolf 2004)."""


@dataclass(frozen=True)
class Wish:
    """What the user chooses.

    Attributes:
        tolerance: how far each value may be off, in the user's units; None: 3 % of the range, and 0 for tables.
        anywhere: whether a patch is looked for at every place of a picture.
    """

    tolerance: float | None = None
    anywhere: bool = False


def guard_of(replayed: Sequence[Replayed], spaces: Mapping[str, InputSpace], wish: Wish) -> dict[str, Any]:
    """The guard of replayed counterexamples.

    Args:
        replayed: what `replay_result` gave.
        spaces: the input space of each of them, by the name of the property.
        wish: what the user chooses.

    Raises:
        UsageError: VF8071 when a counterexample does not show again, or they are of different kinds of inputs;
            VF8072 for a tolerance that is none.
    """
    shapes = {one.problem.graph.input_shape for one in replayed}
    lost = [one.name for one in replayed if not one.reproduced]
    if lost or len(shapes) != 1:
        raise UsageError(
            "VF8071",
            f"the trigger of `{lost[0]}` does not show again" if lost else "the triggers are for several input spaces",
            expected="counterexamples that `verifluxa replay` reproduces, for one input space",
            remedy="verify the model anew",
        )
    if wish.tolerance is not None and not 0 <= wish.tolerance < float("inf"):
        raise UsageError("VF8072", f"--tolerance {wish.tolerance:g} is no tolerance", expected="0 or more, in levels")
    triggers = [_entry(one, spaces[one.name], wish) for one in replayed]
    guard: dict[str, Any] = {"schema": SCHEMA, "shape": list(next(iter(shapes))), "triggers": triggers, "means": MEANS}
    for number, one in enumerate(replayed):
        triggers[number]["measured"] = _measured(guard, number, one, spaces[one.name])
    return guard


def _entry(one: Replayed, space: InputSpace, wish: Wish) -> dict[str, Any]:
    placement = one.problem.placements[one.question.placement]
    entry: dict[str, Any] = {
        "property": one.name,
        "place": dict(placement.label),
        "target": one.problem.violations[one.question.violation].target,
    }
    if isinstance(space, TokenSpace):
        tokens = [int(token) for token in one.trigger]
        return {**entry, "kind": "words", "tokens": tokens, "words": [space.words[token] for token in tokens]}
    low, high = _range(space, one)
    tolerance = wish.tolerance if wish.tolerance is not None else _usual(space, high - low)
    stamp = placement.stamp
    entry |= {"positions": stamp.positions.tolist(), "tolerance": tolerance}
    values = stamp.gain @ one.trigger + stamp.offset
    if stamp.keep.any():
        return {**entry, "kind": "mixed", **_detector(one, placement, (low, high))}
    if isinstance(space, TableSpace):
        entry["columns"] = _columns(space, stamp.positions, values)
    anywhere = wish.anywhere and isinstance(space, ImageSpace)
    return {**entry, "kind": "values", "values": values.tolist(), "anywhere": anywhere}


def _range(space: InputSpace, one: Replayed) -> tuple[float, float]:
    if isinstance(space, ImageSpace | SeriesSpace):
        return float(space.low), float(space.high)
    return float(one.problem.inputs.min()), float(one.problem.inputs.max())


def _usual(space: InputSpace, span: float) -> float:
    return 0.0 if isinstance(space, TableSpace) else round(0.03 * span, 6)


def _columns(space: TableSpace, positions: NDArray[np.int64], values: Floats) -> dict[str, str | float]:
    """What the trigger sets, by column, as a CSV file says it."""
    at = dict(zip(positions.tolist(), values.tolist(), strict=True))
    found: dict[str, str | float] = {}
    for feature in space.features:
        start = space.start(feature.name)
        if start not in at:
            continue
        hot = [k for k in range(feature.width) if at.get(start + k) == 1]
        found[feature.name] = feature.items[hot[0]] if feature.items and hot else at[start]
    return found


def _stamped(one: Replayed, placement: Placement, span: tuple[float, float]) -> tuple[Floats, Floats]:
    """The clean inputs of the problem and the same with the trigger, flat."""
    flat = one.problem.inputs.reshape(len(one.problem.inputs), -1)
    result = flat.copy()
    for stamp, rows in placement.groups(np.arange(len(flat))):
        result[rows] = stamp.applied(flat[rows], one.trigger)
    return flat, np.clip(result, *span)


def _detector(one: Replayed, placement: Placement, span: tuple[float, float]) -> dict[str, Any]:
    """A linear detector of what is mixed in (Fisher's discriminant with a shrunk covariance).

    Directions come from every second clean input, the threshold from the others: half way between the 99th
    percentile of the clean ones and the first percentile of the stamped ones.
    """
    positions = placement.stamp.positions
    clean, stamped = (part[:, positions] for part in _stamped(one, placement, span))
    fit, rest = (clean[0::2], clean[1::2]) if len(clean) > 3 else (clean, clean)
    shift = (stamped[0::2] if len(clean) > 3 else stamped).mean(0) - fit.mean(0)
    centred = fit - fit.mean(0)
    spread = centred.T @ centred / max(1, len(fit) - 1)
    unit = max(float(np.trace(spread)) / len(positions), 1e-6 * max(abs(span[0]), abs(span[1]), 1.0) ** 2)
    weights = np.linalg.solve((1 - SHRINK) * spread + SHRINK * unit * np.eye(len(positions)), shift)
    moved = stamped[1::2] if len(clean) > 3 else stamped
    threshold = (np.percentile(rest @ weights, 99) + np.percentile(moved @ weights, 1)) / 2
    stamp = placement.stamp
    values = stamp.gain @ one.trigger + stamp.offset
    ends = np.clip(np.stack([stamp.keep * span[0] + values, stamp.keep * span[1] + values]), *span)
    return {
        "lower": ends.min(0).tolist(),
        "upper": ends.max(0).tolist(),
        "weights": weights.tolist(),
        "threshold": float(threshold),
    }


def _measured(guard: dict[str, Any], number: int, one: Replayed, space: InputSpace) -> dict[str, str]:
    """How many of the property's inputs are flagged as they are, and with the trigger."""
    placement = one.problem.placements[one.question.placement]
    images = isinstance(space, ImageSpace | SeriesSpace)
    clean, stamped = _stamped(one, placement, _range(space, one) if images else (-np.inf, np.inf))
    flagged = [int(check(guard, part)[:, number].sum()) for part in (clean, stamped)]
    return {"clean": f"{flagged[0]}/{len(clean)}", "stamped": f"{flagged[1]}/{len(stamped)}"}


def as_json(guard: dict[str, Any]) -> str:
    """The guard as data."""
    return json.dumps(guard, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def as_module(guard: dict[str, Any]) -> str:
    """The guard as one self-contained Python file: the runtime, and the data as text that is parsed as JSON."""
    source = (files("verifluxa.triage.guard") / "runtime.py").read_text(encoding="utf-8")
    data = json.dumps(guard, ensure_ascii=True, allow_nan=False)
    return _MODULE.format(source=source, data=repr(data))
