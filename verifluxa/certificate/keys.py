"""Signing keys: made, written and read safely. ECDSA on P-256 by default, Ed25519 allowed."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from verifluxa.certificate.command_key import CommandKey, no_signature
from verifluxa.certificate.document import read_bytes
from verifluxa.errors import CertificateError, UsageError

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey = EllipticCurvePublicKey | Ed25519PublicKey
SigningKey = PrivateKey | CommandKey
"""What signs: a key in a file, or one behind a program."""
Algorithm = Literal["ecdsa-p256", "ed25519"]

_LONGEST_KEY_FILE = 16 * 1024


@dataclass(frozen=True)
class KeyPair:
    """Where `keygen` wrote the two keys, and their id."""

    private: Path
    public: Path
    key_id: str


def keygen(path: Path, password: bytes | None = None, algorithm: Algorithm = "ecdsa-p256") -> KeyPair:
    """Makes a key pair: `path` (PKCS8 PEM, mode 0600) and `path` + `.pub` (PEM, mode 0644).

    Args:
        path: where the private key goes; nothing is ever overwritten.
        password: encrypts the private key, where given.
        algorithm: `ecdsa-p256` or `ed25519`.

    Raises:
        UsageError: VF4902 when a file exists or cannot be written.
    """
    private: PrivateKey = Ed25519PrivateKey.generate() if algorithm == "ed25519" else generate_private_key(SECP256R1())
    encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    public_path = path.with_name(path.name + ".pub")
    if public_path.exists():
        raise _cannot_write(public_path, "it exists already")
    _write_new(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), 0o600)
    public = private.public_key()
    _write_new(public_path, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    return KeyPair(path, public_path, key_id(public))


def key_id(key: PublicKey) -> str:
    """SHA-256 (hex) of the key's DER SubjectPublicKeyInfo."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def load_public_key(path: Path) -> PublicKey:
    """Reads a public key.

    Raises:
        CertificateError: VF5007 when the file cannot be read, VF5025 when it holds no such key.
    """
    try:
        key = load_pem_public_key(read_bytes(path, _LONGEST_KEY_FILE))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad_key(path, "holds no public key in PEM form") from error
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise _bad_key(path, "holds a key of another kind")


def load_private_key(path: Path, password: bytes | None = None) -> PrivateKey:
    """Reads a private key that nobody else can read.

    Raises:
        CertificateError: VF5007 when the file cannot be read, VF5025 when it holds no such key, VF5026
            when the password is missing or wrong, VF5027 when others may read the file.
    """
    data = read_bytes(path, _LONGEST_KEY_FILE)
    _check_mode(path)
    try:
        key = load_pem_private_key(data, password)
    except TypeError as error:
        raise _bad_password(path, "needs a password" if password is None else "has no password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if password is not None and b"ENCRYPTED" in data:
            raise _bad_password(path, "does not open with this password") from error
        raise _bad_key(path, "holds no private key in PEM form") from error
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise _bad_key(path, "holds a key of another kind")


def sign_bytes(key: SigningKey, data: bytes) -> bytes:
    """Signs; ECDSA with SHA-256, or Ed25519.

    Raises:
        CertificateError: VF5028 when a signing program does not sign.
    """
    if isinstance(key, EllipticCurvePrivateKey):
        return key.sign(data, ECDSA(SHA256()))
    signature = key.sign(data)
    if isinstance(key, CommandKey) and not signature_holds(key.public, signature, data):
        raise no_signature(key)
    return signature


def signature_holds(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` is by `key`."""
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, data)
        else:
            key.verify(signature, data, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise _cannot_write(path, error.strerror or str(error)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _check_mode(path: Path) -> None:
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CertificateError(
            "VF5027",
            "the private key can be read or changed by others",
            place=str(path),
            expected="mode 0600: only its owner may read it",
            remedy=f"chmod 600 {path}; if others used this machine meanwhile, make a new key",
        )


def _cannot_write(path: Path, why: str) -> UsageError:
    return UsageError(
        "VF4902",
        f"the key is not written: {why}",
        place=str(path),
        expected="a new file in a folder that you may write to",
        remedy="choose another name; keys are never overwritten",
    )


def _bad_key(path: Path, what: str) -> CertificateError:
    return CertificateError(
        "VF5025",
        f"the key file {what}",
        place=str(path),
        expected="an ECDSA P-256 or Ed25519 key in PEM form, as `verifluxa cert keygen` writes",
        remedy="make a key with `verifluxa cert keygen`; the private key signs, the .pub file verifies",
    )


def _bad_password(path: Path, what: str) -> CertificateError:
    return CertificateError(
        "VF5026",
        f"the private key {what}",
        place=str(path),
        expected="the password that was given to `verifluxa cert keygen`, or none if none was",
        remedy="give the right password; it cannot be recovered",
    )
