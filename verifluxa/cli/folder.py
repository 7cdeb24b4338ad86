"""`--out DIR`: the ledger while proving; then evidence, certificate, pictures, and last of all the result."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from verifluxa.certificate.encode import encode_statement
from verifluxa.certificate.evidence_file import write_evidence
from verifluxa.certificate.of_result import certificate_of
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.ledger_file import LEDGER_FILE
from verifluxa.errors import CertificateError
from verifluxa.report.evidence_pictures import pictures
from verifluxa.report.scenes import scene_of_result
from verifluxa.result.result import Result
from verifluxa.result.write import RESULT_FILE, cannot_write, write_result, write_whole
from verifluxa.spec.spec import Spec

EVIDENCE = "evidence.jsonl.gz"
CERTIFICATE = "certificate.json"
PICTURES = "pictures"


class OutFolder:
    """The folder of a run. One that fails or is ended by force leaves its ledger if it holds answers, else nothing."""

    def __init__(self, path: Path, spec: Spec, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._spec = spec
        self._part = path / f".{EVIDENCE}.part.gz"

    def finish(self, result: Result) -> None:
        """Writes everything; `result.json` comes last, so that where it stands the rest is complete.

        Raises:
            UsageError: VF4406 when something cannot be written.
            RuntimeError: when the certificate would contradict itself: a mistake of ours.
        """
        with _written(self.path):
            summary = write_evidence(self._part, self.ledger.sections())
        try:
            statement = certificate_of(result, self._spec, summary, datetime.now(UTC))
        except CertificateError as error:
            raise RuntimeError(f"the certificate does not agree with the result: {error}") from error
        with _written(self.path):
            (self.path / RESULT_FILE).unlink(missing_ok=True)
            self._part.replace(self.path / EVIDENCE)
            write_whole(self.path / CERTIFICATE, encode_statement(statement))
            write_pictures(self.path / PICTURES, pictures_of(result))
        write_result(result, self.path)
        self.ledger.finish()

    def abandon(self) -> None:
        """Removes what a failed run has written."""
        self._part.unlink(missing_ok=True)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def out_folder(path: Path, spec: Spec, origin: Origin, force: bool = False) -> Iterator[OutFolder]:
    """Opens the folder of a new run; when the run fails before it has found anything, what it wrote goes away again.

    A ledger that holds answers stays, whatever ended the run: a second Ctrl-C, a full disk, a mistake of ours.

    Raises:
        UsageError: VF4406 when the folder cannot be made or written to, VF4420 and VF4421 for a file called
            `ledger.sqlite` that is not ours to replace, VF4425 for the work of a run that was stopped, unless `force`.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with _written(path):
        path.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.create(path / LEDGER_FILE, origin, force)
    folder = OutFolder(path, spec, ledger)
    try:
        yield folder
    except BaseException:
        folder.abandon()
        if ledger.holds_work():
            ledger.close()
            print(f"what was found is kept: verifluxa resume {path}", file=sys.stderr)
            raise
        ledger.remove()
        for empty in made:
            with suppress(OSError):  # somebody else may have put something there
                empty.rmdir()
        raise
    ledger.close()


@contextmanager
def resumed_folder(ledger: Ledger, spec: Spec) -> Iterator[OutFolder]:
    """The folder of a run that is taken up again; when it fails once more, the ledger stays as it is."""
    folder = OutFolder(ledger.path.parent, spec, ledger)
    try:
        yield folder
    except BaseException:
        folder.abandon()
        raise


def pictures_of(result: Result) -> dict[str, bytes]:
    """The pictures of all counterexamples, by file name."""
    files: dict[str, bytes] = {}
    for item in result.properties:
        if item.counterexample is not None:
            drawn = pictures(scene_of_result(item, item.counterexample))
            files |= {f"{item.name}-{name}": data for name, data in drawn.items()}
    return files


def write_pictures(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts these pictures, and no older ones, into a folder; without any the folder goes.

    Raises:
        UsageError: VF4406.
    """
    for old in folder.glob("*.png"):
        old.unlink()
    for name, data in files.items():
        write_whole(folder / name, data)
    if not files:
        with suppress(OSError):  # there is none, or it holds something that is not ours
            folder.rmdir()
