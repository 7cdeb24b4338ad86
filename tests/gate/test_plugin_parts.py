"""Parts of the MLflow plugin that need no server: what is missing is said, and then nothing starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.gate.desk import Desk
from tests.gate.mlflow_server import QUIET
from verifluxa.errors import GateError
from verifluxa.gate.mlflow_plugin import guard as guard_module
from verifluxa.gate.mlflow_plugin.client import MlflowRegistry
from verifluxa.gate.mlflow_plugin.guard import GUARDS, Guard, install
from verifluxa.gate.mlflow_plugin.places import papers_uri
from verifluxa.gate.reference import Reference, parse_reference
from verifluxa.gate.registry import Fetched


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


def test_without_mlflow_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(GateError) as caught:
        MlflowRegistry("http://127.0.0.1:1")
    assert caught.value.code == "VF6085"


def test_a_store_that_lacks_a_guarded_method_is_refused(desk: Desk) -> None:
    class Store:
        def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
            raise NotImplementedError

    with pytest.raises(GateError) as caught:
        install(Store, Guard(desk.policy_path))
    assert caught.value.code == "VF6086"


def test_unprotected_calls_reach_the_store_with_their_arguments(desk: Desk) -> None:
    class Store:
        def set_registered_model_alias(self, name: str, alias: str, version: str) -> tuple[str, str, str]:
            return name, alias, version

    for name in GUARDS.keys() - {"set_registered_model_alias"}:
        setattr(Store, name, lambda self: None)
    guard = Guard(desk.policy_path)
    install(Store, guard)
    assert Store().set_registered_model_alias("digits", alias="staging", version="3") == ("digits", "staging", "3")
    assert guard.policy() is guard.policy()
    desk.policy(lambda text: text.replace("30", "31"))
    assert guard.policy().max_age_days == 31  # type: ignore[union-attr]


class Swapped:
    """A store with one version, whose file somebody swaps the moment that an alias is set."""

    def __init__(self, desk: Desk, aliases: dict[str, str], swap: bool) -> None:
        self.desk, self.aliases, self.swap = desk, aliases, swap

    def get_registered_model(self, name: str) -> Swapped:
        return self

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        return "files"

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.aliases[alias] = version
        if self.swap:
            (self.desk.model / "clean.jld2").write_bytes(b"swapped")

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        del self.aliases[alias]


@pytest.mark.parametrize("before", [{}, {"production": "6"}])
@pytest.mark.parametrize("swap", [False, True])
def test_an_artifact_swapped_while_the_server_promotes(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, str], swap: bool
) -> None:
    class Store(Swapped):
        set_registered_model_alias = Swapped.set_registered_model_alias
        delete_registered_model_alias = Swapped.delete_registered_model_alias

    now = datetime.now(UTC).replace(microsecond=0)
    times = {"time_verified": now - timedelta(minutes=1), "expires": now + timedelta(days=9)}

    def fetch(store: object, uri: str, reference: Reference, into: Path) -> Fetched:
        shutil.copytree(desk.model, into / "model")
        (into / "papers").mkdir()
        (into / "papers" / "certificate.dsse.json").write_bytes(desk.signed(replace(desk.statement, **times)))
        return Fetched(into / "model", into / "papers")

    monkeypatch.setattr(guard_module, "fetch_files", fetch)
    for name in GUARDS.keys() - {"set_registered_model_alias", "delete_registered_model_alias"}:
        setattr(Store, name, lambda self: None)
    install(Store, Guard(desk.policy_path))
    store = Store(desk, dict(before), swap)
    if not swap:
        store.set_registered_model_alias("digits", "production", "7")
        assert store.aliases == {"production": "7"}
        return
    with pytest.raises(Exception, match="VF6083"):
        store.set_registered_model_alias("digits", "production", "7")
    assert store.aliases == before


def test_documents_of_different_promotions_lie_apart() -> None:
    texts = ["models:/a b/1@x", "models:/a_b/1@x", "models:/a_b/11@x", "models:/a_b/1@stage:x", "models:/a_b/1"]
    places = {papers_uri("mlflow-artifacts:/0/run/artifacts/model", parse_reference(text)) for text in texts}
    assert len(places) == len(texts)
    assert all(place.startswith("mlflow-artifacts:/0/run/artifacts/model.verifluxa/") for place in places)
    assert ".." not in papers_uri("s3:/x/", Reference("models", "../..", 1, "y")).removeprefix("s3:/x.verifluxa/")


def test_deciding_loads_neither_an_engine_nor_mlflow() -> None:
    modules = "verifluxa.gate.load, verifluxa.gate.promote, verifluxa.gate.mlflow_plugin.guard"
    heavy = ("torch", "ray", "z3", "mlflow", "onnx", "scipy")
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
