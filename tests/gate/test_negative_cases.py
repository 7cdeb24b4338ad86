"""Every way around the gate that the threat table names: each is refused, with its own reason."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.gate.desk import FILES, NOW, OTHER, Desk, codes, prop
from verifluxa.certificate.check.report import CheckReport, PropertyCheck
from verifluxa.certificate.encode import encode_statement
from verifluxa.certificate.statement import PropertyResult, Statement, Subject
from verifluxa.errors import CertificateError
from verifluxa.flux.limits import FILE_BYTES
from verifluxa.gate.case import Case, Rechecked
from verifluxa.gate.files import measure
from verifluxa.verdict import Reason, Verdict


def test_what_is_in_order_is_permitted(desk: Desk) -> None:
    decision = desk.decide()
    assert codes(decision) == []
    assert decision.permitted
    assert decision.certificate.startswith("sha256:")
    assert dict(decision.files) == dict(measure(desk.model).digests)


# The files.


def flipped_bit(desk: Desk) -> None:
    path = desk.model / "clean.jld2"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)


def symlink_out(desk: Desk) -> None:
    (desk.root / "elsewhere.jld2").write_bytes(FILES["clean.jld2"])
    (desk.model / "clean.jld2").unlink()
    (desk.model / "clean.jld2").symlink_to(desk.root / "elsewhere.jld2")


def swap(name: str) -> Callable[[Desk], None]:
    return lambda desk: (desk.model / name).write_bytes(b"another text") and None


FILE_CASES: dict[str, tuple[Callable[[Desk], Any], list[str]]] = {
    "a flipped bit in the weights": (flipped_bit, ["VF6010"]),
    "an extra file": (lambda desk: (desk.model / "loader.jl").write_text("run(`curl`)"), ["VF6012"]),
    "an extra file in a folder within": (
        lambda desk: ((desk.model / "code").mkdir(), (desk.model / "code" / "a.py").touch()),
        ["VF6012"],
    ),
    "a missing file": (lambda desk: (desk.model / "vocabulary.txt").unlink(), ["VF6011"]),
    "a renamed file": (lambda desk: (desk.model / "clean.jld2").rename(desk.model / "other.jld2"), ["VF6014"]),
    "a symlink out of the folder": (symlink_out, ["VF6013", "VF6011"]),
    "the architecture swapped, the weights stay": (swap("architecture.txt"), ["VF6010"]),
    "the vocabulary swapped, the weights stay": (swap("vocabulary.txt"), ["VF6010"]),
    "no folder at all": (lambda desk: desk.model.rename(desk.root / "gone"), ["VF6013", "VF6011", "VF6011", "VF6011"]),
}


@pytest.mark.parametrize("name", FILE_CASES)
def test_files(desk: Desk, name: str) -> None:
    change, expected = FILE_CASES[name]
    change(desk)
    assert codes(desk.decide()) == expected


def test_a_file_larger_than_any_model(desk: Desk) -> None:
    with (desk.model / "clean.jld2").open("wb") as file:
        file.truncate(FILE_BYTES + 1)
    assert codes(desk.decide()) == ["VF6013", "VF6011"]


def test_two_files_that_changed_names(desk: Desk) -> None:
    one, two = desk.model / "architecture.txt", desk.model / "vocabulary.txt"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert codes(desk.decide()) == ["VF6010", "VF6010"]


# The envelope.


def edited(envelope: bytes, **changes: object) -> bytes:
    value = json.loads(envelope)
    value.update(changes)
    return json.dumps(value).encode()


def key_id_of(envelope: bytes) -> str:
    return str(json.loads(envelope)["signatures"][0]["keyid"])


def swapped_key_id(desk: Desk) -> bytes:
    """A stranger's signature under the id of the key that is trusted."""
    envelope = json.loads(desk.signed(None, "stranger"))
    envelope["signatures"][0]["keyid"] = key_id_of(desk.signed())
    return json.dumps(envelope).encode()


def changed_payload(desk: Desk) -> bytes:
    envelope = json.loads(desk.signed())
    payload = base64.b64decode(envelope["payload"]).replace(b"digits/7", b"digits/8")
    envelope["payload"] = base64.b64encode(payload).decode()
    return json.dumps(envelope).encode()


