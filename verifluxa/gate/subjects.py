"""The certified files must EQUAL those on disk: none changed, missing, extra or renamed."""

from __future__ import annotations

from collections.abc import Iterator

from verifluxa.certificate.statement import Statement
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.files import Measured

_REMEDY = "promote exactly the files that were verified, or verify the model again with the files that you have"


def check_subjects(
    statement: Statement, files: Measured, references: frozenset[str] = frozenset()
) -> Iterator[VerifluxaError]:
    """Every difference between the certificate's subjects and the folder.

    Args:
        statement: the certificate's.
        files: what the folder holds.
        references: digests of files that the policy refers to, which need not lie in the folder.
    """
    subjects = {subject.name: subject.sha256 for subject in statement.subjects}
    certified = {name: digest for name, digest in subjects.items() if name in files.digests or digest not in references}
    if not files.digests:
        certified = subjects
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
