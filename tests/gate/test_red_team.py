"""A second red team: attacks by somebody who did not write the gate, by the classes of the first one."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import os
import random
import re
import socket
import sqlite3
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.certificate.conftest import FACTS, RESULT
from tests.gate.desk import FILES, NOW, OTHER, POLICY, REFERENCE, Desk, codes, prop
from tests.gate.mlflow_server import Answer
from tests.gate.shop import VAULT, Shop, certified, fresh, refused, tree
from verifluxa.certificate.build import build_statement
from verifluxa.certificate.check.report import CheckReport, PropertyCheck
from verifluxa.certificate.command_key import CommandKey
from verifluxa.certificate.dsse import sign_payload
from verifluxa.certificate.envelope import encode_envelope, parse_envelope
from verifluxa.certificate.keys import key_id, keygen, load_private_key
from verifluxa.certificate.svr import encode_svr
from verifluxa.errors import CertificateError, GateError, VerifluxaError
from verifluxa.gate.attestation import read_decision, sign_decision
from verifluxa.gate.audit import audit, check_expected
from verifluxa.gate.case import Decision, Rechecked
from verifluxa.gate.checkpoint import Head, encode
from verifluxa.gate.files import measure, take
from verifluxa.gate.folder_registry import FolderRegistry
from verifluxa.gate.formats import Format
from verifluxa.gate.log import Log, read_lines
from verifluxa.gate.log_line import START, parse_line
from verifluxa.gate.mlflow_plugin.client import MlflowRegistry
from verifluxa.gate.mlflow_plugin.server import _status as server_status
from verifluxa.gate.mlflow_plugin.vault import check_source
from verifluxa.gate.oci_registry import OciRegistry
from verifluxa.gate.override import Waiver, sign_override
from verifluxa.gate.policy import POLICY_TYPE, Policy, Protected, load_policy, parse_policy
from verifluxa.gate.recheck import _check_inside
from verifluxa.gate.reference import parse_reference
from verifluxa.gate.render import rendered
from verifluxa.gate.run import Ask, judge, line_of
from verifluxa.gate.status import STATUS_TYPE, decode_status, encode_status
from verifluxa.gate.webhook import ANNOTATION, KIND, VERSION, Admission, review

Standing = tuple[Shop, str]
Hidden = tuple[tuple[int | None, ...], str]
API = "/api/2.0/mlflow"


def soaked(value: Any) -> Any:
    """A value of a test that takes long enough to be tried in `make soak` alone."""
    return pytest.param(value, marks=pytest.mark.soak)


def registry_of(shop: Shop) -> MlflowRegistry:
    """The registry as the audit sees it, over the store itself."""
    return MlflowRegistry(os.environ["MLFLOW_TRACKING_URI"])


# Artifact writes under a live version: an experiment says itself where its artifacts lie.

SPELLINGS = {
    "a hyphen as %2D": ("verifluxa-certified", "verifluxa%2Dcertified"),
    "its first letter as %76": ("verifluxa", "%76erifluxa"),
    "its first letter as %56": ("verifluxa", "%56erifluxa"),
    "slashes as %2f": ("/", "%2f"),
    "a dot folder as %2e": (VAULT, f"%2e/{VAULT}"),
    "two dots as %2e%2e": (VAULT, f"x/%2e%2e/{VAULT}"),
}


@pytest.fixture(scope="module")
def standing(open_once: Shop) -> tuple[Shop, str]:
    """A certified model in production, which no attack is to change."""
    name = fresh("standing")
    reference, _ = open_once.certified(name)
    assert open_once.alias(reference).status == 200
    open_once.register(name, "badnets")
    return open_once, name


@pytest.mark.parametrize("form", [soaked("file://{disk}/{place}"), soaked("file:{disk}/{place}"), "{disk}/{place}"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_experiment_in_the_vault_by_another_spelling(standing: Standing, form: str, spelling: str) -> None:
    shop, name = standing
    before = tree(shop.artifacts / VAULT)
    plain = shop.location(name, 1).removeprefix("mlflow-artifacts:/")
    place = form.format(disk=shop.artifacts, place=plain.replace(*SPELLINGS[spelling]))
    answer = shop.registry("POST", "experiments/create", {"name": fresh("vault"), "artifact_location": place})
    if answer.status == 200:
        made = shop.registry("POST", "runs/create", {"experiment_id": answer.body["experiment_id"]})
        run = made.body["run"]["info"]["run_id"]
        for path in ("clean.jld2", "new.jld2"):
            upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={quote(path)}"
            assert refused(shop.raw("POST", upload, b"evil"), "VF6089")
    assert tree(shop.artifacts / VAULT) == before
    assert certified(shop, name)


# Prompt tags: MLflow's searches leave out every version of a name of which any version is a prompt.


def stage(shop: Shop, name: str, version: int, to: str = "Production") -> Answer:
    body = {"name": name, "version": str(version), "stage": to, "archive_existing_versions": False}
    return shop.registry("POST", "model-versions/transition-stage", body)


def make_prompt(shop: Shop, name: str, version: int | None, value: str = "true") -> None:
    body = {"name": name, "key": "mlflow.prompt.is_prompt", "value": value}
    body |= {} if version is None else {"version": str(version)}
    place = "registered-models" if version is None else "model-versions"
    assert shop.registry("POST", f"{place}/set-tag", body).status == 200


HIDDEN = [((1,), "true"), ((2,), "false"), ((1, 3), "true"), ((None,), "true"), ((None, 2), "true")]
"""Which of three versions, or the model itself, are tagged with what; version 2 is the one that is in production."""


@pytest.mark.parametrize("hidden", [*HIDDEN[:2], *map(soaked, HIDDEN[2:])], ids=str)
def test_a_version_in_production_that_searches_leave_out(shop: Shop, hidden: Hidden) -> None:
    """It is judged when its model is renamed, found by the audit, and cannot be taken away."""
    policy = shop.plant.policy
    before = policy.read_text()
    policy.write_text(before.replace("[protected]", '[protected]\nmodels = ["prod-*"]'))
    name = fresh("draft")
    run, path = shop.upload("badnets")
    shop.registry("POST", "registered-models/create", {"name": name})
    for _ in range(3):
        assert shop.create(name, f"mlflow-artifacts:/{path}", run).status == 200
    for version in hidden[0]:
        make_prompt(shop, name, version, hidden[1])
    assert stage(shop, name, 2).status == 200
    answer = shop.registry("POST", "registered-models/rename", {"name": name, "new_name": fresh("prod-")})
    assert refused(answer, "VF6005")
    assert f"models:/{name}/2@stage:Production" in {str(item) for item in registry_of(shop).live()}
    policy.write_text(before)
    assert refused(shop.call("DELETE", f"{API}/model-versions/delete", {"name": name, "version": "2"}), "VF6091")
    assert refused(shop.call("DELETE", f"{API}/registered-models/delete", {"name": name}), "VF6091")
    assert refused(stage(shop, name, 2, "Archived"), "VF6091")


AWKWARD = ["a'b\"c", *map(soaked, ["a\\'b", "x' OR name LIKE '%", "%"])]


@pytest.mark.parametrize("name", AWKWARD)
def test_names_that_are_awkward_in_a_filter(shop: Shop, name: str) -> None:
    """A version in a stage is found whatever its model is called."""
    name = name + fresh("n")
    shop.register(name, "badnets")
    policy = shop.plant.policy
    policy.write_text(policy.read_text().replace("[protected]", '[protected]\nmodels = ["prod-*"]'))
    assert stage(shop, name, 1).status == 200
    assert (name, "stage:Production") in {(item.name, item.alias) for item in registry_of(shop).live()}
    answer = shop.registry("POST", "registered-models/rename", {"name": name, "new_name": fresh("prod-")})
    assert refused(answer, "VF6005")


# Tags in the gate's name, and numbers that are none.


@pytest.mark.parametrize("key", ["verifluxa.verdict", "Verifluxa.Certificate", " verifluxa.source", "VERIFLUXA.X"])
def test_a_new_model_or_version_brings_no_tag_of_the_gates(shop: Shop, key: str) -> None:
    tags = [{"key": key, "value": "certified"}]
    name = fresh("tagged")
    body: dict[str, object] = {"name": name, "tags": tags}
    assert refused(shop.registry("POST", "registered-models/create", body), "VF6093")
    shop.registry("POST", "registered-models/create", {"name": name})
    run, path = shop.upload("badnets")
    body |= {"source": f"mlflow-artifacts:/{path}", "run_id": run}
    made = shop.registry("POST", "model-versions/create", body).body["model_version"]
    assert made.get("tags", []) == []


def test_a_new_model_whose_versions_must_be_certified_is_no_prompt(shop: Shop) -> None:
    body = {"name": fresh("prod.x"), "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
    assert refused(shop.registry("POST", "registered-models/create", body), "VF6094")
    body["name"] = fresh("prompt")
    assert shop.registry("POST", "registered-models/create", body).status == 200


def test_a_new_version_does_not_hide_a_live_model_as_a_prompt(standing: Standing) -> None:
    shop, name = standing
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    body = {"name": name, "source": "dummy-source", "tags": tags}
    answer = shop.registry("POST", "model-versions/create", body)
    assert refused(answer, "VF6094"), answer
    assert shop.store.search_model_versions(f"name='{name}'")


def test_a_certified_version_of_a_guarded_model_is_not_taken_away(shop: Shop) -> None:
    """Where every version is in production, deleting one takes it out; one without certificate may go."""
    name = fresh("prod.")
    shop.registry("POST", "registered-models/create", {"name": name})
    run, path = shop.upload("clean")
    shop.papers(path, parse_reference(f"models:/{name}/1"))
    assert shop.create(name, f"mlflow-artifacts:/{path}", run).status == 200
    delete = {"name": name, "version": "1"}
    assert refused(shop.call("DELETE", f"{API}/model-versions/delete", delete), "VF6091")
    assert refused(shop.call("DELETE", f"{API}/registered-models/delete", {"name": name}), "VF6091")
    policy = shop.plant.policy
    policy.write_text(policy.read_text().replace("[protected]", "[protected]\nwithdrawal = true"))
    assert shop.call("DELETE", f"{API}/model-versions/delete", delete).status == 200
    with Log(load_policy(policy).log).held() as held:
        assert list(held.live(name)) == []


NO_NUMBERS = ["x", "0", "-1", "1.0", "1e0", " 1", "+1", "0x1", "\u0661", "\uff11", "1_0", "9" * 5000, "1\n", "", "1@x"]


def test_what_is_no_number_of_a_version(shop: Shop) -> None:
    """Refused in words, never by a traceback (a status of 500)."""
    name = fresh("number")
    shop.register(name, "badnets")
    for version in NO_NUMBERS:
        body = {"name": name, "version": version, "alias": "production", "stage": "Production", "value": "certified"}
        body["key"] = "verifluxa.verdict"
        for path in ("registered-models/alias", "model-versions/transition-stage", "model-versions/set-tag"):
            answer = shop.registry("POST", path, body)
            assert answer.status in (400, 403, 404), (path, version, answer)
    assert shop.aliases(name) == {}


# Names and patterns: what some database takes for the protected name, and patterns with characters of other languages.

LOOKALIKES = [
    "prodúction",
    "PRODÜCTION",
    "production\u200b",
    "pro\u00adduction",
    "\u2060production",
    "prodI\u0307ction".replace("I\u0307", "u\u0308"),
    "ｐｒｏｄｕｃｔｉｏｎ",
    "ＰＲＯＤＵＣＴＩＯＮ ",
    "production\u3000",
    "ρroduction".replace("ρ", "p\u0301"),
]


@pytest.mark.parametrize("name", LOOKALIKES)
def test_names_that_a_database_may_take_for_the_protected_one(name: str) -> None:
    """Collations such as utf8mb4_0900_ai_ci ignore letter case, accents and what has no width."""
    protected = Protected(models=("digits",), stages=("production",), every_version_of=("production",))
    assert protected.alias("digíts", name)
    assert protected.stage("DIGITS", name)
    assert protected.versions(name)


@pytest.mark.parametrize("name", ["digits[v2]", "digits?", "digits[!a]", "a.b", "a+b", "a\\b", "a^b$", "(a|b)"])
def test_a_pattern_is_a_name_but_for_its_stars(name: str) -> None:
    assert Protected(models=(name,)).alias(name, "production")
    assert Protected(models=(f"*{name}*",)).alias(f"x\n{name}\n", "production")
    assert not Protected(models=(name,)).alias("another", "production")


@pytest.mark.parametrize("text", [":", "::", " ", "none.pub", "/dev/null", "/dev/zero", "policy.toml"])
def test_keys_of_the_policys_owners_that_are_none(desk: Desk, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Where the machine asks for signatures at all, a list without keys lets no policy through."""
    monkeypatch.setenv("VERIFLUXA_POLICY_KEYS", text)
    with pytest.raises(GateError) as caught:
        desk.policy()
    assert caught.value.code == "VF6006"


