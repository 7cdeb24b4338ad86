"""`verifluxa gate`: decide about a promotion, carry it out, audit what is live."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.errors import UsageError
from verifluxa.gate.formats import Format as GateFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verifluxa.gate.case import Decision
    from verifluxa.gate.registry import Registry

Policy = Annotated[Path, typer.Option("--policy", metavar="FILE", help="The policy; its keys lie beside it.")]
Certificates = Annotated[
    list[Path] | None,
    typer.Option(
        "--certificate", metavar="CERT", help="certificate.dsse.json; the first one counts, others may contradict."
    ),
]
OverrideFile = Annotated[
    Path | None, typer.Option("--override", metavar="FILE", help="A signed break-glass statement.")
]
Format = Annotated[GateFormat, typer.Option("--format", help="What stands on stdout.")]
Head = Annotated[
    str | None, typer.Option("--head", metavar="DIGEST", help="A head of the log that was kept elsewhere.")
]
CheckpointFile = Annotated[
    Path | None, typer.Option("--checkpoint", metavar="FILE", help="A checkpoint of the log that was kept elsewhere.")
]
Root = Annotated[
    str | None,
    typer.Option("--registry", metavar="WHERE", help="MLflow's address, or the folder of folder:/ and oci:/."),
]


def group() -> typer.Typer:
    """The commands of the group."""
    app = typer.Typer(
        help="The release gate: only certified models get through. Exit codes: 0 permitted, 1 denied, for any reason.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for command in (decide, promote, copy, audit, policy, override, register):
        app.command()(command)
    app.command("sign-policy")(sign_policy)
    app.command()(doctor)
    app.command()(webhook)
    app.add_typer(_log_group(), name="log")
    return app


def _log_group() -> typer.Typer:
    app = typer.Typer(
        help="The log of decisions: verify it, keep its head elsewhere, make its index again.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.command("verify")(log_verify)
    app.command("checkpoint")(log_checkpoint)
    app.command("rebuild")(log_rebuild)
    return app


def decide(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The model's files, and nothing else.")],
    policy: Policy,
    resource: Annotated[str, typer.Option("--resource", metavar="URI", help="models:/NAME/VERSION@ALIAS.")],
    certificate: Certificates = None,
    override: OverrideFile = None,
    accepted: Annotated[
        Path | None, typer.Option("--accepted", metavar="FILE", help="Write the list of accepted files, for Julia.")
    ] = None,
    decision_out: Annotated[
        Path | None, typer.Option("--decision", metavar="FILE", help="Write the decision that the gate signed.")
    ] = None,
    format_: Format = GateFormat.TEXT,
) -> int:
    """Decides whether the files in a folder may be promoted, and records it."""
    from verifluxa.gate.reference import parse_reference
    from verifluxa.gate.registry import manifest
    from verifluxa.gate.run import Ask, judge

    ask = Ask(parse_reference(resource), folder, tuple(certificate or ()), override)
    decision = judge(policy, ask)
    if decision.permitted and accepted is not None:
        _write(accepted, manifest(decision))
    if decision.attestation is not None and decision_out is not None:
        _write(decision_out, decision.attestation)
    return _present([decision], format_, "decide")


def promote(
    resource: Annotated[str, typer.Argument(metavar="VERSION", help="models:/NAME/VERSION (or folder:/, oci:/).")],
    policy: Policy,
    alias: Annotated[str | None, typer.Option("--alias", help="The alias that is to point to it.")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="The stage of MLflow, in place of an alias.")] = None,
    registry: Root = None,
    certificate: Certificates = None,
    override: OverrideFile = None,
    format_: Format = GateFormat.TEXT,
) -> int:
    """Lets an alias point to a version, if the policy permits it. Without --certificate the stored one is used."""
    from verifluxa.gate import promote as promoting
    from verifluxa.gate.reference import STAGE, parse_reference

    if (alias is None) == (stage is None):
        raise UsageError("VF4501", "give --alias or --stage", expected="one of the two", remedy="--alias production")
    reference = parse_reference(f"{resource}@{alias if stage is None else STAGE + stage.capitalize()}")
    papers = promoting.Papers(tuple(certificate or ()), override)
    decision = promoting.promote(policy, open_registry(reference.scheme, registry), reference, papers)
    return _present([decision], format_, "promote")


def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="models:/NAME/VERSION.")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="models:/OTHER/VERSION, as the copy will be numbered.")
    ],
    policy: Policy,
    registry: Root = None,
    certificate: Certificates = None,
    override: OverrideFile = None,
    format_: Format = GateFormat.TEXT,
) -> int:
    """Copies a version of MLflow into a model whose every version must be certified; the certificate is for TARGET."""
    from verifluxa.gate import promote as promoting
    from verifluxa.gate.mlflow_plugin.client import MlflowRegistry
    from verifluxa.gate.reference import parse_reference

    one, other = parse_reference(source), parse_reference(target)
    if one.scheme != "models" or other.scheme != "models":
        raise UsageError("VF4501", "only versions of MLflow are copied so", expected="models:/NAME/VERSION, twice")
    papers = promoting.Papers(tuple(certificate or ()), override)
    decision = promoting.copy_version(policy, MlflowRegistry(registry), one, other, papers)
    return _present([decision], format_, "copy")


def audit(
    policy: Policy,
    registry: Root = None,
    scheme: Annotated[str, typer.Option("--scheme", help="models, folder or oci.")] = "models",
    recheck: Annotated[bool, typer.Option("--recheck", help="Recompute proofs, as the policy says.")] = False,
    head: Head = None,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", metavar="NAME", help="A model, or models:/NAME/VERSION@ALIAS, that must be live."),
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Nothing at all may be live, which is a failure otherwise.")
    ] = False,
    format_: Format = GateFormat.TEXT,
) -> int:
    """Decides again about every live version, compares it with the log, and verifies the log.

    Exit codes: 0 everything passes, 1 something no longer does, or is not live although it should be.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.errors import ManyErrors
    from verifluxa.gate import audit as auditing
    from verifluxa.gate.policy import load_policy
    from verifluxa.gate.run import open_log

    log = open_log(load_policy(policy))
    log.verify(head)
    decisions = auditing.audit(policy, open_registry(scheme, registry), recheck)
    if format_ is GateFormat.TEXT:
        failed = len(auditing.failures(decisions))
        live = f"{len(decisions)} live version{'' if len(decisions) == 1 else 's'}"
        print_words([f"{live}, {failed} no longer pass; head of the log {log.verify().head}"])
    code = _present(decisions, format_, "audit")
    missing = list(auditing.check_expected(decisions, expect or (), allow_empty))
    if missing:
        raise missing[0] if len(missing) == 1 else ManyErrors(list(missing))
    return code


