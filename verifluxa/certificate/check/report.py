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
        if not self.accepted:
            return REJECTED
        return UNRECHECKED if self.unrechecked else ACCEPTED

    def text(self) -> str:
        """The report in words."""
        verdict = f" (it says: {self.statement.verdict})" if self.statement else ""
        word = "accepted" if self.accepted else "REJECTED"
        if self.accepted and self.unrechecked:
            word = f"checked except {self.unrechecked} leaves"
        lines = [f"{word}{verdict}"]
        lines += [_line(item) for item in self.properties]
        lines += [f"note: {note}" for note in self.notes]
        lines += [str(reason) for reason in self.reasons]
        return "\n".join(lines) + "\n"


def _line(item: PropertyCheck) -> str:
    parts = [f"{item.questions} questions", f"{item.leaves} leaves recomputed"]
    if item.unrechecked:
        parts.append(f"{item.unrechecked} leaves NOT recomputed")
    if item.reproduced or item.replay_only:
        parts.append(f"{item.reproduced + item.replay_only} triggers evaluated again")
    if item.replay_only:
        parts.append(f"{item.replay_only} of them within the error of evaluation")
    if item.doubtful:
        parts.append(f"{item.doubtful} inputs whose class lies within the error of evaluation")
    return f"  {item.name}: {item.verdict} in {item.arithmetic} arithmetic: {', '.join(parts)}"
