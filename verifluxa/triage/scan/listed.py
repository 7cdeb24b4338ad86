"""Single words, or values of a column, ranked by how many inputs each sends to a class, wherever it is put."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from verifluxa.errors import UnsupportedError
from verifluxa.question import Floats, Problem
from verifluxa.result.result import Share
from verifluxa.search.words import enumerable, placed_table
from verifluxa.search.workspace import workspace
from verifluxa.triage.scan.rates import Ends

MOST = 10
"""Shown for each class."""


@dataclass(frozen=True, eq=False)
class Word:
    """A word or value.

    Attributes:
        said: what people call it.
        placement, place: where it does most: an index into the problem's placements, and what people call it.
        target: the class.
        found: inputs of other classes that it sends there, in every evaluation order.
        trigger: the same for the network, shape (d,).
    """

    said: str
    placement: int
    place: tuple[tuple[str, int], ...]
    target: int
    found: Share
    trigger: Floats


def rank_words(problem: Problem, deadline: float) -> list[Word]:
    """The strongest words for each class, strongest first; places that the deadline cuts off count for nothing."""
    work = workspace(problem)
    best: dict[tuple[int, str], Word] = {}
    for placement, place in enumerate(problem.placements):
        cut = enumerable(work, placement)
        if cut is None or time.monotonic() > deadline:
            continue
        try:
            table, slots = placed_table(work.at(placement), cut, placement, deadline)
        except UnsupportedError:
            break
        if table is None:
            break
        triggers = slots.triggers()
        for violation, selection in problem.pairs:
            chosen = problem.selections[selection]
            counts = table.certain[violation][chosen].sum(0)
            for at in np.argsort(-counts, kind="stable")[:MOST]:
                said = ", ".join(problem.domain_of(placement).described(triggers[at])) or str(triggers[at].tolist())
                share = Share(int(counts[at]), len(chosen))
                word = Word(said, placement, place.label, violation, share, triggers[at])
                known = best.get((violation, said))
                if known is None or known.found.count < word.found.count:
                    best[violation, said] = word
    return sorted(best.values(), key=lambda word: (-word.found.rate, word.target, word.said))


def with_triggers(ends: Sequence[Ends], words: Sequence[Word]) -> list[Ends]:
    """The same ends; those that a word reaches have it for their trigger."""
    known: dict[tuple[int, int], Word] = {}
    for word in words:
        known.setdefault((word.placement, word.target), word)
    found = []
    for one in ends:
        said = known.get(one.question[:2])
        fits = one.trigger is None and said is not None and said.found.count == one.found.count
        found.append(replace(one, trigger=said.trigger) if fits and said is not None else one)
    return found
