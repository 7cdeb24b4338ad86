"""One property: the evidence speaks of exactly what is claimed, every question has a record, every tree holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np

from verifluxa.certificate.check.bound_checker import PlacementBounds, QuestionCheck
from verifluxa.certificate.check.claim import Claim
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import constants_of
from verifluxa.certificate.check.report import Tally
from verifluxa.certificate.check.tree import check_trees
from verifluxa.certificate.check.witness import Effect, Triggers
from verifluxa.certificate.evidence_lines import Header, Record
from verifluxa.certificate.refuse import refused, require
from verifluxa.evidence import Node
from verifluxa.graph.arithmetic import within
from verifluxa.graph.graph import Graph
from verifluxa.question import Question
from verifluxa.verdict import Verdict

KEPT_PLACEMENTS = 16
MOST_TOGETHER, MOST_BYTES = 64, 1 << 20
"""Records that are checked together at most, and bytes of evidence from which on none is added."""


class Section:
    """The check of one property; `records` for its lines of evidence, `finish` at its end."""

    def __init__(self, claim: Claim, graph: Graph, header: Header, wanted: Fraction | None = None) -> None:
        """Begins with the header.

        Args:
            claim: what the spec says.
            graph: the deployed network.
            header: what the evidence says that it is about.
            wanted: the rate that some trigger is stated to reach; None where none is stated.
        """
        placements = tuple((("row", row), ("column", column)) for row, column in claim.places)
        facts = (
            ("inputs", header.inputs == claim.indices),
            ("placements", header.placements == placements),
            ("violations", header.violations == claim.names),
            ("selections", header.selections == claim.selections),
            ("needs", _are_needs(header.needs, claim)),
            ("questions", header.pairs == claim.pairs),
            ("graphs", header.graph == graph.digest),
            ("arithmetic", header.arithmetic == within(header.arithmetic, graph.dtype)),
        )
        require("VF5052", "the evidence speaks of other {} than the spec", facts)
        self.claim, self.graph, self.arithmetic = claim, graph, header.arithmetic
        self.rows = claim.numbers(header.rows)
        self.wanted = wanted
        self.tally = Tally(doubtful=len(claim.indices) - len(claim.counted), unjudged=claim.unjudged)
        constants = constants_of(graph, claim.inputs, header.arithmetic, max(abs(claim.lower), abs(claim.upper)))
        self.open = {
            Question(place, violation, selection, header.needs[selection])
            for place in range(len(claim.places))
            for violation, selection in claim.pairs
        }
        self.shown: list[Effect] = []
        self._triggers = Triggers(claim, graph, header.arithmetic)
        self._by_selection: dict[int, list[Verdict]] = {}
        # Records come roughly placement by placement, so only the last few are kept.
        bounds_at = None if constants is None else partial(PlacementBounds, claim, constants)
        self._placement = None if bounds_at is None else lru_cache(KEPT_PLACEMENTS)(bounds_at)

    def records(self, records: Iterable[Record]) -> None:
        """Checks the answers to questions, those that follow one another about a placement together.

        Raises:
            CertificateError: VF5053 for a question that is not asked or was answered before, VF5054 or
                VF5055 for a proof that does not hold, VF5056 for one that claims more than is proved, VF5057 for a
                witness that does not violate.
        """
        together: list[Record] = []
        for record in records:
            full = len(together) >= MOST_TOGETHER or sum(one.size for one in together) >= MOST_BYTES
            if together and (full or record.question.placement != together[0].question.placement):
                self._together(together)
                together = []
            together.append(record)
        self._together(together)

    @np.errstate(all="ignore")
    def _together(self, records: Sequence[Record]) -> None:
        """Checks answers about one placement. What overflows becomes infinite or no number, and proves nothing."""
        for record in records:
            self._opened(record)
        certified = [record for record in records if record.verdict is Verdict.CERTIFIED]
        if certified:
            self._certified(certified)

    def _opened(self, record: Record) -> None:
        """Counts a record, and checks it where it claims a trigger."""
        question, tally = record.question, self.tally
        if question not in self.open:
            raise refused("VF5053", f"question {list(question)} is not asked, or stands twice")
        self.open.discard(question)
        tally.verdicts[record.verdict] += 1
        tally.written += record.leaves
        self._by_selection.setdefault(question.selection, []).append(record.verdict)
        if record.verdict is not Verdict.CERTIFIED:
            tally.claimed = tally.proved = Fraction(1)
        if record.verdict is Verdict.FALSIFIED:
            self._falsified(record)
        self._strongest(record)

    def finish(self) -> Tally:
        """All questions must have been answered.

        Raises:
            CertificateError: VF5053.
        """
        if self.open:
            raise refused("VF5053", f"{len(self.open)} questions have no answer")
        return self.tally

    @property
    def is_recomputed(self) -> bool:
        """Whether the network is one that this checker evaluates."""
        return self._placement is not None

    def certified_inputs(self) -> int | None:
        """How many inputs are certified at every placement; None where questions speak of several inputs."""
        if not self.claim.per_input:
            return None
        return sum(
            self.claim.shares[selection].stated == 1 and all(item is Verdict.CERTIFIED for item in verdicts)
            for selection, verdicts in self._by_selection.items()
        )

    def _certified(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.tree is None:
                raise refused("VF5055", f"question {list(record.question)} is called certified without a proof")
            self._claims(record)
        if self._placement is None:
            self.tally.unrechecked += sum(record.leaves for record in records)
            return
        placement = self._placement(records[0].question.placement)
        found = check_trees([self._question_check(record, placement) for record in records], self.tally)
        for record, most in zip(records, found, strict=True):
            if record.proved < most:
                raise refused("VF5056", f"question {list(record.question)} claims more than is proved")

    def _claims(self, record: Record) -> None:
        """Notes the rate that a certified question says is never exceeded, whichever inputs in doubt count."""
        selection, tally = record.question.selection, self.tally
        share = self.claim.shares[selection]
        if not share.stated and not self.claim.per_input:
            raise refused("VF5055", f"question {list(record.question)} is certified for no input that counts")
        most = record.proved + share.left_out
        tally.claimed = max(tally.claimed, Fraction(min(record.proved, share.stated), max(1, share.stated)))
        tally.proved = max(
            tally.proved, Fraction(min(most, share.surely), share.surely) if share.surely else Fraction(1)
        )

    def _question_check(self, record: Record, placement: PlacementBounds) -> tuple[QuestionCheck, Node]:
        """What a record answers, and the root of its proof."""
        claim, question = self.claim, record.question
        assert record.tree is not None
        size = claim.positions.shape[1]
        directions = np.zeros((0, size)) if record.directions is None else record.directions
        if directions.shape[1:] != (size,):
            raise refused("VF5055", f"question {list(question)} has strips of another size")
        by_label = claim.violations[question.violation]
        alternatives = {i: by_label[int(claim.labels[i])] for i in claim.selections[question.selection]}
        return QuestionCheck(claim, placement, alternatives, question.threshold, self.rows, directions), record.tree

    def _falsified(self, record: Record) -> None:
        question, witness = record.question, record.witness
        if witness is None:
            raise refused("VF5057", f"question {list(question)} is called falsified without a trigger")
        if self._placement is None:
            self.tally.unrechecked += 1
            return
        effect, claim = self._effect(question, witness.trigger), self.claim
        self.shown.append(effect)
        possible = int(effect.possibly.sum())
        if possible < max(1, claim.threshold_of(question.selection, effect.share.surely)):
            raise refused("VF5057", f"the trigger of question {list(question)} changes only {possible} inputs")
        if effect.always_refutes(claim):
            self.tally.reproduced += 1
        elif effect.refutes(claim):
            self.tally.replay_only += 1
        else:
            self.tally.unrechecked += 1

    def _strongest(self, record: Record) -> None:
        """Evaluates the strongest trigger of a question where it is needed to support the rate that is stated."""
        trigger, share = record.strongest.trigger, self.claim.shares[record.question.selection]
        said = Fraction(record.strongest.count, max(1, share.stated))
        if self.wanted is None or trigger is None or self._placement is None or said <= self.tally.supported:
            return
        if self.tally.supported < self.wanted:
            self._effect(record.question, trigger)

    def _effect(self, question: Question, trigger: Floats) -> Effect:
        """What a trigger does, of which the rate that it reaches is kept."""
        effect = self._triggers.effect(question, trigger)
        sure, share = effect.counting(self.claim, effect.surely), effect.share
        self.tally.supported = max(self.tally.supported, Fraction(sure, share.most))
        self.tally.possible = max(self.tally.possible, Fraction(int(effect.possibly.sum()), max(1, share.stated)))
        return effect


def _are_needs(needs: tuple[int, ...], claim: Claim) -> bool:
    """Whether these are the numbers of inputs that must violate; where no input counts there is none to be had."""
    pairs = zip(needs, claim.needs, strict=False)
    return len(needs) == len(claim.needs) and all(stated == own or (own == 0 < stated) for stated, own in pairs)
