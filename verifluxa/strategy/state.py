"""Where the questions of one placement stand between the steps of a strategy, and what is still open in the end."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from verifluxa.evidence import Outcome
from verifluxa.question import Question
from verifluxa.search.bab import Incumbent
from verifluxa.search.initial_bounds import InitialBounds
from verifluxa.search.leaves import Tree
from verifluxa.search.relational import ConflictSearch
from verifluxa.search.workspace import Workspace
from verifluxa.strategy.attacked import Attacked
from verifluxa.strategy.piecework import Checkpoint, Fallen
from verifluxa.strategy.running import Run
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
    trees: dict[Question, Tree] = field(default_factory=dict)
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
