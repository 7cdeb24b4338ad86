"""What a registry owner demands: a TOML file beside the gate, never beside a model; a first one from a certificate."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from unicodedata import category, normalize

from verifluxa import documents
from verifluxa.certificate.document import read_bytes
from verifluxa.certificate.dsse import sign_payload, verify_envelope
from verifluxa.certificate.envelope import encode_envelope, parse_envelope
from verifluxa.certificate.keys import PublicKey, SigningKey, key_id, load_public_key
from verifluxa.certificate.statement import VERIFIER_ID, Statement
from verifluxa.documents import SHA256, Form, time_text
from verifluxa.errors import CertificateError, GateError
from verifluxa.verdict import Verdict

RECHECKS = ("always", "sample", "never")
ARITHMETICS = ("float32", "float64", "real")
LARGEST = 1_000_000
POLICY_KEYS = "VERIFLUXA_POLICY_KEYS"
POLICY_TYPE = "application/vnd.verifluxa.policy+toml"
SIGNATURE = ".dsse.json"
_VERSION = Form("a version such as 0.1.0", r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}")
_HEX = Form("64 hex digits", r"[0-9a-f]{64}")
_RATE = Form("an exact rate such as 1/20", r"0|1|[1-9][0-9]{0,8}/[1-9][0-9]{0,8}")
_BESIDE = Form("a path from the policy's folder", r"[^\x00-\x1f\x7f]{1,500}")


@dataclass(frozen=True)
class Role:
    """People of one kind, of whom so many must have signed every certificate."""

    name: str
    keys: tuple[PublicKey, ...]
    threshold: int


@dataclass(frozen=True)
class Signers:
    """Who may sign, how many must, and for which verification logic their word counts.

    Attributes:
        keys: all that count.
        threshold: how many of them must have signed.
        verifiers: ids of verification logic.
        roles: what each kind of people must have signed besides.
    """

    keys: tuple[PublicKey, ...]
    threshold: int
    verifiers: tuple[str, ...] = (VERIFIER_ID,)
    roles: tuple[Role, ...] = ()


@dataclass(frozen=True)
class GateKeys:
    """Keys of the gate itself, which signs its decisions.

    Attributes:
        keys: public keys whose decisions count.
        key: the private key's file, or None on machines that only read decisions.
        command: a program that signs in its place; the first of `keys` is its public key.
    """

    keys: tuple[PublicKey, ...]
    key: Path | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Requirement:
    """A property that every model must have.

    Attributes:
        property: its digest, which covers trigger family, statement, params, data digest and selection.
        name: for people; a certificate that proves something else under this name is told apart.
        arithmetic: those that count.
        data: digests of the data files that count.
        inputs, placements, targets, questions: the least numbers that a certificate must speak of.
        rate_at_most: the largest proved rate, for properties that measure one; None where the statement has a limit.
        files: digests of reference files (the other model of a comparison) that must be among the certified ones;
            they need not lie in the folder.
    """

    property: str
    name: str
    arithmetic: tuple[str, ...]
    data: tuple[str, ...]
    inputs: int
    placements: int
    targets: int
    questions: int
    rate_at_most: Fraction | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protected:
    """Which changes of a registry need a certificate; names are patterns with `*`.

    Attributes:
        models: whose aliases and stages are protected.
        aliases, stages: that must point to certified versions only.
        every_version_of: models that may hold certified versions only (for registries where copying is promoting).
        withdrawal: whether anybody may take a version out of production.
    """

    models: tuple[str, ...] = ("*",)
    aliases: tuple[str, ...] = ("production",)
    stages: tuple[str, ...] = ("Production",)
    every_version_of: tuple[str, ...] = ()
    withdrawal: bool = False

    def alias(self, model: str, alias: str) -> bool:
        """Whether an alias of a model is protected. Letter case does not matter: some databases ignore it."""
        return _matches(self.models, model) and _matches(self.aliases, alias)

    def stage(self, model: str, stage: str) -> bool:
        """Whether a stage of a model is protected."""
        return _matches(self.models, model) and _matches(self.stages, stage)

    def versions(self, model: str) -> bool:
        """Whether every version of a model must be certified."""
        return _matches(self.every_version_of, model)


@dataclass(frozen=True)
class Tool:
    """Versions of verifluxa that count, those that do not, and strategies by name or digest (empty: any)."""

    minimum: tuple[int, ...] = ()
    recalled: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recheck:
    """Whether the gate recomputes the proof itself.

    Attributes:
        mode: `always`, `sample` (one in `one_in`, drawn by the gate) or `never`.
        one_in: of a sample.
        spec: the spec beside the policy, or None for the one that the result beside the certificate names.
        most_unrechecked: leaves that the checker may leave to the prover (those that a solver closed).
    """

    mode: str = "always"
    one_in: int = 10
    spec: Path | None = None
    most_unrechecked: int = 0


@dataclass(frozen=True)
class Revoked:
    """Digests of certificates (of their payload) and of files, ids of keys: none of them counts any more."""

    certificates: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Override:
    """Who may break the glass, how many must, and for how many hours at most. Without keys: nobody."""

    keys: tuple[PublicKey, ...] = ()
    threshold: int = 1
    most_hours: int = 24


@dataclass(frozen=True)
class Policy:
    """A policy, read.

    Attributes:
        path: where it was read; log and keys lie beside it.
        sha256: of its bytes.
        expires: when it stops permitting anything.
        log: the file of decisions.
        max_age_days: of a certificate.
        bound: a certificate must name this policy's digest.
        serial: grows with every edition, where the owner numbers them; an older edition than one that was seen denies.
        checkpoint: where the head of the log is kept besides, or None.
        refusals_a_minute: of one client; what is beyond is counted in the log and not written there.
        gate: keys of signed decisions, or None: then whoever loads or audits rechecks as the policy says.
    """

    path: Path
    sha256: str
    name: str
    expires: datetime
    log: Path
    protected: Protected
    signers: Signers
    requirements: tuple[Requirement, ...]
    max_age_days: int
    bound: bool = False
    tool: Tool = field(default_factory=Tool)
    recheck: Recheck = field(default_factory=Recheck)
    revoked: Revoked = field(default_factory=Revoked)
    override: Override = field(default_factory=Override)
    serial: int = 0
    checkpoint: Path | None = None
    refusals_a_minute: int = 60
    gate: GateKeys | None = None


class Table(documents.Table):
    """A table of a policy."""

    most = 1000

    @classmethod
    def error(cls, place: str, problem: str, expected: str | None) -> GateError:
        """VF6002."""
        return GateError(
            "VF6002",
            f"this is no policy: {problem}",
            place=place,
            expected=expected,
            remedy="docs/how-to/gate.md describes every key; a policy that is not understood denies everything",
        )


def load_policy(path: Path) -> Policy:
    """Reads a policy and its public keys.

    Raises:
        GateError: VF6001 when a file cannot be read, VF6002 when it is not a policy.
    """
    try:
        data = read_bytes(path, LARGEST)
    except CertificateError as error:
        raise _unreadable(str(path), error.message) from error
    check_signed(data, path)
    return parse_policy(data, path)


def check_signed(data: bytes, path: Path) -> None:
    """Where the machine names keys of the policy's owners, one of them must have signed it.

    `VERIFLUXA_POLICY_KEYS` holds paths of public keys, with `:` between. The signature lies beside the policy, in
    `policy.toml.dsse.json`; `verifluxa gate sign-policy` writes it.

    Raises:
        GateError: VF6006 when no signature holds.
    """
    text = os.environ.get(POLICY_KEYS, "")
    if not text:
        return
    named = [item for item in text.split(os.pathsep) if item]
    place = path.with_name(path.name + SIGNATURE)
    try:
        envelope = parse_envelope(read_bytes(place, LARGEST * 2), str(place), POLICY_TYPE)
        verify_envelope(envelope, [load_public_key(Path(item)) for item in named], 1, str(place))
        if envelope.payload != data:
            raise _unsigned(str(place), "the signature is about another edition of the policy")
    except CertificateError as error:
        raise _unsigned(str(place), error.message) from error


def sign_policy(path: Path, keys: Sequence[SigningKey]) -> Path:
    """Signs a policy, which must be one; returns the file with the signature.

    Raises:
        GateError: VF6001 or VF6002.
    """
    data = read_bytes(path, LARGEST)
    parse_policy(data, path)
    place = path.with_name(path.name + SIGNATURE)
    place.write_bytes(encode_envelope(sign_payload(data, list(keys), POLICY_TYPE)))
    return place


def parse_policy(data: bytes, path: Path) -> Policy:
    """Reads the bytes of a policy; keys are files beside `path`."""
    table = Table.parse(data, str(path))
    table.integer("schema", 1, 1)
    policy = Policy(
        path=path,
        sha256="sha256:" + hashlib.sha256(data).hexdigest(),
        name=table.text("name", default=path.stem),
        expires=table.time("expires"),
        log=path.parent / table.text("log", _BESIDE, default="decisions.jsonl"),
        protected=_protected(table.child("protected", {})),
        signers=_signers(table.child("signers", {}), path),
        requirements=tuple(_requirement(item) for item in table.tables("require")),
        max_age_days=table.integer("max_age_days", 1, 3660, 90),
        bound=table.flag("bound_to_policy", False),
        tool=_tool(table.child("tool", {})),
        recheck=_recheck(table.child("recheck", {}), path),
        revoked=_revoked(table.child("revoked", {})),
        override=_override(table.child("override", {}), path),
        serial=table.integer("serial", 0, 10**9, 0),
        checkpoint=path.parent / table.text("checkpoint", _BESIDE) if table.has("checkpoint") else None,
        refusals_a_minute=table.integer("refusals_a_minute", 1, 10**6, 60),
        gate=_gate(table.child("gate", {}), path) if table.has("gate") else None,
    )
    table.close()
    _check_apart(policy)
    return policy


def _protected(table: Table) -> Protected:
    plain = Protected()
    found = Protected(
        models=table.texts("models", default=plain.models),
        aliases=table.texts("aliases", default=plain.aliases),
        stages=table.texts("stages", default=plain.stages),
        every_version_of=table.texts("every_version_of", default=()),
        withdrawal=table.flag("withdrawal", False),
    )
    table.close()
    return found


def _signers(table: Table, path: Path) -> Signers:
    keys = _keys(table, path)
    signers = Signers(
        keys,
        table.integer("threshold", 1, max(1, len(keys)), 1),
        table.texts("verifiers", default=(VERIFIER_ID,)),
        tuple(_role(item, path) for item in table.tables("roles")) if table.has("roles") else (),
    )
    listed = {key_id(key) for key in keys}
    for role in signers.roles:
        if any(key_id(key) not in listed for key in role.keys):
            table.fail("roles", "keys that `keys` lists too", role.name)
    table.close()
    return signers


def _role(table: Table, path: Path) -> Role:
    keys = _keys(table, path)
    role = Role(table.text("name"), keys, table.integer("threshold", 1, max(1, len(keys)), 1))
    table.close()
    return role


def _gate(table: Table, path: Path) -> GateKeys:
    found = GateKeys(
        _keys(table, path),
        path.parent / table.text("key", _BESIDE) if table.has("key") else None,
        table.texts("command", default=()),
    )
    if found.key is not None and found.command:
        table.fail("command", "a `key` or a `command`, not both", list(found.command))
    table.close()
    return found


def _requirement(table: Table) -> Requirement:
    arithmetic = table.texts("arithmetic", default=("float32",))
    if not arithmetic or not set(arithmetic) <= set(ARITHMETICS):
        table.fail("arithmetic", "at least one of " + ", ".join(ARITHMETICS), list(arithmetic))
    found = Requirement(
        property=table.text("property", SHA256),
        name=table.text("name"),
        arithmetic=arithmetic,
        data=table.texts("data", SHA256),
        inputs=table.integer("inputs", 1, 10**9),
        placements=table.integer("placements", 1, 10**9),
        targets=table.integer("targets", 1, 10**9),
        questions=table.integer("questions", 1, 10**12),
        rate_at_most=Fraction(table.text("rate_at_most", _RATE)) if table.has("rate_at_most") else None,
        files=table.texts("files", SHA256, ()),
    )
    if not found.data:
        table.fail("data", "at least one digest", [])
    table.close()
    return found


def _tool(table: Table) -> Tool:
    found = Tool(
        minimum=version_numbers(table.text("minimum", _VERSION, default="0")),
        recalled=table.texts("recalled", default=()),
        strategies=table.texts("strategies", default=()),
    )
    table.close()
    return found


def _recheck(table: Table, path: Path) -> Recheck:
    found = Recheck(
        mode=table.choice("mode", *RECHECKS, default="always"),
        one_in=table.integer("one_in", 1, 10**6, 10),
        spec=path.parent / table.text("spec", _BESIDE) if table.has("spec") else None,
        most_unrechecked=table.integer("most_unrechecked", 0, 10**9, 0),
    )
    table.close()
    return found


def _revoked(table: Table) -> Revoked:
    found = Revoked(
        table.texts("certificates", SHA256, ()), table.texts("files", SHA256, ()), table.texts("keys", _HEX, ())
    )
    table.close()
    return found


def _override(table: Table, path: Path) -> Override:
    keys = _keys(table, path) if table.has("keys") else ()
    found = Override(
        keys, table.integer("threshold", 1, max(1, len(keys)), 1), table.integer("most_hours", 1, 24 * 31, 24)
    )
    table.close()
    return found


def _keys(table: Table, path: Path) -> tuple[PublicKey, ...]:
    names = table.texts("keys", _BESIDE)
    if not names:
        table.fail("keys", "at least one public key beside the policy", [])
    try:
        keys = tuple(load_public_key(path.parent / name) for name in names)
    except CertificateError as error:
        raise _unreadable(str(error.place), error.message) from error
    if len({key_id(key) for key in keys}) != len(keys):
        table.fail("keys", "each key once", list(names))
    return keys


def _check_apart(policy: Policy) -> None:
    """Nobody may both sign certificates and break the glass: an override is a second person's word."""
    signers = {key_id(key) for key in policy.signers.keys}
    if any(key_id(key) in signers for key in policy.override.keys):
        raise Table.error(
            str(policy.path), "a key both signs certificates and overrides", "different keys in the two lists"
        )
    people = signers | {key_id(key) for key in policy.override.keys}
    if policy.gate is not None and any(key_id(key) in people for key in policy.gate.keys):
        raise Table.error(str(policy.path), "a key of the gate belongs to a person too", "a key that only the gate has")


