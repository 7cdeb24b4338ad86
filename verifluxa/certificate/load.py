"""Reading certificates and the files that they are about, without any cryptography but SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.certificate.document import read_bytes, unreadable
from verifluxa.certificate.envelope import is_envelope, parse_envelope
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.statement import Statement
from verifluxa.errors import CertificateError
from verifluxa.files import open_file
from verifluxa.inputs import Choice, Inputs, load_inputs
from verifluxa.result.read import read_result

if TYPE_CHECKING:
    from verifluxa.data.dataset import Arrays
    from verifluxa.graph.graph import Graph


def file_digest(path: Path) -> str:
    """`sha256:...` of a file's bytes, read in pieces.

    Raises:
        CertificateError: VF5007 when it cannot be read.
    """
    try:
        with open_file(path) as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


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


def load_certified(path: Path, statement: Statement, given: Choice, spec: str | None) -> Inputs:
    """Loads what a certificate is about: the files that are given, else those that `result.json` beside it names.

    Raises:
        CertificateError: VF5050 where no spec is known.
        VerifluxaError: for a file that cannot be read.
    """
    beside = path.parent / "result.json"
    models: dict[str, str | Graph] = dict(given.models)
    data: dict[str, str | Arrays] = dict(given.data)
    if beside.exists():
        stored = read_result(beside)
        spec = spec or str(stored.locate(stored.spec.path))
        models = {**{item.file.name: str(stored.locate(item.file.path)) for item in stored.models}, **models}
        data = {**{item.name: str(stored.locate(item.path)) for item in stored.data}, **data}
    if spec is None:
        raise CertificateError(
            "VF5050",
            "it is not known which spec the certificate is about",
            place=str(path),
            expected="a result.json beside the certificate, or the spec itself",
            remedy="give the spec with --spec, and its files with --model and --data",
        )
    names = tuple(item.name for item in statement.properties)
    return load_inputs(spec, Choice(models, data, dict(statement.params), names))
