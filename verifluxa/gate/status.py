"""Whether a server is guarded: a signed answer that repeats the number that was asked with, so that it is fresh."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from verifluxa import __version__
from verifluxa.certificate.document import Fields, Json, canonical_json, read_json
from verifluxa.certificate.dsse import sign_payload, verify_envelope
from verifluxa.certificate.envelope import encode_envelope, parse_envelope
from verifluxa.certificate.keys import SigningKey, key_id
from verifluxa.documents import SHA256, Form, time_text
from verifluxa.errors import CertificateError, GateError
from verifluxa.gate.policy import Policy
from verifluxa.gate.registry import unreachable

STATUS_TYPE = "application/vnd.verifluxa.gate-status+json"
PATH = "/verifluxa-gate/status"
HEADER = "verifluxa-gate"
NONCE_HEADER = "verifluxa-nonce"
SIGNED_HEADER = "verifluxa-gate-status"
NONCE = Form("16 to 128 hex digits", r"[0-9a-f]{16,128}")
FRESH = timedelta(minutes=5)
LARGEST = 64 * 1024


@dataclass(frozen=True)
class Status:
    """What a guarded server says of itself.

    Attributes:
        version: of verifluxa.
        policy: digest of its policy, or `none` where it cannot be read: then it denies everything.
        nonce: the number that was asked with.
        time: its clock.
        keys: ids of the policy's keys that signed this; empty where nobody did.
    """

    version: str
    policy: str
    nonce: str
    time: datetime
    keys: tuple[str, ...] = ()


def encode_status(policy: Policy | None, nonce: str, key: SigningKey | None) -> bytes:
    """The answer: an envelope, or the bare document where the gate has no key."""
    document: dict[str, Json] = {
        "version": __version__,
        "policy": "none" if policy is None else policy.sha256,
        "nonce": nonce,
        "time": time_text(datetime.now(UTC)),
    }
    payload = canonical_json(document)
    return payload if key is None else encode_envelope(sign_payload(payload, [key], STATUS_TYPE))


def check_server(uri: str, policy: Policy) -> Status:
    """Asks a server whether it is guarded.

    Args:
        uri: its address.
        policy: with the gate's keys, one of which must have signed the answer; without any, an answer is enough.

    Raises:
        GateError: VF6090 when it is not, or somebody else answers in its place; VF6080 when nobody does.
    """
    nonce = secrets.token_hex(16)
    address = f"{uri.rstrip('/')}{PATH}?nonce={nonce}"
    if urllib.parse.urlparse(uri).scheme not in ("http", "https"):
        raise _unguarded(uri, "it is no server, and whoever opens the store directly passes the gate by")
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            data = answer.read(LARGEST + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise _unguarded(uri, f"it answers {error.code} where a guarded server gives its status") from error
    except (OSError, ValueError) as error:
        raise unreachable(uri, str(error)) from error
    try:
        return decode_status(data, nonce, policy)
    except CertificateError as error:
        raise _unguarded(uri, error.message) from error


def decode_status(data: bytes, nonce: str, policy: Policy) -> Status:
    """Reads an answer strictly.

    Raises:
        CertificateError: when it is none, or no key of the policy's signed it.
        GateError: VF6090 when it is not fresh.
    """
    keys = () if policy.gate is None else policy.gate.keys
    signers: tuple[str, ...] = ()
    payload = data
    if len(data) > LARGEST:
        raise _unguarded("the answer", "it is too long")
    if keys:
        envelope = parse_envelope(data, "status", STATUS_TYPE)
        allowed = [key for key in keys if key_id(key) not in policy.revoked.keys]
        signers = verify_envelope(envelope, allowed, 1, "status")
        payload = envelope.payload
    elif b'"payloadType"' in data:
        payload = parse_envelope(data, "status", STATUS_TYPE).payload
    fields = Fields(read_json(payload, "status"), "status")
    found = Status(
        fields.text("version"),
        "none" if fields.raw("policy") == "none" else fields.text("policy", SHA256),
        fields.text("nonce", NONCE),
        fields.time("time"),
        signers,
    )
    fields.close()
    if found.nonce != nonce or abs(datetime.now(UTC) - found.time) > FRESH:
        raise _unguarded("the answer", "it is an old one, or the clocks differ by more than five minutes")
    if found.policy == "none":
        raise _unguarded("the answer", "its policy cannot be read, so it denies everything")
    return found


def _unguarded(place: str, why: str) -> GateError:
    return GateError(
        "VF6090",
        f"this server is not known to be guarded: {why}",
        place=place,
        expected="`mlflow server --app-name verifluxa-gate`, whose gate signs its status",
        remedy="start the server with the plugin, and give its policy the gate's key; see `verifluxa gate doctor`",
    )


def words(status: Status) -> str:
    """A status in one line."""
    return json.dumps({"version": status.version, "policy": status.policy, "signed": bool(status.keys)})
