"""What a check found: values, and the text that people read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from verifluxa.certificate.statement import PropertyResult, Statement
from verifluxa.errors import VerifluxaError
from verifluxa.verdict import Verdict

ACCEPTED, REJECTED, UNRECHECKED = 0, 1, 3


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
        doubtful: inputs for which `correct` lies within the error of evaluation.
        proved: the largest share of a selection that may violate together, as far as it was recomputed.
        note: why nothing was recomputed.
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    written: int = 0
    leaves: int = 0
    unrechecked: int = 0
    reproduced: int = 0
    replay_only: int = 0
    doubtful: int = 0
    proved: Fraction = Fraction(0)
    note: str = ""


@dataclass
class PropertyCheck(Tally):
    """What was recomputed of one property, beside what the certificate says of it."""

    said: PropertyResult = field(kw_only=True)

    @property
    def stated(self) -> Fraction | None:
        """The rate that the certificate says is never exceeded; None where it states none."""
        return None if self.said.bound is None else self.said.bound[1].value

    @property
    def vouched(self) -> bool:
        """Whether the stated rate follows from what was recomputed, or none is stated."""
        return self.stated is None or (self.stated >= self.proved and not self.unrechecked)

    def text(self) -> str:
        """One line."""
        triggers = self.reproduced + self.replay_only
        parts = (
            (1, _many(self.said.coverage.questions, "question")),
            (1, f"{_many(self.leaves, 'leaf', 'leaves')} recomputed"),
            (self.unrechecked, f"{_many(self.unrechecked, 'leaf', 'leaves')} NOT recomputed"),
            (triggers, f"{_many(triggers, 'trigger')} evaluated again"),
            (self.replay_only, f"{self.replay_only} of them within the error of evaluation"),
            (self.doubtful, f"{_many(self.doubtful, 'input')} whose class lies within the error of evaluation"),
            (not self.vouched, f"its stated rate of at most {self.stated} is NOT vouched for"),
        )
        words, said = ", ".join(text for shown, text in parts if shown), self.said
        return f"  {said.name}: {said.verdict} in {said.arithmetic} arithmetic: {words}"


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
    """

    accepted: bool
    signed: bool
    reasons: tuple[VerifluxaError, ...]
    notes: tuple[str, ...]
    properties: tuple[PropertyCheck, ...]
    statement: Statement | None

    @property
    def unrechecked(self) -> int:
        """Leaves that nobody rechecked."""
        return sum(item.unrechecked for item in self.properties)

    @property
    def exit_code(self) -> int:
        """0 accepted, 1 rejected, 3 when leaves stay unrechecked."""
        return REJECTED if not self.accepted else UNRECHECKED if self.unrechecked else ACCEPTED

    def text(self) -> str:
        """The report in words."""
        but = f"checked except {_many(self.unrechecked, 'leaf', 'leaves')}"
        words = {ACCEPTED: "accepted", REJECTED: "REJECTED", UNRECHECKED: but}
        lines = [words[self.exit_code] + (f" (it says: {self.statement.verdict})" if self.statement else "")]
        lines += [item.text() for item in self.properties]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *map(str, self.reasons)]) + "\n"


def _many(count: int, one: str, many: str | None = None) -> str:
    """A count with its word."""
    return f"{count} {one if count == 1 else many or one + 's'}"