# Policies with any value changed.

ODD: tuple[object, ...] = (None, True, -1, 2**70, 1.5, "", "x", [], [1], {}, "sha256:" + "0" * 63, "\u202e", "a\x7fb")


def toml(value: object) -> str:
    """A value as TOML writes it; None leaves a key out."""
    return json.dumps(value) if not isinstance(value, dict) else "{}"


def policy_lines() -> list[int]:
    return [number for number, line in enumerate(FULL.splitlines()) if " = " in line]


FULL = (
    POLICY.replace("mode = ", "one_in = 5\nmost_unrechecked = 0\nmode = ")
    .replace(
        "[protected]", 'serial = 4\nrefusals_a_minute = 9\nbound_to_policy = false\nlog = "log.jsonl"\n\n[protected]'
    )
    .replace("[signers]", 'models = ["*"]\nstages = ["Production"]\nwithdrawal = false\n\n[signers]\nthreshold = 1')
    + '\n[tool]\nminimum = "0"\nrecalled = []\nstrategies = []\n\n[revoked]\ncertificates = []\nfiles = []\nkeys = []\n'
    '\n[override]\nkeys = ["officer.pub"]\nmost_hours = 8\nthreshold = 1\n'
)


def refusal_of(call: Callable[[], object]) -> str | None:
    """The code of the refusal, or None."""
    try:
        call()
    except VerifluxaError as error:
        return error.code
    return None


