"""Why a certificate is refused: one place for what was expected and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from verifluxa.errors import CertificateError

_DISTRUST = "do not trust this certificate; verify the model again"
_TOGETHER = "check that spec, model, data and evidence belong together; else do not trust the certificate"
_GIVE = "give the certified files with --spec, --model and --data; else verify what you have"
_RIGHT_FILE = "give the evidence file that was written with the certificate, beside it or with --evidence"
_UNKNOWN = "the proof may hold, but nobody can recheck it with this version"
_ASKED = "evidence for exactly the questions that the spec asks of this model and data"
_PROOF = "every drop recomputed, every leaf with fewer inputs than needed, no part of the domain left out"
_TRIGGER = "a trigger of the domain that changes as many inputs as are needed, and is the stated one"
_TEXTS = {
    "VF5050": ("the files, the spec and the params that the certificate is about", _GIVE),
    "VF5051": ("one section of evidence for each property with evidence", _RIGHT_FILE),
    "VF5052": (_ASKED, _TOGETHER),
    "VF5053": (_ASKED, _TOGETHER),
    "VF5054": (_PROOF, _DISTRUST),
    "VF5055": (_PROOF, _DISTRUST),
    "VF5056": ("the numbers that follow from model, spec, data and evidence", _DISTRUST),
    "VF5057": (_TRIGGER, _DISTRUST),
    "VF5058": ("statements, triggers and networks that this checker can recompute", _UNKNOWN),
}


def refused(code: str, what: str, place: str | None = None) -> CertificateError:
    """The error for a reason against a certificate."""
    expected, remedy = _TEXTS[code]
    return CertificateError(code, what, place=place, expected=expected, remedy=remedy)


def require(code: str, text: str, facts: Iterable[tuple[str, bool]]) -> None:
    """Refuses for the first fact that does not hold; `text` has a place for its name.

    Raises:
        CertificateError: with the code.
    """
    for name, holds in facts:
        if not holds:
            raise refused(code, text.format(name))
