"""Reading certificates and the files that they are about, without any cryptography but SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.certificate.document import read_bytes, unreadable
from verifluxa.certificate.envelope import is_envelope, parse_envelope
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.statement import Statement
from verifluxa.errors import MissingFileError
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


def require_file(what: str, place: str | Path) -> None:
    """Makes sure that a file, or a folder of data, is there.

    Args:
        what: `spec`, `evidence`, or the name of a model or data set.
        place: where it should be.

    Raises:
        MissingFileError: VF5059.
    """
    if not Path(place).exists():
        option = f"--{what}" if what in ("spec", "evidence") else f"--model or --data {what}=FILE"
        raise MissingFileError(
            "VF5059",
            f"the file of `{what}` is not there, so the certificate cannot be rechecked",
            place=str(place),
            expected="the certified file, where `result.json` beside the certificate says, or as given",
            remedy=f"give it with {option}",
        )


def load_certified(path: Path, statement: Statement, given: Choice, spec: str | None) -> Inputs:
    """Loads what a certificate is about: the files that are given, else those that `result.json` beside it names.

    Raises:
        MissingFileError: VF5050 where no spec is known, VF5059 for a file that is not there.
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
        raise MissingFileError(
            "VF5050",
            "it is not known which spec the certificate is about",
            place=str(path),
            expected="a result.json beside the certificate, or the spec itself",
            remedy="give the spec with --spec, and its files with --model and --data",
        )
    for what, place in (("spec", spec), *models.items(), *data.items()):
        if isinstance(place, str) and (what != "spec" or place.endswith(".vfx")):
            require_file(what, place)
    names = tuple(item.name for item in statement.properties)
    return load_inputs(spec, Choice(models, data, dict(statement.params), names))
