"""The gate's signed decision, and who wants to see it: loading, the audit, the server's status, Kubernetes."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.gate import kubernetes
from tests.gate.desk import NOW, OTHER, REFERENCE, Desk, codes
from tests.gate.plant import Plant
from verifluxa.certificate.dsse import sign_payload
from verifluxa.certificate.envelope import encode_envelope
from verifluxa.certificate.keys import keygen, load_private_key, load_public_key
from verifluxa.cli.main import run
from verifluxa.errors import GateError, ManyErrors, VerifluxaError
from verifluxa.gate import load_model
from verifluxa.gate.attestation import sign_decision
from verifluxa.gate.audit import audit, check_expected, decide_live
from verifluxa.gate.case import Decision
from verifluxa.gate.doctor import examine
from verifluxa.gate.files import files_digest, measure
from verifluxa.gate.folder_registry import FolderRegistry
from verifluxa.gate.log import read_lines
from verifluxa.gate.oci_registry import REF, OciRegistry
from verifluxa.gate.policy import Policy, load_policy, sign_policy
from verifluxa.gate.promote import Papers, promote
from verifluxa.gate.reference import Reference
from verifluxa.gate.status import STATUS_TYPE, check_server, decode_status, encode_status
from verifluxa.gate.webhook import ANNOTATION, KIND, VERSION, Admission, review, serve


def with_gate(desk: Desk, more: str = "") -> Policy:
    """The desk's policy, with the key `gate.key` of the gate's own."""
    if not (desk.root / "gate" / "gate.key").exists():
        pair = keygen(desk.root / "gate" / "gate.key")
        pair.public.rename(desk.root / "gate" / "gate.pub")
    return desk.policy(lambda text: text + f'\n[gate]\nkeys = ["gate.pub"]\nkey = "gate.key"\n{more}')


def attested(desk: Desk, policy: Policy, decision: Decision | None = None, key: str = "gate/gate.key") -> bytes:
    """The signed document of the desk's own permission."""
    made = decision or desk.decide()
    assert policy.gate is not None
    private = load_private_key(desk.root / key)
    if key != "gate/gate.key":
        policy = replace(policy, gate=replace(policy.gate, keys=(private.public_key(),)))
    return sign_decision(policy, made, private)


def look(desk: Desk, document: bytes | None) -> list[str]:
    case = replace(desk.case(), attested=True, attestation=document)
    return codes(desk.decide(case))


def test_a_signed_decision_is_demanded_and_accepted(desk: Desk) -> None:
    policy = with_gate(desk)
    assert look(desk, attested(desk, policy)) == []
    assert look(desk, None) == ["VF6065"]
    assert codes(desk.decide()) == []


def of(desk: Desk, **changes: Any) -> Decision:
    return replace(desk.decide(), **changes)


