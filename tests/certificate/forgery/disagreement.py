"""Gives proofs to the checker and to the slow judge, and sorts what they do not agree about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.certificate.forgery.documents import Files
from tests.certificate.forgery.forger import REJECTED, check
from tests.certificate.forgery.oracle import Base
from tests.certificate.forgery.reference import Judged, judge
from tests.certificate.forgery.truth import Truth

AGREE, TOO_STRICT, TOO_LOOSE, NOT_KNOWN = "agree", "only the judge accepts", "only the checker accepts", "not known"


@dataclass(frozen=True)
class Compared:
    """What both say of the proofs of a property."""

    how: str
    checker: str
    judged: Judged

    @property
    def kind(self) -> str:
        """Why the checker refused, or why the judge did, without the numbers."""
        return re.sub(r"[-+]?[0-9][0-9.e+-]*", "N", self.judged.why if self.how == TOO_LOOSE else self.checker)


def compared(base: Base, truth: Truth, files: Files, folder: Path) -> Compared:
    """Of a certificate with one property."""
    report = check(base, files.write(folder))
    judged = judge(truth, files.section(truth.prop.name), files.excluded(truth.prop.name))
    accepted = report.exit_code != REJECTED
    said = "" if accepted else "; ".join(f"{reason.code} {reason.message}" for reason in report.reasons)
    if judged.undecided:
        return Compared(NOT_KNOWN, said, judged)
    if accepted == judged.accepted:
        return Compared(AGREE, said, judged)
    return Compared(TOO_LOOSE if accepted else TOO_STRICT, said, judged)