def version_numbers(text: str) -> tuple[int, ...]:
    """`0.1.0` as numbers, without zeros at the end; a version of another form is older than all (empty)."""
    if not _VERSION.matches(text):
        return ()
    numbers = [int(part) for part in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    folded = _fold(name)
    return any(re.fullmatch(re.escape(_fold(item)).replace(r"\*", ".*"), folded, re.DOTALL) for item in patterns)


def _fold(text: str) -> str:
    """A name in the one spelling that stands for all those which some database takes for the same.

    Some collations ignore letter case, accents, characters without a width, and white space at the end.
    """
    plain = normalize("NFKD", normalize("NFKC", text).casefold())
    return "".join(character for character in plain if category(character) not in ("Mn", "Cf")).strip()


def _unsigned(place: str, why: str) -> GateError:
    return GateError(
        "VF6006",
        f"the policy is not signed by its owners: {why}",
        place=place,
        expected=f"a signature by one of the keys that {POLICY_KEYS} names",
        remedy="have it signed: verifluxa gate sign-policy policy.toml --key OWNER.key",
    )


def _unreadable(place: str, why: str) -> GateError:
    return GateError(
        "VF6001",
        f"the policy or one of its keys is missing or unreadable: {why}",
        place=place,
        expected="a policy and its public keys beside the gate",
        remedy="without a policy nothing is promoted; restore the file from where policies are reviewed",
    )


VALID_DAYS = 365


def policy_text(statement: Statement, keys: list[str], now: datetime) -> str:
    """TOML that demands each certified property of a certificate, with its data and at least its numbers.

    Args:
        statement: of the certificate.
        keys: names of public key files beside the policy.
        now: the policy expires a year later.

    Raises:
        GateError: VF6052 when nothing in it is certified.
    """
    certified = [item for item in statement.properties if item.verdict is Verdict.CERTIFIED]
    if not certified:
        raise GateError(
            "VF6052",
            "the certificate certifies nothing that a policy could demand",
            expected="at least one certified property",
            remedy="start from the certificate of a model that you would accept",
        )
    listed = ", ".join(f'"{_escaped(key)}"' for key in keys)
    lines = ["schema = 1", f"expires = {time_text(now + timedelta(days=VALID_DAYS))}", "max_age_days = 90", ""]
    lines += ["[protected]", 'aliases = ["production"]', 'stages = ["Production"]', ""]
    lines += ["[signers]", f"keys = [{listed}]"]
    for item in certified:
        counts, data = item.coverage, statement.data[item.data]
        lines += ["", "[[require]]", f'name = "{_escaped(item.name)}"', f'property = "{item.digest}"']
        lines += [f'arithmetic = ["{item.arithmetic}"]', f'data = ["{data.digest}"]', f"inputs = {counts.inputs}"]
        if item.bound is not None:
            lines += [f'# rate_at_most = "{item.bound[1].value}"   # needed where the property measures a rate']
        lines += [f"placements = {counts.placements}", f"targets = {counts.targets}", f"questions = {counts.questions}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