FORGED: dict[str, Callable[[Desk, Policy], bytes]] = {
    "nothing": lambda desk, policy: b"",
    "a certificate": lambda desk, policy: desk.signed(),
    "signed by a signer": lambda desk, policy: attested(desk, policy, None, "release.key"),
    "signed by a stranger": lambda desk, policy: attested(desk, policy, None, "stranger.key"),
    "for another version": lambda desk, policy: attested(
        desk, policy, of(desk, reference=Reference("models", "digits", 8, "production"))
    ),
    "for another alias": lambda desk, policy: attested(
        desk, policy, of(desk, reference=Reference("models", "digits", 7, "staging"))
    ),
    "about other files": lambda desk, policy: attested(desk, policy, of(desk, files={"clean.jld2": OTHER})),
    "about fewer files": lambda desk, policy: attested(
        desk, policy, of(desk, files=dict(list(desk.decide().files.items())[:1]))
    ),
    "about another certificate": lambda desk, policy: attested(desk, policy, of(desk, certificate=OTHER)),
    "from the future": lambda desk, policy: attested(desk, policy, of(desk, now=NOW + timedelta(hours=1))),
    "expired": lambda desk, policy: attested(desk, policy, of(desk, until=NOW - timedelta(seconds=1))),
    "about fewer properties": lambda desk, policy: attested(desk, replace(policy, requirements=())),
    "one bit flipped": lambda desk, policy: attested(desk, policy).replace(b"A", b"B", 1),
    "cut short": lambda desk, policy: attested(desk, policy)[:-10],
    "another payload type": lambda desk, policy: attested(desk, policy).replace(b"in-toto", b"in-tota"),
    "a list": lambda desk, policy: b"[]",
    "signed rubbish": lambda desk, policy: encode_envelope(
        sign_payload(b"{}", [load_private_key(desk.root / "gate/gate.key")])
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_decisions_that_do_not_count(desk: Desk, name: str) -> None:
    policy = with_gate(desk)
    assert look(desk, FORGED[name](desk, policy)) == ["VF6065"]


def test_a_decision_without_the_recheck_that_is_demanded(desk: Desk) -> None:
    policy = with_gate(desk)
    document = attested(desk, policy)
    desk.policy(lambda text: text.replace('mode = "never"', 'mode = "always"'))
    assert look(desk, document) == ["VF6065"]
    assert look(desk, attested(desk, policy, of(desk, recheck="done"))) == []
    desk.policy(lambda text: text.replace('mode = "always"', 'mode = "sample"'))
    assert look(desk, document) == ["VF6065"]
    assert look(desk, attested(desk, policy, of(desk, recheck="not drawn"))) == []


def test_a_revoked_key_of_the_gate_no_longer_counts(desk: Desk) -> None:
    from verifluxa.certificate.keys import key_id

    policy = with_gate(desk)
    document = attested(desk, policy)
    assert policy.gate is not None
    name = key_id(policy.gate.keys[0])
    desk.policy(lambda text: text + f'\n[revoked]\nkeys = ["{name}"]\n')
    assert look(desk, document) == ["VF6065"]


# Revocation, roles, editions.


def test_what_was_revoked_cannot_be_overridden(desk: Desk) -> None:
    from verifluxa.gate.override import Waiver, sign_override

    digest = desk.case().files.digests["clean.jld2"]
    text = f'\n[override]\nkeys = ["officer.pub"]\n[revoked]\nfiles = ["{digest}"]\n'
    policy = desk.policy(lambda before: before + text)
    waiver = Waiver(
        REFERENCE, desk.case().files.digests, policy.sha256, "Outage: nothing answers", NOW, NOW + timedelta(hours=1)
    )
    override = sign_override(waiver, [desk.keys["officer"]])
    for given in ((desk.signed(),), ()):
        case = replace(desk.case(*given), certificates=given, override=override)
        decision = desk.decide(case)
        assert not decision.permitted
        assert "VF6060" in [item.code for item in decision.reasons]


@pytest.mark.parametrize(
    ("names", "expected"), [(("release",), ["VF5024"]), (("second",), ["VF5024"]), (("release", "second"), [])]
)
def test_every_role_must_have_signed(desk: Desk, names: tuple[str, ...], expected: list[str]) -> None:
    text = 'keys = ["release.pub", "second.pub"]\n'
    for role, key in (("makers", "release"), ("reviewers", "second")):
        text += f'[[signers.roles]]\nname = "{role}"\nkeys = ["{key}.pub"]\n'
    desk.policy(lambda before: before.replace('keys = ["release.pub"]\n', text))
    assert codes(desk.decide(desk.case(desk.signed(None, *names)))) == expected


@pytest.mark.parametrize(
    "more",
    [
        '[gate]\nkeys = ["release.pub"]\n',
        "[gate]\nkeys = []\n",
        '[gate]\nkeys = ["officer.pub"]\nkey = "a"\ncommand = ["b"]\n',
        '[gate]\nkeys = ["officer.pub"]\nkez = "a"\n',
        '[[signers.roles]]\nname = "x"\nkeys = ["officer.pub"]\n',
        '[[signers.roles]]\nname = "x"\nkeys = ["release.pub"]\nthreshold = 2\n',
    ],
)
def test_policies_that_are_none(desk: Desk, more: str) -> None:
    with pytest.raises(GateError) as caught:
        desk.policy(lambda text: text + "\n" + more)
    assert caught.value.code in ("VF6001", "VF6002")


def test_an_older_edition_of_the_policy(desk: Desk) -> None:
    desk.policy(lambda text: text.replace("schema = 1", "schema = 1\nserial = 3"))
    case = desk.case()
    newer = replace(case, memory=replace(case.memory, serial=4))
    assert codes(desk.decide(newer)) == ["VF6007"]
    assert codes(desk.decide(replace(case, memory=replace(case.memory, serial=3)))) == []


def test_a_policy_must_be_signed_where_the_machine_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = f"{desk.root / 'gate' / 'officer.pub'}:{desk.root / 'gate' / 'second.pub'}"
    monkeypatch.setenv("VERIFLUXA_POLICY_KEYS", keys)
    with pytest.raises(GateError) as caught:
        desk.policy()
    assert caught.value.code == "VF6006"
    assert run(["gate", "sign-policy", str(desk.policy_path), "--key", str(desk.root / "officer.key")]) == 0
    assert desk.policy().sha256
    for change in (lambda text: text + "\n", lambda text: text.replace("30", "31")):
        text = desk.policy_path.read_text()
        desk.policy_path.write_text(change(text))
        with pytest.raises(GateError):
            desk.policy()
        desk.policy_path.write_text(text)
    sign_policy(desk.policy_path, [desk.keys["stranger"]])
    with pytest.raises(GateError):
        desk.policy()


def test_a_program_signs_for_the_gate_and_for_people(desk: Desk) -> None:
    with_gate(desk)
    command = f'command = ["openssl", "dgst", "-sha256", "-sign", "{desk.root / "gate" / "gate.key"}"]'
    policy = desk.policy(lambda text: text.replace('key = "gate.key"', command))
    from verifluxa.gate.attestation import signing_key

    key = signing_key(policy)
    assert key is not None
    assert look(desk, sign_decision(policy, desk.decide(), key)) == []
    wrong = desk.policy(lambda text: text.replace(command, 'command = ["cat"]'))
    key = signing_key(wrong)
    assert key is not None
    with pytest.raises(Exception, match="no signature"):
        sign_decision(wrong, desk.decide(), key)


# Folders and OCI layouts.


@dataclass(frozen=True)
class Promoted:
    """A registry in which the clean model is live, permitted by a gate with a key."""

    plant: Plant
    registry: FolderRegistry | OciRegistry
    reference: Reference
    papers: Papers


@pytest.fixture(params=["folder", "oci"])
def promoted(request: pytest.FixtureRequest, made: Plant, tmp_path: Path) -> Promoted:
    shutil.copytree(made.root, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "gate").glob("decisions.jsonl*"):
        path.unlink()
    plant = Plant(tmp_path)
    keygen(tmp_path / "gate" / "gate.key").public.rename(tmp_path / "gate" / "gate.pub")
    plant.policy.write_text(plant.policy.read_text() + '\n[gate]\nkeys = ["gate.pub"]\nkey = "gate.key"\n')
    kind = {"folder": FolderRegistry, "oci": OciRegistry}[request.param]
    registry = kind(tmp_path / "registry")
    reference = registry.add("digits", plant.model("clean")).at("production")
    papers = Papers((plant.signed("clean", str(reference)),))
    decision = promote(plant.policy, registry, reference, papers)
    assert decision.permitted, decision.reasons
    return Promoted(plant, registry, reference, papers)


def reasons(decisions: list[Decision]) -> set[str]:
    return {item.code for decision in decisions for item in decision.reasons}


def permission(plant: Plant, reference: Reference) -> Decision:
    """What somebody who writes to the registry past the gate pretends about the backdoored files."""
    files = measure(plant.model("badnets")).digests
    return Decision(True, (), reference, NOW, "none", "none", None, (), files, {})


def test_what_was_permitted_loads_and_passes_the_audit(promoted: Promoted, monkeypatch: pytest.MonkeyPatch) -> None:
    # The signed decision says that the proof was recomputed; nobody does it again.
    monkeypatch.setattr("verifluxa.gate.run.recheck", None)
    assert [item.permitted for item in audit(promoted.plant.policy, promoted.registry)] == [True]
    source = f"{promoted.reference.scheme}:/digits@production"
    assert load_model(source, promoted.plant.policy, promoted.registry).output_shape == (10,)
    assert decide_live(promoted.plant.policy, promoted.registry, source).permitted


def test_a_machine_without_the_gates_key_only_reads(promoted: Promoted) -> None:
    (promoted.plant.policy.parent / "gate.key").unlink()
    text = promoted.plant.policy.read_text()
    promoted.plant.policy.write_text(text.replace('\nkey = "gate.key"', ""))
    assert [item.permitted for item in audit(promoted.plant.policy, promoted.registry)] == [True]
    assert reasons([promote(promoted.plant.policy, promoted.registry, promoted.reference)]) == {"VF6065"}


def test_an_alias_that_was_set_past_the_gate_is_found(promoted: Promoted) -> None:
    registry, plant = promoted.registry, promoted.plant
    other = registry.add("digits", plant.model("badnets")).at("production")
    registry.attach(other, {"certificate.dsse.json": plant.signed("badnets", str(other)).read_bytes()})
    registry.point(other, permission(plant, other), plant.model("badnets"))
    found = audit(plant.policy, registry)
    assert {"VF6065", "VF6052", "VF6066"} <= reasons(found)
    assert all(not item.permitted for item in found)
    with pytest.raises((GateError, ManyErrors)):
        load_model(f"{other.scheme}:/digits@production", plant.policy, registry)


def test_a_signer_alone_cannot_make_a_false_claim_pass(promoted: Promoted) -> None:
    """The clean model's claim about the backdoored files, signed with a key that counts, set live past the gate."""
    registry, plant = promoted.registry, promoted.plant
    if isinstance(registry, OciRegistry):
        return
    other = registry.add("digits", plant.model("badnets")).at("production")
    out = plant.root / "clean" / "out"
    claim = json.loads((out / "certificate.json").read_text())
    files = permission(plant, other).files
    claim["subject"] = [{"name": name, "digest": {"sha256": files[name][7:]}} for name in sorted(files)]
    bad = json.loads((plant.root / "badnets/out/certificate.json").read_text())
    claim["predicate"]["models"] = bad["predicate"]["models"]
    (out / "certificate.json").write_text(json.dumps(claim))
    documents = {"certificate.dsse.json": plant.signed("clean", str(other)).read_bytes()}
    documents["evidence.jsonl.gz"] = (out / "evidence.jsonl.gz").read_bytes()
    registry.attach(other, documents)
    registry.point(other, permission(plant, other), plant.model("badnets"))
    for gate in ('\n[gate]\nkeys = ["gate.pub"]\nkey = "gate.key"\n', ""):
        text = plant.policy.read_text()
        plant.policy.write_text(text.replace('\n[gate]\nkeys = ["gate.pub"]\nkey = "gate.key"\n', gate))
        found = audit(plant.policy, registry)
        assert all(not item.permitted for item in found)
        assert ("VF6065" in reasons(found)) == bool(gate)
        with pytest.raises(VerifluxaError):
            load_model("folder:/digits@production", plant.policy, registry)


def test_a_rollback_past_the_gate_is_found(promoted: Promoted) -> None:
    """Back to a version whose documents are still good: only the log knows that another one should be live."""
    registry, plant = promoted.registry, promoted.plant
    second = registry.add("digits", plant.model("clean")).at("production")
    assert promote(plant.policy, registry, second, Papers((plant.signed("clean", str(second)),))).permitted
    registry.withdraw(second, 1)
    if isinstance(registry, FolderRegistry):
        digest = files_digest(audit(plant.policy, registry)[0].files)
        (registry.root / "digits/aliases/production").write_text(f"1 {digest}\n")
    assert "VF6066" in reasons(audit(plant.policy, registry))


def test_an_alias_that_is_gone_is_found_unless_the_policy_allows_it(promoted: Promoted) -> None:
    promoted.registry.withdraw(promoted.reference, None)
    found = audit(promoted.plant.policy, promoted.registry)
    assert reasons(found) == {"VF6066"}
    text = promoted.plant.policy.read_text()
    promoted.plant.policy.write_text(text.replace("[protected]", "[protected]\nwithdrawal = true"))
    found = audit(promoted.plant.policy, promoted.registry)
    assert found == []
    assert [item.code for item in check_expected(found, (), False)] == ["VF6067"]
    assert list(check_expected(found, (), True)) == []
    assert [item.code for item in check_expected(found, ("digits",), True)] == ["VF6067"]


@pytest.mark.parametrize("name", ["evidence.jsonl.gz", "evidence.jsonl", "result.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_no_file_of_the_gates_user_is_copied(promoted: Promoted, name: str, kind: str) -> None:
    import os

    out = promoted.plant.root / "clean" / "out"
    (out / name).unlink(missing_ok=True)
    if kind == "link":
        (out / name).symlink_to(promoted.plant.root / "release.key")
    elif kind == "pipe":
        os.mkfifo(out / name)
    else:
        (out / name).mkdir()
    with pytest.raises(GateError) as caught:
        promote(promoted.plant.policy, promoted.registry, promoted.reference, promoted.papers)
    assert caught.value.code == "VF6013"
    secret = (promoted.plant.root / "release.key").read_bytes()
    assert all(secret not in path.read_bytes() for path in promoted.registry.root.rglob("*") if path.is_file())


Index = dict[str, Any]


def named(index: Index, ref: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in index["manifests"] if item["annotations"][REF] == ref)
    return found


def renamed(item: dict[str, Any], ref: str) -> dict[str, Any]:
    return {**item, "annotations": {**item["annotations"], REF: ref}}


LAYOUTS: dict[str, Callable[[Index], object]] = {
    "an alias to an unlisted manifest": lambda index: (
        named(index, "digits@production").update(digest=named(index, "evil/1")["digest"]),
        index["manifests"].remove(named(index, "evil/1")),
    ),
    "an alias to a version of another name": lambda index: named(index, "digits@production").update(
        digest=named(index, "evil/1")["digest"]
    ),
    "a name twice, the bad one first": lambda index: index["manifests"].insert(
        0, renamed(named(index, "evil/1"), "digits@production")
    ),
    "a name twice, the bad one last": lambda index: index["manifests"].append(
        renamed(named(index, "evil/1"), "digits@production")
    ),
    "a version that is no number": lambda index: index["manifests"].append(renamed(named(index, "evil/1"), "digits/²")),
    "a name of another form": lambda index: index["manifests"].append(renamed(named(index, "evil/1"), "latest")),
    "an entry without a name": lambda index: index["manifests"].append({"digest": named(index, "evil/1")["digest"]}),
    "an entry without a digest": lambda index: named(index, "evil/1").pop("digest"),
    "a digest that leads out": lambda index: named(index, "digits@production").update(digest="sha256:../../x"),
    "no list": lambda index: index.update(manifests={}),
    "no object": lambda index: index["manifests"].append("x"),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("promoted", ["oci"], indirect=True)
def test_oci_layouts_that_name_something_else(promoted: Promoted, name: str) -> None:
    registry = promoted.registry
    registry.add("evil", promoted.plant.model("badnets"))
    path = registry.root / "index.json"
    index = json.loads(path.read_text())
    LAYOUTS[name](index)
    path.write_text(json.dumps(index))
    try:
        found = audit(promoted.plant.policy, registry)
    except GateError as error:
        codes_found = {error.code}
    else:
        codes_found = reasons(found)
    assert codes_found & {"VF6080", "VF6066"}


# A deployment.


def test_the_doctor(promoted: Promoted) -> None:
    found = examine(promoted.plant.policy, promoted.registry)
    assert [item.what for item in found if item.level == "failure"] == []
    assert any("checkpoint" in item.what for item in found if item.level == "warning")
    promoted.plant.policy.chmod(0o666)
    (promoted.plant.policy.parent / "gate.key").chmod(0o644)
    promoted.registry.withdraw(promoted.reference, None)
    failed = [item.what for item in examine(promoted.plant.policy, promoted.registry) if item.level == "failure"]
    assert len(failed) == 3
    assert run(["gate", "doctor", "--policy", str(promoted.plant.policy)]) == 1
    assert examine(promoted.plant.root / "none.toml", None)[0].level == "failure"


def test_the_commands_of_the_log(promoted: Promoted, capsys: pytest.CaptureFixture[str]) -> None:
    policy = str(promoted.plant.policy)
    kept = promoted.plant.root / "kept"
    assert run(["gate", "log", "verify", "--policy", policy]) == 0
    assert run(["gate", "log", "checkpoint", "--policy", policy, "--out", str(kept)]) == 0
    audit(promoted.plant.policy, promoted.registry)
    assert run(["gate", "log", "verify", "--policy", policy, "--checkpoint", str(kept)]) == 0
    assert "decisions" in capsys.readouterr().out
    for path in promoted.plant.policy.parent.glob("decisions.jsonl*"):
        path.unlink()
    audit(promoted.plant.policy, promoted.registry)
    assert run(["gate", "log", "verify", "--policy", policy, "--checkpoint", str(kept)]) == 1
    assert run(["gate", "log", "rebuild", "--policy", policy]) == 0
    kept.write_text(kept.read_text().replace("1", "2"))
    assert run(["gate", "log", "verify", "--policy", policy, "--checkpoint", str(kept)]) == 1


def test_an_empty_registry_is_a_failure_unless_asked_for(promoted: Promoted) -> None:
    empty = promoted.plant.root / "empty"
    empty.mkdir()
    asked = ["gate", "audit", "--policy", str(promoted.plant.policy), "--registry", str(empty), "--scheme", "folder"]
    assert run(asked) == 1
    assert run([*asked, "--allow-empty"]) == 0
    assert run([*asked, "--allow-empty", "--expect", "digits"]) == 1


# Status.


def test_a_status_is_fresh_and_signed(desk: Desk) -> None:
    policy = with_gate(desk)
    key = load_private_key(desk.root / "gate" / "gate.key")
    nonce = "ab" * 16
    good = encode_status(policy, nonce, key)
    assert decode_status(good, nonce, policy).policy == policy.sha256
    bad = [
        encode_status(policy, nonce, None),
        encode_status(policy, nonce, desk.keys["release"]),
        encode_status(policy, "cd" * 16, key),
        encode_status(None, nonce, key),
        good[:-4],
        b"{}",
        b"[]",
        b"",
        b"x" * 100_000,
        good.replace(STATUS_TYPE.encode(), b"application/json"),
    ]
    for data in bad:
        with pytest.raises(Exception, match=r"VF6090|VF50"):
            decode_status(data, nonce, policy)


@pytest.mark.parametrize("uri", ["sqlite:///x.sqlite", "./mlruns", "", "file:///x", "http://127.0.0.1:1"])
def test_what_is_no_guarded_server(desk: Desk, uri: str) -> None:
    with pytest.raises(GateError) as caught:
        check_server(uri, desk.policy())
    assert caught.value.code in ("VF6090", "VF6080")


def asked(thing: object, **changes: Any) -> bytes:
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "userInfo": {"username": "somebody"},
        "object": thing,
        **changes,
    }
    return json.dumps({"apiVersion": VERSION, "kind": KIND, "request": request}).encode()


def pod(*models: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {ANNOTATION: ", ".join(models)}}, "spec": {}}


def in_order(answer: dict[str, Any]) -> bool:
    """Whether an answer allows; it must have the form that the API server reads."""
    kubernetes.check(answer, kubernetes.REVIEW)
    allowed: bool = answer["response"]["allowed"]
    return allowed


def test_pods_start_with_accepted_models_only(promoted: Promoted) -> None:
    admission = Admission(promoted.plant.policy, promoted.registry)
    good = f"{promoted.reference.scheme}:/digits@production"
    template = {"kind": "Deployment", "metadata": {}, "spec": {"template": pod(good)}}
    cron = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod(good)}}}}
    for thing in (pod(good), pod(str(promoted.reference)), template, cron):
        answer = review(admission, asked(thing))
        assert in_order(answer), answer
        assert answer["response"]["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert in_order(review(admission, asked(None, operation="DELETE")))
    assert in_order(review(replace(admission, required=False), asked({"metadata": {}})))
    scheme = promoted.reference.scheme
    bad = [
        asked(pod()),
        asked({"metadata": {}}),
        asked(pod(good, f"{scheme}:/other@production")),
        asked(pod(f"{scheme}:/digits@staging")),
        asked(pod(f"{scheme}:/digits/1")),
        asked(pod("../../etc/passwd")),
        asked({"metadata": {"annotations": {ANNOTATION: 1}}}),
        asked({"spec": {"template": pod(f"{scheme}:/digits/2@production")}, "metadata": pod(good)["metadata"]}),
        asked(None),
        asked([]),
        asked(pod(good), uid=1),
        asked(pod(), operation="MAKE"),
        asked(pod(), operation=None),
        asked(pod(), operation=["DELETE"]),
        asked(pod(good), uid="x" * 1000),
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        asked(pod(good)).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"),
        asked(pod(good)).replace(b"AdmissionReview", b"Review"),
    ]
    for body in bad:
        answer = review(admission, body)
        assert not in_order(answer), body
        assert answer["response"]["status"]["code"] == 403
    promoted.registry.withdraw(promoted.reference, None)
    assert not in_order(review(admission, asked(pod(good))))


@pytest.fixture
def address(promoted: Promoted) -> Iterator[tuple[str, int]]:
    with serve(Admission(promoted.plant.policy, promoted.registry), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("promoted", ["folder"], indirect=True)
def test_the_webhook_listens(promoted: Promoted, address: tuple[str, int]) -> None:
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("POST", "/", asked(pod("folder:/digits@production")))
    answer = connection.getresponse()
    assert (answer.status, in_order(json.loads(answer.read()))) == (200, True)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b""
    connection.request("POST", "/", headers={"Content-Length": "99999999999"})
    assert connection.getresponse().status == 413
    connection.close()
    actions = [line.action for line in read_lines(load_policy(promoted.plant.policy).log)]
    assert actions[-1] == "audit"
    assert load_public_key(promoted.plant.policy.parent / "gate.pub")


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\u2028", "\x0b", "\x85"])
def test_a_name_in_a_certificate_forges_no_line(desk: Desk, break_: str) -> None:
    from verifluxa.certificate.show import show_statement

    forged = replace(desk.statement, resource_uri=f"a{break_}FORGED: permitted")
    assert not any(line.startswith("FORGED") for line in show_statement(forged, "NOT signed").splitlines())
