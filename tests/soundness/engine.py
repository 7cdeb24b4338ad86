"""The engine under test: its strategies, with and without attack, and small budgets where a tie stays open."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from verifluxa.evidence import Outcome
from verifluxa.question import Problem, Question
from verifluxa.stages import CrossStage, SmtStage
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BranchStage, Stage, Strategy, load_strategy

STRATEGIES = (
    *("balanced", "balanced without attack", "quick", "quick without attack", "attack-only"),
    *("exact-small", "exact-small without attack", "thorough", "thorough without attack"),
)
PLAIN = {"clip_rounds": 0, "slabs": 0, "joint": False}
TRICKS: dict[str, dict[str, Any]] = {
    "pixels alone": PLAIN,
    "strips alone": PLAIN | {"slabs": 3},
    "clipping alone": PLAIN | {"clip_rounds": 2},
    "joint step alone": PLAIN | {"joint": True},
    "every trick": {"clip_rounds": 2, "slabs": 3, "joint": True, "inherit": True},
}
"""Ways to branch, without attack and first bounds."""
CONFLICTS = "conflicts alone"
"""Counting by conflicts, whatever the number of the trigger's values; no attack, no first bounds, no branching."""
SECONDS = 1.0
"""For a solver, where the budget is small."""


@cache
def strategy(name: str, boxes: int | None = None) -> Strategy:
    """A strategy of the library, or a variant of it.

    Args:
        name: of the library, with or without ` without attack`; or one of `TRICKS`; or `CONFLICTS`.
        boxes: a smaller budget for branching; a solver then gets few seconds.
    """
    if name == CONFLICTS:
        return replace(load_strategy("balanced"), stages=(CrossStage(values=0, alone=0, seconds=SECONDS),))
    if name in TRICKS:
        found = load_strategy("balanced").without("attack").without("bound")
        found = _branching(found, **TRICKS[name])
    else:
        plain = name.removesuffix(" without attack")
        found = load_strategy(plain)
        found = found.without("attack") if plain != name else found
    return found if boxes is None else _branching(found, boxes=boxes)


def _branching(found: Strategy, **limits: Any) -> Strategy:
    def limited(stage: Stage) -> Stage:
        if isinstance(stage, SmtStage) and "boxes" in limits:
            return replace(stage, seconds=SECONDS)
        return replace(stage, **limits) if isinstance(stage, BranchStage) else stage

    return replace(found, stages=tuple(map(limited, found.stages)))


def answer(problem: Problem, question: Question, name: str, boxes: int | None = None) -> Outcome:
    """The outcome of one question."""
    (outcome,) = decide(problem, [question], strategy(name, boxes))
    return outcome
