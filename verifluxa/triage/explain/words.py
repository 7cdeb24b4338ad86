"""An explained decision in words, and as JSON holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from verifluxa.question import Floats
from verifluxa.triage.explain.road import Explained

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
