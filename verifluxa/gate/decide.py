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
from verifluxa.certificate.statement import PropertyResult, Statement
from verifluxa.certificate.verify import CLOCK_SKEW
from verifluxa.certificate.verify import check_times as check_validity
from verifluxa.documents import time_text
from verifluxa.errors import CertificateError, GateError, VerifluxaError
from verifluxa.gate.attestation import DONE, NOT_ASKED, NOT_DRAWN, PARTLY, check_attestation
from verifluxa.gate.case import Case, Decision, Rechecked
from verifluxa.gate.files import Measured
from verifluxa.gate.log_index import is_wildcard, place_of
from verifluxa.gate.override import check_override
from verifluxa.gate.policy import Policy, Requirement, version_numbers
from verifluxa.verdict import Verdict

_REMEDY = "promote exactly the files that were verified, or verify the model again with the files that you have"


def check_subjects(
    statement: Statement, files: Measured, references: frozenset[str] = frozenset()
) -> Iterator[VerifluxaError]:
    """Every difference between the certificate's subjects and the folder.

    Args:
        statement: the certificate's.
        files: what the folder holds.
        references: digests of files that the policy refers to, which need not lie in the folder.
    """
    subjects = {subject.name: subject.sha256 for subject in statement.subjects}
    certified = {name: digest for name, digest in subjects.items() if name in files.digests or digest not in references}
    if not files.digests:
        certified = subjects
    missing = certified.keys() - files.digests.keys()
    extra = files.digests.keys() - certified.keys()
    for name in sorted(certified.keys() & files.digests.keys()):
        if certified[name] != files.digests[name]:
            yield _differs(
                "VF6010", name, f"the file differs from the certified one: {files.digests[name]}", certified[name]
            )
    for name in sorted(missing):
        renamed = sorted(other for other in extra if files.digests[other] == certified[name])
        if renamed:
            yield _differs("VF6014", renamed[0], f"a certified file has another name: it was certified as {name}", name)
        else:
            yield _differs("VF6011", name, "a certified file is missing", certified[name])
    for name in sorted(extra):
        if files.digests[name] not in {certified[other] for other in missing}:
            yield _differs("VF6012", name, "a file is there that the certificate does not speak of", "no other file")


def _differs(code: str, place: str, message: str, expected: str) -> GateError:
    return GateError(code, message, place=place, expected=expected, remedy=_REMEDY)


def check_policy_time(policy: Policy, now: datetime) -> Iterator[VerifluxaError]:
    """A policy that nobody has looked at for long permits nothing."""
    if policy.expires <= now:
        yield GateError(
            "VF6003",
            f"the policy has expired: {time_text(policy.expires)}",
            place=str(policy.path),
            expected=f"a policy that is valid at {time_text(now)}",
            remedy="review the policy and give it a later `expires`",
        )


def check_serial(policy: Policy, case: Case) -> Iterator[VerifluxaError]:
    """An older edition of the policy than one that was used before permits nothing."""
    if policy.serial < case.memory.serial:
        yield GateError(
            "VF6007",
            f"this is an older edition of the policy: serial {policy.serial}",
            place=str(policy.path),
            expected=f"serial {case.memory.serial} or later",
            remedy="restore the newest edition; an owner who goes back to older rules gives them a higher `serial`",
        )


def check_clock(case: Case) -> Iterator[VerifluxaError]:
    """The clock must not be behind the last decision: set back, an expired certificate would count again."""
    last = case.memory.last
    if last is not None and case.now < last - CLOCK_SKEW:
        yield GateError(
            "VF6021",
            f"the clock was set back: it is {time_text(case.now)}",
            expected=f"not before the last decision: {time_text(last)}",
            remedy="set the clock of the gate's machine right",
        )


def check_times(policy: Policy, statement: Statement, now: datetime) -> Iterator[VerifluxaError]:
    """Not from the future, not expired, not older than the policy allows."""
    yield from check_validity(statement, now)
    if now - statement.time_verified > timedelta(days=policy.max_age_days):
        yield GateError(
            "VF6020",
            f"the certificate is too old: {time_text(statement.time_verified)}",
            expected=f"at most {policy.max_age_days} days old at {time_text(now)}",
            remedy="verify the model again and sign the new certificate",
        )


def check_history(case: Case, statement: Statement, digest: str) -> Iterator[VerifluxaError]:
    """Not older than the last certificate that was accepted for the same model and name: no replay.

    One that passed only because the glass was broken was not accepted.
    """
    accepted = case.memory.accepted
    if accepted is None or digest == accepted.certificate or statement.time_verified >= accepted.time_verified:
        return
    yield GateError(
        "VF6022",
        f"a newer certificate was already accepted here: of {time_text(accepted.time_verified)}",
        place=place_of(case.reference),
        expected="a certificate that is not older than the last accepted one",
        remedy="to go back to an earlier version, verify it again and sign a new certificate",
    )


_AGAIN = "verify the model again as the policy demands, and sign the new certificate"


