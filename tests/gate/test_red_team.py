"""A second red team: attacks by somebody who did not write the gate, by the classes of the first one."""

from __future__ import annotations

import os
from urllib.parse import quote

import pytest

from tests.gate.mlflow_server import Answer
from tests.gate.shop import VAULT, Shop, certified, fresh, refused, tree
from verifluxa.gate.mlflow_plugin.client import MlflowRegistry

Live = tuple[Shop, str, str]
Hidden = tuple[tuple[int | None, ...], str]
API = "/api/2.0/mlflow"


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


@pytest.mark.parametrize("form", ["file://{disk}/{place}", "file:{disk}/{place}", "{disk}/{place}"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_experiment_in_the_vault_by_another_spelling(live: Live, form: str, spelling: str) -> None:
    shop, name, _ = live
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


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
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


@pytest.mark.parametrize("name", ["a'b\"c", "a\\'b", "x' OR name LIKE '%", "%"])
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
