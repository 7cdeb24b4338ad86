"""What is known so far about the questions of one problem: each gets exactly one outcome, the first that comes."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction

from verifluxa.dispatch.cover import check_cover
from verifluxa.dispatch.interrupts import interrupts_blocked
from verifluxa.dispatch.observe import EvidenceSink
from verifluxa.dispatch.slices import Pairs
from verifluxa.evidence import NOTHING_FOUND, Outcome, Strongest
from verifluxa.question import Problem, Question
from verifluxa.strategy.work import Attacked
from verifluxa.verdict import Reason, Verdict

log = logging.getLogger(__name__)


class ResultCollector:
    """Keeps outcomes without their trees (those go to the evidence sink) and knows what is still open.

    With `every`, a counterexample answers its own question alone.
    """

    def __init__(self, problem: Problem, evidence: EvidenceSink, every: bool = False) -> None:
        self.problem = problem
        self.evidence = evidence
        self.attacked: dict[Question, Attacked] = {}
        self.outcomes: dict[Question, Outcome] = {}
        self.counts = dict.fromkeys(Verdict, 0)
        self.best = Fraction(0)
        self._refuted: set[int] = set()
        self._every = every

    def attack(self, attacked: Attacked) -> None:
        """Notes what an attack found; a witness answers its question."""
        question = attacked.question
        if question in self.attacked:
            return
        self.attacked[question] = attacked
        self.best = max(self.best, Fraction(attacked.found, self.population(question)))
        if attacked.witness is not None:
            self.record(
                Outcome(
                    question,
                    Verdict.FALSIFIED,
                    None,
                    attacked.strongest,
                    self.population(question),
                    attacked.witness,
                    stage="attack",
                )
            )

    def record(self, outcome: Outcome) -> None:
        """Keeps the first outcome of a question; a question that came twice (a lost worker) changes nothing."""
        question = outcome.question
        if question in self.outcomes:
            return
        if outcome.verdict is Verdict.CERTIFIED:
            check_cover(self.problem, outcome)
            if question.selection in self.problem.doubt.unprovable:
                outcome = replace(outcome, verdict=Verdict.UNKNOWN, reason=Reason.PRECISION, tree=None, directions=None)
        with interrupts_blocked():
            self.outcomes[question] = replace(outcome, tree=None, directions=None, strongest=Strongest(outcome.found))
            self.counts[outcome.verdict] += 1
            self.best = max(self.best, Fraction(outcome.found, self.population(question)))
            if outcome.verdict is Verdict.FALSIFIED and not self._every:
                self._refuted.add(question.selection)
            self.evidence.record(self.problem, outcome)
        log.debug(
            "placement %d, violation %d: %s, %d..%d by %s, %d boxes, %.2f s",
            *(question.placement, question.violation, outcome.verdict, outcome.found, outcome.proved),
            *(outcome.stage or "nothing", outcome.boxes, outcome.seconds),
        )

    def give_up(self, question: Question, reason: Reason, stage: str = "") -> None:
        """Closes a question as unknown, with what the attack found."""
        attacked = self.attacked.get(question)
        strongest = attacked.strongest if attacked is not None else NOTHING_FOUND
        self.record(Outcome(question, Verdict.UNKNOWN, reason, strongest, self.population(question), stage=stage))

    def give_up_rest(self, reason: Reason) -> None:
        """Closes whatever has no outcome: as decided where a counterexample came first, else for `reason`."""
        for question in self.problem.all_questions():
            if question not in self.outcomes:
                self.give_up(question, Reason.DECIDED if self.is_refuted(question.selection) else reason)

    def population(self, question: Question) -> int:
        """How many inputs the question speaks of."""
        return self.problem.totals[question.selection]

    def is_refuted(self, selection: int) -> bool:
        """Whether a counterexample has already decided this selection.

        One counterexample refutes a universal property; of a per-input property it refutes one input, and
        the others keep their own answers.
        """
        return selection in self._refuted if self.problem.per_input else bool(self._refuted)

    @property
    def is_decided(self) -> bool:
        """Whether no further answer can change what the property's result says."""
        if self.problem.per_input:
            return all(selection in self._refuted for _, selection in self.problem.pairs)
        return bool(self._refuted)

    def open_pairs(self) -> Pairs:
        """The pairs that are still worth asking."""
        return tuple(pair for pair in self.problem.pairs if not self.is_refuted(pair[1]))

    def open_questions(self, placements: tuple[int, ...], pairs: Pairs | None) -> list[Question]:
        """The questions of these placements and pairs that have no outcome yet."""
        asked = None if pairs is None else set(pairs)
        return [
            question
            for placement in placements
            for question in self.problem.questions(placement)
            if (asked is None or (question.violation, question.selection) in asked) and question not in self.outcomes
        ]