def log_verify(policy: Policy, head: Head = None, checkpoint: CheckpointFile = None) -> int:
    """Reads every line of the log, and compares index, checkpoint and what was kept elsewhere with them."""
    from verifluxa.cli.output import emit
    from verifluxa.gate.checkpoint import check_kept
    from verifluxa.gate.policy import load_policy
    from verifluxa.gate.run import open_log

    found = load_policy(policy)
    log = open_log(found)
    if checkpoint is not None:
        check_kept(checkpoint, log, () if found.gate is None else found.gate.keys)
    state = log.verify(head)
    counted = f", {state.counted} more refusals counted" if state.counted else ""
    emit(f"{state.count} decisions{counted}; head {state.head}")
    return 0


def log_checkpoint(
    policy: Policy,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where to (stdout).")] = None,
) -> int:
    """Writes the head of the log as a checkpoint, to be kept where whoever can change the log cannot write.

    Without --out it goes where the policy's `checkpoint` says, where that is set.
    """
    from verifluxa.cli.output import emit
    from verifluxa.gate.attestation import signing_key
    from verifluxa.gate.checkpoint import Head as LogHead
    from verifluxa.gate.checkpoint import encode
    from verifluxa.gate.log import Log
    from verifluxa.gate.policy import load_policy

    found = load_policy(policy)
    # Not through the policy's checkpoint, which may be what is missing.
    state = Log(found.log).verify()
    data = encode(found.name, LogHead(state.count, state.head), signing_key(found))
    target = out or found.checkpoint
    if target is None:
        emit(data.decode())
    else:
        _write(target, data)
        emit(f"written: {target}")
    return 0


def log_rebuild(policy: Policy) -> int:
    """Makes the index of the log again from its lines, when you know why it was lost."""
    from verifluxa.cli.output import emit
    from verifluxa.gate.log import Log
    from verifluxa.gate.policy import load_policy

    state = Log(load_policy(policy).log).rebuild()
    emit(f"{state.count} decisions; head {state.head}")
    return 0


def sign_policy(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy; it must be one.")],
    key: Annotated[list[Path], typer.Option("--key", metavar="KEY", help="A private key of the policy's owners.")],
) -> int:
    """Signs a policy; machines whose VERIFLUXA_POLICY_KEYS names the public key accept no other."""
    from verifluxa.certificate.keys import load_private_key
    from verifluxa.cli.output import emit
    from verifluxa.gate import policy as policies

    emit(f"written: {policies.sign_policy(policy, [load_private_key(path) for path in key])}")
    return 0


