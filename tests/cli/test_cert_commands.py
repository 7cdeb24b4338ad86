"""`cert keygen | sign | show | verify` on the certificate of a real run."""

import gzip
import stat
from pathlib import Path

import pytest

FALSIFIED = ("--property", "universal", "--model", "digits=digits/badnets.jld2")


@pytest.fixture
def signed(verifluxa, small) -> Path:
    assert verifluxa("verify", small, *FALSIFIED, "--out", "out").code == 1
    assert verifluxa("cert", "keygen", "release.key").code == 0
    assert verifluxa("cert", "sign", "out/certificate.json", "--key", "release.key").code == 0
    return Path("out/certificate.dsse.json")


def test_a_key_is_private_and_never_overwritten(verifluxa, here):
    Path("password").write_text("a long sentence\n")
    ran = verifluxa("cert", "keygen", "release.key", "--password-file", "password")
    assert ran.code == 0
    assert stat.S_IMODE(Path("release.key").stat().st_mode) == 0o600
    assert "ENCRYPTED" in Path("release.key").read_text()
    assert verifluxa("cert", "keygen", "release.key").code == 2
    Path("empty").touch()
    ran = verifluxa("cert", "keygen", "other.key", "--password-file", "empty")
    assert (ran.code, "error[VF4407]" in ran.err) == (2, True)
    assert not Path("other.key").exists()


def test_a_signed_certificate_is_accepted_with_its_files(verifluxa, signed):
    ran = verifluxa("cert", "verify", signed, "--key", "release.key.pub")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "accepted: out/certificate.dsse.json (it says: falsified)\n"


def test_files_can_be_named(verifluxa, signed):
    Path("out/result.json").unlink()
    files = ["badnets.jld2=digits/badnets.jld2", "architecture.txt=digits/architecture.txt"]
    named = [argument for file in files for argument in ("--file", file)]
    assert verifluxa("cert", "verify", signed, "--key", "release.key.pub", *named).code == 0
    swapped = ["--file", "badnets.jld2=digits/clean.jld2", *named[2:]]
    assert verifluxa("cert", "verify", signed, "--key", "release.key.pub", *swapped).code == 1
    assert verifluxa("cert", "verify", signed, "--key", "release.key.pub").code == 1


def test_another_key_or_another_content_is_rejected(verifluxa, signed):
    verifluxa("cert", "keygen", "evil.key")
    ran = verifluxa("cert", "verify", signed, "--key", "evil.key.pub")
    assert ran.code == 1
    assert ran.out.startswith("REJECTED")
    assert "error[VF50" in ran.err
    signed.write_text(signed.read_text().replace("payload", "pay1oad", 1))
    assert verifluxa("cert", "verify", signed, "--key", "release.key.pub").code == 1
    assert verifluxa("cert", "verify", "missing.json", "--key", "release.key.pub").code == 1


def test_show_says_that_it_verified_nothing(verifluxa, signed):
    ran = verifluxa("cert", "show", "out/certificate.json")
    assert ran.code == 0
    assert "NOT signed" in ran.out
    assert "NOT verified" in verifluxa("cert", "show", signed).out


def test_a_group_without_a_command_is_usage(verifluxa):
    assert verifluxa("cert", "forge").code == 2


def test_a_certificate_is_recomputed_from_the_files_of_its_result(verifluxa, small):
    assert verifluxa("verify", small, "--property", "universal", "--out", "out").code == 0
    ran = verifluxa("cert", "check", "out/certificate.json")
    assert ran.code == 0, ran.err
    assert "\naccepted (it says: certified)\n" in ran.out
    assert ran.out.splitlines()[1].startswith("  universal: No single 3 x 3 px patch")
    assert "4 questions, 4 leaves recomputed" in ran.out
    assert "not signed" in ran.out


def test_a_certificate_of_another_model_is_rejected(verifluxa, small):
    verifluxa("verify", small, "--property", "universal", "--out", "out")
    ran = verifluxa("cert", "check", "out/certificate.json", "--model", "digits=digits/badnets.jld2")
    assert ran.code == 1
    assert ran.out.startswith("REJECTED")
    assert "error[VF5050]" in ran.err
    assert verifluxa("cert", "check", "missing.json").code == 1
    assert verifluxa("cert", "check", "out/certificate.json", "--model", "digits").code == 2


def test_tampered_evidence_is_rejected(verifluxa, small):
    verifluxa("verify", small, "--property", "universal", "--out", "out")
    path = Path("out/evidence.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:2] + lines[3:])))
    ran = verifluxa("cert", "check", "out/certificate.json")
    assert ran.code == 1
    assert "\nREJECTED (it says: certified)\n" in ran.out
