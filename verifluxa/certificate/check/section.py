"""One property: the evidence speaks of exactly what is claimed, every question has a record, every tree holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from verifluxa.certificate.check.bounds import Bounder
from verifluxa.certificate.check.chain import chain_of
from verifluxa.certificate.check.constants import constants_of, constants_or_none
from verifluxa.certificate.check.judge import Place
from verifluxa.certificate.check.linear import Floats
from verifluxa.certificate.check.lower import Claim, Pair
from verifluxa.certificate.check.tree import Asked, check_tree, root_region
from verifluxa.certificate.evidence_lines import Header, Record, Row
from verifluxa.errors import CertificateError
from verifluxa.evidence import Witness
from verifluxa.graph.graph import Graph
from verifluxa.question import Question
from verifluxa.verdict import Verdict

KEPT_PLACES = 16


@dataclass
class Tally:
    """What was found of one property.

    Attributes:
        verdicts: number of records by verdict.
        written: leaves of all trees.
        leaves: those that were recomputed.
        proved: the largest share of a selection that may violate together, as far as it was recomputed.
        unrechecked: leaves of certified questions that this checker could not decide.
        reproduced: witnesses that were evaluated again and violate.
        replay_only: witnesses whose margin lies within the error of evaluation.
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    written: int = 0
    leaves: int = 0
    proved: Fraction = Fraction(0)
    unrechecked: int = 0
    reproduced: int = 0
    replay_only: int = 0


class Section:
    """The check of one property; `record` for each line of evidence, `finish` at its end."""

    def __init__(self, claim: Claim, graph: Graph, header: Header) -> None:
        _check_header(claim, header)
        if header.arithmetic not in ("real", graph.dtype):
            raise _wrong("VF5052", f"the evidence is about {header.arithmetic}, the network computes in {graph.dtype}")
        self.claim = claim
        self.graph = graph
        self.arithmetic = header.arithmetic
        self.rows = tuple(_pair(row) for row in header.rows)
        self.tally = Tally()
        self.constants = constants_or_none(graph, claim.inputs, header.arithmetic)
        self.open = {
            Question(place, violation, selection, claim.needs[selection])
            for place in range(len(claim.places))
            for violation, selection in claim.pairs
        }
        self.shown: dict[tuple[tuple[tuple[str, int], ...], int | None], list[tuple[int, ...]]] = {}
        self._by_selection: dict[int, list[Verdict]] = {}
        self._places: dict[int, Place] = {}

    def record(self, record: Record) -> None:
        """Checks the answer to one question.

        Raises:
            CertificateError: VF5053 for a question that is not asked or was answered before, VF5054 or
                VF5055 for a proof that does not hold, VF5057 for a witness that does not violate.
        """
        if record.question not in self.open:
            raise _wrong("VF5053", f"question {list(record.question)} is not asked, or stands twice")
        self.open.discard(record.question)
        self.tally.verdicts[record.verdict] += 1
        self.tally.written += record.leaves
        self._by_selection.setdefault(record.question.selection, []).append(record.verdict)
        count = len(self.claim.selections[record.question.selection])
        proved = count
        if record.verdict is Verdict.CERTIFIED:
            proved = self._certified(record)
        elif record.verdict is Verdict.FALSIFIED:
            self._falsified(record)
        self.tally.proved = max(self.tally.proved, Fraction(proved, count))

    def finish(self) -> Tally:
        """All questions must have been answered.

        Raises:
            CertificateError: VF5053.
        """
        if self.open:
            raise _wrong("VF5053", f"{len(self.open)} questions have no answer")
        return self.tally

    def certified_inputs(self) -> int | None:
        """How many inputs are certified at every placement; None where questions speak of several inputs."""
        if self.claim.needs != (1,) * len(self.claim.indices) or any(len(s) != 1 for s in self.claim.selections):
            return None
        return sum(all(item is Verdict.CERTIFIED for item in verdicts) for verdicts in self._by_selection.values())

    def _certified(self, record: Record) -> int:
        if record.tree is None:
            raise _wrong("VF5055", f"question {list(record.question)} is called certified without a proof")
        if self.constants is None:
            self.tally.unrechecked += record.leaves
            return record.proved
        asked = self._asked(record)
        checked = check_tree(self.claim, self._place_of(record.question.placement), asked, record.tree)
        if record.proved < checked.proved:
            raise _wrong("VF5056", f"question {list(record.question)} claims more than is proved")
        self.tally.leaves += checked.leaves
        self.tally.unrechecked += checked.unrechecked
        return record.proved

    def _asked(self, record: Record) -> Asked:
        claim, question = self.claim, record.question
        by_label = claim.violations[question.violation]
        alternatives = {i: by_label[int(claim.labels[i])] for i in claim.selections[question.selection]}
        size = claim.positions.shape[1]
        directions = np.zeros((0, size)) if record.directions is None else record.directions
        if directions.shape[1:] != (size,):
            raise _wrong("VF5055", f"question {list(question)} has strips of another size")
        return Asked(alternatives, question.need, self.rows, directions)

    def _place_of(self, number: int) -> Place:
        """The placement. Records come roughly placement by placement, so only the last few are kept."""
        if number not in self._places:
            if len(self._places) >= KEPT_PLACES:
                del self._places[next(iter(self._places))]
            self._places[number] = self._place(number)
        return self._places[number]

    def _place(self, number: int) -> Place:
        assert self.constants is not None
        chain = chain_of(self.constants, self.claim.positions[number])
        root = Bounder(chain, root_region(self.claim, np.zeros((0, self.claim.positions.shape[1]))))
        quick = root.state(np.arange(len(self.claim.labels)), planes=False)
        largest = self.constants.rounding.largest
        unusable = np.zeros(len(self.claim.labels), dtype=bool)
        for radius in self.constants.radii:
            unusable |= ~(radius < largest).all(axis=1)
        return Place(chain, root, quick, unusable, largest)

    def _falsified(self, record: Record) -> None:
        if record.witness is None:
            raise _wrong("VF5057", f"question {list(record.question)} is called falsified without a trigger")
        row, column = self.claim.places[record.question.placement]
        key = (("column", column), ("row", row)), self.claim.targets[record.question.violation]
        shown = tuple(
            sorted(self.claim.indices[index] for index in record.witness.inputs if index < len(self.claim.indices))
        )
        self.shown.setdefault(key, []).append(shown)
        if self.constants is None:
            self.tally.unrechecked += 1
            return
        sure, possible = self._violations(record.question, record.witness)
        if possible < record.question.need:
            raise _wrong("VF5057", f"the trigger of question {list(record.question)} changes only {possible} inputs")
        if sure >= record.question.need:
            self.tally.reproduced += 1
        else:
            self.tally.replay_only += 1

    def _violations(self, question: Question, witness: Witness) -> tuple[int, int]:
        """How many inputs violate strictly in every evaluation, and how many at least in some."""
        claim, tau = self.claim, witness.trigger
        if tau.shape != claim.positions.shape[1:] or not _on_grid(tau, claim):
            raise _wrong("VF5057", f"the trigger of question {list(question)} is not in its domain")
        chosen = list(claim.selections[question.selection])
        stamped = claim.inputs[chosen].reshape(len(chosen), -1)
        stamped[:, claim.positions[question.placement]] = tau
        result = constants_of(self.graph, stamped, self.arithmetic)
        by_label = claim.violations[question.violation]
        sure = possible = 0
        for index, value, radius in zip(chosen, result.values[-1], result.radii[-1], strict=True):
            alternatives = by_label[int(claim.labels[index])]
            sure += any(all(_margin(value, radius, pair, -1) > claim.gap for pair in item) for item in alternatives)
            possible += any(all(_margin(value, radius, pair, 1) > 0 for pair in item) for item in alternatives)
        return sure, possible


