"""The gate's word: a signed in-toto statement of what it permitted, by which policy, with which recheck, until when.

Whoever loads or audits a model elsewhere need not believe the registry: the statement names the very files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from verifluxa.certificate.command_key import CommandKey
from verifluxa.certificate.document import Fields, Json, canonical_json, read_json
from verifluxa.certificate.dsse import sign_payload, verify_envelope
from verifluxa.certificate.envelope import encode_envelope, parse_envelope
from verifluxa.certificate.keys import SigningKey, key_id, load_private_key
from verifluxa.certificate.statement import STATEMENT_TYPE
from verifluxa.certificate.verify import CLOCK_SKEW
from verifluxa.documents import SHA256, Form, time_text
from verifluxa.errors import CertificateError, GateError, VerifluxaError

if TYPE_CHECKING:
    from verifluxa.gate.case import Case, Decision
    from verifluxa.gate.policy import Policy

DECISION_TYPE = "https://verifluxa.dev/attestation/decision/v1"
"""An identifier; nothing ever fetches it."""
DONE, PARTLY, NOT_DRAWN, NOT_ASKED = "done", "done in part", "not drawn", "not asked"
RECHECKS = (DONE, PARTLY, NOT_DRAWN, NOT_ASKED)
_HEX = Form("64 hex digits", r"[0-9a-f]{64}")
_DIGEST_OR_NONE = Form("a digest or `none`", r"none|sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Attestation:
    """A decision as it is signed.

    Attributes:
        reference: the promotion.
        files: digests by name.
        policy: digest of the policy that permitted it.
        certificate: digest of the certificate's payload, or `none`.
        properties: digests of the properties that the policy demanded.
        recheck: whether the proof was recomputed: `done`, `done in part` where leaves were left to the prover,
            `not drawn` in a sample, or `not asked` by the policy.
        override: digest of the override that made the difference, or `none`.
        issued, expires: when it was decided, and until when it holds.
    """

    reference: str
    files: dict[str, str]
    policy: str
    certificate: str
    properties: tuple[str, ...]
    recheck: str
    override: str
    issued: datetime
    expires: datetime


def signing_key(policy: Policy) -> SigningKey | None:
    """The gate's own key, where this machine has it.

    Raises:
        CertificateError: when the policy names one that cannot be read.
    """
    gate = policy.gate
    if gate is None:
        return None
    if gate.command:
        return CommandKey(gate.command, gate.keys[0])
    return None if gate.key is None else load_private_key(gate.key)


def sign_decision(policy: Policy, decision: Decision, key: SigningKey) -> bytes:
    """The signed document of a permission.

    Raises:
        GateError: VF6065 when the key is none of those that the policy lists.
    """
    assert policy.gate is not None
    if key_id(key.public_key()) not in {key_id(item) for item in policy.gate.keys}:
        raise _refused("the gate's key is none of those that its policy lists", "a key of [gate] keys")
    predicate: dict[str, Json] = {
        "resourceUri": str(decision.reference),
        "policy": decision.policy,
        "certificate": decision.certificate,
        "properties": [item.property for item in policy.requirements],
        "recheck": decision.recheck,
        "override": "none" if decision.override is None else decision.override[0],
        "issued": time_text(decision.now),
        "expires": time_text(min(policy.expires, decision.until or policy.expires)),
    }
    return encode_envelope(sign_payload(statement_payload(DECISION_TYPE, decision.files, predicate), [key]))


def statement_payload(kind: str, files: Mapping[str, str], predicate: Mapping[str, Json]) -> bytes:
    """The in-toto statement of the gate about files, to be signed."""
    subjects: list[Json] = [
        {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}} for name, digest in sorted(files.items())
    ]
    return canonical_json(
        {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": kind, "predicate": dict(predicate)}
    )


def read_decision(data: bytes, policy: Policy) -> Attestation:
    """Reads a signed decision and verifies its signature with the keys of the policy.

    Raises:
        CertificateError: when it is none, or no key of the gate signed it.
    """
    keys = () if policy.gate is None else policy.gate.keys
    keys = tuple(key for key in keys if key_id(key) not in policy.revoked.keys)
    envelope = parse_envelope(data, "decision")
    verify_envelope(envelope, keys, 1, "decision")
    return _parse(envelope.payload)


def check_attestation(policy: Policy, case: Case, certificate: str) -> Iterator[VerifluxaError]:
    """Whether the gate has permitted just this, where whoever asks must see its word (VF6065).

    Args:
        policy: names the gate's keys.
        case: with the document.
        certificate: digest of the payload of the certificate that was presented.
    """
    if policy.gate is None or not case.attested:
        return
    if case.attestation is None:
        yield _refused("there is none beside the version", "the document that the gate wrote when it permitted this")
        return
    try:
        found = read_decision(case.attestation, policy)
    except CertificateError as error:
        yield _refused(error.message, error.expected or "a decision that the gate signed")
        return
    rechecks = {"always": (DONE,), "sample": (DONE, NOT_DRAWN), "never": RECHECKS}[policy.recheck.mode]
    rechecks += (PARTLY,) if policy.recheck.most_unrechecked else ()
    rules = [
        (found.reference == str(case.reference), f"it is for {found.reference}", str(case.reference)),
        (found.files == dict(case.files.digests), "it is about other files", "exactly the files that are there"),
        (found.certificate == certificate, "it is about another certificate", certificate),
        # What spoke against it then may be what nobody can see here: while the override holds, it counts by itself.
        (found.override == "none", "the glass was broken for it", "a decision without an override"),
        (found.issued <= case.now + CLOCK_SKEW, "it is from the future", f"before {time_text(case.now)}"),
        (case.now < found.expires, f"it has expired: {time_text(found.expires)}", f"valid at {time_text(case.now)}"),
        (
            {item.property for item in policy.requirements} <= set(found.properties),
            "it was made when less was demanded",
            "every property that the policy demands now",
        ),
        (
            found.recheck in rechecks,
            f"the proof was not recomputed then: {found.recheck}",
            " or ".join(rechecks),
        ),
    ]
    for holds, message, expected in rules:
        if not holds:
            yield _refused(message, expected)


def no_key() -> GateError:
    """The reason where a policy demands signed decisions and this gate cannot sign (VF6065)."""
    return _refused("this gate has no key to sign its decision with", "`key` or `command` in the policy's [gate]")


def read_subjects(fields: Fields) -> dict[str, str]:
    """The digests of the files that a signed statement is about, by name; each file stands there once."""
    files: dict[str, str] = {}
    for item in fields.objects("subject", 1000):
        digest, name = item.child("digest"), item.text("name")
        if name in files:
            item.fail("name", "each file once", name)
        files[name] = "sha256:" + digest.text("sha256", _HEX)
        digest.close()
        item.close()
    return files


def _parse(payload: bytes) -> Attestation:
    fields = Fields(read_json(payload, "decision"), "decision")
    fields.choice("_type", STATEMENT_TYPE)
    fields.choice("predicateType", DECISION_TYPE)
    files = read_subjects(fields)
    predicate = fields.child("predicate")
    properties = predicate.items("properties", 1000)
    if not all(isinstance(item, str) and SHA256.matches(item) for item in properties):
        predicate.fail("properties", "digests", properties)
    found = Attestation(
        reference=predicate.text("resourceUri"),
        files=files,
        policy=predicate.text("policy", SHA256),
        certificate=predicate.text("certificate", _DIGEST_OR_NONE),
        properties=tuple(str(item) for item in properties),
        recheck=predicate.choice("recheck", *RECHECKS),
        override=predicate.text("override", _DIGEST_OR_NONE),
        issued=predicate.time("issued"),
        expires=predicate.time("expires"),
    )
    predicate.close()
    fields.close()
    return found


def _refused(message: str, expected: str) -> GateError:
    return GateError(
        "VF6065",
        f"the gate's own decision does not count: {message}",
        expected=expected,
        remedy="promote the version with `verifluxa gate promote`, which has the gate sign what it permits",
    )
