"""Signing a certificate: the unsigned statement in, a DSSE envelope beside it out; or one more signature on that."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from verifluxa.certificate.command_key import CommandKey
from verifluxa.certificate.document import read_bytes
from verifluxa.certificate.dsse import add_signature, sign_payload
from verifluxa.certificate.encode import encode_statement
from verifluxa.certificate.envelope import Envelope, encode_envelope, is_envelope, parse_envelope
from verifluxa.certificate.keys import key_id, load_private_key
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.statement import Statement
from verifluxa.certificate.svr import encode_svr
from verifluxa.errors import UsageError


@dataclass(frozen=True)
class Release:
    """What the signer adds: the promotion, the policy's digest, another expiry. None leaves it as it is."""

    resource_uri: str | None = None
    policy: str | None = None
    expires: datetime | None = None


@dataclass(frozen=True)
class Signed:
    """What `sign` wrote: the envelope of the certificate, that of the derived statement, the signer."""

    envelope: Path
    svr: Path
    key_id: str
    statement: Statement


def sign(
    certificate: Path, key: Path | CommandKey, out: Path, password: bytes | None = None, release: Release | None = None
) -> Signed:
    """Signs a certificate and the derived Simple Verification Result.

    An envelope that others signed keeps their signatures and its exact payload, and gets one more.

    Args:
        certificate: the unsigned statement, `certificate.json`, or an envelope, `certificate.dsse.json`.
        key: a private key file, or a program that signs.
        out: where the envelope goes, `certificate.dsse.json`; the derived one gets `.svr` before its
            last two suffixes.
        password: of the key, where it has one.
        release: what to add before signing.

    Raises:
        CertificateError: VF5001 to VF5011 for a bad certificate, VF5020 to VF5023 for a bad envelope or one that
            this key signed already, VF5025 to VF5028 for a bad key.
        UsageError: VF4502 when a signed certificate would be changed, VF4903 when the envelope cannot be written.
    """
    data, place = read_bytes(certificate), str(certificate)
    private = key if isinstance(key, CommandKey) else load_private_key(key, password)
    if is_envelope(data, place):
        if release not in (None, Release()):
            raise _would_change(place)
        signed = parse_envelope(data, place)
        statement = parse_statement(signed.payload, place)
        envelope = add_signature(signed, private, place)
        derived = _derived(statement, svr_path(certificate))
        summary = sign_payload(encode_svr(statement), [private]) if derived is None else add_signature(derived, private)
    else:
        statement = _released(parse_statement(data, place), release or Release())
        envelope = sign_payload(encode_statement(statement), [private])
        summary = sign_payload(encode_svr(statement), [private])
    _write(out, encode_envelope(envelope))
    _write(svr_path(out), encode_envelope(summary))
    return Signed(out, svr_path(out), key_id(private.public_key()), statement)


def _derived(statement: Statement, path: Path) -> Envelope | None:
    """The derived statement that others signed, where it is of this certificate."""
    if not path.exists():
        return None
    envelope = parse_envelope(read_bytes(path), str(path))
    return envelope if envelope.payload == encode_svr(statement) else None


def _would_change(place: str) -> UsageError:
    return UsageError(
        "VF4502",
        "a certificate that somebody signed cannot be given another promotion, policy or expiry",
        place=place,
        expected="no --resource, --policy or --days beside an envelope",
        remedy="leave them out, or have everybody sign certificate.json anew",
    )


def svr_path(out: Path) -> Path:
    """Where the derived statement goes: `certificate.dsse.json` gives `certificate.svr.dsse.json`."""
    stem, _, rest = out.name.partition(".")
    return out.with_name(f"{stem}.svr.{rest}" if rest else f"{stem}.svr")


def _released(statement: Statement, release: Release) -> Statement:
    changed = replace(
        statement,
        resource_uri=release.resource_uri if release.resource_uri is not None else statement.resource_uri,
        policy=release.policy if release.policy is not None else statement.policy,
        expires=release.expires if release.expires is not None else statement.expires,
    )
    return parse_statement(encode_statement(changed), "the certificate to be signed")


def _write(path: Path, data: bytes) -> None:
    """Writes beside the target and renames, so that a half-written envelope never stands there."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(
            "VF4903",
            f"the signed certificate cannot be written: {error.strerror or error}",
            place=str(path),
            expected="a folder that exists and that you may write to",
            remedy="give another place with --out",
        ) from error
