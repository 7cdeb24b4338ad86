"""The certified files must EQUAL those on disk: none changed, missing, extra or renamed."""

from __future__ import annotations

from collections.abc import Iterator

from verifluxa.certificate.statement import Statement
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.files import Measured

_REMEDY = "promote exactly the files that were verified, or verify the model again with the files that you have"


def check_subjects(statement: Statement, files: Measured) -> Iterator[VerifluxaError]:
    """Every difference between the certificate's subjects and the folder."""
    certified = {subject.name: subject.sha256 for subject in statement.subjects}
    missing = certified.keys() - files.digests.keys()
    extra = files.digests.keys() - certified.keys()
    for name in sorted(certified.keys() & files.digests.keys()):
        if certified[name] != files.digests[name]:
            yield _reason(
                "VF6010", name, f"the file differs from the certified one: {files.digests[name]}", certified[name]
            )
    for name in sorted(missing):
        renamed = sorted(other for other in extra if files.digests[other] == certified[name])
        if renamed:
            yield _reason("VF6014", renamed[0], f"a certified file has another name: it was certified as {name}", name)
        else:
            yield _reason("VF6011", name, "a certified file is missing", certified[name])
    for name in sorted(extra):
        if files.digests[name] not in {certified[other] for other in missing}:
            yield _reason("VF6012", name, "a file is there that the certificate does not speak of", "no other file")


def _reason(code: str, place: str, message: str, expected: str) -> GateError:
    return GateError(code, message, place=place, expected=expected, remedy=_REMEDY)
