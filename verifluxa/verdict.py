"""The three verdicts, why something is unknown, and how verdicts combine (falsified > unknown > certified)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """The answer to a question, a property, or a set of them."""

    CERTIFIED = "certified"
    FALSIFIED = "falsified"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a verdict is unknown."""

    TIME = "time"
    NODES = "nodes"
    MEMORY = "memory"
    PRECISION = "precision"
    REPRESENTABILITY = "representability"
    UNSUPPORTED = "unsupported"
    INTERRUPTED = "interrupted"
    LOST_WORKER = "lost-worker"
    STRATEGY = "strategy"
    """The strategy has no stage left that could decide (an attack alone proves nothing)."""
    DECIDED = "decided"
    """Not asked any more, since a counterexample had already decided the property."""


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Combines the verdicts of a set; an empty set is an error of the caller, not a pass.

    Raises:
        ValueError: if there is no verdict to combine.
    """
    seen = set(verdicts)
    if not seen:
        raise ValueError("no verdict to combine")
    for verdict in (Verdict.FALSIFIED, Verdict.UNKNOWN):
        if verdict in seen:
            return verdict
    return Verdict.CERTIFIED