def duplicate_keys_inside(desk: Desk) -> bytes:
    """Signed by the right key, so that only strict reading helps."""
    payload = encode_statement(desk.statement)
    return desk.sealed(payload.replace(b'"resourceUri"', b'"resourceUri":"x","resourceUri"', 1))


ENVELOPE_CASES: dict[str, tuple[Callable[[Desk], bytes], str]] = {
    "unsigned": (lambda desk: encode_statement(desk.statement), "VF5022"),
    "no signature left": (lambda desk: edited(desk.signed(), signatures=[]), "VF5022"),
    "a wrong key": (lambda desk: desk.signed(None, "stranger"), "VF5024"),
    "the key id swapped": (swapped_key_id, "VF5024"),
    "the payload changed": (changed_payload, "VF5024"),
    "the payload type changed": (lambda desk: edited(desk.signed(), payloadType="application/json"), "VF5020"),
    "duplicate keys in the envelope": (
        lambda desk: desk.signed().replace(b'"payload"', b'"payload":"","payload"', 1),
        "VF5002",
    ),
    "duplicate keys in the payload": (duplicate_keys_inside, "VF5002"),
    "another predicate type": (
        lambda desk: desk.sealed(encode_statement(desk.statement).replace(b"robustness/v1", b"robustness/v0")),
        "VF5010",
    ),
    "another statement type": (
        lambda desk: desk.sealed(encode_statement(desk.statement).replace(b"Statement/v1", b"Statement/v2")),
        "VF5010",
    ),
    "no JSON": (lambda desk: b"certified", "VF5001"),
    "an empty file": (lambda desk: b"", "VF5001"),
    "signed twice by one key": (lambda desk: desk.signed(None, "release", "release"), "VF5023"),
}


@pytest.mark.parametrize("name", ENVELOPE_CASES)
def test_envelopes(desk: Desk, name: str) -> None:
    make, expected = ENVELOPE_CASES[name]
    assert codes(desk.decide(desk.case(make(desk)))) == [expected]


def test_no_certificate(desk: Desk) -> None:
    assert codes(desk.decide(replace(desk.case(), certificates=()))) == ["VF6005"]


def test_too_few_signatures(desk: Desk) -> None:
    def two(text: str) -> str:
        return text.replace('keys = ["release.pub"]', 'keys = ["release.pub", "second.pub"]\nthreshold = 2')

    assert codes(desk.decide(change=two)) == ["VF5024"]
    assert codes(desk.decide(desk.case(desk.signed(None, "release", "second")))) == []


def test_a_revoked_key(desk: Desk) -> None:
    revoked = f'\n[revoked]\nkeys = ["{key_id_of(desk.signed())}"]\n'
    assert codes(desk.decide(change=lambda text: text + revoked)) == ["VF6062"]


# What the certificate says.


def coverage(statement: Statement, **changes: int) -> Statement:
    counts = replace(statement.properties[0].coverage, **changes)
    data = replace(statement.data[0], counted=counts.inputs)
    return replace(prop(statement, coverage=counts), data=(data,))


def open_question(statement: Statement) -> Statement:
    counts = replace(statement.properties[0].coverage, certified=3, unknown=1)
    return prop(statement, verdict=Verdict.UNKNOWN, reason=Reason.TIME, coverage=counts)


def versions(statement: Statement, version: str) -> Statement:
    others = tuple(item for item in statement.verifier.versions if item[0] != "verifluxa")
    return replace(statement, verifier=replace(statement.verifier, versions=(*others, ("verifluxa", version))))


def another_property(statement: Statement) -> PropertyResult:
    return replace(statement.properties[0], name="easy", digest=OTHER)


