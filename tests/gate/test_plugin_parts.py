"""Parts of the MLflow plugin that need no server: what is missing is said, and then nothing starts."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.gate.desk import Desk
from tests.gate.mlflow_server import QUIET
from verifluxa.errors import GateError
from verifluxa.gate.mlflow_plugin.client import MlflowRegistry, papers_uri
from verifluxa.gate.mlflow_plugin.guard import GUARDS, Guard, install
from verifluxa.gate.reference import Reference, parse_reference


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
    def set_alias(self: object, name: str, alias: str, version: str) -> tuple[str, str, str]:
        return name, alias, version

    methods: dict[str, Any] = dict.fromkeys(GUARDS, lambda self: None)
    Store: Any = type("Store", (), {**methods, "set_registered_model_alias": set_alias})
    guard = Guard(desk.policy_path)
    install(Store, guard)
    assert Store().set_registered_model_alias("digits", alias="staging", version="3") == ("digits", "staging", "3")
    assert guard.policy() is guard.policy()
    desk.policy(lambda text: text.replace("30", "31"))
    assert guard.policy().max_age_days == 31  # type: ignore[union-attr]


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
