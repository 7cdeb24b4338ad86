"""One property: the evidence speaks of exactly what is claimed, every question has a record, every tree holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np

from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.judge import Asked, Place
from verifluxa.certificate.check.lower import Claim
from verifluxa.certificate.check.network import constants_of
from verifluxa.certificate.check.report import Tally
from verifluxa.certificate.check.tree import check_trees
from verifluxa.certificate.evidence_lines import Header, Record
from verifluxa.certificate.refuse import refused, require
from verifluxa.evidence import Node, Witness
from verifluxa.graph.graph import Graph
from verifluxa.question import Question
from verifluxa.verdict import Verdict

KEPT_PLACES = 16
MOST_TOGETHER, MOST_BYTES = 64, 1 << 20
"""Records that are checked together at most, and bytes of evidence from which on none is added."""


class Section:
    """The check of one property; `records` for its lines of evidence, `finish` at its end."""

    def __init__(self, claim: Claim, graph: Graph, header: Header) -> None:
        placements = tuple((("row", row), ("column", column)) for row, column in claim.places)
        facts = (
            ("inputs", header.inputs == claim.indices),
            ("placements", header.placements == placements),
            ("violations", len(header.violations) == len(claim.violations)),
            ("selections", header.selections == claim.selections),
            ("needs", header.needs == claim.needs),
            ("questions", header.pairs == claim.pairs),
            ("graphs", header.graph == graph.digest),
            ("arithmetic", header.arithmetic in ("real", graph.dtype)),
        )
        require("VF5052", "the evidence speaks of other {} than the spec", facts)
        self.claim, self.graph, self.arithmetic = claim, graph, header.arithmetic
        self.rows = claim.numbers(header.rows)
        self.tally = Tally(doubtful=len(claim.doubtful))
        constants = constants_of(graph, claim.inputs, header.arithmetic, max(abs(claim.lower), abs(claim.upper)))
        self.open = {
            Question(place, violation, selection, claim.needs[selection])
            for place in range(len(claim.places))
            for violation, selection in claim.pairs
        }
        self.shown: dict[tuple[tuple[tuple[str, int], ...], int | None], list[tuple[int, ...]]] = {}
        self._by_selection: dict[int, list[Verdict]] = {}
        # Records come roughly placement by placement, so only the last few are kept.
        self._place_of = None if constants is None else lru_cache(KEPT_PLACES)(partial(Place, claim, constants))

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
            tally.proved = Fraction(1)
        if record.verdict is Verdict.FALSIFIED:
            self._falsified(record)

    def finish(self) -> Tally:
        """All questions must have been answered.

        Raises:
            CertificateError: VF5053.
        """
        if self.open:
            raise refused("VF5053", f"{len(self.open)} questions have no answer")
        return self.tally

    def certified_inputs(self) -> int | None:
        """How many inputs are certified at every placement; None where questions speak of several inputs."""
        if self.claim.needs != (1,) * len(self.claim.indices) or any(len(s) != 1 for s in self.claim.selections):
            return None
        return sum(all(item is Verdict.CERTIFIED for item in verdicts) for verdicts in self._by_selection.values())

    def _certified(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.tree is None:
                raise refused("VF5055", f"question {list(record.question)} is called certified without a proof")
            count = len(self.claim.selections[record.question.selection])
            self.tally.proved = max(self.tally.proved, Fraction(record.proved, count))
        if self._place_of is None:
            self.tally.unrechecked += sum(record.leaves for record in records)
            return
        place = self._place_of(records[0].question.placement)
        found = check_trees([self._asked(record, place) for record in records], self.tally)
        for record, most in zip(records, found, strict=True):
            if record.proved < most:
                raise refused("VF5056", f"question {list(record.question)} claims more than is proved")

    def _asked(self, record: Record, place: Place) -> tuple[Asked, Node]:
        """What a record answers, and the root of its proof."""
        claim, question = self.claim, record.question
        assert record.tree is not None
        size = claim.positions.shape[1]
        directions = np.zeros((0, size)) if record.directions is None else record.directions
        if directions.shape[1:] != (size,):
            raise refused("VF5055", f"question {list(question)} has strips of another size")
        by_label = claim.violations[question.violation]
        alternatives = {i: by_label[int(claim.labels[i])] for i in claim.selections[question.selection]}
        return Asked(claim, place, alternatives, question.need, self.rows, directions), record.tree

    def _falsified(self, record: Record) -> None:
        claim, question, witness = self.claim, record.question, record.witness
        if witness is None:
            raise refused("VF5057", f"question {list(question)} is called falsified without a trigger")
        row, column = claim.places[question.placement]
        key = (("column", column), ("row", row)), claim.targets[question.violation]
        known = (claim.indices[index] for index in witness.inputs if index < len(claim.indices))
        self.shown.setdefault(key, []).append(tuple(sorted(known)))
        if self._place_of is None:
            self.tally.unrechecked += 1
            return
        sure, possible = self._violations(question, witness)
        if possible < question.need:
            raise refused("VF5057", f"the trigger of question {list(question)} changes only {possible} inputs")
        self.tally.reproduced += sure >= question.need
        self.tally.replay_only += sure < question.need

    def _violations(self, question: Question, witness: Witness) -> tuple[int, int]:
        """How many inputs violate strictly in every evaluation, and how many at least in some."""
        claim, tau = self.claim, witness.trigger
        if tau.shape != claim.positions.shape[1:] or not _on_grid(tau, claim):
            raise refused("VF5057", f"the trigger of question {list(question)} is not in its domain")
        chosen = list(claim.selections[question.selection])
        stamped = claim.inputs[chosen].reshape(len(chosen), -1)
        stamped[:, claim.positions[question.placement]] = tau
        constants = constants_of(self.graph, stamped, self.arithmetic)
        assert constants is not None
        # A violation is strict in the outputs themselves: in front of a softmax by more than may tie behind it.
        value = (claim.weight @ constants.balls[-1].value).T
        radius = (np.abs(claim.weight) @ constants.balls[-1].error).T
        surely, perhaps = value + claim.constants[:, 0] - radius > 0, value + claim.constants[:, 1] + radius > 0
        options = [claim.violations[question.violation][int(claim.labels[index])] for index in chosen]
        sure, possible = (
            sum(any(row[list(item)].all() for item in every) for row, every in zip(rows, options, strict=True))
            for rows in (surely, perhaps)
        )
        return sure, possible


def _on_grid(tau: Floats, claim: Claim) -> bool:
    inside = bool(((tau >= claim.lower) & (tau <= claim.upper)).all())
    return inside and (not claim.step or all((Fraction(x) - Fraction(claim.lower)) % claim.step == 0 for x in tau))