def check_tool(policy: Policy, statement: Statement) -> Iterator[VerifluxaError]:
    """Verifier, its version, the strategy."""
    if statement.verifier.id not in policy.signers.verifiers:
        yield _reason(
            "VF6040",
            f"the verifier does not count for these signers: {statement.verifier.id}",
            "one of " + ", ".join(policy.signers.verifiers),
        )
    version = dict(statement.verifier.versions).get("verifluxa", "")
    if not version_numbers(version) or version_numbers(version) < policy.tool.minimum:
        yield _reason(
            "VF6041",
            f"the version of verifluxa is too old or not told: {version or 'none'}",
            "at least " + (".".join(map(str, policy.tool.minimum)) or "a known version"),
        )
    if version in policy.tool.recalled:
        yield _reason(
            "VF6042",
            f"version {version} of verifluxa was recalled: its certificates do not count",
            "a version that was not recalled",
        )
    if policy.tool.strategies and not set(statement.strategy) & set(policy.tool.strategies):
        yield _reason(
            "VF6043",
            f"the strategy does not count: {statement.strategy[0]}, {statement.strategy[1]}",
            "one of " + ", ".join(policy.tool.strategies),
        )


def check_properties(policy: Policy, statement: Statement) -> Iterator[VerifluxaError]:
    """Every required property, found by its digest, never by its name."""
    for wanted in policy.requirements:
        found = [item for item in statement.properties if item.digest == wanted.property]
        if not found:
            yield _absent(wanted, statement)
        for item in found:
            yield from _property(wanted, item, statement)


def _absent(wanted: Requirement, statement: Statement) -> VerifluxaError:
    if any(item.name == wanted.name for item in statement.properties):
        return _reason(
            "VF6051",
            f"what the certificate calls {wanted.name} is another statement than the policy's: "
            "other triggers, params, inputs or selection",
            wanted.property,
        )
    return _reason("VF6050", f"the certificate does not speak of the required property {wanted.name}", wanted.property)


def _property(wanted: Requirement, item: PropertyResult, statement: Statement) -> Iterator[VerifluxaError]:
    counts, name = item.coverage, wanted.name
    if item.verdict is not Verdict.CERTIFIED:
        yield _reason("VF6052", f"property {name} is {item.verdict}, not certified", "certified")
    if counts.unknown or counts.falsified or counts.certified != counts.questions:
        yield _reason(
            "VF6054",
            f"property {name} has {counts.questions - counts.certified} questions that are not certified",
            "every question certified, none unknown",
        )
    if item.arithmetic not in wanted.arithmetic:
        yield _reason(
            "VF6053",
            f"property {name} was proved in {item.arithmetic} arithmetic",
            "one of " + ", ".join(wanted.arithmetic),
        )
    if wanted.rate_at_most is not None and (item.bound is None or item.bound[1].value > wanted.rate_at_most):
        proved = "no rate" if item.bound is None else f"a rate of at most {item.bound[1].value}"
        yield _reason("VF6063", f"property {name} proves {proved}", f"at most {wanted.rate_at_most}")
    for digest in sorted(set(wanted.files) - {subject.sha256 for subject in statement.subjects}):
        yield _reason("VF6064", f"property {name} does not speak of a file that the policy refers to", digest)
    digest = statement.data[item.data].digest
    if digest not in wanted.data:
        yield _reason(
            "VF6055",
            f"property {name} speaks of a data file that does not count: {digest}",
            "one of " + ", ".join(wanted.data),
        )
    for what, least in (
        ("inputs", wanted.inputs),
        ("placements", wanted.placements),
        ("targets", wanted.targets),
        ("questions", wanted.questions),
    ):
        number = getattr(counts, what)
        if number < least:
            yield _reason("VF6056", f"property {name} covers {number} {what}", f"at least {least} {what}")


def check_recheck(policy: Policy, statement: Statement, rechecked: Rechecked) -> Iterator[VerifluxaError]:
    """The gate's own recomputation, where the policy or the draw asks for one."""
    report = rechecked.report
    if report is None:
        if rechecked.drawn:
            yield _reason(
                "VF6058",
                "the proof was not recomputed, for lack of evidence, spec or data",
                "the evidence, and the spec and data beside the policy",
            )
        return
    if not report.accepted:
        # Where nothing was recomputed, its reasons say which file is missing or wrong, and what to do about it.
        if report.properties or not report.reasons:
            yield _reason("VF6058", "the proof does not hold when it is recomputed", "evidence that proves every bound")
        yield from report.reasons
        return
    if report.statement != statement:
        yield _reason("VF6058", "another certificate was recomputed than the one presented", "the same certificate")
    missing = {item.name for item in statement.properties if item.digest in _wanted(policy)} - {
        item.said.name for item in report.properties
    }
    for name in sorted(missing):
        yield _reason("VF6058", f"nothing of property {name} was recomputed", "evidence of every required property")
    if report.unrechecked > policy.recheck.most_unrechecked:
        yield _reason(
            "VF6057",
            f"{report.unrechecked} leaves of the proof cannot be recomputed",
            f"at most {policy.recheck.most_unrechecked}",
        )
    for item in report.properties:
        name, wanted = item.said.name, item.said.digest in _wanted(policy)
        if wanted and item.unjudged:
            yield _reason("VF6057", f"which inputs property {name} speaks of cannot be recomputed", "all of them")
        # Leaves that may stay unrechecked leave open what would follow from them.
        for what in item.unvouched if wanted and not item.unrechecked else ():
            yield _reason("VF6057", f"of property {name} it does not follow {what}", "what follows from the proof")


def _wanted(policy: Policy) -> set[str]:
    return {item.property for item in policy.requirements}


def _reason(code: str, message: str, expected: str) -> GateError:
    return GateError(code, message, expected=expected, remedy=_AGAIN)


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
