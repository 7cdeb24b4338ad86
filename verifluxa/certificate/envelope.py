"""DSSE envelopes without cryptography: the pre-authentication encoding, and strict reading.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md. Signatures are over the encoding of the
payload's exact bytes, so nobody parses a payload before its signature was verified.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from verifluxa.certificate.document import Fields, Json, canonical_json, read_json
from verifluxa.errors import CertificateError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_SIGNATURES = 16
_LONGEST_PAYLOAD = 12 * 2**20


@dataclass(frozen=True)
class Signature:
    """One signature and its key id, which is a hint and may be empty."""

    key_id: str
    signature: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload, its type and its signatures. Nothing is verified yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """`DSSEv1 LEN(type) type LEN(payload) payload`, lengths in bytes, single spaces."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode_envelope(envelope: Envelope) -> bytes:
    """The canonical bytes of an envelope."""
    signatures: list[Json] = [
        {"keyid": item.key_id, "sig": base64.b64encode(item.signature).decode("ascii")} for item in envelope.signatures
    ]
    return canonical_json(
        {
            "payload": base64.b64encode(envelope.payload).decode("ascii"),
            "payloadType": envelope.payload_type,
            "signatures": signatures,
        }
    )


def parse_envelope(data: bytes, place: str = "envelope", kind: str = PAYLOAD_TYPE) -> Envelope:
    """Reads an envelope strictly; its payload must be of the type `kind`.

    Raises:
        CertificateError: VF5001 to VF5006 for a document that is not well formed, VF5020 for another
            payload type, VF5021 for base64 that is not exact, VF5022 without a signature, VF5023 for a
            signature or key id that stands twice.
    """
    fields = Fields(read_json(data, place), place)
    if not fields.has("payload") and fields.has("_type"):
        raise _unsigned("the certificate is not signed", place)
    if fields.raw("payloadType") != kind:
        raise CertificateError(
            "VF5020",
            f"the envelope holds another type of payload: {fields.text('payloadType', limit=200)!r}",
            place=place,
            expected=kind,
            remedy="give a certificate that verifluxa signed",
        )
    payload = _base64(fields, "payload")
    signatures = tuple(_signature(item) for item in fields.objects("signatures", MOST_SIGNATURES))
    fields.close()
    _check_signatures(signatures, place)
    return Envelope(kind, payload, signatures)


def is_envelope(data: bytes, place: str) -> bool:
    """Whether a document claims to be an envelope (it has a payload), rather than a bare statement."""
    value = read_json(data, place)
    return isinstance(value, dict) and "payload" in value


def _signature(fields: Fields) -> Signature:
    key_id = fields.text("keyid", limit=256) if fields.has("keyid") else ""
    signature = Signature(key_id, _base64(fields, "sig"))
    fields.close()
    return signature


def _check_signatures(signatures: tuple[Signature, ...], place: str) -> None:
    if not signatures:
        raise _unsigned("the envelope carries no signature", place)
    key_ids = [item.key_id for item in signatures if item.key_id]
    if len({item.signature for item in signatures}) < len(signatures) or len(set(key_ids)) < len(key_ids):
        raise duplicate_signature(place)


def _unsigned(message: str, place: str) -> CertificateError:
    return CertificateError(
        "VF5022",
        message,
        place=place,
        expected="at least one signature",
        remedy="sign it with `verifluxa cert sign`, and give the envelope (.dsse.json) that this writes",
    )


def duplicate_signature(place: str) -> CertificateError:
    """The error for a signature that stands twice, or two by one key (VF5023)."""
    return CertificateError(
        "VF5023",
        "the envelope carries two signatures by one key",
        place=place,
        expected="each signer once, so that a threshold counts different people",
        remedy="sign the certificate anew, once with each key",
    )


def _base64(fields: Fields, key: str) -> bytes:
    text = fields.raw(key)
    if not isinstance(text, str) or len(text) > _LONGEST_PAYLOAD:
        fields.fail(key, "base64 text", text)
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _not_base64(fields.place, key) from error
    if base64.b64encode(data).decode("ascii") != text:
        raise _not_base64(fields.place, key)
    return data


def _not_base64(place: str, key: str) -> CertificateError:
    return CertificateError(
        "VF5021",
        f"the field {key!r} is not exact base64",
        place=place,
        expected="standard base64 with padding, no white space, no stray bits",
        remedy="check that the file was copied whole; sign the certificate anew if it was edited",
    )