@pytest.mark.parametrize("number", policy_lines())
def test_policies_with_one_value_changed(desk: Desk, number: int) -> None:
    """Another value is read or refused with VF6001 or VF6002; one of another type is always refused."""
    wanted = desk.policy().requirements[0]
    lines = FULL.format(property=wanted.property, data=wanted.data[0]).splitlines()
    assert parse_policy("\n".join(lines).encode(), desk.policy_path)
    key, _, value = lines[number].partition(" = ")
    same = type(tomllib.loads(lines[number])[key])
    changes = [f"{key} = {toml(item)}" for item in ODD if item is not None]
    changes += [
        f"{lines[number]}\n{lines[number]}",
        f"{key}é = {value}",
        f'"{key} " = {value}',
        f"{key} = {value[:-1]}",
    ]
    for change in changes:
        text = "\n".join([*lines[:number], change, *lines[number + 1 :]])
        found = refusal_of(functools.partial(parse_policy, text.encode(), desk.policy_path))
        if found is None:
            assert type(tomllib.loads(change)[key]) is same, change
        else:
            assert found in ("VF6001", "VF6002"), change


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2099-01-01", "12:00:00"])
def test_times_beyond_the_first_and_last_year(desk: Desk, time: str) -> None:
    text = desk.policy_path.read_text().replace("2099-01-01T00:00:00Z", time)
    with pytest.raises(GateError) as caught:
        parse_policy(text.encode(), desk.policy_path)
    assert caught.value.code == "VF6002"


@pytest.mark.parametrize(
    ("made", "until", "code"), [(1, 2, "VF5033"), (1, 9999, "VF6020"), (9999, 9999, "VF5032"), (999, 9999, "VF6020")]
)
def test_certificates_of_the_first_and_last_year(desk: Desk, made: int, until: int, code: str) -> None:
    """A signer's odd times are a reason, and the refusal is recorded: no error keeps it out of the log."""
    times = {"time_verified": datetime(made, 1, 1, tzinfo=UTC), "expires": datetime(until, 12, 31, 23, tzinfo=UTC)}
    certificate = desk.root / "certificate.dsse.json"
    certificate.write_bytes(desk.signed(replace(desk.statement, **times)))
    decision = judge(desk.policy_path, Ask(parse_reference(REFERENCE), desk.model, (certificate,)), None, NOW)
    assert code in codes(decision)
    assert [line.time_verified for line in read_lines(desk.policy().log)] == [times["time_verified"]]


# The log, its lines and its index.


def judged(desk: Desk, client: str = "", certificate: bytes | None = None) -> Decision:
    path = desk.root / "certificate.dsse.json"
    path.write_bytes(desk.signed() if certificate is None else certificate)
    ask = Ask(parse_reference(REFERENCE), desk.model, (path,), action="server", client=client)
    return judge(desk.policy_path, ask, None, NOW)


LINE = [
    "action", "certificate", "codes", "counted", "decision", "falsified", "files", "index", "keys", "override",
    "permitted", "policy", "previous", "reasons", "reference", "schema", "serial", "source", "time", "timeVerified",
]  # fmt: skip
FREE = {"reasons", "serial", "counted", "source", "codes", "keys", "falsified"}
"""Fields in which another value of the same type is a line too; the chain and the index tell them apart."""


@pytest.mark.parametrize("field", LINE)
def test_lines_with_one_field_changed(desk: Desk, field: str) -> None:
    assert judged(desk).permitted
    line = json.loads(desk.policy().log.read_bytes())
    assert sorted(line) == LINE
    wrong = [*ODD, "ＤＥＣＩＤＥ", "models:/digits/0", "2026-02-30T00:00:00Z", {"digest": 1}, {"digest": OTHER}]
    for value in wrong:
        changed = {**line, field: value}
        data = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()
        if changed == line or (
            field in FREE and type(value) is type(line[field]) and value != [1] and value not in (-1, 2**70)
        ):
            continue
        if value is None and field in ("override", "timeVerified"):
            continue
        with pytest.raises(GateError) as caught:
            parse_line(data, 0, START, "the line")
        assert caught.value.code == "VF6070", (value, caught.value)
    for data in (
        json.dumps({name: value for name, value in line.items() if name != field}).encode(),
        json.dumps({**line, field + "\u200b": 1}).encode(),
        desk.policy().log.read_bytes().replace(b'{"', f'{{"{field}":1,"'.encode(), 1),
    ):
        if field in ("override", "timeVerified", "schema") and f'"{field}"' not in data.decode():
            continue
        with pytest.raises(GateError) as caught:
            parse_line(data, 0, START, "the line")
        assert caught.value.code == "VF6070"


