"""Signing and verifying DSSE envelopes: keys come from whoever verifies, never from the envelope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from verifluxa.certificate.envelope import (
    PAYLOAD_TYPE,
    Envelope,
    Signature,
    duplicate_signature,
    encode_envelope,
    parse_envelope,
    pre_authentication_encoding,
)
from verifluxa.certificate.keys import PublicKey, SigningKey, key_id, sign_bytes, signature_holds
from verifluxa.errors import CertificateError


def sign_payload(payload: bytes, keys: Sequence[SigningKey], kind: str = PAYLOAD_TYPE) -> Envelope:
    """Signs the payload's exact bytes, and what type it has, with each key."""
    encoded = pre_authentication_encoding(kind, payload)
    signatures = tuple(Signature(key_id(key.public_key()), sign_bytes(key, encoded)) for key in keys)
    return Envelope(kind, payload, signatures)


def add_signature(envelope: Envelope, key: SigningKey, place: str = "envelope") -> Envelope:
    """The envelope with one more signature over its payload.

    Raises:
        CertificateError: VF5023 when this key signed it already, VF5003 for more signatures than are read.
    """
    encoded = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    if any(signature_holds(key.public_key(), item.signature, encoded) for item in envelope.signatures):
        raise duplicate_signature(place)
    added = Signature(key_id(key.public_key()), sign_bytes(key, encoded))
    signed = replace(envelope, signatures=(*envelope.signatures, added))
    # What a reader would refuse, such as one signature too many, is not made.
    return parse_envelope(encode_envelope(signed), place, envelope.payload_type)


def verify_envelope(
    envelope: Envelope, keys: Sequence[PublicKey], threshold: int = 1, place: str = "envelope"
) -> tuple[str, ...]:
    """Verifies with the given keys only; a key id in the envelope merely says which key to try first.

    Args:
        envelope: as `parse_envelope` gave it.
        keys: the keys that the caller trusts.
        threshold: how many different keys must have signed.
        place: what the envelope is called in messages.

    Returns:
        The ids of the trusted keys that signed, in the order of the signatures.

    Raises:
        CertificateError: VF5023 when one key signed twice, VF5024 when fewer than `threshold` of the
            keys signed.
    """
    trusted = {key_id(key): key for key in keys}
    encoded = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    signers: list[str] = []
    for signature in envelope.signatures:
        signer = _signer(signature, trusted, encoded)
        if signer in signers:
            raise duplicate_signature(place)
        if signer is not None:
            signers.append(signer)
    if threshold < 1 or len(signers) < threshold:
        raise CertificateError(
            "VF5024",
            f"{len(signers)} of the trusted keys signed this, {max(threshold, 1)} must",
            place=place,
            expected="valid signatures by trusted keys over exactly this payload",
            remedy="check that the keys are the signers' and that the file was not changed after signing",
        )
    return tuple(signers)


def _signer(signature: Signature, trusted: dict[str, PublicKey], encoded: bytes) -> str | None:
    hinted = [name for name in trusted if name == signature.key_id]
    others = [name for name in trusted if name != signature.key_id]
    for name in hinted + others:
        if signature_holds(trusted[name], signature.signature, encoded):
            return name
    return None
