"""What a check found: values, and the text that people read."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from verifluxa.certificate.statement import Statement
from verifluxa.errors import VerifluxaError
from verifluxa.verdict import Verdict

ACCEPTED, REJECTED, UNRECHECKED = 0, 1, 3


@dataclass(frozen=True)
class PropertyCheck:
    """What was recomputed of one property.

    Attributes:
        name, verdict, arithmetic: as the certificate says.
        questions: how many the spec asks.
        leaves: that were recomputed.
        unrechecked: leaves that this checker cannot decide.
        reproduced: triggers that violate in every evaluation order.
        replay_only: triggers that lie within the error of evaluation.
        doubtful: inputs for which `correct` lies within the error of evaluation.
        proved: the largest share of a selection that may violate together, as far as it was recomputed.
        stated: the rate that the certificate says is never exceeded; None where it states none.
    """

    name: str
    verdict: Verdict
    arithmetic: str
    questions: int
    leaves: int
    unrechecked: int
    reproduced: int
    replay_only: int
    doubtful: int
    proved: Fraction
    stated: Fraction | None = None

    @property
    def vouched(self) -> bool:
        """Whether the stated rate follows from what was recomputed, or none is stated."""
        return self.stated is None or (self.stated >= self.proved and not self.unrechecked)

    def text(self) -> str:
        """One line."""
        parts = (
            (1, f"{self.questions} questions"),
            (1, f"{self.leaves} leaves recomputed"),
            (self.unrechecked, f"{self.unrechecked} leaves NOT recomputed"),
            (self.reproduced + self.replay_only, f"{self.reproduced + self.replay_only} triggers evaluated again"),
            (self.replay_only, f"{self.replay_only} of them within the error of evaluation"),
            (self.doubtful, f"{self.doubtful} inputs whose class lies within the error of evaluation"),
            (not self.vouched, f"its stated rate of at most {self.stated} is NOT vouched for"),
        )
        said = ", ".join(text for shown, text in parts if shown)
        return f"  {self.name}: {self.verdict} in {self.arithmetic} arithmetic: {said}"


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
        words = {ACCEPTED: "accepted", REJECTED: "REJECTED", UNRECHECKED: f"checked except {self.unrechecked} leaves"}
        lines = [words[self.exit_code] + (f" (it says: {self.statement.verdict})" if self.statement else "")]
        lines += [item.text() for item in self.properties]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *map(str, self.reasons)]) + "\n"