DAMAGE = [
    "delete from state",
    "update state set files = 'null'",
    "update state set count = 'x'",
    "update state set serial = 'x'",
    "update state set last = 'x'",
    "update state set last = 7",
    "delete from pending",
    "drop table pending",
    "drop table accepted",
    "drop table falsified",
    "update accepted set verified = 'x'",
    "create trigger t before update on state begin select raise(abort, 'no'); end",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_index_that_is_damaged(desk: Desk, damage: str) -> None:
    """Refused with a reason, or made good from the lines; never a traceback."""
    assert judged(desk).permitted
    index = desk.policy().log.with_name("decisions.jsonl.index")
    database = sqlite3.connect(index)
    database.execute(damage)
    database.commit()
    database.close()
    decision = judged(desk)
    assert [item.code for item in decision.reasons] in (["VF6070"], ["VF6099"]), decision
    # How many refusals wait to be counted does not stand in the lines.
    if "pending" not in damage:
        with pytest.raises(GateError) as caught:
            Log(desk.policy().log).verify()
        assert caught.value.code == "VF6070"


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "socket"])
@pytest.mark.parametrize("suffix", [".lock", ""])
def test_what_stands_where_the_log_should_be(desk: Desk, kind: str, suffix: str) -> None:
    place = desk.policy().log.with_name("decisions.jsonl" + suffix)
    victim = desk.root / "victim"
    victim.write_text("secret")
    put(place, kind, victim)
    decision = judged(desk)
    assert [item.code for item in decision.reasons] == ["VF6070"]
    assert victim.read_text() == "secret"


def put(place: Path, kind: str, victim: Path) -> None:
    """Puts something that is no plain file at a place."""
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(victim)
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(place))


def test_a_falsified_certificate_does_not_fill_the_log(desk: Desk) -> None:
    """What it shows is remembered once; refusals beyond the limit are counted like any other."""
    broken = build_statement(copy.deepcopy(RESULT), FACTS).properties[1]
    changes = {name: getattr(broken, name) for name in ("verdict", "bound", "coverage", "counterexample", "evidence")}
    shown = prop(desk.statement, **changes, population=None)
    desk.policy(lambda text: text.replace("max_age_days", "refusals_a_minute = 2\nmax_age_days"))
    for _ in range(12):
        assert "VF6052" in [item.code for item in judged(desk, "10.0.0.1", desk.signed(shown)).reasons]
    assert len(read_lines(desk.policy().log)) <= 3
    # Even when a client has used up its lines, what is new is written: it may not be forgotten.
    (desk.model / "vocabulary.txt").write_bytes(b"another")
    for _ in range(5):
        judged(desk, "10.0.0.2")
    before = len(read_lines(desk.policy().log))
    (desk.model / "vocabulary.txt").write_bytes(FILES["vocabulary.txt"])
    assert "VF6059" in [item.code for item in judged(desk, "10.0.0.2").reasons]
    assert len(read_lines(desk.policy().log)) == before


def test_a_log_whose_name_is_a_pattern(tmp_path: Path) -> None:
    """Its files are found again when it goes on in a new one."""
    log = Log(tmp_path / "log[1]*.jsonl", segment=1000)
    (tmp_path / "log1x.jsonl.000001").write_text("of another log")
    for _ in range(5):
        with log.held() as held:
            held.append(line_of(denied_case(), "decide") | {"source": "x" * 300})
    assert log.verify().count == 5


def denied_case() -> Decision:
    return Decision(False, (), parse_reference(REFERENCE), NOW, "none", "none", None, (), {}, {})


# Signed decisions: each field changed, each kind of document in its place, older ones.


def with_gate(desk: Desk, more: str = "") -> Policy:
    """The desk's policy with a key of the gate's own, and somebody who may break the glass."""
    keygen(desk.root / "gate" / "gate.key").public.rename(desk.root / "gate" / "gate.pub")
    gate = '\n[gate]\nkeys = ["gate.pub"]\nkey = "gate.key"\n\n[override]\nkeys = ["officer.pub"]\n'
    return desk.policy(lambda text: text + gate + more)


def sealed(desk: Desk, payload: bytes, key: str = "gate/gate.key") -> bytes:
    return encode_envelope(sign_payload(payload, [load_private_key(desk.root / key)]))


def loaded(desk: Desk, document: bytes | None, now: datetime = NOW, **changes: Any) -> Decision:
    """The decision of a machine that loads, with an empty log of its own."""
    case = replace(desk.case(), attested=True, attestation=document, now=now, **changes)
    return desk.decide(case)


FIELDS = ["_type", "predicateType", "subject"]
PREDICATE = ["resourceUri", "policy", "certificate", "properties", "recheck", "override", "issued", "expires"]


@pytest.mark.parametrize("field", [*FIELDS, *PREDICATE])
def test_decisions_of_the_gate_with_one_field_changed(desk: Desk, field: str) -> None:
    """Signed by the gate's own key, so that only what they say is judged."""
    policy = with_gate(desk)
    document = sign_decision(policy, desk.decide(), load_private_key(desk.root / "gate" / "gate.key"))
    assert codes(loaded(desk, document)) == []
    value = json.loads(parse_envelope(document).payload)
    place = value if field in FIELDS else value["predicate"]
    before = place[field]
    odd: list[object] = [*ODD, [before], {"a": before}, "2026-02-10T13:00:00Z", "not drawn ", "Done", "none\u200b"]
    odd += [before.upper(), before + " ", before + "\u0000"] if isinstance(before, str) else [before[:-1], before * 2]
    for new in odd:
        if new == before or (field, new) in (("properties", before * 2), ("expires", "2026-02-10T13:00:00Z")):
            continue
        place[field] = new
        decision = loaded(desk, sealed(desk, json.dumps(value).encode()))
        assert codes(decision) == ["VF6065"], new
    del place[field]
    assert codes(loaded(desk, sealed(desk, json.dumps(value).encode()))) == ["VF6065"]
    place[field] = before
    text = json.dumps(value).replace(f'"{field}"', f'"{field}": {json.dumps(before)}, "{field}"', 1)
    assert codes(loaded(desk, sealed(desk, text.encode()))) == ["VF6065"]