STATEMENT_CASES: dict[str, tuple[Callable[[Statement], Statement], list[str]]] = {
    "of another model": (
        lambda it: replace(it, subjects=tuple(Subject(item.name, OTHER) for item in it.subjects)),
        ["VF6010", "VF6010", "VF6010"],
    ),
    "of another version": (lambda it: replace(it, resource_uri="models:/digits/6@production"), ["VF6030"]),
    "for another resource": (lambda it: replace(it, resource_uri="models:/letters/7@production"), ["VF6030"]),
    "for another alias": (lambda it: replace(it, resource_uri="models:/digits/7@staging"), ["VF6030"]),
    "for no promotion": (lambda it: replace(it, resource_uri="none"), ["VF6030"]),
    "expired": (lambda it: replace(it, expires=NOW - timedelta(seconds=1)), ["VF5033"]),
    "from the future": (lambda it: replace(it, time_verified=NOW + timedelta(hours=2)), ["VF5032"]),
    "older than the policy allows": (
        lambda it: replace(it, time_verified=NOW - timedelta(days=31), expires=NOW + timedelta(days=1)),
        ["VF6020"],
    ),
    "unknown, with every question certified": (
        lambda it: prop(it, verdict=Verdict.UNKNOWN, reason=Reason.MEMORY, coverage=it.properties[0].coverage),
        ["VF5011"],
    ),
    "unknown": (open_question, ["VF6052", "VF6054"]),
    "unknown counted as success": (
        lambda it: prop(it, coverage=replace(it.properties[0].coverage, certified=3, unknown=1)),
        ["VF5011"],
    ),
    "the property dropped": (lambda it: replace(it, properties=(another_property(it),)), ["VF6050"]),
    "the property weakened, or renamed to the wanted name": (lambda it: prop(it, digest=OTHER), ["VF6051"]),
    "the right name beside another statement": (
        lambda it: replace(it, properties=(replace(it.properties[0], digest=OTHER), another_property(it))),
        ["VF6051"],
    ),
    "real arithmetic": (lambda it: prop(it, arithmetic="real"), ["VF6053"]),
    "a data digest that is not allowed": (
        lambda it: replace(it, data=(replace(it.data[0], digest=OTHER),)),
        ["VF6055"],
    ),
    "fewer inputs": (lambda it: coverage(it, inputs=2), ["VF6056"]),
    "fewer placements than the spec says": (lambda it: coverage(it, placements=1), ["VF6056"]),
    "fewer targets": (lambda it: coverage(it, targets=1), ["VF6056"]),
    "fewer questions": (lambda it: coverage(it, questions=3, certified=3), ["VF6056"]),
    "evidence missing": (lambda it: prop(it, evidence="none"), ["VF5011"]),
    "signed under another policy": (lambda it: replace(it, policy=OTHER), ["VF6061"]),
    "another verifier": (
        lambda it: replace(it, verifier=replace(it.verifier, id="https://example.invalid/verifier")),
        ["VF6040"],
    ),
    "a version that cannot be read": (lambda it: versions(it, "latest"), ["VF6041"]),
}


@pytest.mark.parametrize("name", STATEMENT_CASES)
def test_statements(desk: Desk, name: str) -> None:
    change, expected = STATEMENT_CASES[name]
    changed = desk.signed(change(desk.statement))
    assert codes(desk.decide(desk.case(changed))) == expected


def test_messages_of_the_gate(desk: Desk, snapshot: SnapshotAssertion) -> None:
    cases = {name: desk.case(desk.signed(change(desk.statement))) for name, (change, _) in STATEMENT_CASES.items()}
    found = {name: _own(desk, case) for name, case in cases.items()}
    for name, (change, _) in FILE_CASES.items():
        change(desk)
        found[name] = _own(desk, desk.case())
        shutil.rmtree(desk.model, ignore_errors=True)
        desk.model.mkdir()
        for file, data in FILES.items():
            (desk.model / file).write_bytes(data)
    assert {name: texts for name, texts in found.items() if texts} == snapshot


def _own(desk: Desk, case: Case) -> list[str]:
    """The texts of the gate's own reasons, without the place of this test."""
    digest = desk.policy().sha256
    texts = [str(reason) for reason in desk.decide(case).reasons if reason.code.startswith("VF6")]
    return [text.replace(str(desk.root), "DESK").replace(digest, "POLICY") for text in texts]


