"""One outcome for each question of a problem, the first that comes; a certified one covers its whole domain.

The driver's own check of what workers sent and of what was put together from pieces looks at the shape of the tree
alone; `cert check` recomputes why the leaves are closed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from fractions import Fraction

from verifluxa.dispatch.interrupts import interrupts_blocked
from verifluxa.dispatch.observe import EvidenceSink
from verifluxa.dispatch.slices import Pairs
from verifluxa.evidence import NOTHING_FOUND, BoxSplit, Node, Outcome, SlabSplit, Strongest, parts_of
from verifluxa.question import Domain, Problem, Question
from verifluxa.strategy.work import Attacked
from verifluxa.verdict import Reason, Verdict


class NotCovered(RuntimeError):
    """A tree that leaves something out: a mistake of ours, never a verdict."""


@dataclass(frozen=True)
class _Place:
    node: Node
    lower: tuple[float, ...]
    upper: tuple[float, ...]


def check_cover(problem: Problem, outcome: Outcome) -> None:
    """Walks the tree of a certified question.

    Raises:
        NotCovered: a split leaves a gap, goes beyond its box or has not two halves or all its cases, or a leaf is open.
    """
    if outcome.tree is None:
        raise NotCovered(f"{outcome.question} is certified without a tree")
    domain = problem.domain_of(outcome.question.placement)
    slabs = 0 if outcome.directions is None else len(outcome.directions)
    waiting = [_Place(outcome.tree, tuple(domain.lower.tolist()), tuple(domain.upper.tolist()))]
    while waiting:
        place = waiting.pop()
        node = place.node
        if node.step is None:
            raise NotCovered(f"{outcome.question}: a leaf is open")
        if node.split is None:
            continue
        if len(node.children) != parts_of(node.split):
            raise NotCovered(f"{outcome.question}: a split has not its halves or cases")
        if isinstance(node.split, BoxSplit):
            waiting += _halves(place, node.split, domain, outcome)
        else:
            if isinstance(node.split, SlabSplit) and node.split.direction >= slabs:
                raise NotCovered(f"{outcome.question}: a split along a direction that is not there")
            waiting += [_Place(child, place.lower, place.upper) for child in node.children]


def _halves(place: _Place, split: BoxSplit, domain: Domain, outcome: Outcome) -> list[_Place]:
    """The halves [lower, low_end] and [high_start, upper]: on a grid nothing but the next line may lie between."""
    at, low, high = split.coordinate, split.low_end, split.high_start
    inside = 0 <= at < len(place.lower) and place.lower[at] <= low <= high <= place.upper[at]
    if not inside or (high != low and not _adjacent(domain, at, low, high)):
        raise NotCovered(f"{outcome.question}: coordinate {at} is split at {low} and {high}")
    first, second = place.node.children
    upper = (*place.upper[:at], low, *place.upper[at + 1 :])
    lower = (*place.lower[:at], high, *place.lower[at + 1 :])
    return [_Place(first, place.lower, upper), _Place(second, lower, place.upper)]


def _adjacent(domain: Domain, at: int, low: float, high: float) -> bool:
    """Whether no point of the domain lies strictly between the two in a coordinate: of its list, or of its grid."""
    for listed in domain.lists:
        for values in listed.points.T[listed.coordinates == at].tolist():
            return not any(low < value < high for value in values)
    step, start = float(domain.step[at]), float(domain.lower[at])
    return step > 0 and low == start + round((low - start) / step) * step and high <= low + step


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
