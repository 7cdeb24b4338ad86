"""The strongest words of a text and combinations of a table, all of them evaluated with the error of their rounding."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from verifluxa.errors import UnsupportedError
from verifluxa.question import Problem, Question
from verifluxa.result.result import Share

MOST_SECONDS = 2.0
MOST_SHOWN = 12


@dataclass(frozen=True)
class Ranked:
    """One trigger: in words, and the share of the inputs that it surely sends."""

    words: tuple[str, ...]
    rate: Share


@dataclass(frozen=True)
class Strongest:
    """The strongest triggers of a placement, out of so many."""

    label: tuple[tuple[str, int], ...]
    count: int
    ranked: tuple[Ranked, ...]


def strongest(problem: Problem, question: Question, most: int = MOST_SHOWN) -> Strongest | None:
    """The strongest triggers at the placement of a question.

    None where there are too many, or they cannot be evaluated one and all.
    """
    from verifluxa.search import Workspace, enumerable, placed_table

    work = Workspace(problem).at(question.placement)
    try:
        cut = enumerable(work, question.placement)
        if cut is None:
            return None
        table, slots = placed_table(work, cut, question.placement, time.monotonic() + MOST_SECONDS)
    except UnsupportedError:
        return None
    if table is None:
        return None
    chosen = problem.selections[question.selection]
    counts = table.certain[question.violation][chosen].sum(0)
    order = np.argsort(-counts, kind="stable")[:most]
    domain = problem.domain_of(question.placement)
    ranked = tuple(
        Ranked(domain.described(slots.trigger(int(at))), Share(int(counts[at]), len(chosen))) for at in order
    )
    return Strongest(problem.placements[question.placement].label, slots.count, ranked)
