"""A real MLflow server with the plugin: over HTTP only the certified model can become `production`.

One server serves all of it, since starting one takes seconds; each bypass is a subtest.
"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gate.mlflow_server import QUIET, Answer, Server, serve
from tests.gate.plant import Plant
from verifluxa.cli.main import run
from verifluxa.errors import GateError, ManyErrors
from verifluxa.gate import load_model
from verifluxa.gate.log import read_lines
from verifluxa.gate.policy import load_policy

ROOTS = ("/api", "/ajax-api")
VERSIONS = ("2.0", "3.0", "1.0", "2.1", "v2")


@dataclass(frozen=True)
class Shop:
    """The server and the two models, registered as versions 1 (clean) and 2 (backdoored) of `digits`."""

    server: Server
    plant: Plant

    def aliases(self) -> dict[str, str]:
        return self.server.aliases("digits")

    def promote(self, version: int, name: str, *more: str) -> int:
        certificate = self.plant.signed(name, f"models:/digits/{version}@production")
        return self.gate(
            "promote", f"models:/digits/{version}", "--alias", "production", "--certificate", certificate, *more
        )

    def gate(self, *arguments: object) -> int:
        asked = [*arguments, "--registry", self.server.uri, "--policy", self.plant.policy]
        return run(["gate", *(str(item) for item in asked)])

    def alias(self, version: int, alias: str = "production", root: str = "/api/2.0") -> Answer:
        body = {"name": "digits", "alias": alias, "version": str(version)}
        return self.server.call("POST", f"{root}/mlflow/registered-models/alias", body)

    def artifact(self, version: int, file: str) -> str:
        """The path of a version's file in the artifact folder."""
        found = self.server.call("GET", f"/api/2.0/mlflow/model-versions/get?name=digits&version={version}")
        source = found.body["model_version"]["source"]
        return str(source).removeprefix("mlflow-artifacts:/") + f"/{file}"


