"""Runs questions through the stages of a strategy: attack, bounds, grids, conflicts, branch and bound, SMT.

`steps_of` is the list of what is tried, in order. Each step is a function that takes the state of the questions of one
placement, and yields whenever some of them may have fallen.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from verifluxa.bounds import AlphaSettings
from verifluxa.errors import UnsupportedError
from verifluxa.evidence import NOTHING_FOUND, Counted, Node, Outcome, Unrecorded
from verifluxa.question import Problem, Question
from verifluxa.search import (
    BranchResult,
    ConflictSearch,
    Incumbent,
    InitialBounds,
    SplitTree,
    Workspace,
    begin_conflicts,
    bound_root,
    branch_further,
    branch_on_boxes,
    decide_listed,
    enumerable,
    enumerate_grid,
    find_conflicts,
    optimise_root,
    refine_with_smt,
    run_attack,
    workspace_of,
)
from verifluxa.stages import BranchStage, CrossStage, GridStage, SmtStage
from verifluxa.strategy.attacking import attack_slice, full_attack, improved, replayed, short_attack
from verifluxa.strategy.load import AttackStage, BoundStage, Strategy
from verifluxa.strategy.work import Attacked, Checkpoint, Fallen, Limits, Run, SearchedUnit, WorkUnit
from verifluxa.verdict import Reason, Verdict


@dataclass
class State:
    """Where the questions of one placement stand: their answers, and what is known of the open ones.

    Attributes:
        work: of the placement.
        run: strategy, deadline and device.
        questions: all of the placement's that are asked.
        known: what attacks found.
        given: the questions on which an attack was made before.
        answers: of questions that are decided, or handed back for others to go on with, as they fell.
        rooted: the last bounds of the whole domain.
        stage: the last one that tried.
        tried: whether what the bounds left open has been attacked once more.
        trees: what branching left open.
        left: what the last stage that gave up on a question says.
        searches: for conflicts, which were begun before the attack.
        told: how many answers `fallen` has given out.
        started: on the clock of `time.monotonic`.
    """

    work: Workspace
    run: Run
    questions: Sequence[Question]
    known: dict[Question, Attacked]
    given: frozenset[Question] = frozenset()
    answers: dict[Question, Outcome | Checkpoint] = field(default_factory=dict)
    rooted: dict[Question, InitialBounds] = field(default_factory=dict)
    stage: str = ""
    tried: bool = False
    trees: dict[Question, SplitTree] = field(default_factory=dict)
    left: dict[Question, Outcome] = field(default_factory=dict)
    searches: dict[Question, ConflictSearch] = field(default_factory=dict)
    told: int = 0
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls, work: Workspace, run: Run, questions: Sequence[Question], attacked: Mapping[Question, Attacked]
    ) -> State:
        """Nothing is known but what an attack found."""
        known = {question: attacked.get(question, Attacked(question)) for question in questions}
        return cls(work.at(questions[0].placement), run, questions, known, frozenset(attacked))

    @property
    def open(self) -> list[Question]:
        """The questions that have no answer yet."""
        return [question for question in self.questions if question not in self.answers]

    @property
    def open_rooted(self) -> list[InitialBounds]:
        """Those of them whose whole domain was bounded."""
        return [self.rooted[question] for question in self.open]

    def fallen(self) -> Fallen:
        """The answers since the last call."""
        fallen = tuple(itertools.islice(self.answers.values(), self.told, None))
        self.told += len(fallen)
        return fallen

    def take(self, outcome: Outcome) -> None:
        """Keeps an outcome: for good when it decides, else for the case that no later stage does."""
        question = outcome.question
        known = self.known[question]
        strongest = known.strongest.or_stronger(outcome.strongest)
        self.known[question] = known._replace(strongest=strongest)
        before = self.left.get(question)
        if outcome.verdict is Verdict.UNKNOWN and before is not None:
            outcome = replace(outcome, proved=min(outcome.proved, before.proved))
        outcome = replace(outcome, strongest=strongest)
        if outcome.verdict is Verdict.UNKNOWN:
            self.left[question] = outcome
        else:
            self.answers[question] = outcome

    def take_attacked(self, attacked: Attacked) -> None:
        """Keeps what an attack found, which decides where it refutes."""
        question = attacked.question
        before = self.known[question]
        attacked = attacked._replace(strongest=before.strongest.or_stronger(attacked.strongest))
        self.known[question] = attacked
        if attacked.witness is not None:
            found = Incumbent(question, attacked.strongest, attacked.witness)
            self.answers[question] = found.outcome("attack", None, self._total(question), seconds=self.seconds)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started

    def unknown(self, question: Question, reason: Reason) -> Outcome:
        """No stage decided: what the last one that gave up says, else what is known of the whole domain."""
        left = self.left.get(question)
        if left is not None:
            return replace(left, reason=Reason.TIME) if reason is Reason.TIME else left
        rooted = self.rooted.get(question)
        return Incumbent(question, self.known[question].strongest).outcome(
            self.stage,
            reason,
            rooted.remaining if rooted else self._total(question),
            boxes=1 if rooted else 0,
            seconds=self.seconds,
        )

    def _total(self, question: Question) -> int:
        return self.work.problem.totals[question.selection]


class Step(NamedTuple):
    """One thing that is tried.

    Attributes:
        stage: that it belongs to, by the name that outcomes give; empty: none.
        run: takes the state of some questions, and yields whenever some of them may have fallen.
        late: whether it is taken past the deadline, too.
    """

    stage: str
    run: Callable[[State], Iterator[None]]
    late: bool = False


def steps_of(strategy: Strategy) -> list[Step]:
    """What is tried on the questions of a placement, in order, as long as some of them are open."""
    steps = [Step("", _listed, late=True), Step("", _found_before, late=True)]
    for number, stage in enumerate(strategy.stages):
        match stage:
            case AttackStage():  # was made on all placements together; see `attacking.py`
                own: list[Callable[[State], Iterator[None]]] = [_found_before]
            case BoundStage():
                own = [partial(_bound, stage)]
            case GridStage():
                own = [_crown, _hard_attack, partial(_grid, stage)]
            case CrossStage():
                own = [_crown, partial(_short_attack, stage), _hard_attack, partial(_conflicts, stage)]
            case BranchStage():
                own = [_crown, _hard_attack, partial(_branch, number, stage)]
            case SmtStage():
                own = [_crown, _hard_attack, partial(_smt, stage)]
        name = stage.method if isinstance(stage, BoundStage) else "" if isinstance(stage, AttackStage) else stage.kind
        steps += [Step(name, step) for step in own]
    return [*steps, Step("", _last_attack, late=True)]


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
    for placement in placements:
        yield from _prove(State.of(workspace_of(problem, run.device), run, problem.questions(placement), attacked))


def decide(problem: Problem, questions: Sequence[Question], strategy: Strategy) -> list[Outcome]:
    """Attack and proof of some questions in this process, in the order given."""
    run = Run(strategy)
    by_placement: dict[int, list[Question]] = {}
    for question in questions:
        by_placement.setdefault(question.placement, []).append(question)
    attacked = {a.question: a for a in attack_slice(problem, list(by_placement), run)}
    outcomes = {
        answer.question: answer
        for group in by_placement.values()
        for fallen in _prove(State.of(workspace_of(problem), run, group, attacked))
        for answer in fallen
        if isinstance(answer, Outcome)
    }
    return [outcomes[question] for question in questions]


def _prove(state: State) -> Iterator[Fallen]:
    reason = Reason.STRATEGY
    try:
        for step in steps_of(state.run.strategy):
            if not state.open:
                break
            if state.run.is_late and not step.late:
                reason = Reason.TIME
                break
            state.stage = step.stage or state.stage
            for _ in step.run(state):
                yield state.fallen()
    except UnsupportedError:
        reason = Reason.UNSUPPORTED
    yield state.fallen()
    yield tuple(state.unknown(question, reason) for question in state.open)


def _listed(state: State) -> Iterator[None]:
    """Words and other listed triggers are tried one and all; nothing is left then."""
    cut = enumerable(state.work, state.questions[0].placement)
    if cut is not None:
        for outcome in decide_listed(state.work, cut, state.questions, state.run.deadline):
            state.answers[outcome.question] = outcome
            yield


def _found_before(state: State) -> Iterator[None]:
    """What the attack on all placements has refuted."""
    for question in state.questions:
        if state.known[question].witness is not None:
            state.take_attacked(state.known[question])
    yield from ()


def _bound(stage: BoundStage, state: State, only: Sequence[Question] | None = None) -> Iterator[None]:
    """Bounds of the whole domain, for all open questions or some: interval, CROWN, alpha, or those of auto-LiRPA."""
    work, left, native = state.work, state.open if only is None else only, state.run.strategy.bounds == "native"
    if not native:
        from verifluxa.search import bound_with_lirpa

        looked = bound_with_lirpa(work, left, stage.method)
    elif stage.method == "alpha":
        before = [state.rooted.get(question) or bound_root(work, [question], "crown")[0] for question in left]
        looked = optimise_root(work, before, AlphaSettings(stage.steps), stage.refine)
    else:
        looked = bound_root(work, left, stage.method)
    # What another engine closed, or slopes that no record holds, nobody could recompute: it stays unwritten.
    recorded = native and not stage.refine
    for rooted in looked:
        question = rooted.question
        if recorded or not native:
            state.rooted[question] = rooted
        if rooted.remaining < question.threshold:
            node = Node(rooted.dropped(), Counted()) if recorded else Node(step=Unrecorded())
            found = Incumbent(question, state.known[question].strongest)
            state.answers[question] = found.outcome(
                stage.method, None, rooted.remaining, boxes=1, seconds=state.seconds, tree=node
            )
    yield


def _crown(state: State) -> Iterator[None]:
    """Bounds by CROWN where no stage has kept any."""
    missing = [question for question in state.open if question not in state.rooted]
    if missing:
        yield from _bound(BoundStage("crown"), state, missing)


def _short_attack(stage: CrossStage, state: State) -> Iterator[None]:
    """A short attack and a few cases of single inputs, which cost less than the hard attack that they spare most."""
    rooted = [one for one in state.open_rooted if one.remaining == one.question.threshold == 1]
    state.searches = begin_conflicts(state.work, rooted, stage, state.run.deadline)
    if any(isinstance(stage, AttackStage) for stage in state.run.strategy.stages):
        fresh = [one.question for one in rooted if state.known[one.question].trigger is None]
        corners = {question: state.searches[question].corner for question in fresh if question in state.searches}
        for candidate in short_attack(state.work, fresh, corners, state.run):
            state.take_attacked(replayed(state.work, candidate))
    state.searches = {question: search for question, search in state.searches.items() if question not in state.answers}
    for search in state.searches.values():
        state.take(search.run(stage.thresholds.before_attack))
    yield


def _hard_attack(state: State) -> Iterator[None]:
    """Attacks what the bounds left open, harder, once: most of what can be falsified falls before branching."""
    if not state.tried:
        state.tried = True
        _attack(state, state.open)
    yield


def _last_attack(state: State) -> Iterator[None]:
    """The same on questions that no attack has met."""
    if not state.run.is_late:
        _attack(state, [question for question in state.open if question not in state.given])
    yield


def _attack(state: State, left: list[Question]) -> None:
    work, run = state.work, state.run
    stages = [stage for stage in run.strategy.stages if isinstance(stage, AttackStage)]
    left = [question for question in left if not state.known[question].hard]
    if not left or not stages:
        return
    starts = [start for start in (state.known[question].trigger for question in left) if start is not None]
    given = torch.as_tensor(np.stack(starts), device=work.device) if len(starts) == len(left) else None
    for candidate in run_attack(work, left, full_attack(stages[-1], run, again=1), given):
        best = candidate if run.is_late else improved(work, candidate, stages[-1])
        state.take_attacked(replayed(work, best))


def _take_all(state: State, outcomes: Iterator[Outcome]) -> Iterator[None]:
    for outcome in outcomes:
        state.take(outcome)
        yield


def _grid(stage: GridStage, state: State) -> Iterator[None]:
    yield from _take_all(state, enumerate_grid(state.work, state.open_rooted, stage, state.run.deadline))


def _conflicts(stage: CrossStage, state: State) -> Iterator[None]:
    yield from _take_all(
        state, find_conflicts(state.work, state.open_rooted, stage, state.run.deadline, state.searches)
    )


def _smt(stage: SmtStage, state: State) -> Iterator[None]:
    """On the open leaves of a tree where branching left one, else on the whole domain."""
    rooted = state.open_rooted
    trees = [state.trees.get(one.question) or SplitTree(one.question, Node(dropped=one.dropped())) for one in rooted]
    for one, outcome in zip(rooted, refine_with_smt(state.work, trees, stage, state.run.deadline), strict=True):
        proved = one.remaining if outcome.verdict is Verdict.UNKNOWN else outcome.proved
        state.take(replace(outcome, proved=proved))
        yield


def _branch(number: int, stage: BranchStage, state: State) -> Iterator[None]:
    """Branch and bound; what a slice has cut short is handed back."""
    rooted, run = state.open_rooted, state.run
    for ended in branch_on_boxes(state.work, rooted, _within(stage, run.limits), run.deadline):
        for explored in ended:
            outcome, question = explored.outcome, explored.outcome.question
            state.trees[question] = SplitTree(question, explored.root, explored.directions)
            spent = outcome.boxes >= stage.boxes or outcome.seconds >= stage.seconds
            if run.limits is None or not explored.cut_short or spent or run.is_late:
                state.take(outcome)
            else:
                state.answers[question] = _checkpoint(number, stage, explored, state)
        yield


def _checkpoint(number: int, stage: BranchStage, explored: BranchResult, state: State) -> Checkpoint:
    outcome, question = explored.outcome, explored.outcome.question
    return Checkpoint(
        question=question,
        stage=number,
        root=explored.root,
        directions=explored.directions.cpu().numpy(),
        boxes=outcome.boxes,
        seconds=outcome.seconds,
        strongest=state.known[question].strongest.or_stronger(outcome.strongest),
        proved=state.rooted[question].remaining,
        closed=explored.closed,
        allowed=Limits(stage.boxes, stage.seconds),
        later=isinstance(state.run.strategy.stages[-1], SmtStage),
    )


def _within(stage: BranchStage, limits: Limits | None) -> BranchStage:
    """The stage with no more than one slice may do."""
    limits = limits or Limits()
    boxes = stage.boxes if limits.boxes is None else min(stage.boxes, limits.boxes)
    seconds = stage.seconds if limits.seconds is None else min(stage.seconds, limits.seconds)
    return replace(stage, boxes=boxes, seconds=seconds)


def further(problem: Problem, piece: WorkUnit, run: Run) -> SearchedUnit:
    """Goes on with a piece of a question that was begun: one slice of branching, or, at last, the later stages."""
    work = workspace_of(problem, run.device).at(piece.question.placement)
    tree = SplitTree(piece.question, piece.root, torch.as_tensor(piece.directions, device=work.device))
    if piece.last:
        return _finished(State.of(work, run, [piece.question], {}), piece, tree)
    stage = run.strategy.stages[piece.stage]
    assert isinstance(stage, BranchStage)
    searched = branch_further(work, [tree], _within(stage, run.limits), run.deadline)
    (explored,) = itertools.chain.from_iterable(searched)
    outcome = explored.outcome
    return SearchedUnit(
        root=explored.root,
        boxes=outcome.boxes,
        seconds=outcome.seconds,
        strongest=outcome.strongest,
        witness=outcome.witness,
        closed=explored.closed,
        cut_short=explored.cut_short,
        reason=outcome.reason if outcome.reason is Reason.PRECISION or not explored.cut_short else None,
    )


def _finished(state: State, piece: WorkUnit, tree: SplitTree) -> SearchedUnit:
    """The stages behind branching, on what it left open."""
    question, run = piece.question, state.run
    state.trees[question] = tree
    (state.rooted[question],) = bound_root(state.work, [question], "crown")
    for stage in run.strategy.stages[piece.stage + 1 :]:
        if isinstance(stage, SmtStage) and state.open and not run.is_late:
            for _ in _smt(stage, state):
                pass
    answer = state.answers.get(question) or state.left.get(question)
    assert not isinstance(answer, Checkpoint), "only branching hands back"
    witness = answer.witness if answer else None
    return SearchedUnit(tree.root, 0, state.seconds, NOTHING_FOUND, witness, 0, False, None, answer)
