"""`verifluxa cert`: keys, signing, showing, verifying and checking certificates."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import CertificateFile, MovedData, MovedModels, MovedSpec, pairs
from verifluxa.errors import UsageError

if TYPE_CHECKING:
    from verifluxa.certificate.command_key import CommandKey
    from verifluxa.certificate.sign import Release

PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="A file whose first line is the password of the key."),
]
LONGEST_PASSWORD = 4096


def group() -> typer.Typer:
    """The commands of the group."""
    app = typer.Typer(
        help="Certificates: make keys, sign, show, verify signatures and digests, recompute every bound.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for command in (keygen, sign, show, verify, check):
        app.command()(command)
    return app


def keygen(
    path: Annotated[Path, typer.Argument(metavar="KEY", help="The private key; the public one gets `.pub`.")],
    ed25519: Annotated[bool, typer.Option("--ed25519", help="A key for Ed25519, in place of ECDSA on P-256.")] = False,
    password_file: PasswordFile = None,
) -> int:
    """Makes a signing key (mode 0600) and its public key. Nothing is overwritten."""
    from verifluxa.certificate import keys
    from verifluxa.cli.output import emit

    pair = keys.keygen(path, _password(password_file), "ed25519" if ed25519 else "ecdsa-p256")
    emit(f"private key: {pair.private}\npublic key: {pair.public}\nkey id: {pair.key_id}")
    return 0


def sign(
    certificate: CertificateFile,
    key: Annotated[Path | None, typer.Option("--key", metavar="KEY", help="The private key.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="The envelope.")] = None,
    command: Annotated[
        str | None,
        typer.Option("--command", metavar="PROGRAM", help="A program that signs its input, in place of --key."),
    ] = None,
    public: Annotated[
        Path | None, typer.Option("--public-key", metavar="PUB", help="The public key that belongs to --command.")
    ] = None,
    password_file: PasswordFile = None,
    resource: Annotated[str | None, typer.Option(metavar="URI", help="The promotion that it is for.")] = None,
    policy: Annotated[Path | None, typer.Option(metavar="FILE", help="The policy that it is signed under.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="Valid for so many days from now.")] = None,
) -> int:
    """Signs a certificate: writes `certificate.dsse.json` beside it, and a derived summary statement.

    Given `certificate.dsse.json`, adds a signature to those that it has.
    """
    from verifluxa.certificate import sign as signing
    from verifluxa.cli.output import emit

    beside = certificate.with_name(certificate.name.removesuffix(".json").removesuffix(".dsse") + ".dsse.json")
    target = out if out is not None else beside
    private = _signer(key, command, public)
    signed = signing.sign(certificate, private, target, _password(password_file), _release(resource, policy, days))
    emit(f"signed: {signed.envelope}\nsummary: {signed.svr}\nkey id: {signed.key_id}")
    return 0


def _signer(key: Path | None, command: str | None, public: Path | None) -> Path | CommandKey:
    from verifluxa.certificate.command_key import CommandKey
    from verifluxa.certificate.keys import load_public_key

    if key is not None and command is None and public is None:
        return key
    if key is None and command is not None and public is not None:
        return CommandKey(tuple(shlex.split(command)), load_public_key(public))
    raise UsageError(
        "VF4501",
        "what signs is not said, or said twice",
        expected="--key, or --command with --public-key",
        remedy="--key release.key",
    )


def show(certificate: CertificateFile) -> int:
    """Shows a certificate in words. It verifies nothing."""
    from verifluxa.certificate import show as showing
    from verifluxa.cli.output import print_words

    print_words(showing.show(certificate).splitlines())
    return 0


def verify(
    certificate: CertificateFile,
    key: Annotated[list[Path], typer.Option("--key", metavar="PUB", help="A public key that you trust.")],
    file: Annotated[
        list[str] | None, typer.Option("--file", metavar="NAME=FILE", help="A file that it speaks of.")
    ] = None,
    threshold: Annotated[int, typer.Option(min=1, help="How many of the keys must have signed.")] = 1,
) -> int:
    """Verifies signatures, digests and times.

    Exit codes: 0 accepted, 1 rejected. The files default to those that `result.json` beside the certificate names.
    """
    from verifluxa.certificate import verify as verifying
    from verifluxa.cli.messages import show_error
    from verifluxa.cli.output import print_words

    files = {name: Path(path) for name, path in pairs("--file", file).items()} or _files_beside(certificate)
    report = verifying.verify(certificate, key, files, datetime.now(UTC), threshold)
    for reason in report.reasons:
        show_error(reason)
    verdict = f" (it says: {report.statement.verdict})" if report.statement is not None else ""
    print_words([f"{'accepted' if report.accepted else 'REJECTED'}: {certificate}{verdict}"])
    return 0 if report.accepted else 1


def check(
    certificate: CertificateFile,
    spec: MovedSpec = None,
    model: MovedModels = None,
    data: MovedData = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", metavar="FILE", help="Where the evidence is now.")
    ] = None,
) -> int:
    """Recomputes every bound of a certificate with a small program of its own. Signatures are not looked at.

    Exit codes: 0 accepted, 1 rejected, 3 a file is missing or some leaves are not rechecked. The files default to those
    that `result.json` beside the certificate names.
    """
    from verifluxa.certificate.check.run import check_certificate
    from verifluxa.cli.messages import show_error
    from verifluxa.cli.output import print_words

    models, datasets = pairs("--model", model), pairs("--data", data)
    report = check_certificate(certificate, models, datasets, spec, evidence)
    for reason in report.reasons:
        show_error(reason)
    print_words(report.text(reasons=False).splitlines())
    return report.exit_code


def _release(resource: str | None, policy: Path | None, days: int | None) -> Release:
    from verifluxa.certificate.load import file_digest
    from verifluxa.certificate.sign import Release

    expires = None if days is None else (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    return Release(resource, None if policy is None else file_digest(policy), expires)


def _password(file: Path | None) -> bytes | None:
    if file is None:
        return None
    from verifluxa.certificate.document import read_bytes

    lines = read_bytes(file, LONGEST_PASSWORD).splitlines()
    if not lines or not lines[0]:
        raise UsageError(
            "VF4407", "the password file is empty", place=str(file), expected="the password on its first line"
        )
    return lines[0]


def _files_beside(certificate: Path) -> dict[str, Path]:
    """The files that the result beside a certificate names, by their names without folders."""
    from verifluxa.result.read import read_result

    beside = certificate.parent / "result.json"
    if not beside.exists():
        return {}
    stored = read_result(beside)
    return {Path(item.path).name: stored.locate(item.path) for model in stored.models for item in model.files}
