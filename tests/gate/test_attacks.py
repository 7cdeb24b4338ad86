"""Attacks on MLflow's server with the plugin in it, by classes: each class tries many spellings of one idea."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from tests.gate.shop import VAULT, Shop, certified, fresh, refused, tree
from verifluxa.gate.files import files_digest, measure
from verifluxa.gate.log import Log, read_lines
from verifluxa.gate.policy import load_policy
from verifluxa.gate.reference import parse_reference

soak = pytest.mark.soak


def test_what_is_promoted_leads_to_frozen_files(live: tuple[Shop, str, str]) -> None:
    shop, name, path = live
    assert certified(shop, name)
    digest = files_digest(measure(shop.plant.model("clean")).digests).removeprefix("sha256:")
    assert shop.location(name, 1) == f"mlflow-artifacts:/{VAULT}/{digest}/model"
    # What it was uploaded as may change; nobody reads it any more.
    assert shop.put(f"{path}/clean.jld2", b"another").status == 200
    assert certified(shop, name)
    again = shop.alias(parse_reference(f"models:/{name}/1@production"))
    assert again.status == 200


# Names and aliases.


@pytest.mark.parametrize("new", ["prod-x", "PROD-x", "prod-", "ｐｒｏｄ-x", "Prod_x"])
def test_a_rename_is_judged_under_the_new_name(shop: Shop, new: str) -> None:
    policy = shop.plant.policy
    policy.write_text(policy.read_text().replace("[protected]", '[protected]\nmodels = ["prod*"]'))
    name, new = fresh("draft"), fresh(new)
    shop.register(name, "badnets")
    assert shop.alias(parse_reference(f"models:/{name}/1@production")).status == 200
    answer = shop.registry("POST", "registered-models/rename", {"name": name, "new_name": new})
    assert refused(answer, "VF6005"), answer
    assert shop.aliases(name) == {"production": 1}


def test_a_stage_is_renamed_with_its_version(shop: Shop) -> None:
    policy = shop.plant.policy
    policy.write_text(policy.read_text().replace("[protected]", '[protected]\nmodels = ["prod*"]'))
    name = fresh("draft")
    shop.register(name, "badnets")
    body = {"name": name, "version": "1", "stage": "Production", "archive_existing_versions": False}
    assert shop.registry("POST", "model-versions/transition-stage", body).status == 200
    # Hidden from MLflow's searches, as any user may.
    body = {"name": name, "version": "1", "key": "mlflow.prompt.is_prompt", "value": "true"}
    assert shop.registry("POST", "model-versions/set-tag", body).status == 200
    answer = shop.registry("POST", "registered-models/rename", {"name": name, "new_name": fresh("prod")})
    assert refused(answer, "VF6005"), answer


def test_a_live_model_keeps_its_name(live: tuple[Shop, str, str]) -> None:
    shop, name, _ = live
    answer = shop.registry("POST", "registered-models/rename", {"name": name, "new_name": fresh("other")})
    assert refused(answer, "VF6091")


def test_a_rename_that_the_policy_allows_needs_certificates_and_is_logged(live: tuple[Shop, str, str]) -> None:
    shop, name, path = live
    policy, new = shop.plant.policy, fresh("renamed")
    policy.write_text(policy.read_text().replace("[protected]", "[protected]\nwithdrawal = true"))
    rename = {"name": name, "new_name": new}
    assert refused(shop.registry("POST", "registered-models/rename", rename), "VF6005")
    shop.papers(path, parse_reference(f"models:/{new}/1@production"))
    assert shop.registry("POST", "registered-models/rename", rename).status == 200
    assert certified(shop, new)
    with Log(load_policy(policy).log).held() as held:
        assert [item.reference.name for item, _ in held.live(new)] == [new]
        assert list(held.live(name)) == []


# Tags.


@pytest.mark.parametrize("key", ["mlflow.prompt.is_prompt", "Mlflow.Prompt.is_prompt", " mlflow.prompt.is_prompt"])
@pytest.mark.parametrize("value", ["true", "True", "false"])
@pytest.mark.parametrize("place", ["registered-models", "model-versions"])
def test_a_live_model_cannot_be_hidden_as_a_prompt(
    live: tuple[Shop, str, str], key: str, value: str, place: str
) -> None:
    shop, name, _ = live
    answer = shop.registry("POST", f"{place}/set-tag", {"name": name, "version": "1", "key": key, "value": value})
    assert refused(answer, "VF6094")


@pytest.mark.parametrize(
    "key", ["verifluxa.verdict", "Verifluxa.verdict", "VERIFLUXA.x", "verifluxa.source", " verifluxa.verdict"]
)
@pytest.mark.parametrize("version", ["1", "2", None])
def test_tags_in_the_gates_name_say_what_the_log_says(
    live: tuple[Shop, str, str], key: str, version: str | None
) -> None:
    shop, name, _ = live
    value = "overridden" if version == "1" else "certified"
    place = "registered-models" if version is None else "model-versions"
    body: dict[str, object] = {"name": name, "version": version, "key": key, "value": value}
    assert refused(shop.registry("POST", f"{place}/set-tag", body), "VF6093")


# Where the files lie.

SOURCES = [
    "runs:/{run}/model",
    "mlflow-artifacts://127.0.0.1:5066/{path}",
    "mlflow-artifacts://localhost/{path}",
    "http://127.0.0.1:5066/api/2.0/mlflow-artifacts/artifacts/{path}",
    "https://evil.example/api/2.0/mlflow-artifacts/artifacts/{path}",
    "mlflow-artifacts:/{path}?x=1",
    "mlflow-artifacts:/{path}#x",
    "mlflow-artifacts:/%2e%2e/{path}",
    "mlflow-artifacts:/{folder}/mod%65l",
    "mlflow-artifacts:/{folder}/..%2fmodel",
    "mlflow-artifacts:/{folder}/x/../model",
    "mlflow-artifacts:/{folder}\\model",
    "MLFLOW-ARTIFACTS://x/{path}",
    "file:///{disk}",
    "{disk}",
    "s3://bucket/{path}",
    "dbfs:/{path}",
]


@pytest.mark.parametrize("source", SOURCES)
def test_files_elsewhere_are_not_promoted(shop: Shop, source: str) -> None:
    name = fresh("elsewhere")
    run, path = shop.upload("clean")
    shop.registry("POST", "registered-models/create", {"name": name})
    disk, folder = shop.artifacts / path, path.rpartition("/")[0]
    answer = shop.create(name, source.format(run=run, path=path, disk=disk, folder=folder), run)
    if answer.status == 200:
        reference = parse_reference(f"models:/{name}/1@production")
        shop.papers(path, reference)
        answer = shop.alias(reference)
        assert answer.status in (400, 403, 404, 500), answer
    assert shop.aliases(name) == {}


def vault_paths(location: str) -> list[str]:
    base = location.removeprefix("mlflow-artifacts:/")
    file = f"{base}/clean.jld2"
    spelled = [
        file,
        f"{base}/new.jld2",
        f"{base}.verifluxa/new",
        f"{VAULT}/x",
        VAULT,
        base,
        f"0/../{file}",
        f"./{file}",
    ]
    spelled += [
        file.replace("/", "//", 1),
        file.upper(),
        file.replace("v", "V", 1),
        f"{VAULT}/../{file}",
        f"{file}/",
        f"{file}/..",
    ]
    spelled += [
        "",
        ".",
        "/",
        f"0/../../artifacts/{file}",
        file.replace("/", "\\"),
        file.replace("e", "ｅ", 1),
        f"{file}\x00",
    ]
    return [
        *spelled,
        quote(file, safe=""),
        quote(file).replace("e", "%65"),
        quote(quote(file, safe=""), safe=""),
        f"%2e/{file}",
    ]


def test_no_route_writes_where_the_certified_files_lie(live: tuple[Shop, str, str]) -> None:
    """Uploads, multipart uploads and deletions, in many spellings of the path."""
    shop, name, _ = live
    before = tree(shop.artifacts / VAULT)
    run, _ = shop.run()
    for path in vault_paths(shop.location(name, 1)):
        for root in ("/api/2.0", "/ajax-api/2.0"):
            for method, where in (
                ("PUT", "artifacts"),
                ("DELETE", "artifacts"),
                ("POST", "mpu/create"),
                ("POST", "mpu/complete"),
            ):
                body = json.dumps({"path": "clean.jld2", "num_parts": 1, "upload_id": "x", "parts": []}).encode()
                url = f"{root}/mlflow-artifacts/{where}/" + (path if "%" in path else quote(path))
                shop.raw(method, url, body, {"content-type": "application/json"})
        shop.raw("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={quote(path)}", b"evil")
    assert tree(shop.artifacts / VAULT) == before
    assert certified(shop, name)


def test_runs_and_experiments_cannot_be_put_over_the_certified_files(live: tuple[Shop, str, str]) -> None:
    """The artifacts of an experiment lie where its maker says."""
    shop, name, _ = live
    before = tree(shop.artifacts / VAULT)
    location = shop.location(name, 1)
    roots = [location, f"mlflow-artifacts:/{VAULT}", "mlflow-artifacts:/", f"file://{shop.artifacts}/{VAULT}"]
    roots += [str(shop.artifacts / VAULT), str(shop.artifacts), f"mlflow-artifacts:/0/../{VAULT}", location.upper()]
    for root in roots:
        body = {"name": fresh("experiment"), "artifact_location": root}
        answer = shop.registry("POST", "experiments/create", body)
        if answer.status != 200:
            continue
        made = shop.registry("POST", "runs/create", {"experiment_id": answer.body["experiment_id"]})
        run = made.body["run"]["info"]["run_id"]
        for path in ("clean.jld2", "../../clean.jld2", f"{VAULT}/x", "model/clean.jld2"):
            url = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={quote(path)}"
            shop.raw("POST", url, b"evil")
    assert tree(shop.artifacts / VAULT) == before


# Routes.


def variants() -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Requests for the alias on an uncertified version: spellings of path, method, body and headers."""
    plain = {"content-type": "application/json"}
    roots = ["/api/2.0", "/ajax-api/2.0", "/api/3.0", "/ajax-api/3.0", "/api/2.1", "/API/2.0", "//api/2.0", "/api//2.0"]
    roots += [
        "/./api/2.0",
        "/api/2.0/../2.0",
        "/api/2%2e0",
        "/%61pi/2.0",
        "/static-files/../api/2.0",
        "/ml/api/2.0",
        "/graphql/../api/2.0",
    ]
    base = "/mlflow/registered-models/alias"
    paths = [
        base,
        base + "/",
        base.replace("/mlflow/", "/mlflow//"),
        base.replace("-", "%2d"),
        base.replace("els/", "els%2f"),
    ]
    paths += [
        base + ";x=1",
        base + "?name={name}&alias=production&version=2",
        base + "%00",
        base.upper(),
        "/preview" + base,
    ]
    paths += [
        base.replace("/mlflow/", "/mlflow/unity-catalog/"),
        base.replace("registered", "Registered"),
        base + "%20",
        base + "#x",
    ]
    body = b'{"name": "{name}", "alias": "production", "version": "2"}'
    found = [
        (method, root + path, body, plain)
        for root in roots
        for path in paths
        for method in ("POST", "PUT", "PATCH", "GET")
    ]
    for header in ("x-http-method-override", "x-method-override", "x-http-method"):
        found += [
            (method, roots[0] + base, body, {**plain, header: "POST"}) for method in ("GET", "PUT", "DELETE", "HEAD")
        ]
    values = [
        "2",
        '" 2"',
        '"02"',
        '"2.0"',
        '"+2"',
        '"２"',
        '"0_2"',
        '"2\\n"',
        '"1", "version": "2"',
        '"' + "0" * 500 + '2"',
    ]
    bodies = [body.replace(b'"2"', value.encode()) for value in values]
    aliases = [
        "Production",
        "PRODUCTION",
        "production ",
        " production",
        "production\\n",
        "pro\\u00adduction",
        "ｐｒｏｄｕｃｔｉｏｎ",
    ]
    aliases += ["production\\u0000", "prod\\u0075ction", "production\\u200b", 'staging\\", \\"alias\\": \\"production']
    bodies += [body.replace(b"production", alias.encode()) for alias in aliases]
    bodies += [
        body.replace(b'"alias"', b'"alias": "staging", "alias"'),
        body.replace(b'{"name"', b'{"name": "free", "name"'),
    ]
    names = ["{name} ", " {name}", "{name}\\n", "./{name}", "{name}/", "{name}%20", "{name}\\u0000"]
    bodies += [body.replace(b"{name}", name.encode()) for name in names]
    types = [
        "application/json",
        "application/json; charset=utf-16",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
    ]
    found += [("POST", roots[0] + base, data, {"content-type": kind}) for data in bodies for kind in types]
    stages = [
        "Production",
        "production",
        "PRODUCTION",
        " Production",
        "Production ",
        "Production\\n",
        "prod\\u0075ction",
    ]
    stage = '{"name": "{name}", "version": "2", "stage": "%s", "archive_existing_versions": true}'
    where = "/mlflow/model-versions/transition-stage"
    found += [("POST", root + where, (stage % item).encode(), plain) for root in roots for item in stages]
    return found


