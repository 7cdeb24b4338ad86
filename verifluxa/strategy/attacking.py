"""The attack stages of a strategy: all placements quickly, the most promising questions harder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from verifluxa.errors import UnsupportedError
from verifluxa.evidence import strength_of
from verifluxa.question import Problem, Question
from verifluxa.search import (
    AttackSettings,
    Candidate,
    Workspace,
    enumerable,
    local_search,
    missing_margin,
    run_attack,
    witness_of,
    workspace_of,
)
from verifluxa.strategy.load import AttackStage
from verifluxa.strategy.work import Attacked, Run

NEAR, LOCAL_STARTS = 2, 4
"""Where at most so many inputs are lacking, one of so many ends of an attack is taken further."""
QUICK_STARTS, QUICK_STEPS = 4, 6
"""Of a short attack."""


def attack_slice(problem: Problem, placements: Sequence[int], run: Run) -> list[Attacked]:
    """Attacks all questions of some placements; the most promising ones twice, and replays what it finds."""
    work = workspace_of(problem, run.device)
    best: dict[Question, Attacked] = {}
    placements = [placement for placement in placements if enumerable(work, placement) is None]
    if not placements:
        return []
    try:
        for stage in run.strategy.stages:
            if isinstance(stage, AttackStage):
                asked = [problem.questions(placement) for placement in placements]
                _attack(work, asked, stage, run, best)
    except UnsupportedError:
        return []
    return list(best.values())


def _attack(
    work: Workspace,
    asked: list[list[Question]],
    stage: AttackStage,
    run: Run,
    best: dict[Question, Attacked],
) -> None:
    quick = AttackSettings(stage.inputs, stage.starts, stage.steps, 0, run.strategy.seed, run.deadline)
    candidates: list[Candidate] = []
    for questions in asked:
        if run.is_late:
            break
        candidates += run_attack(work, questions, quick)
    for candidate in candidates:
        best[candidate.question] = Attacked(candidate.question, trigger=candidate.trigger.cpu().numpy())
    candidates.sort(key=lambda c: (c.count / max(1, c.looked_at), c.soft), reverse=True)
    share = math.ceil(stage.refine * len(asked) / len(work.problem.placements))
    # Bounds settle most questions at once, and what they leave open is tried hard again before branching.
    share = min(share, math.ceil(len(candidates) / 10))
    settings = full_attack(stage, run)
    for candidate in candidates[:share]:
        if run.is_late:
            break
        (found,) = run_attack(work, [candidate.question], settings, candidate.trigger[None])
        best[candidate.question] = replayed(work, found)
        if best[candidate.question].witness is not None:
            break


def short_attack(
    work: Workspace, questions: Sequence[Question], starts: Mapping[Question, Tensor], run: Run
) -> list[Candidate]:
    """A short attack on questions about few inputs, which finds most of what can be found: what does violate.

    Args:
        questions: of one placement.
        starts: a point (d,) to begin with, for some.
        run: the seed of the others, and the deadline.
    """
    settings = AttackSettings(0, QUICK_STARTS, QUICK_STEPS, 0, run.strategy.seed, run.deadline)
    led, others = ([q for q in questions if (q in starts) == known] for known in (True, False))
    found = run_attack(work, led, settings, torch.stack([starts[q] for q in led])) if led else []
    found += run_attack(work, others, settings) if others else []
    return [candidate for candidate in found if candidate.count >= candidate.question.threshold]


def full_attack(stage: AttackStage, run: Run, again: int = 0) -> AttackSettings:
    """The settings of a second, harder attack; with another `again` from other points."""
    return AttackSettings(0, stage.refine_starts, stage.refine_steps, 8, run.strategy.seed + again, run.deadline)


def replayed(work: Workspace, candidate: Candidate) -> Attacked:
    """What a candidate does on the unsimplified network."""
    trigger = candidate.trigger.cpu().numpy()
    evidence = witness_of(work, candidate.question, trigger)
    refutes = work.problem.refutes(candidate.question, len(evidence.inputs))
    return Attacked(candidate.question, strength_of(evidence), evidence if refutes else None, trigger)


def improved(work: Workspace, candidate: Candidate, stage: AttackStage) -> Candidate:
    """Where a few inputs are lacking, the best ends of an attack are taken further, towards those."""
    question = candidate.question
    if not max(1, question.threshold - NEAR) <= candidate.count < question.threshold:
        return candidate
    claims = work.claims(question.violation, question.selection)
    if question.threshold > len(torch.unique(claims.input)):
        return candidate  # no trigger does it
    margins = missing_margin(work, work.net(question.placement), claims, question.threshold, candidate.ends)
    best = margins.topk(min(len(margins), stage.refine_starts // LOCAL_STARTS)).indices
    found = local_search(work, question, candidate.ends[best], stage.refine_steps)
    return replace(candidate, trigger=found.trigger) if found.margin > 0 else candidate
