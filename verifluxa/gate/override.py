"""Breaking the glass: a second, signed statement by other people that lets one promotion pass for some hours.

It names the very files, the promotion, the policy and why; it never outlives its hours, and every use is recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from verifluxa.certificate.document import Fields, Json, read_json
from verifluxa.certificate.dsse import sign_payload, verify_envelope
from verifluxa.certificate.envelope import encode_envelope, parse_envelope
from verifluxa.certificate.keys import PrivateKey, key_id
from verifluxa.certificate.statement import STATEMENT_TYPE
from verifluxa.certificate.verify import CLOCK_SKEW
from verifluxa.documents import SHA256, Form, time_text
from verifluxa.errors import CertificateError, GateError, VerifluxaError
from verifluxa.gate.attestation import read_subjects, statement_payload

if TYPE_CHECKING:
    from verifluxa.gate.case import Case
    from verifluxa.gate.policy import Policy

OVERRIDE_TYPE = "https://verifluxa.dev/attestation/override/v1"
"""An identifier; nothing ever fetches it."""
_REASON = Form("a reason of one line", r"[^\x00-\x1f\x7f]{10,500}")


@dataclass(frozen=True)
class Waiver:
    """What an override says: the promotion, the files by name, the policy's digest, why, from when to when."""

    reference: str
    files: Mapping[str, str]
    policy: str
    reason: str
    issued: datetime
    expires: datetime


def sign_override(waiver: Waiver, keys: list[PrivateKey]) -> bytes:
    """The bytes of a signed override.

    Raises:
        CertificateError: VF5005 for a reason that is none.
    """
    predicate: dict[str, Json] = {
        "resourceUri": waiver.reference,
        "policy": waiver.policy,
        "reason": waiver.reason,
        "issued": time_text(waiver.issued),
        "expires": time_text(waiver.expires),
    }
    payload = statement_payload(OVERRIDE_TYPE, waiver.files, predicate)
    _parse(payload)
    return encode_envelope(sign_payload(payload, keys))


def check_override(policy: Policy, case: Case, data: bytes) -> tuple[tuple[str, Waiver] | None, list[VerifluxaError]]:
    """Whether an override counts.

    Returns:
        The digest of its payload and what it says, or None; every reason against it (VF6095).
    """
    if not policy.override.keys:
        return None, [_refused("nobody may override this policy", "a policy with [override] keys")]
    keys = [key for key in policy.override.keys if key_id(key) not in policy.revoked.keys]
    try:
        envelope = parse_envelope(data, "override")
        verify_envelope(envelope, keys, policy.override.threshold, "override")
        waiver = _parse(envelope.payload)
    except CertificateError as error:
        return None, [_refused(error.message, error.expected or "a signed override")]
    reasons = _problems(policy, case, waiver)
    digest = "sha256:" + hashlib.sha256(envelope.payload).hexdigest()
    if digest in policy.revoked.certificates:
        reasons.append(_refused("it was revoked", "an override that was not revoked"))
    return (None, reasons) if reasons else ((digest, waiver), [])


def _problems(policy: Policy, case: Case, waiver: Waiver) -> list[VerifluxaError]:
    hours = timedelta(hours=policy.override.most_hours)
    rules = [
        (waiver.reference == str(case.reference), f"it is for {waiver.reference}", str(case.reference)),
        (dict(waiver.files) == dict(case.files.digests), "it names other files", "exactly the files that are promoted"),
        (waiver.policy == policy.sha256, f"it is about another policy: {waiver.policy}", policy.sha256),
        (waiver.issued <= case.now + CLOCK_SKEW, "it is from the future", f"issued before {time_text(case.now)}"),
        (case.now < waiver.expires, f"it has expired: {time_text(waiver.expires)}", f"valid at {time_text(case.now)}"),
        (
            waiver.expires - waiver.issued <= hours,
            "it is valid for too long",
            f"at most {policy.override.most_hours} hours",
        ),
    ]
    return [_refused(message, expected) for holds, message, expected in rules if not holds]


def _parse(payload: bytes) -> Waiver:
    fields = Fields(read_json(payload, "override"), "override")
    fields.choice("_type", STATEMENT_TYPE)
    fields.choice("predicateType", OVERRIDE_TYPE)
    files = read_subjects(fields)
    predicate = fields.child("predicate")
    waiver = Waiver(
        reference=predicate.text("resourceUri"),
        files=files,
        policy=predicate.text("policy", SHA256),
        reason=predicate.text("reason", _REASON),
        issued=predicate.time("issued"),
        expires=predicate.time("expires"),
    )
    predicate.close()
    fields.close()
    return waiver


def _refused(message: str, expected: str) -> GateError:
    return GateError(
        "VF6095",
        f"the override does not count: {message}",
        expected=expected,
        remedy="have it signed anew for this promotion: verifluxa gate override --help",
    )