def test_other_documents_in_the_place_of_a_decision(desk: Desk) -> None:
    """Signed by the gate's key: certificates, results, overrides, statuses, policies, heads of the log."""
    policy = with_gate(desk)
    files = desk.case().files.digests
    waiver = Waiver(REFERENCE, files, policy.sha256, "Outage: nothing answers", NOW, NOW + timedelta(hours=1))
    key = load_private_key(desk.root / "gate" / "gate.key")
    documents = [sealed(desk, parse_envelope(desk.signed()).payload), sealed(desk, encode_svr(desk.statement))]
    documents += [sign_override(waiver, [key]), encode_status(policy, "ab" * 16, key)]
    documents += [encode("p", Head(1, OTHER), key), encode_envelope(sign_payload(b"x", [key], POLICY_TYPE))]
    for document in documents:
        assert codes(loaded(desk, document)) == ["VF6065"]
    decision = sign_decision(policy, desk.decide(), key)
    for case in (desk.case(decision), replace(desk.case(), override=decision, certificates=())):
        assert not desk.decide(case).permitted


def test_a_decision_by_override_counts_no_longer_than_the_override(desk: Desk) -> None:
    """What spoke against it (a recheck in a sample, the log) may be what the loading machine cannot see."""
    policy = with_gate(desk)
    policy = desk.policy(lambda text: text.replace('mode = "never"', 'mode = "sample"'))
    until = NOW + timedelta(hours=1)
    files = desk.case().files.digests
    waiver = Waiver(REFERENCE, files, policy.sha256, "Outage: nothing answers", NOW, until)
    override = sign_override(waiver, [desk.keys["officer"]])
    memory = replace(desk.case().memory, falsified=frozenset({policy.requirements[0].property}))
    decision = desk.decide(replace(desk.case(), override=override, memory=memory))
    assert (decision.permitted, decision.override is not None) == (True, True)
    document = sign_decision(policy, decision, load_private_key(desk.root / "gate" / "gate.key"))
    assert read_decision(document, policy).expires == until
    assert loaded(desk, document, override=override).permitted
    for now in (NOW, until - timedelta(seconds=1), until, until + timedelta(hours=3)):
        assert codes(loaded(desk, document, now)).count("VF6065") >= 1
    assert not loaded(desk, document, until, override=override).permitted


@pytest.mark.parametrize("mode", ["always", "sample"])
def test_a_decision_of_when_leaves_could_stay_unrechecked(desk: Desk, mode: str) -> None:
    """An older, laxer policy let leaves stay as they were; the one of today lets none."""
    with_gate(desk)
    lax = desk.policy(lambda text: text.replace('mode = "never"', f'mode = "{mode}"\nmost_unrechecked = 5'))
    item = PropertyCheck(leaves=5, unrechecked=2, said=desk.statement.properties[0])
    report = CheckReport(True, True, (), (), (item,), desk.statement)
    assert report.unrechecked == 2
    decision = desk.decide(replace(desk.case(), rechecked=Rechecked(True, report)))
    assert codes(decision) == []
    document = sign_decision(lax, decision, load_private_key(desk.root / "gate" / "gate.key"))
    assert codes(loaded(desk, document)) == []
    desk.policy(lambda text: text.replace("most_unrechecked = 5", "most_unrechecked = 0"))
    assert codes(loaded(desk, document)) == ["VF6065"]


# Files that change between a look and their use.


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "socket"])
@pytest.mark.parametrize("copies", [False, True], ids=["measured", "copied"])
def test_a_file_that_becomes_something_else_after_the_folder_was_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str, copies: bool
) -> None:
    """No pipe blocks the gate and no link is followed, whenever it is put there."""
    victim = desk.root / "secret"
    victim.write_text("secret")
    real = os.scandir

    def scandir(path: Any) -> Any:
        found = list(real(path))
        for entry in found:
            entry.is_file(follow_symlinks=False)
        target = desk.model / "clean.jld2"
        if target.exists() and Path(path) == desk.model and target.is_file() and not target.is_symlink():
            target.unlink()
            put(target, kind, victim)
        return contextlib.nullcontext(found)

    monkeypatch.setattr("verifluxa.gate.files.os.scandir", scandir)
    found = take(desk.model, desk.root / "copy") if copies else measure(desk.model)
    assert "clean.jld2" not in found.digests
    assert [item.code for item in found.problems] == ["VF6013"]


def test_a_folder_that_becomes_a_link_after_it_was_looked_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.model / "within").mkdir()
    (desk.model / "within" / "a").write_text("plain")
    (desk.root / "elsewhere").mkdir()
    (desk.root / "elsewhere" / "a").write_text("secret")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "within" and not Path(path).is_symlink():
            Path(path).rename(desk.root / "gone")
            Path(path).symlink_to(desk.root / "elsewhere")
        return real(path)

    monkeypatch.setattr("verifluxa.gate.files.os.scandir", scandir)
    found = take(desk.model, desk.root / "copy")
    assert "within/a" not in found.digests
    assert not (desk.root / "copy" / "within" / "a").exists()


def test_a_file_that_grows_while_it_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who writes faster than the gate reads does not keep it for ever."""
    path = desk.model / "clean.jld2"
    monkeypatch.setattr("verifluxa.gate.files.FILE_BYTES", 3 * 2**20)
    real = hashlib.sha256

    class Grows:
        def __init__(self) -> None:
            self.made = real()

        def update(self, data: bytes) -> None:
            self.made.update(data)
            with path.open("ab") as file:
                file.write(b"x" * 2**20)

        def hexdigest(self) -> str:
            return self.made.hexdigest()

    monkeypatch.setattr("verifluxa.gate.files.hashlib.sha256", Grows)
    found = measure(desk.model)
    assert [item.code for item in found.problems][:1] == ["VF6013"]
    assert path.stat().st_size < 8 * 2**20


# Registries on disk that somebody else made.


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_the_lock_of_a_layout_that_somebody_else_made(desk: Desk, kind: str) -> None:
    """A link there emptied any file of the gate's user, a pipe held the gate for ever."""
    registry = OciRegistry(desk.root / "layout")
    reference = registry.add("digits", desk.model).at("production")
    (registry.root / ".lock").unlink()
    victim = desk.root / "gate" / "release.pub"
    before = victim.read_bytes()
    put(registry.root / ".lock", kind, victim)
    for change in (
        lambda: registry.point(reference, desk.decide(), desk.model),
        lambda: registry.attach(reference, {}),
        lambda: registry.withdraw(reference, None),
        lambda: registry.add("digits", desk.model),
    ):
        with pytest.raises(GateError) as caught:
            change()
        assert caught.value.code == "VF6080"
    assert victim.read_bytes() == before