def _margin(value: Floats, radius: Floats, pair: Pair, sign: int) -> float:
    first, second = pair
    return float(value[first] - value[second] + sign * (radius[first] + radius[second]))


def _on_grid(tau: Floats, claim: Claim) -> bool:
    inside = bool(((tau >= claim.lower) & (tau <= claim.upper)).all())
    return inside and (not claim.step or all((Fraction(x) - Fraction(claim.lower)) % claim.step == 0 for x in tau))


def _check_header(claim: Claim, header: Header) -> None:
    placements = tuple((("row", row), ("column", column)) for row, column in claim.places)
    same = (
        ("inputs", header.inputs == claim.indices),
        ("placements", header.placements == placements),
        ("violations", len(header.violations) == len(claim.violations)),
        ("selections", header.selections == claim.selections),
        ("needs", header.needs == claim.needs),
        ("questions", header.pairs == claim.pairs),
    )
    for name, equal in same:
        if not equal:
            raise _wrong("VF5052", f"the evidence speaks of other {name} than the spec")


def _pair(row: Row) -> Pair | None:
    """The classes of a row `y_first - y_second`; None for any other row, which then proves nothing."""
    signs = {value: output for output, value in row.coefficients}
    if len(row.coefficients) == 2 and set(signs) == {1.0, -1.0} and row.closed:
        return signs[1.0], signs[-1.0]
    return None


def _wrong(code: str, what: str) -> CertificateError:
    return CertificateError(
        code,
        what,
        expected="evidence for exactly the questions that the spec asks of this model and data",
        remedy="check that spec, model, data and evidence belong together; else do not trust the certificate",
    )
