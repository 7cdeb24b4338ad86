"""Reading certificates and digesting files, without any cryptography but SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from verifluxa.certificate.document import read_bytes
from verifluxa.certificate.envelope import is_envelope, parse_envelope
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.statement import Statement
from verifluxa.errors import CertificateError


def file_digest(path: Path) -> str:
    """`sha256:...` of a file's bytes, read in pieces.

    Raises:
        CertificateError: VF5007 when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CertificateError(
            "VF5007",
            f"the file cannot be read: {error.strerror or error}",
            place=str(path),
            remedy="give the path of an existing file that you may read",
        ) from error


def load_statement(path: Path) -> tuple[Statement, bool]:
    """Reads a certificate, signed or not, WITHOUT verifying signatures.

    Returns:
        The statement, and whether it stood in an envelope.

    Raises:
        CertificateError: VF5001 to VF5023.
    """
    data = read_bytes(path)
    if is_envelope(data, str(path)):
        return parse_statement(parse_envelope(data, str(path)).payload, f"payload of {path}"), True
    return parse_statement(data, str(path)), False