def test_a_link_that_is_put_there_while_a_layout_takes_files_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = desk.root / "release.key"

    def swap(folder: Path) -> Any:
        found = measure(folder)
        (folder / "clean.jld2").unlink()
        (folder / "clean.jld2").symlink_to(secret)
        return found

    monkeypatch.setattr("verifluxa.gate.oci_registry.measure", swap)
    registry = OciRegistry(desk.root / "layout")
    with pytest.raises(GateError) as caught:
        registry.add("digits", desk.model)
    assert caught.value.code == "VF6080"
    blobs = [path.read_bytes() for path in registry.root.rglob("*") if path.is_file()]
    assert all(secret.read_bytes() not in data for data in blobs)


@pytest.mark.parametrize("name", ["a!b", "a@b", "a/b", "..", "", " a", "a\n", "a\\b", "x" * 256, "\u202eevil", "a\x7f"])
@pytest.mark.parametrize("kind", [FolderRegistry, OciRegistry])
def test_names_that_would_spoil_a_registry(desk: Desk, kind: type[OciRegistry], name: str) -> None:
    """Refused, and what is there stays readable."""
    registry = kind(desk.root / "registry")
    reference = registry.add("digits", desk.model)
    with pytest.raises(GateError) as caught:
        registry.add(name, desk.model)
    assert caught.value.code in ("VF6031", "VF6080", "VF6081")
    assert registry.fetch(reference, desk.root / "out").folder.is_dir()
    assert list(registry.live()) == []


@pytest.mark.parametrize("place", ["documents", "documents/production", "aliases", "certified"])
def test_folders_of_a_registry_that_are_links(desk: Desk, place: str) -> None:
    """Nothing is written where a link of somebody else's leads."""
    registry = FolderRegistry(desk.root / "registry")
    reference = registry.add("digits", desk.model).at("production")
    elsewhere = desk.root / "elsewhere"
    elsewhere.mkdir()
    base = registry.root / "digits" / ("1" if place.startswith("documents") else "")
    (base / place).parent.mkdir(exist_ok=True)
    (base / place).symlink_to(elsewhere)
    change = functools.partial(registry.attach, reference, {"certificate.dsse.json": b"{}"})
    if not place.startswith("documents"):
        change = functools.partial(registry.point, reference, desk.decide(), desk.model)
    assert refusal_of(change) == "VF6080"
    assert list(elsewhere.iterdir()) == []


# A signing program that misbehaves.

