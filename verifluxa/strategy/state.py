"""Where the questions of one placement stand between the stages of a strategy, and the outcomes that they end with."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from verifluxa.evidence import Node, Outcome
from verifluxa.question import Question
from verifluxa.search.initial_bounds import InitialBounds
from verifluxa.search.leaves import Tree
from verifluxa.search.relational import ConflictSearch
from verifluxa.search.workspace import Workspace
from verifluxa.strategy.attacked import Attacked
from verifluxa.strategy.piecework import Checkpoint, Fallen
from verifluxa.verdict import Reason, Verdict


@dataclass
class State:
    """Where the questions of one placement stand: their answers, and what is known of the open ones.

    Attributes:
        answers: of questions that are decided, or handed back for others to go on with, as they fell.
        known: what attacks found.
        rooted: the last look at the whole domain.
        started: on the clock of `time.monotonic`.
        stage: the last one that tried.
        tried: whether what the bounds left open has been attacked once more.
        trees: what branching left open.
        left: what the last stage that gave up on a question says.
        searches: for conflicts, which were begun before the attack.
        told: how many answers `fallen` has given out.
    """

    answers: dict[Question, Outcome | Checkpoint]
    known: dict[Question, Attacked]
    rooted: dict[Question, InitialBounds]
    started: float
    stage: str = ""
    tried: bool = False
    trees: dict[Question, Tree] = field(default_factory=dict)
    left: dict[Question, Outcome] = field(default_factory=dict)
    searches: dict[Question, ConflictSearch] = field(default_factory=dict)
    told: int = 0

    def open(self, questions: Sequence[Question]) -> list[Question]:
        """Those of them that have no answer yet."""
        return [question for question in questions if question not in self.answers]

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


def _asked(work: Workspace, question: Question) -> int:
    return work.problem.totals[question.selection]


def falsified(work: Workspace, found: Attacked, stage: str, state: State) -> Outcome:
    """A trigger that was found refutes the question."""
    question = found.question
    return Outcome(
        question=question,
        verdict=Verdict.FALSIFIED,
        reason=None,
        strongest=found.strongest,
        proved=_asked(work, question),
        witness=found.witness,
        stage=stage,
        seconds=time.monotonic() - state.started,
    )


def certified(rooted: InitialBounds, method: str, state: State, node: Node) -> Outcome:
    """Bounds on the whole domain leave fewer inputs than the question needs."""
    return Outcome(
        question=rooted.question,
        verdict=Verdict.CERTIFIED,
        reason=None,
        strongest=state.known[rooted.question].strongest,
        proved=rooted.remaining,
        stage=method,
        boxes=1,
        seconds=time.monotonic() - state.started,
        tree=node,
    )


def unknown(work: Workspace, question: Question, reason: Reason, state: State) -> Outcome:
    """No stage decided: what the last one that gave up says, else what is known of the whole domain."""
    left = state.left.get(question)
    if left is not None:
        return replace(left, reason=Reason.TIME) if reason is Reason.TIME else left
    rooted = state.rooted.get(question)
    return Outcome(
        question=question,
        verdict=Verdict.UNKNOWN,
        reason=reason,
        strongest=state.known[question].strongest,
        proved=rooted.remaining if rooted else _asked(work, question),
        stage=state.stage,
        boxes=1 if rooted else 0,
        seconds=time.monotonic() - state.started,
    )
