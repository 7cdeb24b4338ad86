"""Recomputing the proof before a decision: the independent checker on the very files that are promoted."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path, PurePath

from verifluxa.certificate.check.report import CheckReport
from verifluxa.certificate.check.run import EVIDENCE_NAMES, check_certificate
from verifluxa.certificate.load import load_statement
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.case import Rechecked
from verifluxa.gate.policy import Policy

WEIGHTS = (".jld2", ".bson", ".npz", ".safetensors", ".onnx")


def drawn(policy: Policy, denied: bool) -> bool:
    """Whether this decision is rechecked; in a sample chance decides, which nobody can foresee.

    Files that were denied before are always rechecked: else one could ask until chance is kind.

    Args:
        policy: names the mode.
        denied: whether these files were denied before.
    """
    if policy.recheck.mode != "sample":
        return policy.recheck.mode == "always"
    return denied or secrets.randbelow(policy.recheck.one_in) == 0


def recheck(policy: Policy, certificate: Path | None, folder: Path, wanted: bool) -> Rechecked:
    """Runs the checker where it is wanted.

    Args:
        policy: names the spec, where the registry owner keeps one.
        certificate: its file; the evidence lies beside it.
        folder: the model's files, a copy that only the gate writes to.
        wanted: whether to check at all.

    Returns:
        The report; without a certificate to look at, none. Errors are reasons in the report.
    """
    if not wanted or certificate is None:
        return Rechecked(wanted)
    try:
        with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as desk:
            return Rechecked(True, _check(policy, certificate, folder, Path(desk)))
    except VerifluxaError as error:
        return Rechecked(True, CheckReport(False, False, (error,), (), (), None))


def _check(policy: Policy, certificate: Path, folder: Path, desk: Path) -> CheckReport:
    statement, _ = load_statement(certificate)
    if not any((certificate.parent / name).exists() for name in EVIDENCE_NAMES):
        raise GateError(
            "VF6058",
            "the evidence does not lie beside the certificate, so the proof cannot be recomputed",
            expected=f"the {EVIDENCE_NAMES[1]} that was written with the certificate, beside it",
            remedy="put it there, as `verifluxa verify --out` wrote it, and ask again",
        )
    models = _models(policy, certificate, folder, [model.name for model in statement.models])
    if policy.recheck.spec is None:
        _check_inside(certificate.parent)
        return check_certificate(certificate, models)
    # Beside a copy of the policy's spec lie the promoted files, so that it reads those and no others.
    for file in folder.iterdir():
        (desk / file.name).symlink_to(file.resolve())
    spec = desk / policy.recheck.spec.name
    spec.unlink(missing_ok=True)
    spec.symlink_to(policy.recheck.spec.resolve())
    return check_certificate(certificate, models, _data(policy.recheck.spec, dict(statement.params)), str(spec))


def _check_inside(folder: Path) -> None:
    """Where the policy names no spec, the result beside the certificate does: only of files that lie there too."""
    from verifluxa.result.read import read_result

    stored = read_result(folder / "result.json")
    for name in (stored.spec.path, *(item.path for item in stored.data)):
        path = stored.locate(name)
        if folder.resolve() not in path.resolve().parents:
            raise GateError(
                "VF6058",
                "the result beside the certificate names a file elsewhere, which the gate does not open",
                place=str(name)[:200],
                expected="a spec that the policy's owner keeps, with its data beside it",
                remedy='put spec and data beside the policy, and name the spec in its [recheck]: spec = "NAME.vfx"',
            )


def _models(policy: Policy, certificate: Path, folder: Path, names: list[str]) -> dict[str, str]:
    """The promoted file of each model: the only file of weights, or the one that the result beside names.

    A file that is not promoted (the other model of a comparison) lies beside the policy's spec.
    """
    weights = [file for file in folder.iterdir() if file.suffix.lower() in WEIGHTS]
    if len(names) == 1 and len(weights) == 1:
        return {names[0]: str(weights[0])}
    from verifluxa.result.read import read_result

    stored = read_result(certificate.parent / "result.json")
    beside = folder if policy.recheck.spec is None else policy.recheck.spec.parent
    found = {item.file.name: PurePath(item.file.path).name for item in stored.models}
    return {name: str((folder if (folder / file).exists() else beside) / file) for name, file in found.items()}


def _data(spec: Path, params: dict[str, str]) -> dict[str, str]:
    """The data files beside the policy's spec."""
    from verifluxa.spec.check import load_spec

    return {decl.name: str(spec.parent / decl.file) for decl in load_spec(str(spec), params).spec.data if decl.file}