def policy(
    certificate: Annotated[Path, typer.Argument(metavar="CERT", help="A certificate that you have read and accept.")],
    key: Annotated[list[Path], typer.Option("--key", metavar="PUB", help="A public key, beside the policy.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="The policy (stdout).")] = None,
) -> int:
    """Writes a first policy that demands what a certificate proves. Read it before you rely on it."""
    from verifluxa.certificate.keys import load_public_key
    from verifluxa.certificate.load import load_statement
    from verifluxa.cli.output import emit
    from verifluxa.gate.policy import policy_text

    statement, _ = load_statement(certificate)
    for path in key:
        # A gate looks beside its policy, and one that finds no key there denies everything.
        load_public_key(path if out is None else out.parent / path.name)
    text = policy_text(statement, [path.name for path in key], datetime.now(UTC))
    if out is None:
        emit(text)
    else:
        _write(out, text.encode())
        emit(f"written: {out}")
    return 0


def override(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The model's files.")],
    policy: Policy,
    resource: Annotated[str, typer.Option("--resource", metavar="URI", help="models:/NAME/VERSION@ALIAS.")],
    key: Annotated[list[Path], typer.Option("--key", metavar="KEY", help="A private key of its `override`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence; it is recorded.")],
    hours: Annotated[int, typer.Option(min=1, help="Valid for so many hours.")] = 4,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The statement.")] = Path(
        "override.dsse.json"
    ),
) -> int:
    """Breaks the glass: signs a statement that lets one promotion pass for some hours despite a denial."""
    from verifluxa.certificate.keys import load_private_key
    from verifluxa.cli.output import emit
    from verifluxa.gate.files import measure
    from verifluxa.gate.override import Waiver, sign_override
    from verifluxa.gate.policy import load_policy
    from verifluxa.gate.reference import parse_reference

    files = measure(folder)
    if files.problems:
        raise files.problems[0]
    now = datetime.now(UTC).replace(microsecond=0)
    reference = str(parse_reference(resource))
    waiver = Waiver(reference, files.digests, load_policy(policy).sha256, reason, now, now + timedelta(hours=hours))
    _write(out, sign_override(waiver, [load_private_key(path) for path in key]))
    emit(f"written: {out}")
    return 0


def doctor(
    policy: Policy,
    registry: Root = None,
    scheme: Annotated[str | None, typer.Option("--scheme", help="models, folder or oci; without it none.")] = None,
) -> int:
    """Examines a deployment: policy, keys, clock, log, and the registry where --scheme names one.

    Exit codes: 0 nothing fails, 1 something does.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.gate.doctor import examine

    found = examine(policy, None if scheme is None else open_registry(scheme, registry))
    print_words([f"{item.level}: {item.what}" for item in found])
    return 1 if any(item.level == "failure" for item in found) else 0


def webhook(
    policy: Policy,
    registry: Root = None,
    scheme: Annotated[str, typer.Option("--scheme", help="models, folder or oci.")] = "models",
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 8181,
    optional: Annotated[bool, typer.Option("--optional", help="Pods that name no model may start.")] = False,
) -> int:
    """Answers Kubernetes' admission reviews on 127.0.0.1: pods start only with models that the gate accepts now."""
    from verifluxa.cli.output import emit
    from verifluxa.gate.policy import load_policy
    from verifluxa.gate.webhook import Admission, serve

    load_policy(policy)
    with serve(Admission(policy, open_registry(scheme, registry), not optional), port) as server:
        emit(f"listening: http://127.0.0.1:{server.server_address[1]}")
        server.serve_forever()
    return 0


def register(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The model's files, and nothing else.")],
    name: Annotated[str, typer.Option("--name", help="The name of the model.")],
    registry: Annotated[str, typer.Option("--registry", metavar="FOLDER", help="The registry's folder.")],
    scheme: Annotated[str, typer.Option("--scheme", help="folder or oci.")] = "folder",
) -> int:
    """Registers a folder of files as the next version in a folder registry or an OCI layout."""
    from verifluxa.cli.output import emit
    from verifluxa.gate.folder_registry import FolderRegistry
    from verifluxa.gate.oci_registry import OciRegistry

    where = OciRegistry(Path(registry)) if scheme == "oci" else FolderRegistry(Path(registry))
    emit(str(where.add(name, folder)))
    return 0


def open_registry(scheme: str, where: str | None) -> Registry:
    """The registry of a scheme.

    Raises:
        UsageError: VF4501 for another scheme, or a folder that is not named.
    """
    if scheme == "models":
        from verifluxa.gate.mlflow_plugin.client import MlflowRegistry

        return MlflowRegistry(where)
    if scheme not in ("folder", "oci") or where is None:
        raise UsageError(
            "VF4501",
            f"no registry is named for {scheme}:/",
            expected="models:/ (MLflow), or folder:/ and oci:/ with --registry FOLDER",
            remedy="give --registry",
        )
    from verifluxa.gate.folder_registry import FolderRegistry
    from verifluxa.gate.oci_registry import OciRegistry

    return OciRegistry(Path(where)) if scheme == "oci" else FolderRegistry(Path(where))


def _present(decisions: Sequence[Decision], chosen: GateFormat, action: str) -> int:
    from verifluxa.cli.output import emit, print_words
    from verifluxa.gate.render import rendered

    text = rendered(decisions, chosen, action)
    if chosen is GateFormat.TEXT:
        print_words(text.splitlines())
    else:
        emit(text)
    return 0 if all(item.permitted for item in decisions) else 1


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(
            "VF4501", f"the file cannot be written: {error.strerror}", place=str(path), expected="a folder that exists"
        ) from error