@pytest.fixture
def shop(made: Plant, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    root = tmp_path_factory.mktemp("shop")
    shutil.copytree(made.root, root, dirs_exist_ok=True)
    for path in (root / "gate").glob("decisions.jsonl*"):
        path.unlink()
    plant = Plant(root)
    with serve(root, plant.policy) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        yield Shop(server, plant)


def test_only_the_certified_model_becomes_production(
    shop: Shop, subtests: pytest.Subtests, capsys: pytest.CaptureFixture[str]
) -> None:
    server, plant = shop.server, shop.plant
    assert server.register("digits", plant.files("clean")) == 1
    assert server.register("digits", plant.files("badnets")) == 2

    with subtests.test("before any promotion nothing gets the alias"):
        for version in (1, 2):
            assert _denied(shop.alias(version), "VF6005")
        assert shop.aliases() == {}
    with subtests.test("the certified model is promoted, with tags and documents"):
        assert shop.promote(1, "clean") == 0
        assert shop.aliases() == {"production": "1"}
        tags = _tags(server, 1)
        assert tags["verifluxa.verdict"] == "certified"
        assert tags["verifluxa.certificate"].startswith("sha256:")
        documents = {path.name for path in server.artifacts.rglob("*.verifluxa/*/*/*")}
        assert documents >= {"certificate.dsse.json", "decision.json", "evidence.jsonl.gz"}
    with subtests.test("the backdoored model is refused by the command"):
        assert shop.promote(2, "badnets") == 1
        assert "VF6052" in capsys.readouterr().out
    with subtests.test("so is the clean model's certificate beside the backdoored files"):
        assert shop.promote(2, "clean") == 1
        assert "VF6012" in capsys.readouterr().out
    with subtests.test("even when it is stored where the server looks"):
        _store_papers(server, plant)
        assert _denied(shop.alias(2), "VF6012")
    for root in (f"{root}/{version}" for root in ROOTS for version in VERSIONS):
        with subtests.test("an alias over REST", root=root):
            _refused(shop.alias(2, root=root))
            _refused(shop.alias(2, "Production", root))
            assert shop.aliases() == {"production": "1"}
    _other_ways(shop, subtests)
    _copies_and_tags(shop, subtests)
    _graphql(shop, subtests)
    with subtests.test("unprotected calls go through"):
        assert shop.alias(2, "staging").status == 200
        assert shop.aliases() == {"production": "1", "staging": "2"}
    _loading_and_audit(shop, subtests, capsys)
    _stages_and_failures(shop, subtests, capsys)
    assert len(read_lines(load_policy(plant.policy).log)) > 20


def _stages_and_failures(shop: Shop, subtests: pytest.Subtests, capsys: pytest.CaptureFixture[str]) -> None:
    server, plant = shop.server, shop.plant
    with subtests.test("a stage, with a certificate for that stage"):
        certificate = plant.signed("clean", "models:/digits/1@stage:Production")
        asked = ("promote", "models:/digits/1", "--stage", "Production", "--certificate", certificate)
        assert shop.gate(*asked) == 0
        found = server.call("GET", "/api/2.0/mlflow/model-versions/get?name=digits&version=1")
        assert found.body["model_version"]["current_stage"] == "Production"
        body = {"name": "digits", "version": "1", "stage": "Archived"}
        assert _denied(server.registry("POST", "model-versions/transition-stage", body), "VF6091")
    with subtests.test("the registry does not answer"):
        closed = "http://127.0.0.1:1"
        asked = ["gate", "promote", "models:/digits/1", "--alias", "production", "--policy", str(plant.policy)]
        assert run([*asked, "--registry", closed]) == 1
        assert "VF6080" in capsys.readouterr().err
    with subtests.test("without a readable policy the server refuses every change of an alias"):
        shutil.move(plant.policy, plant.root / "away.toml")
        assert _denied(shop.alias(1), "VF6001")
        assert _denied(shop.alias(1, "staging"), "VF6001")
        shutil.move(plant.root / "away.toml", plant.policy)
        assert shop.alias(1).status == 200


def _other_ways(shop: Shop, subtests: pytest.Subtests) -> None:
    """Stages, deletions, renames: over both roots."""
    one: dict[str, object] = {"name": "digits", "version": "1"}
    two: dict[str, object] = {"name": "digits", "version": "2"}
    archive: dict[str, object] = {"archive_existing_versions": True}
    calls: list[tuple[str, str, str, dict[str, object], str]] = [
        ("a stage", "POST", "model-versions/transition-stage", {**two, "stage": "Production", **archive}, "VF6"),
        ("a stage in small letters", "POST", "model-versions/transition-stage", {**two, "stage": "production"}, "VF6"),
        (
            "taking the alias away",
            "DELETE",
            "registered-models/alias",
            {"name": "digits", "alias": "production"},
            "VF6091",
        ),
        ("deleting the live version", "DELETE", "model-versions/delete", one, "VF6091"),
        ("deleting the model", "DELETE", "registered-models/delete", {"name": "digits"}, "VF6091"),
        ("renaming", "POST", "registered-models/rename", {"name": "digits", "new_name": "letters"}, "VF6091"),
        (
            "renaming into a guarded name",
            "POST",
            "registered-models/rename",
            {"name": "digits", "new_name": "prod.x"},
            "VF6092",
        ),
    ]
    for what, method, path, body, code in calls:
        for root in ROOTS:
            with subtests.test(what, root=root):
                assert _denied(shop.server.call(method, f"{root}/2.0/mlflow/{path}", body), code)
                assert shop.aliases() == {"production": "1"}
    with subtests.test("a name that no certificate can carry"):
        assert shop.server.register("a@b", shop.plant.files("clean")) == 1
        body = {"name": "a@b", "alias": "production", "version": "1"}
        assert _denied(shop.server.registry("POST", "registered-models/alias", body), "VF6031")
    with subtests.test("an unprotected model may be renamed and deleted"):
        server = shop.server
        assert server.registry("POST", "registered-models/create", {"name": "draft"}).status == 200
        assert server.registry("POST", "registered-models/rename", {"name": "draft", "new_name": "plan"}).status == 200
        assert server.registry("DELETE", "registered-models/delete", {"name": "plan"}).status == 200


def _copies_and_tags(shop: Shop, subtests: pytest.Subtests) -> None:
    server = shop.server
    tags = [{"key": "verifluxa.verdict", "value": "certified"}]
    copy: dict[str, object] = {"name": "digits", "source": "models:/digits/1", "tags": tags}
    with subtests.test("a copy of the certified version is another version"):
        assert server.registry("POST", "model-versions/create", copy).body["model_version"]["version"] == "3"
        assert _tags(server, 3) == {}
        assert _denied(shop.alias(3), "VF6005")
    with subtests.test("a copy into a model whose every version must be certified"):
        server.registry("POST", "registered-models/create", {"name": "prod.digits"})
        answer = server.registry("POST", "model-versions/create", {**copy, "name": "prod.digits"})
        assert _denied(answer, "VF6005")
        found = server.call("GET", "/api/2.0/mlflow/registered-models/get?name=prod.digits")
        assert "latest_versions" not in found.body["registered_model"]
    with subtests.test("with a certificate for the copy it is made"):
        certificate = shop.plant.signed("clean", "models:/prod.digits/1")
        copying = ("copy", "models:/digits/1", "models:/prod.digits/1", "--certificate", certificate)
        assert shop.gate(*copying) == 0
        found = server.call("GET", "/api/2.0/mlflow/registered-models/get?name=prod.digits")
        assert found.body["registered_model"]["latest_versions"][0]["version"] == "1"
        assert shop.gate(*copying) == 1
    with subtests.test("tags in the gate's name"):
        body = {"name": "digits", "version": "2", "key": "verifluxa.verdict", "value": "certified"}
        assert _denied(server.registry("POST", "model-versions/set-tag", body), "VF6093")
        gone = {"name": "digits", "version": "1", "key": "verifluxa.verdict"}
        assert _denied(server.registry("DELETE", "model-versions/delete-tag", gone), "VF6093")
        assert server.registry("POST", "model-versions/set-tag", {**body, "key": "team"}).status == 200


def _graphql(shop: Shop, subtests: pytest.Subtests) -> None:
    """GraphQL has no mutation of the registry; whatever it answers, the alias stays."""
    inputs = '(input: {name: "digits", alias: "production", version: "2"})'
    for field in ("setRegisteredModelAlias", "mlflowSetRegisteredModelAlias", "mlflowTransitionModelVersionStage"):
        for method in ("POST", "GET"):
            with subtests.test("a mutation over GraphQL", field=field, method=method):
                text = f"mutation {{ {field}{inputs} {{ __typename }} }}"
                answer = shop.server.call(method, "/graphql", {"query": text} if method == "POST" else None)
                assert "__typename" not in str(answer.body) or "error" in str(answer.body)
                assert shop.aliases() == {"production": "1"}
    with subtests.test("its mutations are those that were looked at"):
        text = "{ __schema { mutationType { fields { name } } } }"
        fields = shop.server.call("POST", "/graphql", {"query": text}).body
        names = [item["name"] for item in fields["data"]["__schema"]["mutationType"]["fields"]]
        assert names == ["mlflowSearchDatasets", "mlflowSearchRuns", "testMutation"]


def _loading_and_audit(shop: Shop, subtests: pytest.Subtests, capsys: pytest.CaptureFixture[str]) -> None:
    path = shop.artifact(1, "clean.jld2")
    assert path.startswith("verifluxa-certified/")
    bad = shop.plant.files("badnets")["badnets.jld2"]
    with subtests.test("the promoted model loads"):
        assert load_model("models:/digits@production", shop.plant.policy, None, (1, 28, 28)).output_shape == (10,)
        assert shop.gate("audit") == 0
    with subtests.test("artifacts of a live version cannot be changed over HTTP"):
        for method in ("PUT", "DELETE"):
            for place in (f"/{path}", f"/{path.rpartition('/')[0]}", "/verifluxa-certified"):
                for root in ROOTS:
                    answer = shop.server.call(method, f"{root}/2.0/mlflow-artifacts/artifacts{place}", {})
                    assert answer.status in (400, 403, 404, 405, 500), (method, place, answer)
        assert shop.gate("audit") == 0
    with subtests.test("artifacts changed on the server's disk are found"):
        file = shop.server.artifacts / path.lstrip("/")
        good = file.read_bytes()
        file.write_bytes(bad)
        assert shop.gate("audit") == 1
        assert "VF6010" in capsys.readouterr().out
        with pytest.raises((GateError, ManyErrors)):
            load_model("models:/digits@production", shop.plant.policy)
        assert _denied(shop.alias(1), "VF6010")
        file.write_bytes(good)
        assert shop.gate("audit") == 0
    with subtests.test("a symlink in the artifact folder is not followed out of it"):
        file = shop.server.artifacts / path.lstrip("/")
        file.rename(file.with_suffix(".kept"))
        file.symlink_to(shop.plant.model("badnets") / "badnets.jld2")
        assert shop.gate("audit") == 1
        file.unlink()
        file.with_suffix(".kept").rename(file)
        assert shop.gate("audit") == 0
    with subtests.test("a version that was never promoted does not load"), pytest.raises((GateError, ManyErrors)):
        load_model("models:/digits/2@production", shop.plant.policy)


def _denied(answer: Answer, code: str) -> bool:
    return answer.status == 403 and code in str(answer.body)


def _refused(answer: Answer) -> None:
    assert answer.status in (403, 404, 405), answer


def _tags(server: Server, version: int) -> dict[str, str]:
    found = server.call("GET", f"/api/2.0/mlflow/model-versions/get?name=digits&version={version}")
    return {item["key"]: item["value"] for item in found.body["model_version"].get("tags", [])}


def _store_papers(server: Server, plant: Plant) -> None:
    """The clean model's certificate, for version 2, where the documents of version 2 belong."""
    (folder,) = server.artifacts.glob("[0-9]*/**/*.verifluxa/digits-*-1/production")
    runs = [path.parent for path in server.artifacts.rglob("badnets.jld2")]
    target = runs[0].with_name("model.verifluxa") / (folder.parent.name[:-1] + "2") / "production"
    shutil.copytree(folder, target)
    shutil.copyfile(plant.signed("clean", "models:/digits/2@production"), target / "certificate.dsse.json")


def test_the_store_has_no_road_that_was_not_looked_at() -> None:
    """Every public method of MLflow's registry store either only reads, or is guarded, or goes through one that is."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.store.model_registry.abstract_store import AbstractStore

    from verifluxa.gate.mlflow_plugin.guard import GUARDS

    public: dict[str, Any] = {
        name: value for name, value in inspect.getmembers(AbstractStore, inspect.isfunction) if not name.startswith("_")
    }
    reads = {name for name in public if name.startswith(("get_", "search_", "list_", "supports_", "test_"))}
    elsewhere = {name for name in public if "prompt" in name or "webhook" in name}
    harmless = {
        "update_registered_model",
        "delete_registered_model_tag",
        "update_model_version",
        # Makes its version by `create_model_version`.
        "copy_model_version",
    }
    assert set(GUARDS) <= set(public)
    assert set(public) - reads - elsewhere - harmless == set(GUARDS)


def test_a_server_with_workspaces_does_not_start(made: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    from verifluxa.gate.mlflow_plugin.server import check_no_workspaces, create_app

    check_no_workspaces()
    monkeypatch.setenv("VERIFLUXA_GATE_POLICY", str(made.policy))
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    with pytest.raises(GateError) as caught:
        create_app()
    assert caught.value.code == "VF6086"


def test_a_server_without_a_policy_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from verifluxa.gate.mlflow_plugin.server import policy_path

    monkeypatch.delenv("VERIFLUXA_GATE_POLICY", raising=False)
    with pytest.raises(GateError) as caught:
        policy_path()
    assert caught.value.code == "VF6001"
    monkeypatch.setenv("VERIFLUXA_GATE_POLICY", str(tmp_path / "none.toml"))
    with pytest.raises(GateError):
        load_policy(policy_path())
