"""A release desk for tests: a model's folder, a certificate about it, a policy with keys, all made when asked for."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.certificate.conftest import FACTS, RESULT
from verifluxa.certificate.build import build_statement
from verifluxa.certificate.dsse import sign_payload
from verifluxa.certificate.encode import encode_statement
from verifluxa.certificate.envelope import encode_envelope
from verifluxa.certificate.keys import PrivateKey, keygen, load_private_key
from verifluxa.certificate.statement import Statement, Subject
from verifluxa.gate.case import Case, Decision, Rechecked
from verifluxa.gate.decide import decide
from verifluxa.gate.files import measure
from verifluxa.gate.log_index import Memory
from verifluxa.gate.policy import Policy, load_policy
from verifluxa.gate.reference import parse_reference
from verifluxa.verdict import Verdict

NOW = datetime(2026, 2, 10, 12, 0, 0, tzinfo=UTC)
REFERENCE = "models:/digits/7@production"
OTHER = "sha256:" + "9" * 64
"""The digest of something else."""
FILES = {"clean.jld2": b"weights of a network", "architecture.txt": b"Chain(Dense(2 => 2))", "vocabulary.txt": b"a b c"}

POLICY = """
schema = 1
expires = 2099-01-01T00:00:00Z
max_age_days = 30

[protected]
aliases = ["production"]

[signers]
keys = ["release.pub"]

[recheck]
mode = "never"

[[require]]
name = "holds"
property = "{property}"
data = ["{data}"]
inputs = 3
placements = 2
targets = 2
questions = 4
"""


@dataclass(frozen=True)
class Desk:
    """A folder `model/` with files, and `gate/` with a policy and public keys; private keys beside."""

    root: Path
    statement: Statement
    keys: dict[str, PrivateKey]

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def policy_path(self) -> Path:
        return self.root / "gate" / "policy.toml"

    def policy(self, change: Callable[[str], str] | None = None) -> Policy:
        if change is not None:
            self.policy_path.write_text(change(self.policy_path.read_text()))
        return load_policy(self.policy_path)

    def signed(self, statement: Statement | None = None, *names: str) -> bytes:
        return self.sealed(encode_statement(statement or self.statement), *names)

    def sealed(self, payload: bytes, *names: str) -> bytes:
        return encode_envelope(sign_payload(payload, [self.keys[name] for name in names or ("release",)]))

    def case(self, *certificates: bytes) -> Case:
        given = certificates or (self.signed(),)
        return Case(parse_reference(REFERENCE), given, measure(self.model), NOW, Memory(), Rechecked(False))

    def decide(self, case: Case | None = None, change: Callable[[str], str] | None = None) -> Decision:
        return decide(self.policy(change), case or self.case())


def make_desk(root: Path) -> Desk:
    """Everything in place, so that the gate permits."""
    (root / "model").mkdir()
    (root / "gate").mkdir()
    for name, data in FILES.items():
        (root / "model" / name).write_bytes(data)
    keys = {}
    for name in ("release", "second", "officer", "stranger"):
        pair = keygen(root / f"{name}.key", algorithm="ed25519" if name == "second" else "ecdsa-p256")
        pair.public.rename(root / "gate" / f"{name}.pub")
        keys[name] = load_private_key(pair.private)
    statement = _statement()
    prop = statement.properties[0]
    data = statement.data[prop.data].digest
    (root / "gate" / "policy.toml").write_text(POLICY.format(property=prop.digest, data=data))
    return Desk(root, statement, keys)


def _statement() -> Statement:
    """The certified property of the sample result alone, about the files of the desk, for this promotion."""
    whole = build_statement(copy.deepcopy(RESULT), replace(FACTS, valid_for=timedelta(days=60)))
    prop = whole.properties[0]
    return replace(
        whole,
        subjects=tuple(Subject(name, "sha256:" + hashlib.sha256(data).hexdigest()) for name, data in FILES.items()),
        resource_uri=REFERENCE,
        verdict=Verdict.CERTIFIED,
        properties=(prop,),
        data=(whole.data[prop.data],),
    )


def codes(decision: Decision) -> list[str]:
    """The codes of the reasons, in order."""
    assert decision.permitted == (not decision.reasons or decision.override is not None)
    return [reason.code for reason in decision.reasons]


def prop(statement: Statement, **changes: Any) -> Statement:
    """The statement with its property changed."""
    changed = replace(statement.properties[0], **changes)
    return replace(statement, properties=(changed,), verdict=changed.verdict)