ALL = variants()


@pytest.mark.parametrize("number", [60, pytest.param(len(ALL), marks=soak)])
def test_no_route_leads_to_an_uncertified_version(live: tuple[Shop, str, str], number: int) -> None:
    shop, name, _ = live
    assert len(ALL) >= 1000
    for method, path, body, headers in random.Random(number).sample(ALL, number):
        shop.raw(method, path.replace("{name}", name), body.replace(b"{name}", name.encode()), headers)
        assert shop.aliases(name).get("production") == 1, (method, path, body)
    stages = {item.version: item.current_stage for item in shop.store.search_model_versions(f"name='{name}'")}
    assert str(stages.get(2, stages.get("2"))) == "None"


def test_every_writing_route_of_the_server_is_refused_or_harmless(live: tuple[Shop, str, str]) -> None:
    """Generated from the server's own routes, each with a body that names the live model in every way."""
    shop, name, _ = live
    from mlflow.server import app as flask_app

    body: dict[str, object] = {"name": name, "new_name": fresh("gone"), "alias": "production", "version": "2"}
    body |= {
        "stage": "Production",
        "archive_existing_versions": True,
        "key": "mlflow.prompt.is_prompt",
        "value": "true",
    }
    asked = 0
    for rule in flask_app.url_map.iter_rules():
        methods = (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
        if not any(word in rule.rule for word in ("registered-models", "model-versions", "prompts", "graphql")):
            continue
        for method in sorted(methods):
            asked += 1
            path = rule.rule.replace("<name>", name).replace("<path:artifact_path>", "x")
            shop.call(method, path, body)
            assert shop.aliases(name).get("production") == 1, (method, path)
    assert certified(shop, name)
    assert asked >= 30


# Races.


def swap_while_promoting(shop: Shop, delay: float) -> None:
    """Somebody swaps a file while the server decides: whatever the answer, nothing uncertified is live."""
    name = fresh("race")
    reference, path = shop.certified(name)
    bad = shop.plant.files("badnets")["badnets.jld2"]
    target = shop.artifacts / path / "clean.jld2"
    started = threading.Event()

    def swap() -> None:
        started.wait()
        time.sleep(delay)
        target.write_bytes(bad)

    thread = threading.Thread(target=swap)
    thread.start()
    started.set()
    answer = shop.alias(reference)
    thread.join()
    assert answer.status in (200, 403)
    assert certified(shop, name) == (answer.status == 200), answer
    tag = {"name": name, "version": "1", "key": "verifluxa.verdict", "value": "certified"}
    assert (shop.registry("POST", "model-versions/set-tag", tag).status == 200) == (answer.status == 200)


@pytest.mark.parametrize("number", [3, pytest.param(200, marks=soak)])
def test_files_swapped_while_they_are_promoted(shop: Shop, number: int) -> None:
    chance = random.Random(7)
    for _ in range(number):
        swap_while_promoting(shop, chance.choice([0, chance.uniform(0, 0.5)]))


def test_a_new_version_of_a_guarded_model_leads_to_frozen_files(shop: Shop) -> None:
    name = fresh("prod.race")
    shop.registry("POST", "registered-models/create", {"name": name})
    run, path = shop.upload("clean")
    source = f"mlflow-artifacts:/{path}"
    assert refused(shop.create(name, source, run), "VF6005")
    shop.papers(path, parse_reference(f"models:/{name}/1"))
    assert shop.create(name, source, run).status == 200
    (shop.artifacts / path / "clean.jld2").write_bytes(b"swapped")
    assert shop.location(name, 1).startswith(f"mlflow-artifacts:/{VAULT}/")
    # The number of a version that was hidden from searches is not given again.
    assert refused(shop.create(name, source, run), "VF60")
    tag = {"name": name, "version": "1", "key": "mlflow.prompt.is_prompt", "value": "true"}
    assert refused(shop.registry("POST", "model-versions/set-tag", tag), "VF6094")


# Refusals.


def test_refusals_of_one_client_are_counted_beyond_a_limit(live: tuple[Shop, str, str]) -> None:
    shop, name, _ = live
    policy = shop.plant.policy
    policy.write_text(policy.read_text().replace("refusals_a_minute = 1000000", "refusals_a_minute = 3"))
    log = load_policy(policy).log
    before = len(read_lines(log))
    for _ in range(12):
        assert refused(shop.alias(parse_reference(f"models:/{name}/2@production")), "VF6005")
    assert len(read_lines(log)) - before <= 6
    assert shop.alias(parse_reference(f"models:/{name}/1@production")).status == 200
    assert Log(log).verify().counted >= 6


def test_a_refusal_is_a_short_line_however_many_files_there_are(shop: Shop) -> None:
    name = fresh("long")
    run, path = shop.run()
    folder = shop.artifacts / path / "model"
    folder.mkdir(parents=True)
    for number in range(400):
        (folder / f"{number:04}{'x' * 200}").write_bytes(b"1")
    shop.registry("POST", "registered-models/create", {"name": name})
    shop.create(name, f"mlflow-artifacts:/{path}/model", run)
    log = load_policy(shop.plant.policy).log
    size = log.stat().st_size
    assert shop.alias(parse_reference(f"models:/{name}/1@production")).status == 403
    assert 0 < log.stat().st_size - size < 2000


def test_a_stranger_cannot_make_the_server_compute(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures come first: without one that counts no evidence is even opened."""
    name = fresh("stranger")
    reference, path = shop.certified(name)
    asked: list[object] = []
    monkeypatch.setattr("verifluxa.gate.run.recheck", lambda *given: asked.append(given))
    for place in (shop.artifacts / f"{path}.verifluxa").rglob("certificate.dsse.json"):
        envelope = json.loads(place.read_text())
        signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        signature[-1] ^= 1
        envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        place.write_text(json.dumps(envelope))
    assert refused(shop.alias(reference), "VF50")
    assert asked == []


# Crashes.


def _promotion(shop: Shop, name: str, kill_at: int | None) -> int:
    """Asks for an alias in a child process that is killed before its `kill_at`-th step; how many steps there were.

    Steps are what Python's audit hooks see: files that are opened, made, renamed or removed.
    """
    from mlflow.server import handlers

    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            # The parent's connections and threads are not the child's: it calls the store itself.
            shop.store.engine.dispose(close=False)
            handlers._artifact_repo = None
            steps = 0

            def hook(event: str, _given: tuple[Any, ...]) -> None:
                nonlocal steps
                if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect", "os.chmod"):
                    steps += 1
                    if steps == kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            shop.store.set_registered_model_alias(name, "production", "1")
            os.write(write, str(steps).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    return int(data or b"0")


@pytest.mark.parametrize("points", [2, pytest.param(20, marks=soak)])
def test_killed_at_any_step_of_a_promotion_nothing_uncertified_is_live(shop: Shop, points: int) -> None:
    first = fresh("crash")
    shop.certified(first)
    vault = shop.artifacts / VAULT
    if vault.exists():
        shutil.rmtree(vault)
    total = _promotion(shop, first, None)
    assert certified(shop, first)
    assert total > 40
    for number in range(points):
        at = 1 + number * total // points
        name = fresh("crash")
        reference, _ = shop.certified(name)
        # Nothing is frozen yet, so that freezing is among what is cut off.
        shutil.rmtree(vault)
        assert _promotion(shop, name, at) == 0
        found = shop.aliases(name)
        assert not found or certified(shop, name), at
        assert shop.alias(reference).status == 200, at
        assert certified(shop, name)
    Log(load_policy(shop.plant.policy).log).verify()


def test_a_permission_of_which_nothing_came_is_no_longer_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    name = fresh("failing")
    reference, _ = shop.certified(name)

    def fail(*given: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("verifluxa.gate.mlflow_plugin.guard.point", fail)
        assert shop.alias(reference).status >= 400
    lines = read_lines(load_policy(shop.plant.policy).log)
    assert [(line.action, line.permitted) for line in lines[-2:]] == [("server", True), ("changed", False)]
    tag = {"name": name, "version": "1", "key": "verifluxa.verdict", "value": "certified"}
    assert refused(shop.registry("POST", "model-versions/set-tag", tag), "VF6093")
    assert shop.alias(replace(reference)).status == 200
