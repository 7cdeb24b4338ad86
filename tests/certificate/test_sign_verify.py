"""From an unsigned certificate to a report: what `cert sign`, `cert verify` and `cert show` do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from verifluxa.certificate.dsse import sign_payload, verify_envelope
from verifluxa.certificate.encode import encode_statement
from verifluxa.certificate.envelope import MOST_SIGNATURES, Signature, encode_envelope, parse_envelope
from verifluxa.certificate.keys import KeyPair, keygen, load_private_key, load_public_key
from verifluxa.certificate.load import load_statement
from verifluxa.certificate.show import show
from verifluxa.certificate.sign import Release, Signed, sign, svr_path
from verifluxa.certificate.statement import Statement, Subject
from verifluxa.certificate.verify import VerifyReport, verify
from verifluxa.errors import CertificateError, UsageError


@dataclass(frozen=True)
class Desk:
    """A folder with a model file, its certificate, a key, and the signed certificate."""

    folder: Path
    key: KeyPair
    signed: Signed
    statement: Statement

    @property
    def files(self) -> dict[str, Path]:
        return {"clean.jld2": self.folder / "clean.jld2"}

    def verify(self, files: dict[str, Path] | None = None, days: int = 1) -> VerifyReport:
        now = self.statement.time_verified + timedelta(days=days)
        return verify(self.signed.envelope, [self.key.public], self.files if files is None else files, now)


@pytest.fixture
def desk(tmp_path: Path, statement: Statement) -> Desk:
    (tmp_path / "clean.jld2").write_bytes(b"weights")
    subject = Subject("clean.jld2", "sha256:" + hashlib.sha256(b"weights").hexdigest())
    statement = replace(statement, subjects=(subject,))
    (tmp_path / "certificate.json").write_bytes(encode_statement(statement))
    key = keygen(tmp_path / "key")
    signed = sign(tmp_path / "certificate.json", key.private, tmp_path / "certificate.dsse.json")
    return Desk(tmp_path, key, signed, statement)


def codes(report: VerifyReport) -> list[str]:
    assert report.accepted == (not report.reasons)
    return [reason.code for reason in report.reasons]


def test_accepted(desk: Desk) -> None:
    report = desk.verify()
    assert report.accepted
    assert report.statement == desk.statement
    assert report.key_ids == (desk.key.key_id,) == (desk.signed.key_id,)


def test_derived_statement_is_signed_too(desk: Desk) -> None:
    assert desk.signed.svr.name == "certificate.svr.dsse.json"
    report = verify(desk.signed.svr, [desk.key.public], desk.files, desk.statement.time_verified)
    assert codes(report) == ["VF5010"]
    assert report.key_ids == (desk.key.key_id,)
    assert svr_path(Path("a/b")) == Path("a/b.svr")


def test_files_must_be_exactly_the_certified_ones(desk: Desk) -> None:
    assert codes(desk.verify({})) == ["VF5031"]
    assert codes(desk.verify({"clean.jld2": desk.folder / "gone"})) == ["VF5007"]
    assert codes(desk.verify({**desk.files, "extra.txt": desk.folder / "key.pub"})) == ["VF5031"]
    (desk.folder / "clean.jld2").write_bytes(b"weights!")
    assert codes(desk.verify()) == ["VF5030"]


def test_times(desk: Desk) -> None:
    assert codes(desk.verify(days=-1)) == ["VF5032"]
    assert codes(desk.verify(days=366)) == ["VF5033"]
    assert codes(desk.verify(days=0)) == []


def test_every_reason_is_given(desk: Desk, snapshot: SnapshotAssertion) -> None:
    report = desk.verify({"extra.txt": desk.folder / "key.pub"}, days=400)
    assert codes(report) == ["VF5031", "VF5031", "VF5033"]
    assert "\n\n".join(str(reason) for reason in report.reasons) == snapshot


def test_signature_before_anything_else(desk: Desk) -> None:
    other = keygen(desk.folder / "other")
    report = verify(desk.signed.envelope, [other.public], desk.files, desk.statement.time_verified)
    assert codes(report) == ["VF5024"]
    assert report.statement is None


def test_unsigned_missing_and_broken_are_reasons(desk: Desk) -> None:
    now = desk.statement.time_verified
    for name, code in (("certificate.json", "VF5022"), ("gone", "VF5007"), ("clean.jld2", "VF5001")):
        assert codes(verify(desk.folder / name, [desk.key.public], desk.files, now)) == [code]
    assert codes(verify(desk.signed.envelope, [desk.folder / "gone"], desk.files, now)) == ["VF5007"]


def test_a_payload_that_is_signed_but_bad(desk: Desk) -> None:
    key = load_private_key(desk.key.private)
    desk.signed.envelope.write_bytes(encode_envelope(sign_payload(b'{"a": 1, "a": 2}', [key])))
    report = desk.verify()
    assert codes(report) == ["VF5002"]
    assert report.key_ids == (desk.key.key_id,)


def test_release_fields_are_set_by_the_signer(desk: Desk) -> None:
    release = Release("models:/digits/7@production", "sha256:" + "9" * 64, datetime(2026, 3, 1, tzinfo=UTC))
    out = desk.folder / "release.dsse.json"
    signed = sign(desk.folder / "certificate.json", desk.key.private, out, release=release)
    assert signed.statement == replace(
        desk.statement,
        resource_uri="models:/digits/7@production",
        policy="sha256:" + "9" * 64,
        expires=datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert load_statement(out) == (signed.statement, True)


@pytest.mark.parametrize("release", [Release(policy="any"), Release(expires=datetime(2020, 1, 1, tzinfo=UTC))])
def test_a_bad_release_field_is_not_signed(desk: Desk, release: Release) -> None:
    out = desk.folder / "release.dsse.json"
    with pytest.raises(CertificateError):
        sign(desk.folder / "certificate.json", desk.key.private, out, release=release)
    assert not out.exists()


def test_several_people_sign_one_certificate(desk: Desk) -> None:
    second, envelope = keygen(desk.folder / "second"), desk.signed.envelope
    first = parse_envelope(envelope.read_bytes())
    signed = sign(envelope, second.private, envelope)
    now = desk.statement.time_verified + timedelta(days=1)
    report = verify(envelope, [desk.key.public, second.public], desk.files, now, 2)
    assert (report.accepted, report.key_ids) == (True, (desk.key.key_id, second.key_id))
    assert parse_envelope(envelope.read_bytes()).payload == first.payload
    summary = parse_envelope(signed.svr.read_bytes())
    assert [item.key_id for item in summary.signatures] == [desk.key.key_id, second.key_id]
    assert verify_envelope(summary, [load_public_key(key.public) for key in (desk.key, second)], 2)
    for key in (desk.key, second):
        with pytest.raises(CertificateError) as caught:
            sign(envelope, key.private, envelope)
        assert caught.value.code == "VF5023"


def test_who_signs_after_others_signs_what_they_signed(desk: Desk) -> None:
    second, envelope = keygen(desk.folder / "second"), desk.signed.envelope
    kept = envelope.read_bytes()
    for release in (Release(resource_uri="other"), Release(expires=datetime(2027, 1, 1, tzinfo=UTC))):
        with pytest.raises(UsageError) as caught:
            sign(envelope, second.private, envelope, release=release)
        assert caught.value.code == "VF4502"
    # A summary of another certificate is not signed: a new one is made.
    desk.signed.svr.write_bytes(encode_envelope(sign_payload(b"{}", [load_private_key(desk.key.private)])))
    out = desk.folder / "both.dsse.json"
    sign(envelope, second.private, out)
    assert [item.key_id for item in parse_envelope(svr_path(out).read_bytes()).signatures] == [second.key_id]
    assert envelope.read_bytes() == kept


def test_no_more_signatures_than_a_reader_takes(desk: Desk) -> None:
    key = load_private_key(desk.key.private)
    envelope = sign_payload(encode_statement(desk.statement), [key])
    many = tuple(Signature(f"{number}", bytes([number]) * 64) for number in range(MOST_SIGNATURES))
    desk.signed.envelope.write_bytes(encode_envelope(replace(envelope, signatures=many)))
    kept = desk.signed.envelope.read_bytes()
    with pytest.raises(CertificateError):
        sign(desk.signed.envelope, desk.key.private, desk.signed.envelope)
    assert desk.signed.envelope.read_bytes() == kept


def test_a_broken_certificate_is_not_signed(desk: Desk) -> None:
    (desk.folder / "certificate.json").write_bytes(b"{}")
    out = desk.folder / "release.dsse.json"
    with pytest.raises(CertificateError):
        sign(desk.folder / "certificate.json", desk.key.private, out)
    assert not out.exists()


def test_no_half_written_file_is_left(desk: Desk) -> None:
    (desk.folder / "taken").mkdir()
    with pytest.raises(UsageError) as caught:
        sign(desk.folder / "certificate.json", desk.key.private, desk.folder / "taken")
    assert caught.value.code == "VF4903"
    with pytest.raises(UsageError):
        sign(desk.folder / "certificate.json", desk.key.private, desk.folder / "no" / "folder")
    assert not list(desk.folder.glob("*.part"))


def test_show_says_whether_it_is_signed(desk: Desk) -> None:
    assert "NOT signed" in show(desk.folder / "certificate.json")
    assert "NOT verified" in show(desk.signed.envelope)
    with pytest.raises(CertificateError):
        show(desk.key.public)