PROGRAMS = {
    "it writes nothing": "true",
    "it fails": "exit 3",
    "it writes escapes and fails": "printf '\\033[2J\\033]0;x\\007' >&2; exit 1",
    "it writes too much": "head -c 5000 /dev/zero",
    "it writes a signature of something else": "cat >/dev/null; printf 0123456789012345678901234567890123456789",
    "it reads nothing": "exec <&-; printf x",
    "it is killed": "kill -9 $$",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_signing_program_that_misbehaves(desk: Desk, name: str) -> None:
    key = CommandKey(("sh", "-c", PROGRAMS[name]), desk.keys["release"].public_key())
    with pytest.raises(CertificateError) as caught:
        sign_payload(b"x" * 200_000, [key])
    assert caught.value.code == "VF5028"


@pytest.mark.parametrize("program", ["sleep 600; true", "sleep 600 & wait", "(sleep 600 &) ; sleep 600; true"])
def test_what_a_signing_program_leaves_behind_does_not_hold_the_gate(desk: Desk, program: str) -> None:
    """A child that keeps the output open held the gate, and with it the lock of the log, until it ended."""
    key = CommandKey(("sh", "-c", program), desk.keys["release"].public_key(), patience=0.3)
    with pytest.raises(CertificateError, match="longer than"):
        sign_payload(b"x", [key])


# Admission.


def asked(thing: object, **changes: Any) -> bytes:
    request = {"uid": "705ab4f5", "operation": "CREATE", "object": thing, **changes}
    return json.dumps({"apiVersion": VERSION, "kind": KIND, "request": request}).encode()


@pytest.mark.parametrize(
    "operation", ["create", "Create", "UPDATE ", "", None, 1, [], ["CREATE"], {}, True, "PATCH", "*"]
)
def test_an_operation_that_kubernetes_does_not_know(desk: Desk, operation: object) -> None:
    """What is not understood is refused; deleting and connecting start nothing."""
    admission = Admission(desk.policy_path, FolderRegistry(desk.root))
    pod = {"metadata": {"annotations": {}}}
    assert review(admission, asked(pod, operation=operation))["response"]["allowed"] is False
    for known in ("DELETE", "CONNECT"):
        assert review(admission, asked(pod, operation=known))["response"]["allowed"] is True


PODS: list[object] = [
    {"spec": {"containers": [{"image": "models:/digits@production"}]}},
    {"metadata": {"annotations": {ANNOTATION.upper(): "folder:/digits@production"}}},
    {"metadata": {"annotations": {ANNOTATION + " ": "folder:/digits@production"}}},
    {"metadata": {"labels": {ANNOTATION: "folder:/digits@production"}}},
    {"metadata": {"annotations": {ANNOTATION: " , ,, "}}},
    {"metadata": {"annotations": {ANNOTATION: ["folder:/digits@production"]}}},
    {"metadata": {"annotations": [ANNOTATION, "folder:/digits@production"]}},
    {"metadata": [{"annotations": {}}]},
    {"spec": {"template": [{"metadata": {}}]}},
    {"metadata": {"annotations": {ANNOTATION: "folder:/digits@production\u0000"}}},
    {"metadata": {"annotations": {ANNOTATION: "folder:/../digits@production"}}},
    {"metadata": {"annotations": {ANNOTATION: "folder:/digits@../production"}}},
    {"metadata": {"annotations": {ANNOTATION: "oci:/digits@production"}}},
    {"metadata": {"annotations": {ANNOTATION: "x" * 100_000}}},
    {"kind": "List", "items": [{"metadata": {"annotations": {ANNOTATION: "folder:/digits@production"}}}]},
    "pod",
    7,
]


@pytest.mark.parametrize("number", range(len(PODS)))
def test_pods_whose_model_is_named_in_another_way(desk: Desk, number: int) -> None:
    registry = FolderRegistry(desk.root / "registry")
    reference = registry.add("digits", desk.model).at("production")
    registry.point(reference, desk.decide(), desk.model)
    answer = review(Admission(desk.policy_path, registry), asked(PODS[number]))["response"]
    assert answer["allowed"] is False
    assert len(json.dumps(answer)) < 30_000


# What a maker writes into a certificate.


@pytest.mark.parametrize("break_", ["\n", "\n  ", "\n\n"])
@pytest.mark.parametrize("form", [Format.TEXT, Format.JUNIT, Format.SARIF, Format.JSON])
def test_a_reason_forges_no_line(desk: Desk, break_: str, form: Format) -> None:
    """Signed by somebody who counts, so that what it says is shown."""
    forged = f"a{break_}permitted: {REFERENCE}{break_}certificate sha256:00"
    decision = desk.decide(desk.case(desk.signed(replace(desk.statement, resource_uri=forged))))
    assert codes(decision) == ["VF6030"]
    lines = rendered([decision], form, "decide").splitlines()
    assert not any(line.strip().startswith("permitted") for line in lines)


# Routes: those of MLflow's own routers, Flask's and FastAPI's, with every method and prefix.


def routes() -> list[str]:
    """Every path of the server, with names for its parameters."""
    from fastapi.routing import APIRoute
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import create_fastapi_app

    found = {rule.rule for rule in flask_app.url_map.iter_rules()}
    found |= {item.path for item in create_fastapi_app(flask_app).routes if isinstance(item, APIRoute)}
    return sorted(found)


def filled(path: str, value: str) -> str:
    return re.sub(r"<[^>]*>|{[^}]*}", lambda _: quote(value, safe="/"), path)


@pytest.mark.parametrize("number", [25, soaked(100_000)])
def test_no_route_of_the_server_changes_what_is_certified(standing: Standing, number: int) -> None:
    """Each gets a body that names the live model and the vault in every field that any route reads."""
    shop, name = standing
    before = tree(shop.artifacts / VAULT)
    inside = shop.location(name, 1).removeprefix("mlflow-artifacts:/")
    body = {"name": name, "new_name": fresh("gone"), "alias": "production", "version": "2", "stage": "Production"}
    body |= {"key": "mlflow.prompt.is_prompt", "value": "true", "path": f"{inside}/clean.jld2", "source": inside}
    body |= {"artifact_location": f"{shop.artifacts}/{inside}", "src_model_uri": f"models:/{name}/2", "run_id": "x"}
    every = [(method, path) for path in routes() for method in ("POST", "PUT", "PATCH", "DELETE")]
    chosen = every if number > len(every) else random.Random(number).sample(every, number)
    assert len(every) > 1000
    for method, path in chosen:
        if any(word in path for word in ("assistant", "gateway", "jobs", "invocations", "ajax-api/3.0/mlflow/traces")):
            continue
        for value in (name, f"{inside}/clean.jld2", f"x/../{inside}/clean.jld2"):
            shop.call(method, filled(path, value), body)
            if number < 1000:
                break
        assert shop.aliases(name) == {"production": 1}, (method, path)
    assert tree(shop.artifacts / VAULT) == before
    assert certified(shop, name)


# Where files lie.

ELSEWHERE = [
    "mlflow-artifacts:",
    "mlflow-artifacts://h/a",
    "mlflow-artifacts://h:1/a",
    "mlflow-artifacts://u@/a",
    "mlflow-artifacts://@/a",
    "mlflow-artifacts:/a?b",
    "mlflow-artifacts:/a#b",
    "mlflow-artifacts:/a%2fb",
    "mlflow-artifacts:/a/../b",
    "mlflow-artifacts:/..",
    "mlflow-artifacts:/a\\b",
    "mlflow-artifacts:/a\nb",
    "mlflow-artifacts:/a\u202eb",
    "mlflow-artifacts:/a\u0000",
    " mlflow-artifacts:/a/..",
    "mlflow_artifacts:/a",
    "mlflow-artifactſ:/a",
    "runs:/x/model",
    "models:/m-1",
    "models:/a/1",
    "models:/a@production",
    "file:/a",
    "/a",
    "a",
    "",
    "s3://b/a",
    "http://h/a",
    "dbfs:/a",
    "hdfs://h/a",
    "ftp://h/a",
    "sftp://h/a",
    "viewfs:/a",
    "uc:/a",
    "r2://b/a",
    "data:,x",
]


@pytest.mark.parametrize("uri", [item for item in ELSEWHERE if item != "mlflow-artifacts:"])
def test_sources_that_this_server_does_not_store(uri: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="VF6088"):
        check_source(uri)


# Work before the signature.


def flipped(data: bytes, where: int) -> bytes:
    return data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]


