"""Promotion through a registry, and the audit of what is live."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.certificate.document import read_bytes
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.files import read_file
from verifluxa.gate.case import Decision
from verifluxa.gate.files import measure
from verifluxa.gate.log import Log
from verifluxa.gate.manifest import MANIFEST, manifest
from verifluxa.gate.policy import load_policy
from verifluxa.gate.reference import Reference
from verifluxa.gate.registry import CERTIFICATE, OVERRIDE, PAPERS, REPORT, Fetched, Registry
from verifluxa.gate.run import Ask, judge, line_of, record

if TYPE_CHECKING:
    from verifluxa.gate.mlflow_plugin.client import MlflowRegistry


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
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        fetched = registry.fetch(reference, Path(private) / "fetched")
        brought = _brought(papers or Papers(), Path(private) / "brought")
        used = brought.certificates or fetched.certificates
        ask = Ask(
            reference, fetched.folder, used, brought.override or fetched.override, "promote", held=not registry.decides
        )

        def act(decision: Decision, _copy: Path) -> None:
            before = registry.current(reference)
            registry.attach(reference, _documents(decision, ask))
            registry.point(reference, decision)
            _check_unchanged(policy, registry, decision, before, Path(private) / "again")

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
        ask = Ask(target, fetched.folder, brought.certificates, brought.override, "promote", held=False)
        return judge(policy, ask, lambda decision, _: registry.copy(source, target, _documents(decision, ask)))


def audit(policy: Path, registry: Registry, rechecks: bool = False, now: datetime | None = None) -> list[Decision]:
    """Decides again about every version that a protected alias points to; nothing is changed or recorded as accepted.

    Raises:
        GateError: VF6001 and VF6002 for the policy, VF6070 for the log, VF6080 for the registry.
    """
    Log(load_policy(policy).log).verify()
    return [
        _audited(policy, registry, reference, rechecks, now)
        for reference in registry.live()
        if is_protected(policy, reference)
    ]


def is_protected(policy: Path, reference: Reference) -> bool:
    """Whether a policy protects the alias or stage of a reference; without one, the version itself."""
    protected, alias = load_policy(policy).protected, reference.alias or ""
    if not alias:
        return protected.versions(reference.name)
    if alias.startswith("stage:"):
        return protected.stage(reference.name, alias.removeprefix("stage:"))
    return protected.alias(reference.name, alias)


def _audited(policy: Path, registry: Registry, reference: Reference, rechecks: bool, now: datetime | None) -> Decision:
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        try:
            fetched = registry.fetch(reference, Path(private) / "fetched")
        except GateError as error:
            fetched = Fetched(Path(private) / "none", Path(private) / "none")
            decision = judge(policy, _audit_ask(reference, fetched, False), None, now)
            return replace(decision, permitted=False, reasons=(error, *decision.reasons))
        return judge(policy, _audit_ask(reference, fetched, rechecks), None, now)


def _audit_ask(reference: Reference, fetched: Fetched, rechecks: bool) -> Ask:
    return Ask(reference, fetched.folder, fetched.certificates, fetched.override, "audit", rechecks)


def _brought(papers: Papers, into: Path) -> Papers:
    """Copies what the caller brings, so that what is decided about is what is stored."""
    into.mkdir()
    certificates = []
    for number, path in enumerate(papers.certificates):
        name = CERTIFICATE if number == 0 else f"certificate.{number}.dsse.json"
        certificates.append(_copied(read_bytes(path), into / name))
    for name in PAPERS[3:] if certificates else ():
        beside = papers.certificates[0].parent / name
        if beside.is_file():
            shutil.copyfile(beside, into / name)
    override = None if papers.override is None else _copied(read_bytes(papers.override), into / OVERRIDE)
    return Papers(tuple(certificates), override)


def _copied(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


def _documents(decision: Decision, ask: Ask) -> dict[str, bytes]:
    """The certificates as they were decided about, and what a later recheck needs."""
    documents = {REPORT: json.dumps(record(decision, "promote"), indent=1, sort_keys=True).encode() + b"\n"}
    documents[MANIFEST] = manifest(decision)
    if ask.override is not None and decision.override is not None:
        documents[OVERRIDE] = read_bytes(ask.override)
    for number, path in enumerate(ask.certificates):
        documents[CERTIFICATE if number == 0 else f"certificate.{number}.dsse.json"] = read_bytes(path)
    for name in PAPERS[3:] if ask.certificates else ():
        path = ask.certificates[0].parent / name
        if path.is_file():
            documents[name] = read_file(path, 2**30)
    return documents


def _check_unchanged(policy: Path, registry: Registry, decision: Decision, before: int | None, again: Path) -> None:
    try:
        after = measure(registry.fetch(decision.reference, again).folder)
        same = not after.problems and dict(after.digests) == dict(decision.files)
    except VerifluxaError:
        same = False
    if same:
        return
    registry.withdraw(decision.reference, before if before != decision.reference.version else None)
    with Log(load_policy(policy).log).held() as held:
        held.append(line_of(replace(decision, permitted=False), "changed"))
    raise GateError(
        "VF6083",
        "the files were changed while they were promoted; the alias was taken back",
        place=str(decision.reference),
        expected="files that stay as they were checked",
        remedy="find out who writes to this version's files, then promote again",
    )


def failures(decisions: Iterable[Decision]) -> list[Decision]:
    """Those that do not pass."""
    return [item for item in decisions if not item.permitted]
