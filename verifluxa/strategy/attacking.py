"""The attack stages of a strategy: all placements quickly, the most promising questions harder."""

from __future__ import annotations

import math
from collections.abc import Sequence

from verifluxa.errors import UnsupportedError
from verifluxa.question import Problem, Question
from verifluxa.search.attack import AttackSettings, Candidate, attack
from verifluxa.search.replay import witness
from verifluxa.search.words import enumerable
from verifluxa.search.workspace import Workspace, workspace
from verifluxa.strategy.attacked import Attacked
from verifluxa.strategy.load import AttackStage
from verifluxa.strategy.running import Run


def attack_slice(problem: Problem, placements: Sequence[int], run: Run) -> list[Attacked]:
    """Attacks all questions of some placements; the most promising ones twice, and replays what it finds."""
    work = workspace(problem, run.device)
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
    seed = run.strategy.seed
    quick = AttackSettings(stage.inputs, stage.starts, stage.steps, 0, seed)
    candidates: list[Candidate] = []
    for questions in asked:
        if run.is_late:
            break
        candidates += attack(work, questions, quick)
    for candidate in candidates:
        best[candidate.question] = Attacked(candidate.question, 0, None, candidate.trigger.cpu().numpy())
    candidates.sort(key=lambda c: (c.count / max(1, c.looked_at), c.soft), reverse=True)
    share = math.ceil(stage.refine * len(asked) / len(work.problem.placements))
    # Bounds settle most questions at once, and what they leave open is tried hard again before branching.
    share = min(share, math.ceil(len(candidates) / 10))
    settings = hard(stage, seed)
    for candidate in candidates[:share]:
        if run.is_late:
            break
        (found,) = attack(work, [candidate.question], settings, candidate.trigger[None])
        best[candidate.question] = replayed(work, found)
        if best[candidate.question].witness is not None:
            break


def hard(stage: AttackStage, seed: int) -> AttackSettings:
    """The settings of a second, harder attack."""
    return AttackSettings(0, stage.refine_starts, stage.refine_steps, 8, seed)


def replayed(work: Workspace, candidate: Candidate) -> Attacked:
    """What a candidate does on the unsimplified network."""
    trigger = candidate.trigger.cpu().numpy()
    evidence = witness(work, candidate.question, trigger)
    refutes = len(evidence.inputs) >= candidate.question.need
    return Attacked(candidate.question, evidence.robust, evidence if refutes else None, trigger)
