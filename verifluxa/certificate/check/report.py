"""What a check found: values, and the text that people read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from verifluxa.certificate.free_text import free_text
from verifluxa.certificate.statement import PropertyResult, Statement
from verifluxa.errors import MissingFileError, VerifluxaError
from verifluxa.verdict import Verdict

ACCEPTED, REJECTED, INCOMPLETE = 0, 1, 3


@dataclass
class Tally:
    """What was found of one property.

    Attributes:
        verdicts: number of records by verdict.
        written: leaves of all trees.
        leaves: those that were recomputed.
        unrechecked: leaves of certified questions that this checker could not decide.
        reproduced: triggers that violate in every evaluation order.
        replay_only: triggers that lie within the error of evaluation.
        doubtful: inputs that are stated to count in some evaluations only.
        unjudged: inputs that are stated to count, or not to, of which this checker cannot tell.
        claimed: the largest share of a selection that may violate together, as the evidence counts its inputs.
        proved: the same, whichever of the inputs in doubt count, as far as it was recomputed.
        supported: the largest share that a trigger of the evidence makes violate, in every evaluation and whichever
            inputs in doubt count.
        possible: the largest share that one of them may make violate.
        unvouched: what is stated of the property and does not follow, in words.
        note: why nothing was recomputed.
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    written: int = 0
    leaves: int = 0
    unrechecked: int = 0
    reproduced: int = 0
    replay_only: int = 0
    doubtful: int = 0
    unjudged: int = 0
    claimed: Fraction = Fraction(0)
    proved: Fraction = Fraction(0)
    supported: Fraction = Fraction(0)
    possible: Fraction = Fraction(0)
    unvouched: list[str] = field(default_factory=list)
    note: str = ""


@dataclass
class PropertyCheck(Tally):
    """What was recomputed of one property, beside what the certificate says of it."""

    said: PropertyResult = field(kw_only=True)

    @property
    def is_complete(self) -> bool:
        """Whether all that the certificate states of the property follows from what was recomputed."""
        return not (self.unrechecked or self.unjudged or self.unvouched)

    def lines(self) -> list[str]:
        """What was recomputed, and below it what was not vouched for."""
        triggers = self.reproduced + self.replay_only
        parts = (
            (1, _many(self.said.coverage.questions, "question")),
            (1, f"{_many(self.leaves, 'leaf', 'leaves')} recomputed"),
            (self.unrechecked, f"{_many(self.unrechecked, 'leaf', 'leaves')} NOT recomputed"),
            (triggers, f"{_many(triggers, 'trigger')} evaluated again"),
            (self.replay_only, f"{self.replay_only} of them within the error of evaluation"),
            (
                self.doubtful,
                f"{_many(self.doubtful, 'input')} stated to be in doubt, which may count or not",
            ),
            (self.unjudged, f"{_many(self.unjudged, 'input')} of which this checker CANNOT tell whether they count"),
        )
        words, said = ", ".join(text for shown, text in parts if shown), self.said
        first = f"  {said.name}: {said.verdict} in {said.arithmetic} arithmetic: {words}"
        return [first, *(f"    NOT vouched for: {what}" for what in self.unvouched)]


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a check.

    Attributes:
        accepted: there is no reason against the certificate.
        signed: it stood in an envelope (whose signature a check does not verify).
        reasons: every reason against it, each an error with its code.
        notes: what a reader should know besides.
        properties: what was recomputed.
        statement: what is claimed; None when the certificate cannot be read.
        claims: (property, what it states) in words made from the spec, whatever its author called it; empty where the
            spec is not the one that was certified.
    """

    accepted: bool
    signed: bool
    reasons: tuple[VerifluxaError, ...]
    notes: tuple[str, ...]
    properties: tuple[PropertyCheck, ...]
    statement: Statement | None
    claims: tuple[tuple[str, str], ...] = ()

    @property
    def unrechecked(self) -> int:
        """Leaves that nobody rechecked."""
        return sum(item.unrechecked for item in self.properties)

    @property
    def is_complete(self) -> bool:
        """Whether all that the certificate states of its properties follows from what was recomputed."""
        return all(item.is_complete for item in self.properties)

    @property
    def exit_code(self) -> int:
        """0 accepted, 1 rejected, 3 when a file is missing, or something that is stated was not recomputed."""
        if self.reasons and all(isinstance(reason, MissingFileError) for reason in self.reasons):
            return INCOMPLETE
        return REJECTED if not self.accepted else ACCEPTED if self.is_complete else INCOMPLETE

    def text(self, reasons: bool = True) -> str:
        """The report in words; `reasons`: with the errors, as text."""
        but = f"checked except {_many(self.unrechecked, 'leaf', 'leaves')}" if self.unrechecked else "checked in part"
        words = {ACCEPTED: "accepted", REJECTED: "REJECTED", INCOMPLETE: but if self.accepted else "incomplete"}
        lines = ["the properties, as the certified spec puts them:"] if self.claims else []
        lines += [f"  {name}: {said}" for name, said in self.claims]
        lines += [words[self.exit_code] + (f" (it says: {self.statement.verdict})" if self.statement else "")]
        lines += [line for item in self.properties for line in item.lines()]
        if self.accepted and self.statement is not None:
            lines += ["stated by whoever made the certificate, not vouched for:"]
            lines += [f"  {what}: {text}" for what, text in free_text(self.statement)]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *map(str, self.reasons if reasons else ())]) + "\n"


def _many(count: int, one: str, many: str | None = None) -> str:
    """A count with its word."""
    return f"{count} {one if count == 1 else many or one + 's'}"