@pytest.mark.parametrize("place", ["payload", "sig", "keyid", "payloadType"])
def test_nothing_is_computed_for_whoever_has_no_key(desk: Desk, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Neither evidence nor payload is read before a signature holds."""
    desk.policy(lambda text: text.replace('mode = "never"', 'mode = "always"'))
    called: list[object] = []
    for name in ("verifluxa.gate.run.recheck", "verifluxa.gate.decide.parse_statement"):
        monkeypatch.setattr(name, lambda *given: called.append(given))
    envelope = desk.signed()
    start = envelope.index(f'"{place}"'.encode()) + len(place) + 4
    for where in range(start, start + 40, 7):
        decision = judged(desk, certificate=flipped(envelope, where))
        if place == "keyid" and called:
            # A key id is a hint, and the signature still holds.
            called.clear()
            continue
        assert not decision.permitted
        assert called == []


# A result that chooses files.


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../secret", "link", "folder/../../secret", "link/../../secret", "/proc/self/environ"]
)
@pytest.mark.parametrize("field", ["spec", "data"])
def test_a_result_that_names_files_of_the_gates_machine(tmp_path: Path, path: str, field: str) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "papers" / "link").symlink_to(tmp_path / "secret")
    result = json.loads(json.dumps(RESULT))
    result["spec"]["path"] = "spec.vfx"
    for item in result["data"]:
        item["path"] = "data.npz"
    (result["spec"] if field == "spec" else result["data"][0])["path"] = path
    (tmp_path / "papers" / "result.json").write_text(json.dumps(result))
    assert refusal_of(lambda: _check_inside(tmp_path / "papers")) == "VF6058"


# Editions of the policy, revocation, overrides.


@pytest.mark.parametrize("serial", [0, 1, 6])
def test_an_older_edition_after_any_line_of_a_newer_one(desk: Desk, serial: int) -> None:
    """A refusal under the newer edition is enough, even one that is counted and not written."""
    text = desk.policy_path.read_text()
    desk.policy_path.write_text("serial = 7\n" + text)
    assert not judged(desk, certificate=b"{}").permitted
    desk.policy_path.write_text(f"serial = {serial}\n" + text)
    assert codes(judged(desk)) == ["VF6007"]
    desk.policy_path.write_text(text)
    assert codes(judged(desk)) == ["VF6007"]
    Log(desk.policy().log).rebuild()
    assert codes(judged(desk)) == ["VF6007"]


FIRM = {
    "a revoked file": '\n[revoked]\nfiles = ["{file}"]\n',
    "an expired policy": "",
    "an older edition": "",
    "a file that is none": "",
    "a revoked override": '\n[revoked]\ncertificates = ["{override}"]\n',
    "a revoked officer": '\n[revoked]\nkeys = ["{officer}"]\n',
    "an override that has expired": "",
    "an override of tomorrow": "",
    "an override for longer than the policy lets": "",
    "an override of other files": "",
    "an override for another name": "",
    "an override by a signer": "",
}


@pytest.mark.parametrize("name", FIRM)
def test_what_no_override_lets_pass(desk: Desk, name: str) -> None:
    files = dict(desk.case().files.digests)
    text = desk.policy_path.read_text() + '\n[override]\nkeys = ["officer.pub"]\nmost_hours = 8\n'
    text = text.replace("2099", "2026") if "expired policy" in name else text
    text += FIRM[name].format(
        file=files["clean.jld2"], override=OTHER, officer=key_id(desk.keys["officer"].public_key())
    )
    issued = NOW + timedelta(days=1) if "tomorrow" in name else NOW - timedelta(hours=2)
    hours = {"an override that has expired": 1, "an override for longer than the policy lets": 9}.get(name, 8)
    for _ in range(2):
        desk.policy_path.write_text(text)
        policy = desk.policy()
        waiver = Waiver(
            REFERENCE, files, policy.sha256, "Outage: nothing answers", issued, issued + timedelta(hours=hours)
        )
        if "other files" in name:
            waiver = replace(waiver, files={**files, "clean.jld2": OTHER})
        if "another name" in name:
            waiver = replace(waiver, reference=REFERENCE + "x")
        override = sign_override(waiver, [desk.keys["release" if "signer" in name else "officer"]])
        digest = "sha256:" + hashlib.sha256(parse_envelope(override).payload).hexdigest()
        text = text.replace(OTHER, digest) if "revoked override" in name else text
    case = replace(desk.case(b"{}"), override=override)
    if "older edition" in name:
        case = replace(case, memory=replace(case.memory, serial=1))
    if "file that is none" in name:
        (desk.model / "link").symlink_to("/etc/hostname")
        case = replace(case, files=measure(desk.model))
    if "revoked override" not in name:
        assert not desk.decide(case).permitted


# Status of a server.


@pytest.mark.parametrize("field", ["version", "policy", "nonce", "time"])
def test_a_status_with_one_field_changed(desk: Desk, field: str) -> None:
    policy = with_gate(desk)
    key, nonce = load_private_key(desk.root / "gate" / "gate.key"), "ab" * 16
    document = json.loads(parse_envelope(encode_status(policy, nonce, key), kind=STATUS_TYPE).payload)
    for value in (*ODD, "none", nonce.upper(), "cd" * 16, "2026-02-10T12:00:00Z", "2999-01-01T00:00:00Z"):
        if field == "version" and isinstance(value, str):
            continue
        payload = json.dumps({**document, field: value}).encode()
        signed = encode_envelope(sign_payload(payload, [key], STATUS_TYPE))
        assert refusal_of(functools.partial(decode_status, signed, nonce, policy)) is not None, value
        plain = encode_envelope(sign_payload(json.dumps(document).encode(), [key]))
        assert refusal_of(functools.partial(decode_status, plain, nonce, policy)) == "VF5020"


def test_a_gate_whose_program_fails_gives_an_unsigned_status(desk: Desk) -> None:
    """No traceback, and nobody who knows its key takes it for guarded."""
    policy = with_gate(desk)
    assert policy.gate is not None
    broken = replace(policy, gate=replace(policy.gate, key=None, command=("false",)))
    answer = server_status(broken, "ab" * 16)
    assert refusal_of(lambda: decode_status(answer, "ab" * 16, policy)) is not None


# Audits of the wrong registry.


@pytest.mark.parametrize("spelling", ["http://127.0.0.1:5", "http://127.0.0.1:5/", "http://127.0.0.1:5//"])
def test_an_address_is_the_same_with_and_without_a_slash(spelling: str) -> None:
    """What the log remembers of a registry is compared, however its address is spelt."""
    assert "http://127.0.0.1:5" in MlflowRegistry(spelling).sources
    assert MlflowRegistry(spelling).sources == MlflowRegistry("http://127.0.0.1:5").sources


@pytest.mark.parametrize("kind", ["none", "file", "empty", "oci in a folder", "folder in oci"])
def test_audits_of_what_is_no_registry(desk: Desk, kind: str) -> None:
    place = desk.root / "place"
    if kind == "file":
        place.write_text("x")
    elif kind == "empty":
        place.mkdir()
    elif kind != "none":
        made: FolderRegistry | OciRegistry = OciRegistry(place) if kind.startswith("oci") else FolderRegistry(place)
        made.point(made.add("digits", desk.model).at("production"), desk.decide(), desk.model)
    registry: FolderRegistry | OciRegistry = FolderRegistry(place)
    if kind == "folder in oci":
        registry = OciRegistry(place)
    try:
        found = audit(desk.policy_path, registry)
    except GateError as error:
        code = error.code
    else:
        code = next(iter(check_expected(found, (), False))).code
    assert code in ("VF6067", "VF6080")
