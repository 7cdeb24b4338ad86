"""From real certificates to promotions: folders, the commands, the recheck, loading, the audit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.gate.plant import Plant
from verifluxa.cli.main import run
from verifluxa.errors import GateError, ManyErrors
from verifluxa.gate import load_model
from verifluxa.gate.audit import audit
from verifluxa.gate.case import Decision
from verifluxa.gate.files import measure
from verifluxa.gate.folder_registry import FolderRegistry
from verifluxa.gate.log import Log, read_lines
from verifluxa.gate.oci_registry import OciRegistry
from verifluxa.gate.policy import load_policy, parse_policy
from verifluxa.gate.promote import Papers, promote
from verifluxa.gate.recheck import drawn
from verifluxa.gate.reference import Reference
from verifluxa.gate.registry import Registry
from verifluxa.spec.check import load_spec
from verifluxa.spec.digest import property_digest


@pytest.fixture
def plant(made: Plant) -> Plant:
    """Without what an earlier test decided."""
    for path in made.policy.parent.glob("decisions.jsonl*"):
        path.unlink()
    return made


@pytest.fixture(params=["folder", "oci"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> FolderRegistry | OciRegistry:
    kind = {"folder": FolderRegistry, "oci": OciRegistry}[request.param]
    return kind(tmp_path / "registry")


Local = FolderRegistry | OciRegistry


def add(plant: Plant, registry: Local, name: str) -> tuple[Reference, Papers]:
    reference = registry.add("digits", plant.model(name)).at("production")
    return reference, Papers((plant.signed(name, str(reference)),))


def codes(decision: Decision) -> list[str]:
    return [item.code for item in decision.reasons]


def test_only_the_certified_model_gets_through(plant: Plant, registry: Local) -> None:
    bad, its = add(plant, registry, "badnets")
    denied = promote(plant.policy, registry, bad, its)
    # The backdoored model is wrong about one more input, too.
    assert (denied.permitted, codes(denied)) == (False, ["VF6052", "VF6054", "VF6056"])
    assert registry.current(bad) is None
    clean, papers = add(plant, registry, "clean")
    permitted = promote(plant.policy, registry, clean, papers)
    assert (permitted.permitted, codes(permitted)) == (True, [])
    assert registry.current(clean) == 2
    assert list(registry.live()) == [clean]
    assert [entry.permitted for entry in read_lines(load_policy(plant.policy).log)] == [False, True]
    # Afterwards the documents lie beside the version; promotion and proof can be repeated from them.
    assert [item.permitted for item in audit(plant.policy, registry, rechecks=True)] == [True]
    assert promote(plant.policy, registry, clean).permitted


def test_a_copy_of_a_version_is_another_version(plant: Plant, registry: Local) -> None:
    _, papers = add(plant, registry, "clean")
    second = registry.add("digits", plant.model("clean")).at("production")
    assert codes(promote(plant.policy, registry, second, papers)) == ["VF6030"]


def test_an_unknown_version_and_a_registry_that_is_not_there(plant: Plant, tmp_path: Path) -> None:
    for registry, code in ((FolderRegistry(tmp_path), "VF6081"), (FolderRegistry(tmp_path / "no"), "VF6080")):
        with pytest.raises(GateError) as caught:
            promote(plant.policy, registry, Reference("folder", "digits", 9, "production"))
        assert caught.value.code == code
    with pytest.raises(GateError) as caught:
        OciRegistry(tmp_path / "no").fetch(Reference("oci", "digits", 9), tmp_path / "into")
    assert caught.value.code == "VF6080"


class Swapping:
    """A registry in which somebody swaps an artifact at the moment of the promotion."""

    def __init__(self, inner: FolderRegistry) -> None:
        self.inner = inner
        self.decides = False

    def point(self, reference: Reference, decision: Decision, copy: Path) -> None:
        path = self.inner.root / "digits" / str(reference.version) / "model" / "clean.jld2"
        path.write_bytes(path.read_bytes() + b"?")
        self.inner.point(reference, decision, copy)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_an_artifact_swapped_between_check_and_promotion(plant: Plant, tmp_path: Path) -> None:
    inner = FolderRegistry(tmp_path / "registry")
    reference, papers = add(plant, inner, "clean")
    swapping: Registry = Swapping(inner)  # type: ignore[assignment]
    with pytest.raises(GateError) as caught:
        promote(plant.policy, swapping, reference, papers)
    assert caught.value.code == "VF6083"
    assert inner.current(reference) is None
    assert [entry.action for entry in read_lines(load_policy(plant.policy).log)] == ["promote", "changed"]


def test_a_property_weakened_with_set_or_with_other_data_is_another_one(plant: Plant) -> None:
    """The digest in the policy is that of the spec as it stands; `--set` and another data file change it."""
    spec = plant.policy.parent / "digits.vfx"
    data = measure(plant.policy.parent).digests["mnist_eval.npz"]
    wanted = load_policy(plant.policy).requirements[0]

    def digest(params: dict[str, str], sha256: str) -> str:
        found = load_spec(str(spec), params).spec
        return property_digest(found, found.properties[0], {"eval": sha256})

    assert digest({}, data) == wanted.property
    assert digest({"max_rate": "99 %"}, data) != wanted.property
    assert digest({}, "sha256:" + "9" * 64) != wanted.property


# The recheck, with the policy's spec and data.


def test_tampered_evidence_is_found_by_the_gate_itself(plant: Plant, tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path / "registry")
    reference, papers = add(plant, registry, "clean")
    folder = tmp_path / "papers"
    folder.mkdir()
    for path in papers.certificates[0].parent.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    certificate = folder / "certificate.dsse.json"
    evidence = folder / "evidence.jsonl.gz"
    lines = gzip.decompress(evidence.read_bytes()).splitlines(keepends=True)
    evidence.write_bytes(gzip.compress(b"".join(lines[:2] + lines[3:])))
    assert codes(promote(plant.policy, registry, reference, Papers((certificate,)))) == ["VF5051"]
    evidence.unlink()
    (missing,) = promote(plant.policy, registry, reference, Papers((certificate,))).reasons
    assert missing.code == "VF6058"
    assert "the evidence does not lie beside the certificate" in missing.message
    assert "put it there" in str(missing)


def test_a_sample_cannot_be_asked_until_chance_is_kind(plant: Plant, tmp_path: Path) -> None:
    files = measure(plant.model("clean")).digest
    text = plant.policy.read_text().replace('mode = "always"', 'mode = "sample"\none_in = 1000000')
    policy = parse_policy(text.encode(), plant.policy)
    assert not any(drawn(policy, False) for _ in range(20))
    registry = FolderRegistry(tmp_path / "registry")
    reference = registry.add("digits", plant.model("clean")).at("production")
    assert not promote(plant.policy, registry, reference).permitted
    with Log(policy.log).held() as held:
        assert held.memory(reference, files).denied
    assert all(drawn(policy, True) for _ in range(20))
    assert drawn(load_policy(plant.policy), False)


# The commands.


def gate(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["gate", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands_of_a_release(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = tmp_path / "registry"
    common = ("--policy", plant.policy, "--registry", where)
    for name in ("badnets", "clean"):
        assert gate(capsys, "register", plant.model(name), "--name", "digits", "--registry", where)[0] == 0
    for version, name, expected in ((1, "badnets", 1), (2, "clean", 0)):
        resource = f"folder:/digits/{version}"
        certificate = plant.signed(name, f"{resource}@production")
        asked = ("promote", resource, "--alias", "production", *common, "--certificate", certificate)
        assert gate(capsys, *asked)[0] == expected
    code, out, _ = gate(capsys, "audit", "--scheme", "folder", *common)
    assert (code, out.splitlines()[0][:37]) == (0, "1 live version, 0 no longer pass; hea")
    head = out.splitlines()[0].rsplit(" ", 1)[1]
    (where / "digits" / "2" / "model" / "clean.jld2").write_bytes(b"swapped")
    code, out, _ = gate(capsys, "audit", "--scheme", "folder", *common, "--head", head)
    assert code == 1
    assert "VF6084" in out
    assert gate(capsys, "audit", "--scheme", "folder", *common, "--head", "sha256:" + "7" * 64)[0] == 1


@pytest.mark.parametrize("chosen", ["json", "junit", "sarif"])
def test_formats_for_machines(plant: Plant, capsys: pytest.CaptureFixture[str], chosen: str) -> None:
    resource = "models:/digits/7@production"
    asked = ["decide", plant.model("badnets"), "--policy", plant.policy, "--resource", resource, "--format", chosen]
    code, out, _ = gate(capsys, *asked, "--certificate", plant.signed("badnets", resource))
    assert code == 1
    if chosen == "junit":
        suite = ElementTree.fromstring(out)[0]
        assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    elif chosen == "sarif":
        assert [item["ruleId"] for item in json.loads(out)["runs"][0]["results"]][:2] == ["VF6052", "VF6054"]
    else:
        assert json.loads(out)["decisions"][0]["permitted"] is False
    code, out, _ = gate(
        capsys, "decide", plant.model("clean"), *asked[2:], "--certificate", plant.signed("clean", resource)
    )
    assert code == 0
    assert "permitted" in out or "passed" in out or 'failures="0"' in out


def test_wrong_use_is_usage_and_a_missing_policy_a_denial(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    clean, resource = plant.model("clean"), "models:/digits/7@production"
    assert gate(capsys, "decide", clean, "--policy", plant.policy, "--resource", resource, "--format", "xml")[0] == 2
    assert gate(capsys, "promote", "folder:/digits/1", "--policy", plant.policy)[0] == 2
    assert gate(capsys, "promote", "folder:/digits/1", "--policy", plant.policy, "--alias", "production")[0] == 2
    code, out, _ = gate(capsys, "decide", clean, "--policy", "nowhere.toml", "--resource", resource)
    assert (code, "VF6001" in out) == (1, True)
    assert gate(capsys, "decide", clean, "--policy", plant.policy, "--resource", "models:/digits@production")[0] == 1


def test_a_list_of_accepted_files_for_julia(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resource, accepted = "models:/digits/7@production", tmp_path / "accepted.sha256"
    certificate = plant.signed("clean", resource)
    asked = ("--policy", plant.policy, "--resource", resource, "--certificate", certificate, "--accepted", accepted)
    assert gate(capsys, "decide", plant.model("badnets"), *asked)[0] == 1
    assert not accepted.exists()
    assert gate(capsys, "decide", plant.model("clean"), *asked)[0] == 0
    lines = accepted.read_text().splitlines()
    assert lines[0] == "# verifluxa accepted files 1"
    assert [line.split("  ")[1] for line in lines[2:]] == ["architecture.txt", "clean.jld2"]


def test_breaking_the_glass(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resource, waiver = "models:/digits/7@production", tmp_path / "override.dsse.json"
    reason = "Outage: version 6 answers nothing at all"
    sealed = ("--policy", plant.policy, "--resource", resource, "--reason", reason, "--out", waiver)
    assert gate(capsys, "override", plant.model("badnets"), *sealed, "--key", plant.root / "officer.key")[0] == 0
    asked = ("--policy", plant.policy, "--resource", resource, "--override", waiver)
    code, out, _ = gate(capsys, "decide", plant.model("badnets"), *asked)
    assert code == 0
    assert "PERMITTED BY OVERRIDE" in out
    assert reason in out
    assert "despite VF6005" in out
    entry = read_lines(load_policy(plant.policy).log)[-1]
    assert entry.permitted
    assert entry.words["override"] is not None
    # For other files, another promotion, or by the signers themselves it counts for nothing.
    assert gate(capsys, "decide", plant.model("clean"), *asked)[0] == 1
    assert gate(capsys, "decide", plant.model("badnets"), *asked[:3], "models:/digits/8@production", *asked[4:])[0] == 1
    assert gate(capsys, "override", plant.model("badnets"), *sealed, "--key", plant.root / "release.key")[0] == 0
    code, out, _ = gate(capsys, "decide", plant.model("badnets"), *asked)
    assert (code, "VF6095" in out) == (1, True)
    too_long = gate(
        capsys, "override", plant.model("badnets"), *sealed, "--key", plant.root / "officer.key", "--hours", 9
    )
    assert too_long[0] == 0
    assert gate(capsys, "decide", plant.model("badnets"), *asked)[0] == 1


def test_an_override_expires(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = FolderRegistry(tmp_path / "registry")
    reference = registry.add("digits", plant.model("badnets")).at("production")
    waiver = tmp_path / "override.dsse.json"
    sealed = ("--policy", plant.policy, "--resource", reference, "--reason", "Outage of the other one", "--out", waiver)
    gate(capsys, "override", plant.model("badnets"), *sealed, "--key", plant.root / "officer.key")
    assert promote(plant.policy, registry, reference, Papers((), waiver)).permitted
    assert audit(plant.policy, registry)[0].permitted
    later = datetime.now(UTC) + timedelta(hours=5)
    assert codes(audit(plant.policy, registry, now=later)[0]) == ["VF6005", "VF6095"]


# Loading.


def test_loading_checks_the_bytes_that_it_loads(plant: Plant, registry: Local) -> None:
    clean, papers = add(plant, registry, "clean")
    promote(plant.policy, registry, clean, papers)
    graph = load_model(f"{clean.scheme}:/digits@production", plant.policy, registry, (1, 28, 28))
    assert graph.run(np.zeros((2, *graph.input_shape), np.float32)).shape == (2, 10)
    blobs = sorted(registry.root.rglob("*"), key=lambda path: path.stat().st_size)
    blobs[-1].write_bytes(blobs[-1].read_bytes() + b"?")
    with pytest.raises(GateError):
        load_model(f"{clean.scheme}:/digits@production", plant.policy, registry)


def test_loading_what_was_never_promoted(plant: Plant, registry: Local) -> None:
    registry.add("digits", plant.model("clean"))
    with pytest.raises(GateError) as caught:
        load_model(
            f"{type(registry).__module__.split('.')[-1].split('_')[0]}:/digits@production", plant.policy, registry
        )
    assert caught.value.code == "VF6081"
    with pytest.raises((GateError, ManyErrors)) as denied:
        load_model(f"{scheme(registry)}:/digits/1@production", plant.policy, registry)
    assert denied.value.code == "VF6005"


def scheme(registry: Local) -> str:
    return "oci" if isinstance(registry, OciRegistry) else "folder"


# What an audit finds.


AUDITS: dict[str, tuple[Callable[[str, Mapping[str, str]], str], int, str]] = {
    "expired": (lambda text, _: text, 400, "VF5033"),
    "too old": (lambda text, _: text.replace("max_age_days = 90", "max_age_days = 2"), 3, "VF6020"),
    "recalled": (lambda text, _: text + '\n[tool]\nrecalled = ["0.1.0"]\n', 0, "VF6042"),
    "a file revoked": (lambda text, it: text + f'\n[revoked]\nfiles = ["{it["file"]}"]\n', 0, "VF6060"),
    "the key revoked": (lambda text, it: text + f'\n[revoked]\nkeys = ["{it["key"]}"]\n', 0, "VF6062"),
}


@pytest.mark.parametrize("name", AUDITS)
def test_what_no_longer_passes(plant: Plant, tmp_path: Path, name: str) -> None:
    registry = FolderRegistry(tmp_path / "registry")
    reference, papers = add(plant, registry, "clean")
    decision = promote(plant.policy, registry, reference, papers)
    change, days, expected = AUDITS[name]
    text = plant.policy.read_text()
    facts = {"file": decision.files["clean.jld2"], "key": decision.keys[0]}
    try:
        plant.policy.write_text(change(text, facts))
        now = datetime.now(UTC) + timedelta(days=days)
        assert expected in codes(audit(plant.policy, registry, now=now)[0])
    finally:
        plant.policy.write_text(text)


def test_an_audit_looks_at_protected_names_only(plant: Plant, tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path / "registry")
    reference, _ = add(plant, registry, "badnets")
    staging = replace(reference, alias="staging")
    registry.point(staging, promote(plant.policy, registry, reference), plant.model("badnets"))
    assert list(registry.live()) == [staging]
    assert audit(plant.policy, registry) == []


@pytest.mark.parametrize("named", ["/etc/hostname", "../../release.key", "/dev/zero"])
@pytest.mark.parametrize("what", ["spec", "data"])
def test_a_result_document_does_not_choose_what_the_gate_opens(
    plant: Plant, tmp_path: Path, named: str, what: str
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(plant.policy.read_text().replace('spec = "digits.vfx"\n', ""))
    for path in plant.policy.parent.glob("*.pub"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    registry = FolderRegistry(tmp_path / "registry")
    reference, papers = add(plant, registry, "clean")
    folder = tmp_path / "papers"
    folder.mkdir()
    for file in (papers.certificates[0], papers.certificates[0].with_name("evidence.jsonl.gz")):
        (folder / file.name).write_bytes(file.read_bytes())
    result = json.loads(papers.certificates[0].with_name("result.json").read_text())
    if what == "spec":
        result["spec"]["path"] = named
    else:
        result["data"][0]["path"] = named
    (folder / "result.json").write_text(json.dumps(result))
    found = promote(policy, registry, reference, Papers((folder / papers.certificates[0].name,)))
    assert codes(found) == ["VF6058"]
