"""The decision: a pure function of the policy and the case. It denies for every reason that it finds, and lists all.

Order (design of the certificate): the envelope is read strictly, payload type, signatures with the policy's keys and
threshold; only then the payload is parsed; statement type, times, files, promotion, verifier, properties, recheck,
revocation, history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from verifluxa.certificate.dsse import verify_envelope
from verifluxa.certificate.envelope import parse_envelope
from verifluxa.certificate.keys import key_id
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.statement import Statement
from verifluxa.errors import CertificateError, GateError, VerifluxaError
from verifluxa.gate.attestation import DONE, NOT_ASKED, NOT_DRAWN, PARTLY, check_attestation
from verifluxa.gate.case import Case, Decision
from verifluxa.gate.demands import check_properties, check_recheck, check_tool
from verifluxa.gate.freshness import check_clock, check_history, check_policy_time, check_serial, check_times
from verifluxa.gate.log_index import is_wildcard
from verifluxa.gate.override import check_override
from verifluxa.gate.policy import Policy
from verifluxa.gate.subjects import check_subjects
from verifluxa.verdict import Verdict

NONE = "none"


@dataclass(frozen=True)
class Signed:
    """A certificate whose signatures hold: its statement, the digest of its payload, the keys that signed."""

    statement: Statement
    digest: str
    keys: tuple[str, ...]


def decide(policy: Policy, case: Case) -> Decision:
    """Decides one promotion.

    Args:
        policy: what the registry owner demands.
        case: the certificates, files, time and history.

    Returns:
        A decision with every reason against the promotion. Whatever is wrong with the documents is a reason, never an
        exception.
    """
    firm = [*check_policy_time(policy, case.now), *check_serial(policy, case), *check_clock(case)]
    firm += case.files.problems
    signed, reasons = _signed(policy, case)
    first = signed[0] if signed else None
    firm += _revocation(policy, case, first)
    if first is not None:
        reasons += _judge(policy, case, first)
        reasons += _disagreement(policy, case, signed)
    decision = Decision(
        permitted=not firm and not reasons,
        reasons=(*firm, *reasons),
        reference=case.reference,
        now=case.now,
        policy=policy.sha256,
        certificate=first.digest if first else NONE,
        time_verified=first.statement.time_verified if first else None,
        keys=first.keys if first else (),
        files=case.files.digests,
        verdicts=_verdicts(case, signed),
        recheck=_recheck_words(policy, case),
        until=_until(policy, first.statement) if first else None,
    )
    return decision if decision.permitted or case.override is None else _overridden(policy, case, decision, bool(firm))


def denied(case: Case, reason: VerifluxaError, policy: str = NONE) -> Decision:
    """The decision where there is no policy, or an error kept the gate from deciding."""
    return Decision(False, (reason,), case.reference, case.now, policy, NONE, None, (), case.files.digests, {})


def _signed(policy: Policy, case: Case) -> tuple[list[Signed], list[VerifluxaError]]:
    """The certificates whose signatures hold; one that does not count is a reason, wherever it stands."""
    if not case.certificates:
        return [], [
            GateError(
                "VF6005",
                "there is no certificate for this model",
                place=str(case.reference),
                expected="a signed certificate",
                remedy="verify the model, sign its certificate for this promotion, and give it with --certificate",
            )
        ]
    signed: list[Signed] = []
    reasons: list[VerifluxaError] = []
    for number, data in enumerate(case.certificates, 1):
        try:
            signed.append(_authentic(policy, data, f"certificate {number}"))
        except CertificateError as error:
            reasons.append(error)
            if number == 1:
                # Nothing that stands behind the first one may take its place.
                return [], reasons
    return signed, reasons


def _authentic(policy: Policy, data: bytes, place: str) -> Signed:
    envelope = parse_envelope(data, place)
    keys = [key for key in policy.signers.keys if key_id(key) not in policy.revoked.keys]
    try:
        signers = verify_envelope(envelope, keys, policy.signers.threshold, place)
        _check_roles(policy, signers, place)
    except CertificateError as error:
        raise _revoked_signer(policy, error, envelope, place) from error
    statement = parse_statement(envelope.payload, f"payload of {place}")
    return Signed(statement, "sha256:" + hashlib.sha256(envelope.payload).hexdigest(), signers)


def _check_roles(policy: Policy, signers: tuple[str, ...], place: str) -> None:
    for role in policy.signers.roles:
        found = len({key_id(key) for key in role.keys} & set(signers))
        if found < role.threshold:
            raise CertificateError(
                "VF5024",
                f"{found} of the keys of the role {role.name} signed this, {role.threshold} must",
                place=place,
                expected="signatures by every role that the policy names",
                remedy=f"have it signed by {role.name} too: verifluxa cert sign with that key",
            )


def _recheck_words(policy: Policy, case: Case) -> str:
    report = case.rechecked.report
    if report is not None and report.accepted:
        return PARTLY if report.unrechecked else DONE
    return NOT_DRAWN if policy.recheck.mode == "sample" else NOT_ASKED


def _until(policy: Policy, statement: Statement) -> datetime:
    age = timedelta(days=policy.max_age_days)
    # In this order no sum lies beyond the last year.
    if statement.expires - statement.time_verified <= age:
        return statement.expires
    return statement.time_verified + age


def _revoked_signer(policy: Policy, error: CertificateError, envelope: object, place: str) -> CertificateError:
    """Says so where the signature would hold with a key that was revoked."""
    from verifluxa.certificate.envelope import Envelope

    revoked = [key for key in policy.signers.keys if key_id(key) in policy.revoked.keys]
    if error.code != "VF5024" or not revoked or not isinstance(envelope, Envelope):
        return error
    try:
        verify_envelope(envelope, policy.signers.keys, policy.signers.threshold, place)
    except CertificateError:
        return error
    return CertificateError(
        "VF6062",
        "a key that signed this was revoked",
        place=place,
        expected="signatures by keys that still count",
        remedy="verify the model again and sign with a key that was not revoked",
    )


def _verdicts(case: Case, signed: list[Signed]) -> dict[str, str]:
    """What is remembered about these files: only what certificates of exactly these files say."""
    found = {}
    for one in reversed(signed):
        if {subject.name: subject.sha256 for subject in one.statement.subjects} == dict(case.files.digests):
            found.update({item.digest: item.verdict.value for item in one.statement.properties})
    return found


def _judge(policy: Policy, case: Case, signed: Signed) -> Iterator[VerifluxaError]:
    statement = signed.statement
    yield from check_times(policy, statement, case.now)
    references = frozenset(digest for item in policy.requirements for digest in item.files)
    yield from check_subjects(statement, case.files, references)
    yield from _promotion(policy, case, statement)
    yield from check_tool(policy, statement)
    yield from check_properties(policy, statement)
    yield from check_recheck(policy, statement, case.rechecked)
    yield from check_history(case, statement, signed.digest)
    yield from check_attestation(policy, case, signed.digest)


def _promotion(policy: Policy, case: Case, statement: Statement) -> Iterator[VerifluxaError]:
    if statement.resource_uri != str(case.reference):
        yield GateError(
            "VF6030",
            f"the certificate is for another promotion: {statement.resource_uri}",
            expected=str(case.reference),
            remedy=f"sign it for this one: verifluxa cert sign --resource {case.reference}",
        )
    if statement.policy not in ((policy.sha256,) if policy.bound else (policy.sha256, NONE)):
        yield GateError(
            "VF6061",
            f"the certificate was signed under another policy: {statement.policy}",
            expected=policy.sha256,
            remedy="sign it anew: verifluxa cert sign --policy FILE",
        )


def _revocation(policy: Policy, case: Case, signed: Signed | None) -> Iterator[VerifluxaError]:
    """What was revoked stays out whoever overrides, and whether or not there is a certificate."""
    hit = [signed.digest] if signed and signed.digest in policy.revoked.certificates else []
    listed = {*case.files.digests.values(), *(item.sha256 for item in (signed.statement.subjects if signed else ()))}
    hit += sorted(listed & set(policy.revoked.files))
    for digest in hit:
        yield GateError(
            "VF6060",
            "the certificate or one of the files was revoked",
            place=digest,
            expected="nothing that is on the policy's list of revoked digests",
            remedy="promote another version; the policy's owner knows why this one was revoked",
        )


def _disagreement(policy: Policy, case: Case, signed: list[Signed]) -> Iterator[VerifluxaError]:
    """A trusted certificate, here or in the log, that found a trigger in these very files."""
    subjects = {item.sha256 for item in signed[0].statement.subjects}
    wanted = {item.property for item in policy.requirements}
    found = {
        item.digest
        for other in signed[1:]
        if {subject.sha256 for subject in other.statement.subjects} == subjects
        for item in other.statement.properties
        if item.verdict is Verdict.FALSIFIED
    }
    found |= case.memory.falsified
    for name in sorted(wanted if is_wildcard(case.memory.falsified) else found & wanted):
        yield GateError(
            "VF6059",
            "two certificates of these files disagree: another one shows a trigger",
            place=name,
            expected="no trusted certificate that falsifies what this one certifies",
            remedy="do not promote it; replay the counterexample, and report the wrong certificate",
        )


def _overridden(policy: Policy, case: Case, decision: Decision, firm: bool) -> Decision:
    """Breaks the glass: lets a denial pass that does not concern policy, clock, revocation or unreadable files."""
    assert case.override is not None
    accepted, reasons = check_override(policy, case, case.override)
    if accepted is None or firm:
        return replace(decision, reasons=(*decision.reasons, *reasons))
    digest, waiver = accepted
    return replace(decision, permitted=True, override=(digest, waiver.reason), until=waiver.expires)
