"""Runs questions through the stages of a strategy: attack, bounds, branch and bound, SMT; one Outcome each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from verifluxa.bounds.optimise import AlphaSettings
from verifluxa.errors import UnsupportedError
from verifluxa.evidence import NOTHING_FOUND, Counted, Node, Outcome, Unrecorded
from verifluxa.question import Problem, Question
from verifluxa.search.again import optimise_root
from verifluxa.search.attack import Candidate, attack
from verifluxa.search.branch import Explored, explore, explore_further
from verifluxa.search.conflicts import GLANCE, begin, cross
from verifluxa.search.cross import CrossSettings
from verifluxa.search.grid import GridSettings, enumerate_grid
from verifluxa.search.leaves import Tree
from verifluxa.search.refine import RefineSettings, refine
from verifluxa.search.root import InitialBounds, bound_root
from verifluxa.search.second import bound_with_lirpa
from verifluxa.search.settle import BranchSettings
from verifluxa.search.word_pairs import decide_listed
from verifluxa.search.words import enumerable
from verifluxa.search.workspace import Workspace, workspace
from verifluxa.strategy.attacked import Attacked
from verifluxa.strategy.attacking import attack_slice, full_attack, improved, replayed, short_attack
from verifluxa.strategy.load import (
    AttackStage,
    BoundStage,
    BranchStage,
    CrossStage,
    GridStage,
    SmtStage,
    Stage,
    Strategy,
)
from verifluxa.strategy.piecework import Checkpoint, Fallen, Limits, SearchedUnit, WorkUnit
from verifluxa.strategy.running import Run
from verifluxa.strategy.state import State, certified, falsified, unknown
from verifluxa.verdict import Reason, Verdict


def prove_slice(
    problem: Problem,
    placements: Sequence[int],
    attacked: Mapping[Question, Attacked],
    run: Run,
) -> Iterator[Fallen]:
    """Decides all questions of some placements, placement by placement; yields what falls, when it falls.

    Each question has one answer in the end, a long one possibly a `Checkpoint`.

    Args:
        problem: whose questions are asked.
        placements: indices into its placements.
        attacked: what an attack found before, possibly nothing.
        run: strategy, deadline and device.
    """
    work = workspace(problem, run.device)
    for placement in placements:
        yield from _prove(work, problem.questions(placement), attacked, run)


def decide(problem: Problem, questions: Sequence[Question], strategy: Strategy) -> list[Outcome]:
    """Attack and proof of some questions in this process, in the order given."""
    run = Run(strategy)
    work = workspace(problem)
    by_placement: dict[int, list[Question]] = {}
    for question in questions:
        by_placement.setdefault(question.placement, []).append(question)
    attacked = {a.question: a for a in attack_slice(problem, list(by_placement), run)}
    outcomes = {
        answer.question: answer
        for group in by_placement.values()
        for fallen in _prove(work, group, attacked, run)
        for answer in fallen
        if isinstance(answer, Outcome)
    }
    return [outcomes[question] for question in questions]


def further(problem: Problem, piece: WorkUnit, run: Run) -> SearchedUnit:
    """Goes on with a piece of a question that was begun: one slice of branching, or, at last, the later stages."""
    work = workspace(problem, run.device).at(piece.question.placement)
    directions = torch.as_tensor(piece.directions, device=work.device)
    tree = Tree(piece.question, piece.root, directions)
    if piece.last:
        return _finished(work, piece, tree, run)
    stage = run.strategy.stages[piece.stage]
    assert isinstance(stage, BranchStage)
    searched = explore_further(work, [tree], _settings(stage, run.limits), run.deadline)
    (explored,) = itertools.chain.from_iterable(searched)
    outcome = explored.outcome
    reason = outcome.reason if outcome.reason is Reason.PRECISION or not explored.cut_short else None
    return SearchedUnit(
        root=explored.root,
        boxes=outcome.boxes,
        seconds=outcome.seconds,
        strongest=outcome.strongest,
        witness=outcome.witness,
        closed=explored.closed,
        cut_short=explored.cut_short,
        reason=reason,
    )


def _finished(work: Workspace, piece: WorkUnit, tree: Tree, run: Run) -> SearchedUnit:
    """The stages behind branching, on what it left open."""
    question = piece.question
    state = State({}, {question: Attacked(question)}, {}, time.monotonic(), trees={question: tree})
    (rooted,) = bound_root(work, [question], "crown")
    for stage in run.strategy.stages[piece.stage + 1 :]:
        if isinstance(stage, SmtStage) and state.open([question]) and not run.is_late:
            for outcome in _smt(work, [rooted], stage, state, run):
                state.take(outcome)
    answer = state.answers.get(question) or state.left.get(question)
    assert not isinstance(answer, Checkpoint), "only branching hands back"
    seconds = time.monotonic() - state.started
    return SearchedUnit(
        tree.root, 0, seconds, NOTHING_FOUND, answer.witness if answer else None, 0, False, None, answer
    )


def _prove(
    work: Workspace,
    questions: Sequence[Question],
    attacked: Mapping[Question, Attacked],
    run: Run,
) -> Iterator[Fallen]:
    cut = enumerable(work, questions[0].placement)
    work = work.at(questions[0].placement)
    if cut is not None:
        yield from ((outcome,) for outcome in decide_listed(work, cut, questions, run.deadline))
        return
    known = {q: attacked.get(q, Attacked(q)) for q in questions}
    state = State({}, known, {}, time.monotonic())
    reason = Reason.STRATEGY
    for question, before in known.items():
        if before.witness is not None:
            state.answers[question] = falsified(work, before, "attack", state)
    try:
        for stage in run.strategy.stages:
            if run.is_late:
                reason = Reason.TIME
                break
            for _ in _stage(work, state.open(questions), stage, state, run):
                yield state.fallen()
        if not run.is_late:
            _last_try(work, [q for q in state.open(questions) if q not in attacked], run, state)
    except UnsupportedError:
        reason = Reason.UNSUPPORTED
    yield state.fallen()
    yield tuple(unknown(work, question, reason, state) for question in state.open(questions))


def _stage(
    work: Workspace,
    left: list[Question],
    stage: Stage,
    state: State,
    run: Run,
) -> Iterator[None]:
    """Runs a stage; stops for a moment wherever questions may have fallen."""
    if not left or isinstance(stage, AttackStage):
        return
    state.stage = stage.method if isinstance(stage, BoundStage) else stage.kind
    if isinstance(stage, BoundStage):
        _bound(work, left, stage, state, run.strategy.bounds)
        yield
        return
    if isinstance(stage, CrossStage):
        _glance(work, left, stage, state, run)
    rooted = _rooted(work, left, state, run)
    yield
    if rooted and isinstance(stage, BranchStage):
        yield from _branch(work, rooted, stage, state, run)
    elif rooted:
        for outcome in _one_by_one(work, rooted, stage, state, run):
            state.take(outcome)
            yield


def _one_by_one(
    work: Workspace, rooted: list[InitialBounds], stage: Stage, state: State, run: Run
) -> Iterator[Outcome]:
    """The stages that take one question after the other."""
    if isinstance(stage, GridStage):
        yield from enumerate_grid(work, rooted, GridSettings(stage.points, stage.seconds), run.deadline)
    elif isinstance(stage, CrossStage):
        yield from cross(work, rooted, CrossSettings(**_limits(stage)), run.deadline, state.searches)
    elif isinstance(stage, SmtStage):
        yield from _smt(work, rooted, stage, state, run)


def _bound(work: Workspace, left: list[Question], stage: BoundStage, state: State, engine: str = "native") -> None:
    if engine != "native":
        looked = bound_with_lirpa(work, left, stage.method)
    elif stage.method == "alpha":
        before = [state.rooted.get(question) or bound_root(work, [question], "crown")[0] for question in left]
        looked = optimise_root(work, before, AlphaSettings(stage.steps), stage.refine)
    else:
        looked = bound_root(work, left, stage.method)
    recorded = engine == "native" and not stage.refine
    for rooted in looked:
        if recorded or engine != "native":
            state.rooted[rooted.question] = rooted
        if rooted.remaining < rooted.question.need:
            # What another engine closed, or slopes that no record holds, nobody could recompute: it stays unwritten.
            node = Node(rooted.dropped(), Counted()) if recorded else Node(step=Unrecorded())
            state.answers[rooted.question] = certified(rooted, stage.method, state, node)


def _rooted(work: Workspace, left: list[Question], state: State, run: Run) -> list[InitialBounds]:
    """The questions that are open after a look at the whole domain and one more attack."""
    _look(work, left, state)
    if not state.tried:
        state.tried = True
        _last_try(work, state.open(left), run, state)
    return [state.rooted[question] for question in state.open(left)]


def _look(work: Workspace, left: list[Question], state: State) -> None:
    missing = [question for question in left if question not in state.rooted]
    if missing:
        _bound(work, missing, BoundStage("crown"), state)


def _glance(work: Workspace, left: list[Question], stage: CrossStage, state: State, run: Run) -> None:
    """A short attack and a few cases of single inputs, which cost less than the hard attack that they spare most."""
    _look(work, left, state)
    single = [question for question in left if state.rooted[question].remaining == question.need == 1]
    rooted = [state.rooted[question] for question in single]
    state.searches = begin(work, rooted, CrossSettings(**_limits(stage)), run.deadline)
    if any(isinstance(stage, AttackStage) for stage in run.strategy.stages):
        fresh = [question for question in single if state.known[question].trigger is None]
        corners = {question: state.searches[question].corner for question in fresh if question in state.searches}
        for candidate in short_attack(work, fresh, corners, run):
            _note(work, candidate, state)
    state.searches = {question: state.searches[question] for question in state.open(list(state.searches))}
    for search in state.searches.values():
        state.take(search.run(GLANCE))


def _branch(work: Workspace, rooted: list[InitialBounds], stage: BranchStage, state: State, run: Run) -> Iterator[None]:
    for ended in explore(work, rooted, _settings(stage, run.limits), run.deadline):
        for explored in ended:
            _take_explored(explored, stage, state, run)
        yield


def _take_explored(explored: Explored, stage: BranchStage, state: State, run: Run) -> None:
    """Keeps the outcome of a search, or hands its tree back where the slice has cut it short."""
    outcome, question = explored.outcome, explored.outcome.question
    state.trees[question] = Tree(question, explored.root, explored.directions)
    spent = outcome.boxes >= stage.boxes or outcome.seconds >= stage.seconds
    if run.limits is None or not explored.cut_short or spent or run.is_late:
        state.take(outcome)
        return
    state.answers[question] = Checkpoint(
        question=question,
        stage=run.strategy.stages.index(stage),
        root=explored.root,
        directions=explored.directions.cpu().numpy(),
        boxes=outcome.boxes,
        seconds=outcome.seconds,
        strongest=state.known[question].strongest.or_stronger(outcome.strongest),
        proved=state.rooted[question].remaining,
        closed=explored.closed,
        allowed=Limits(stage.boxes, stage.seconds),
        later=isinstance(run.strategy.stages[-1], SmtStage),
    )


def _limits(stage: CrossStage) -> dict[str, Any]:
    return {field.name: getattr(stage, field.name) for field in fields(CrossSettings)}


def _settings(stage: BranchStage, limits: Limits | None) -> BranchSettings:
    """The search of a stage, within what one slice may do."""
    limits = limits or Limits()
    boxes = stage.boxes if limits.boxes is None else min(stage.boxes, limits.boxes)
    seconds = stage.seconds if limits.seconds is None else min(stage.seconds, limits.seconds)
    same = ("clip_rounds", "strips", "joint", "gate", "alpha", "neurons", "inherit")
    return BranchSettings(boxes, seconds, **{name: getattr(stage, name) for name in same})


def _smt(work: Workspace, rooted: list[InitialBounds], stage: SmtStage, state: State, run: Run) -> Iterator[Outcome]:
    """On the open leaves of a tree where branching left one, else on the whole domain."""
    trees = [state.trees.get(one.question) or Tree(one.question, Node(dropped=one.dropped())) for one in rooted]
    settings = RefineSettings(stage.seconds, stage.memory_mb, stage.unstable)
    for one, outcome in zip(rooted, refine(work, trees, settings, run.deadline), strict=True):
        proved = one.remaining if outcome.verdict is Verdict.UNKNOWN else outcome.proved
        yield replace(outcome, proved=proved)


def _last_try(work: Workspace, left: list[Question], run: Run, state: State) -> None:
    """Attacks what the bounds left open, harder: most of what can be falsified falls before branching."""
    stages = [stage for stage in run.strategy.stages if isinstance(stage, AttackStage)]
    left = [question for question in left if not state.known[question].hard]
    if not left or not stages:
        return
    starts = [state.known[q].trigger for q in left]
    given = None
    if all(start is not None for start in starts):
        given = torch.as_tensor(np.stack([s for s in starts if s is not None]), device=work.device)
    for candidate in attack(work, left, full_attack(stages[-1], run, again=1), given):
        _note(work, candidate if run.is_late else improved(work, candidate, stages[-1]), state)


def _note(work: Workspace, candidate: Candidate, state: State) -> None:
    """Replays what an attack found and keeps it."""
    tried = replayed(work, candidate)
    before = state.known[candidate.question]
    state.known[candidate.question] = tried._replace(strongest=before.strongest.or_stronger(tried.strongest))
    if tried.witness is not None:
        state.answers[candidate.question] = falsified(work, tried, "attack", state)
