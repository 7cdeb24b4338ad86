"""Verifying a signed certificate: signatures, files, times. It never stops at the first reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from verifluxa.certificate.document import read_bytes
from verifluxa.certificate.dsse import verify_envelope
from verifluxa.certificate.envelope import parse_envelope
from verifluxa.certificate.keys import load_public_key
from verifluxa.certificate.load import file_digest
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.statement import Statement
from verifluxa.documents import time_text
from verifluxa.errors import CertificateError, VerifluxaError

CLOCK_SKEW = timedelta(minutes=1)
"""How far two honest clocks may be apart."""


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        accepted: there is no reason against it.
        reasons: every reason against it, each an error with its code.
        key_ids: the trusted keys that signed.
        statement: what was signed; None unless the signatures hold.
    """

    accepted: bool
    reasons: tuple[VerifluxaError, ...]
    key_ids: tuple[str, ...]
    statement: Statement | None


def verify(
    envelope: Path, keys: Sequence[Path], files: Mapping[str, Path], now: datetime, threshold: int = 1
) -> VerifyReport:
    """Verifies signatures first, and only then reads the payload, the files and the times.

    Args:
        envelope: `certificate.dsse.json`.
        keys: files of the public keys that the caller trusts.
        files: the file for each subject's name.
        now: the time to compare with.
        threshold: how many of the keys must have signed.

    Returns:
        A report; whatever is wrong with the documents is a reason in it, never an exception.
    """
    try:
        data = read_bytes(envelope)
        parsed = parse_envelope(data, str(envelope))
        signers = verify_envelope(parsed, [load_public_key(key) for key in keys], threshold, str(envelope))
    except CertificateError as error:
        return VerifyReport(False, (error,), (), None)
    try:
        statement = parse_statement(parsed.payload, f"payload of {envelope}")
    except CertificateError as error:
        return VerifyReport(False, (error,), signers, None)
    reasons = (*check_subjects(statement, files), *check_times(statement, now))
    return VerifyReport(not reasons, reasons, signers, statement)


def check_subjects(statement: Statement, files: Mapping[str, Path]) -> tuple[VerifluxaError, ...]:
    """The files must be exactly those that the certificate speaks of: none changed, missing or extra."""
    reasons: list[VerifluxaError] = []
    for subject in statement.subjects:
        if subject.name not in files:
            reasons.append(
                _subject("VF5031", subject.name, "no file was given for", "every file that defines the network")
            )
            continue
        try:
            digest = file_digest(files[subject.name])
        except CertificateError as error:
            reasons.append(error)
            continue
        if digest != subject.sha256:
            reasons.append(
                _subject("VF5030", str(files[subject.name]), "another file was certified than", subject.sha256)
            )
    for name in sorted(files.keys() - {subject.name for subject in statement.subjects}):
        reasons.append(_subject("VF5031", name, "the certificate does not speak of", "only the files that it names"))
    return tuple(reasons)


def check_times(statement: Statement, now: datetime) -> tuple[VerifluxaError, ...]:
    """Not from the future, not expired."""
    reasons: list[VerifluxaError] = []
    if statement.time_verified > now + CLOCK_SKEW:
        reasons.append(
            _time("VF5032", "was made in the future", statement.time_verified, now, "check this machine's clock")
        )
    if statement.expires <= now:
        reasons.append(_time("VF5033", "has expired", statement.expires, now, "verify the model again and sign anew"))
    return tuple(reasons)


def _subject(code: str, name: str, what: str, expected: str) -> CertificateError:
    return CertificateError(
        code,
        f"{what} {name}",
        place=name,
        expected=expected,
        remedy="give the certified files, or verify the model again with the files that you have",
    )


def _time(code: str, what: str, time: datetime, now: datetime, remedy: str) -> CertificateError:
    return CertificateError(
        code, f"the certificate {what}: {time_text(time)}", expected=f"valid at {time_text(now)}", remedy=remedy
    )
