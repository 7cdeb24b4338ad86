"""DSSE envelopes and keys: the published test vector, round trips, and everything that is refused."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from syrupy.assertion import SnapshotAssertion

import verifluxa.certificate
from verifluxa.certificate.dsse import sign_payload, verify_envelope
from verifluxa.certificate.envelope import (
    Envelope,
    Signature,
    encode_envelope,
    parse_envelope,
    pre_authentication_encoding,
)
from verifluxa.certificate.keys import (
    Algorithm,
    PrivateKey,
    key_id,
    keygen,
    load_private_key,
    load_public_key,
    sign_bytes,
)
from verifluxa.errors import CertificateError, UsageError

ECDSA_KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
ED25519_KEY = ed25519.Ed25519PrivateKey.generate()
KEYS: list[PrivateKey] = [*ECDSA_KEYS, ED25519_KEY]
PAYLOAD = b'{"a": "payload"}'


def test_pre_authentication_encoding_of_the_published_example() -> None:
    """The example of the DSSE protocol document."""
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication_encoding("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@pytest.mark.parametrize("key", KEYS)
def test_sign_and_verify(key: Any) -> None:
    envelope = parse_envelope(encode_envelope(sign_payload(PAYLOAD, [key])))
    assert envelope.payload == PAYLOAD
    assert verify_envelope(envelope, [key.public_key()]) == (key_id(key.public_key()),)


def test_threshold() -> None:
    envelope = sign_payload(PAYLOAD, KEYS)
    public = [key.public_key() for key in KEYS]
    assert len(verify_envelope(envelope, public, threshold=3)) == 3
    assert len(verify_envelope(envelope, public[:1])) == 1
    for keys, threshold in ((public[:2], 3), ([], 1), ([ec.generate_private_key(ec.SECP256R1()).public_key()], 1)):
        with pytest.raises(CertificateError) as caught:
            verify_envelope(envelope, keys, threshold)
        assert caught.value.code == "VF5024"


def test_threshold_zero_accepts_nothing() -> None:
    with pytest.raises(CertificateError) as caught:
        verify_envelope(Envelope("application/vnd.in-toto+json", PAYLOAD, ()), [], threshold=0)
    assert caught.value.code == "VF5024"


def test_key_id_is_only_a_hint() -> None:
    signed = sign_payload(PAYLOAD, [ECDSA_KEYS[0]])
    other = key_id(ECDSA_KEYS[1].public_key())
    lying = Envelope(signed.payload_type, PAYLOAD, (Signature(other, signed.signatures[0].signature),))
    assert verify_envelope(lying, [key.public_key() for key in KEYS]) == (key_id(ECDSA_KEYS[0].public_key()),)


def test_one_key_cannot_count_twice() -> None:
    """ECDSA gives a new signature each time: two by one key are still one signer."""
    first, second = sign_payload(PAYLOAD, ECDSA_KEYS[:1]), sign_payload(PAYLOAD, ECDSA_KEYS[:1])
    both = (first.signatures[0], Signature("", second.signatures[0].signature))
    with pytest.raises(CertificateError) as caught:
        verify_envelope(Envelope(first.payload_type, PAYLOAD, both), [ECDSA_KEYS[0].public_key()], 2)
    assert caught.value.code == "VF5023"


@pytest.mark.parametrize("position", [0, 5, -1])
def test_changed_payload_or_signature_is_refused(position: int) -> None:
    signed = sign_payload(PAYLOAD, [ED25519_KEY])
    payload, signature = bytearray(PAYLOAD), bytearray(signed.signatures[0].signature)
    payload[position] ^= 1
    signature[position] ^= 1
    changed = [
        Envelope(signed.payload_type, bytes(payload), signed.signatures),
        Envelope(signed.payload_type, PAYLOAD, (Signature("", bytes(signature)),)),
        Envelope("text/plain", PAYLOAD, signed.signatures),
    ]
    for envelope in changed:
        with pytest.raises(CertificateError) as caught:
            verify_envelope(envelope, [ED25519_KEY.public_key()])
        assert caught.value.code == "VF5024"


def envelope_json(**changes: Any) -> bytes:
    value = json.loads(encode_envelope(sign_payload(PAYLOAD, ECDSA_KEYS)))
    value.update(changes)
    return json.dumps({key: item for key, item in value.items() if item != "gone"}).encode()


SIGNATURE = {"keyid": "k", "sig": "AAAA"}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "payload type": ("VF5020", {"payloadType": "application/vnd.in-toto+json; charset=utf-8"}),
    "payload type in capitals": ("VF5020", {"payloadType": "Application/vnd.in-toto+json"}),
    "no payload type": ("VF5005", {"payloadType": "gone"}),
    "base64 with white space": ("VF5021", {"payload": "AA AA"}),
    "base64 with a line break": ("VF5021", {"payload": "AAAA\n"}),
    "url-safe base64": ("VF5021", {"payload": "-_-_"}),
    "base64 without padding": ("VF5021", {"payload": "AAA"}),
    "base64 with stray bits": ("VF5021", {"payload": "AAB="}),
    "base64 beyond ASCII": ("VF5021", {"payload": "ÀAAA"}),
    "payload is an object": ("VF5005", {"payload": {}}),
    "signature is bad base64": ("VF5021", {"signatures": [{"sig": "!"}]}),
    "no signature": ("VF5022", {"signatures": []}),
    "signatures gone": ("VF5005", {"signatures": "gone"}),
    "signatures is text": ("VF5005", {"signatures": "AAAA"}),
    "one signature twice": ("VF5023", {"signatures": [SIGNATURE, {"sig": "AAAA"}]}),
    "one key id twice": ("VF5023", {"signatures": [SIGNATURE, {"keyid": "k", "sig": "AAAB"}]}),
    "too many signatures": ("VF5005", {"signatures": [SIGNATURE] * 17}),
    "unknown field": ("VF5006", {"unsigned": True}),
    "unknown field in a signature": ("VF5006", {"signatures": [{"sig": "AAAA", "crit": 1}]}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    code, changes = REFUSED[case]
    with pytest.raises(CertificateError) as caught:
        parse_envelope(envelope_json(**changes))
    assert caught.value.code == code


def test_messages(snapshot: SnapshotAssertion) -> None:
    messages = []
    for case in ("payload type", "base64 with stray bits", "no signature", "one key id twice"):
        with pytest.raises(CertificateError) as caught:
            parse_envelope(envelope_json(**REFUSED[case][1]))
        messages.append(str(caught.value))
    assert "\n\n".join(messages) == snapshot


def test_envelope_fits_its_schema() -> None:
    folder = Path(verifluxa.certificate.__file__).parent / "schema"
    schema = json.loads((folder / "envelope.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(encode_envelope(sign_payload(PAYLOAD, KEYS))))
    assert base64.b64decode(json.loads(envelope_json())["payload"]) == PAYLOAD


ALGORITHMS: list[Algorithm] = ["ecdsa-p256", "ed25519"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("password", [None, b"secret"])
def test_keygen(tmp_path: Path, algorithm: Algorithm, password: bytes | None) -> None:
    pair = keygen(tmp_path / "release.pem", password, algorithm)
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600
    assert pair.public == tmp_path / "release.pem.pub"
    private, public = load_private_key(pair.private, password), load_public_key(pair.public)
    assert key_id(public) == key_id(private.public_key()) == pair.key_id
    assert (b"ENCRYPTED" in pair.private.read_bytes()) == (password is not None)
    assert verify_envelope(sign_payload(PAYLOAD, [private]), [public]) == (pair.key_id,)


def test_keygen_never_overwrites(tmp_path: Path) -> None:
    pair = keygen(tmp_path / "key")
    before = pair.private.read_bytes(), pair.public.read_bytes()
    with pytest.raises(UsageError) as caught:
        keygen(tmp_path / "key")
    assert caught.value.code == "VF4902"
    pair.private.unlink()
    with pytest.raises(UsageError):
        keygen(tmp_path / "key")
    assert not pair.private.exists()
    assert pair.public.read_bytes() == before[1]
    (tmp_path / "other").write_bytes(b"mine")
    with pytest.raises(UsageError):
        keygen(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == b"mine"
    assert not (tmp_path / "other.pub").exists()
    with pytest.raises(UsageError):
        keygen(tmp_path / "no" / "folder")


def code_of(load: Any, *arguments: Any) -> str:
    with pytest.raises(CertificateError) as caught:
        load(*arguments)
    return caught.value.code


def test_passwords(tmp_path: Path) -> None:
    locked, plain = keygen(tmp_path / "locked", b"secret"), keygen(tmp_path / "plain")
    assert code_of(load_private_key, locked.private) == "VF5026"
    assert code_of(load_private_key, locked.private, b"wrong") == "VF5026"
    assert code_of(load_private_key, plain.private, b"secret") == "VF5026"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    pair = keygen(tmp_path / "key")
    pair.private.chmod(0o640)
    assert code_of(load_private_key, pair.private) == "VF5027"


def test_other_key_files_are_refused(tmp_path: Path) -> None:
    pair = keygen(tmp_path / "key")
    assert code_of(load_public_key, tmp_path / "missing") == "VF5007"
    assert code_of(load_public_key, pair.private) == "VF5025"
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    assert code_of(load_public_key, tmp_path / "text") == "VF5025"
    assert code_of(load_private_key, tmp_path / "text") == "VF5025"
    for name, other in (
        ("p384", ec.generate_private_key(ec.SECP384R1())),
        ("rsa", rsa.generate_private_key(65537, 2048)),
    ):
        public, private = tmp_path / f"{name}.pub", tmp_path / name
        public.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        private.chmod(0o600)
        assert code_of(load_public_key, public) == "VF5025"
        assert code_of(load_private_key, private) == "VF5025"


def test_signatures_are_over_the_encoding_and_not_the_payload() -> None:
    raw = Envelope("application/vnd.in-toto+json", PAYLOAD, (Signature("", sign_bytes(ED25519_KEY, PAYLOAD)),))
    with pytest.raises(CertificateError):
        verify_envelope(raw, [ED25519_KEY.public_key()])
