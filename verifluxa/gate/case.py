"""What a decision is made from, and what it says: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from verifluxa.certificate.check.report import CheckReport
from verifluxa.errors import VerifluxaError
from verifluxa.gate.files import Measured
from verifluxa.gate.log_index import Memory
from verifluxa.gate.reference import Reference


@dataclass(frozen=True)
class Rechecked:
    """What became of recomputing the proof.

    Attributes:
        drawn: whether this decision must be rechecked (always, or drawn in a sample).
        report: what the checker found, or None where it was not run.
    """

    drawn: bool
    report: CheckReport | None = None


@dataclass(frozen=True)
class Case:
    """Everything that a decision depends on besides the policy.

    Attributes:
        reference: the promotion that is asked for.
        certificates: bytes of signed certificates; the first is the one that counts, others may contradict it.
        files: what the model's folder holds.
        now: the gate's clock.
        memory: what earlier decisions say about these files and this place.
        rechecked: what the checker found.
        override: bytes of a break-glass statement, or None.
        attested: the gate's own signed decision is wanted (for loading and auditing), where its policy has keys.
        attestation: bytes of that decision, or None.
    """

    reference: Reference
    certificates: tuple[bytes, ...]
    files: Measured
    now: datetime
    memory: Memory
    rechecked: Rechecked
    override: bytes | None = None
    attested: bool = False
    attestation: bytes | None = None


def bare_case(reference: Reference, now: datetime) -> Case:
    """A promotion of which nothing was looked at: neither files nor certificates."""
    return Case(reference, (), Measured({}), now, Memory(), Rechecked(False))


@dataclass(frozen=True)
class Decision:
    """What the gate says.

    Attributes:
        permitted: whether the promotion may happen.
        reasons: every reason against it; an override lets it happen although there are some.
        reference, now, policy: of the case; the policy's digest, or `none`.
        certificate: digest of the certificate's payload, or `none` where no signature holds.
        time_verified: of the certificate, or None.
        keys: ids of the policy's keys that signed.
        files: digests by name.
        verdicts: per property digest, what a trusted certificate said.
        override: digest of the override's payload where one made the difference, and its reason in words.
        recheck: what became of the recheck, as a signed decision says it.
        until: when the certificate stops counting.
        attestation: the decision, signed by the gate; None where it has no key, or nothing was permitted.
    """

    permitted: bool
    reasons: tuple[VerifluxaError, ...]
    reference: Reference
    now: datetime
    policy: str
    certificate: str
    time_verified: datetime | None
    keys: tuple[str, ...]
    files: Mapping[str, str]
    verdicts: Mapping[str, str]
    override: tuple[str, str] | None = None
    recheck: str = "not asked"
    until: datetime | None = None
    attestation: bytes | None = None
