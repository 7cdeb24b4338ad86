"""Promotion through a registry."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.certificate.document import read_bytes
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.files import open_inside, read_all
from verifluxa.gate.case import Decision
from verifluxa.gate.files import measure, no_plain_file
from verifluxa.gate.policy import load_policy
from verifluxa.gate.reference import Reference
from verifluxa.gate.registry import BESIDE, CERTIFICATE, DECISION, MANIFEST, OVERRIDE, REPORT, Registry, manifest
from verifluxa.gate.run import Ask, judge, place_text, record

if TYPE_CHECKING:
    from verifluxa.gate.mlflow_plugin.client import MlflowRegistry


LARGEST_DOCUMENT = 2**30


@dataclass(frozen=True)
class Papers:
    """Documents that the caller brings; without a certificate those that the registry already keeps are used."""

    certificates: tuple[Path, ...] = ()
    override: Path | None = None


def promote(
    policy: Path, registry: Registry, reference: Reference, papers: Papers | None = None, now: datetime | None = None
) -> Decision:
    """Lets an alias point to a version if the policy permits it.

    The files are copied out of the registry and digested as they are copied; the decision is about that copy. After
    the alias was set the registry's files are read again: where they changed meanwhile, the alias is taken back.

    Raises:
        GateError: VF6080 to VF6083.
    """
    registry.check_guard(load_policy(policy))
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        fetched = registry.fetch(reference, Path(private) / "fetched")
        brought = _brought(papers or Papers(), Path(private) / "brought")
        used = brought.certificates or fetched.certificates
        ask = Ask(
            reference,
            fetched.folder,
            used,
            brought.override or fetched.override,
            "promote",
            held=not registry.decides,
            source=place_text(registry.sources[0]),
        )

        def act(decision: Decision, copy: Path) -> None:
            before = registry.current(reference)
            registry.attach(reference, documents_of(decision, ask))
            registry.point(reference, decision, copy)
            _check_unchanged(registry, decision, before, Path(private) / "again")

        return judge(policy, ask, act, now)


def copy_version(
    policy: Path, registry: MlflowRegistry, source: Reference, target: Reference, papers: Papers
) -> Decision:
    """Copies a certified version into a model whose every version must be certified.

    Args:
        policy: the policy.
        registry: an MLflow registry.
        source: the version that is copied.
        target: the name and number that the copy gets; the certificate is for it.
        papers: the certificate.

    Raises:
        GateError: VF6080 to VF6082.
    """
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        fetched = registry.fetch(source, Path(private) / "fetched")
        brought = _brought(papers, Path(private) / "brought")
        where = place_text(registry.sources[0])
        ask = Ask(target, fetched.folder, brought.certificates, brought.override, "promote", held=False, source=where)
        return judge(policy, ask, lambda decision, _: registry.copy(source, target, documents_of(decision, ask)))


def _brought(papers: Papers, into: Path) -> Papers:
    """Copies what the caller brings, so that what is decided about is what is stored."""
    into.mkdir()
    certificates = []
    for number, path in enumerate(papers.certificates):
        name = CERTIFICATE if number == 0 else f"certificate.{number}.dsse.json"
        certificates.append(_copied(read_bytes(path), into / name))
    for name in BESIDE if certificates else ():
        data = _beside(papers.certificates[0].parent, name)
        if data is not None:
            (into / name).write_bytes(data)
    override = None if papers.override is None else _copied(read_bytes(papers.override), into / OVERRIDE)
    return Papers(tuple(certificates), override)


def _copied(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


def documents_of(decision: Decision, ask: Ask) -> dict[str, bytes]:
    """The certificates as they were decided about, and what a later recheck needs."""
    documents = {REPORT: json.dumps(record(decision, ask.action), indent=1, sort_keys=True).encode() + b"\n"}
    documents[MANIFEST] = manifest(decision)
    if ask.override is not None and decision.override is not None:
        documents[OVERRIDE] = read_bytes(ask.override)
    for number, path in enumerate(ask.certificates):
        documents[CERTIFICATE if number == 0 else f"certificate.{number}.dsse.json"] = read_bytes(path)
    if decision.attestation is not None:
        documents[DECISION] = decision.attestation
    for name in BESIDE if ask.certificates else ():
        data = _beside(ask.certificates[0].parent, name)
        if data is not None:
            documents[name] = data
    return documents


def _beside(folder: Path, name: str) -> bytes | None:
    """A document beside a certificate. A link there is not followed: it may lead to a file of the gate's own user.

    Raises:
        GateError: VF6013 for anything but a plain file.
    """
    try:
        with open_inside(folder, name) as file:
            return read_all(file, LARGEST_DOCUMENT, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise no_plain_file(str(folder / name), error.strerror or str(error)) from error


def _check_unchanged(registry: Registry, decision: Decision, before: int | None, again: Path) -> None:
    try:
        after = measure(registry.fetch(decision.reference, again).folder)
        same = not after.problems and dict(after.digests) == dict(decision.files)
    except VerifluxaError:
        same = False
    if same:
        return
    registry.withdraw(decision.reference, before if before != decision.reference.version else None)
    raise GateError(
        "VF6083",
        "the files were changed while they were promoted; the alias was taken back",
        place=str(decision.reference),
        expected="files that stay as they were checked",
        remedy="find out who writes to this version's files, then promote again",
    )