def test_a_measured_rate_and_a_reference_model(desk: Desk) -> None:
    """What a measure proves, and what a comparison compares with, stand in no property digest."""

    def demand(line: str) -> Callable[[str], str]:
        return lambda text: text.replace("questions = 4", f"questions = 4\n{line}")

    before = desk.policy_path.read_text()
    reference = measure(desk.model).digests["vocabulary.txt"]
    lines = {'rate_at_most = "1/4"': ["VF6063"], 'rate_at_most = "1/3"': [], f'files = ["{OTHER}"]': ["VF6064"]}
    for line, expected in lines.items():
        assert codes(desk.decide(change=demand(line))) == expected
        desk.policy_path.write_text(before)
    none = desk.case(desk.signed(prop(desk.statement, bound=None)))
    assert codes(desk.decide(none, demand('rate_at_most = "1"'))) == ["VF6063"]
    desk.policy_path.write_text(before)
    # A reference that the policy names need not be promoted; everything else must lie there, and something must.
    desk.policy(demand(f'files = ["{reference}"]'))
    assert codes(desk.decide()) == []
    (desk.model / "vocabulary.txt").unlink()
    assert codes(desk.decide()) == []
    (desk.model / "clean.jld2").unlink()
    assert codes(desk.decide()) == ["VF6011"]
    (desk.model / "architecture.txt").unlink()
    assert codes(desk.decide()) == ["VF6011", "VF6011", "VF6011"]


POLICY_CASES: dict[str, tuple[Callable[[str], str], list[str]]] = {
    "a recalled tool": (lambda text: text + '\n[tool]\nrecalled = ["0.1.0"]\n', ["VF6042"]),
    "a tool that is too old": (lambda text: text + '\n[tool]\nminimum = "0.2"\n', ["VF6041"]),
    "a strategy that does not count": (lambda text: text + '\n[tool]\nstrategies = ["thorough"]\n', ["VF6043"]),
    "an expired policy": (lambda text: text.replace("2099-01-01", "2026-01-01"), ["VF6003"]),
    "a policy that must be named": (lambda text: "bound_to_policy = true\n" + text, ["VF6061"]),
    "a recheck without evidence": (lambda text: text, ["VF6058"]),
}


@pytest.mark.parametrize("name", POLICY_CASES)
def test_policies(desk: Desk, name: str) -> None:
    change, expected = POLICY_CASES[name]
    case = desk.case()
    if name == "a recheck without evidence":
        case = replace(case, rechecked=Rechecked(True))
    assert codes(desk.decide(case, change)) == expected


def test_a_revoked_certificate_or_file(desk: Desk) -> None:
    certificate = desk.decide().certificate
    file = measure(desk.model).digests["clean.jld2"]
    revoked = f'\n[revoked]\ncertificates = ["{certificate}"]\nfiles = ["{file}"]\n'
    assert codes(desk.decide(change=lambda text: text + revoked)) == ["VF6060", "VF6060"]


# The recheck.


def checked(desk: Desk, **changes: Any) -> CheckReport:
    item = PropertyCheck(leaves=5, said=desk.statement.properties[0])
    report = CheckReport(True, True, (), (), (item,), desk.statement)
    return replace(report, **changes)


def rechecked(desk: Desk, report: CheckReport) -> Case:
    return replace(desk.case(), rechecked=Rechecked(True, report))


def test_a_recheck_that_holds(desk: Desk) -> None:
    assert codes(desk.decide(rechecked(desk, checked(desk)))) == []


def test_evidence_that_does_not_match(desk: Desk) -> None:
    wrong = CertificateError("VF5051", "this is not the evidence")
    report = checked(desk, accepted=False, reasons=(wrong,), properties=())
    assert codes(desk.decide(rechecked(desk, report))) == ["VF5051"]


def test_a_proof_that_does_not_hold(desk: Desk) -> None:
    wrong = CertificateError("VF5054", "a drop does not hold")
    report = checked(desk, accepted=False, reasons=(wrong,))
    assert codes(desk.decide(rechecked(desk, report))) == ["VF6058", "VF5054"]


def test_unrechecked_leaves_beyond_the_maximum(desk: Desk) -> None:
    item = replace(checked(desk).properties[0], unrechecked=2)
    case = rechecked(desk, checked(desk, properties=(item,)))
    assert codes(desk.decide(case)) == ["VF6057"]
    allowed = codes(desk.decide(case, lambda text: text.replace('"never"', '"always"\nmost_unrechecked = 2')))
    assert allowed == []


def test_a_recheck_of_something_else(desk: Desk) -> None:
    other = replace(desk.statement, resource_uri="none")
    assert codes(desk.decide(rechecked(desk, checked(desk, statement=other)))) == ["VF6058"]
    assert codes(desk.decide(rechecked(desk, checked(desk, properties=())))) == ["VF6058"]
