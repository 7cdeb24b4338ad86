"""The folder of a run: the ledger while proving; then evidence, certificate, pictures, and last of all the result.

The ledger says how the run was asked for, with the digests of all that it rests on, so that it can be taken up again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from verifluxa import __version__
from verifluxa.arguments import Number, choice_of
from verifluxa.certificate.encode import encode_statement
from verifluxa.certificate.evidence_file import write_evidence
from verifluxa.certificate.of_result import certificate_of
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.ledger_file import LEDGER_FILE, not_a_ledger, other_run
from verifluxa.dispatch.observe import Both, Progress
from verifluxa.durations import seconds
from verifluxa.errors import CertificateError, TryAgainError, UsageError
from verifluxa.inputs import Choice
from verifluxa.report.pictures import pictures
from verifluxa.report.scenes import scene_of_result
from verifluxa.result.result import Result
from verifluxa.result.write import RESULT_FILE, cannot_write, check_writable, write_result, write_whole
from verifluxa.spec.spec import Spec
from verifluxa.verify import Prepared, Request, RunContext, carry_out, prepare, watched_by

EVIDENCE = "evidence.jsonl.gz"
CERTIFICATE = "certificate.json"
PICTURES = "pictures"
SIGNED = ("certificate.dsse.json", "certificate.svr.dsse.json")
PAGES = ("report.html", "comparison.html")
KEYS = {"spec", "choice", "strategy", "cluster", "budget", "arithmetic", "seed", "gap"}
"""Of a request in a ledger."""


def certify(
    spec: str | Path,
    out: str | Path,
    *,
    models: Mapping[str, str | Path] | None = None,
    data: Mapping[str, str | Path] | None = None,
    params: Mapping[str, Number] | None = None,
    properties: str | Sequence[str] = (),
    strategy: str | Path = "balanced",
    cluster: str | Path = "laptop",
    budget: str | float | timedelta | None = None,
    arithmetic: str | None = None,
    seed: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    force: bool = False,
) -> Result:
    """Verifies like `verify`, and writes result, certificate, evidence and pictures into a folder.

    The certificate is unsigned: `verifluxa cert sign` signs it, and `check_certificate` rechecks it.

    Args:
        spec, params, properties, strategy, cluster, budget, arithmetic, seed, progress: see `verify`.
        out: the folder; it is made where there is none.
        models, data: files by the name in the spec; a certificate names files, so nothing in memory is taken.
        force: replace the result of a finished run, or the work of one that was stopped, that lies there.

    Raises:
        VerifluxaError: whatever the user can mend: what `verify` raises, VF4401 for a value that is no file, VF4406 for
            a folder that cannot be written to, VF4425 for the work of a run that was stopped and VF4428 for the result
            of one that came to its end, unless `force`.
        TypeError: for an argument of another name.
    """
    folder = Path(out)
    check_free(folder, force)
    choice = choice_of(models, data, params, properties)
    for name, value in (*choice.models.items(), *choice.data.items()):
        if not isinstance(value, str):
            raise UsageError(
                "VF4401",
                f"`{name}` is in memory, and a certificate names files",
                expected="the path of a file",
                remedy="write it to a file, or ask `verify`, which makes no certificate",
            )
    request = Request(str(spec), choice, str(strategy), str(cluster), seconds(budget), arithmetic, seed)
    prepared = prepare(request)
    with out_folder(folder, prepared.inputs.spec, origin_of(request, prepared), force) as opened:
        return opened.work(prepared, watched_by(progress))


class OutFolder:
    """The folder of a run. One that fails or is ended by force leaves its ledger if it holds answers, else nothing."""

    def __init__(self, path: Path, spec: Spec, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._spec = spec
        self._part = path / f".{EVIDENCE}.{ledger.token}.part.gz"

    def work(self, prepared: Prepared, context: RunContext | None = None) -> Result:
        """Does the work of a run whose ledger is open, and writes what comes of it.

        Args:
            prepared: the run.
            context: who takes part; evidence goes into the ledger.
        """
        context = context or RunContext()
        observer = Both(context.observer, self.ledger)
        result = carry_out(prepared, replace(context, observer=observer, evidence=self.ledger))
        self.finish(result)
        return result

    def finish(self, result: Result) -> None:
        """Writes everything; `result.json` comes last, so that where it stands the rest is complete.

        Raises:
            UsageError: VF4406 when something cannot be written, VF4426 when another run has taken the ledger over.
            RuntimeError: when the certificate would contradict itself: a mistake of ours.
        """
        with _written(self.path):
            summary = write_evidence(self._part, self.ledger.sections())
        try:
            statement = certificate_of(result, self._spec, summary, datetime.now(UTC))
        except CertificateError as error:
            raise RuntimeError(f"the certificate does not agree with the result: {error}") from error
        drawn = pictures_of(result)
        with self.ledger.finishing(), _written(self.path):
            _remove_stale(self.path)
            self._part.replace(self.path / EVIDENCE)
            write_whole(self.path / CERTIFICATE, encode_statement(statement))
            write_pictures(self.path / PICTURES, drawn)
            write_result(result, self.path)

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
def out_folder(
    path: Path, spec: Spec, origin: Origin, force: bool = False, take_over: bool = False
) -> Iterator[OutFolder]:
    """Opens the folder of a new run; when the run fails before it has found anything, what it wrote goes away again.

    A ledger that holds answers stays, whatever ended the run: a second Ctrl-C, a full disk, a mistake of ours.

    Raises:
        UsageError: VF4406 when the folder cannot be made or written to, VF4420 and VF4421 for a file called
            `ledger.sqlite` that is not ours to replace, VF4425 and VF4428 as `check_free`.
    """
    check_free(path, force)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        with _written(path):
            path.mkdir(parents=True, exist_ok=True)
        ledger = Ledger.create(path / LEDGER_FILE, origin, force, take_over)
    except BaseException:
        _remove_empty(made)
        raise
    with ledger:
        folder = OutFolder(path, spec, ledger)
        try:
            with _written(path):
                _remove_stale(path)
            yield folder
        except BaseException as error:
            folder.abandon()
            locked = isinstance(error, TryAgainError)  # then it cannot be looked into either
            if not locked and not ledger.is_ours:
                raise
            if locked or ledger.holds_work():
                print(f"what was found is kept: verifluxa resume {path}", file=sys.stderr)
                raise
            ledger.remove()
            ledger.close()
            _remove_empty(made)
            raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # somebody else may have put something there
            folder.rmdir()


@contextmanager
def resumed_folder(ledger: Ledger, spec: Spec) -> Iterator[OutFolder]:
    """The folder of a run that is taken up again; when it fails once more, the ledger stays as it is."""
    folder = OutFolder(ledger.path.parent, spec, ledger)
    try:
        yield folder
    except BaseException:
        folder.abandon()
        raise


def check_free(path: Path, force: bool = False) -> None:
    """Makes sure, before any work, that a run may be written into a folder; changes nothing.

    Args:
        path: the folder; there may be none yet.
        force: whether an older run that lies there may be lost.

    Raises:
        UsageError: VF4406 when it cannot be written to, VF4421 when a run writes it, VF4425 for the work of a run that
            was stopped and VF4428 for the result of one that came to its end, unless `force`.
    """
    check_writable(path)
    Ledger.check_replaceable(path / LEDGER_FILE, force)
    if force:
        return
    for name in (RESULT_FILE, CERTIFICATE, *SIGNED):
        if (path / name).exists():
            raise UsageError(
                "VF4428",
                "the result of another run lies here",
                place=str(path / name),
                expected="a new folder, or one that holds no result",
                remedy="give another --out, or replace what lies here with --force",
            )


def _remove_stale(path: Path) -> None:
    """Removes what a run that is being replaced has left, so that nothing speaks of another run than `result.json`.

    The older evidence stays until the new one takes its place: a new proof may begin with its split trees.
    """
    for name in (RESULT_FILE, CERTIFICATE, *SIGNED, *PAGES):
        (path / name).unlink(missing_ok=True)
    write_pictures(path / PICTURES, {})


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


def origin_of(request: Request, prepared: Prepared) -> Origin:
    """The origin of a run; paths are made absolute, so that it can be taken up from anywhere."""
    value = asdict(request)
    for group in ("models", "data"):
        value["choice"][group] = {name: str(Path(path).absolute()) for name, path in value["choice"][group].items()}
    value["choice"]["params"] = dict(value["choice"]["params"])
    value["spec"] = str(Path(prepared.inputs.spec.path).absolute())
    for key in ("strategy", "cluster"):
        if value[key].endswith(".toml"):
            value[key] = str(Path(value[key]).absolute())
    return Origin(value, digests_of(prepared))


def digests_of(prepared: Prepared) -> dict[str, Any]:
    """The digests that must not change; JSON values only."""
    inputs = prepared.inputs
    return {
        "tool": __version__,
        "spec": inputs.spec.sha256,
        "params": {name: str(value) for name, value in inputs.spec.params},
        "properties": [item.name for item in inputs.properties],
        "models": {name: [item.sha256, item.lifted.graph.digest] for name, item in inputs.models.items()},
        "data": {name: item.sha256 for name, item in inputs.data.items()},
        "strategy": prepared.strategy.sha256,
        "seed": prepared.strategy.seed,
        "arithmetic": prepared.arithmetic,
    }


def request_of(ledger: Ledger) -> Request:
    """The request of a ledger.

    Raises:
        UsageError: VF4420 when it is not understood.
    """
    value = dict(ledger.origin.request)
    try:
        if set(value) != KEYS or not all(isinstance(value[key], str) for key in ("spec", "strategy", "cluster")):
            raise TypeError(sorted(value))
        choice = value.pop("choice")
        properties = tuple(str(name) for name in choice.pop("properties"))
        return Request(choice=Choice(**{key: _texts(choice[key]) for key in choice}, properties=properties), **value)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise not_a_ledger(ledger.path, "its header cannot be read") from error


def check_same(ledger: Ledger, prepared: Prepared) -> None:
    """Refuses to go on with anything that is not what the ledger was begun with.

    Raises:
        UsageError: VF4422, naming what has changed.
    """
    changed = _changed(ledger, prepared)
    if changed:
        raise other_run(ledger.path, ", ".join(f"`{key}`" for key in changed))


def is_same(ledger: Ledger, prepared: Prepared) -> bool:
    """Whether a ledger is of this very run."""
    return not _changed(ledger, prepared)


def _changed(ledger: Ledger, prepared: Prepared) -> list[str]:
    before, now = ledger.origin.digests, digests_of(prepared)
    return [key for key in now if before.get(key) != now[key]]


def with_changes(request: Request, cluster: str | None, budget: float | None) -> Request:
    """The same run somewhere else, or with another budget: neither changes what is proved."""
    return replace(request, cluster=cluster or request.cluster, budget=budget)


def _texts(value: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()}
