"""MLflow's whole server application with the plugin in it, called in this process: its routes, stores and artifacts.

A request costs some ten milliseconds, so that thousands of them can be tried.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.gate.mlflow_server import QUIET, Answer
from tests.gate.plant import Plant
from verifluxa.gate.files import measure
from verifluxa.gate.mlflow_plugin.client import papers_uri
from verifluxa.gate.reference import Reference, parse_reference

VAULT = "verifluxa-certified"
NUMBER = itertools.count(1)


def fresh(word: str) -> str:
    """A name that no other test has."""
    return f"{word}{next(NUMBER)}"


@dataclass(frozen=True)
class Shop:
    """The application, its folder, and the models."""

    app: Any
    folder: Path
    plant: Plant

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def store(self) -> Any:
        from mlflow.server import handlers

        return handlers._get_model_registry_store()

    def raw(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """One request, whose path is sent as it stands."""
        return asyncio.run(_request(self.app, method, path, body, headers or {}))

    def call(self, method: str, path: str, value: Mapping[str, object] | None = None) -> Answer:
        """One request with a JSON body."""
        body = b"" if value is None else json.dumps(value).encode()
        return self.raw(method, path, body, {"content-type": "application/json"})

    def registry(self, method: str, path: str, value: Mapping[str, object]) -> Answer:
        return self.call(method, f"/api/2.0/mlflow/{path}", value)

    def put(self, path: str, data: bytes) -> Answer:
        return self.raw("PUT", "/api/2.0/mlflow-artifacts/artifacts/" + quote(path), data)

    def run(self) -> tuple[str, str]:
        """A new run: its id, and the path of its artifacts."""
        info = self.registry("POST", "runs/create", {"experiment_id": "0"}).body["run"]["info"]
        return info["run_id"], info["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")

    def upload(self, name: str) -> tuple[str, str]:
        """A run with a model's files: its id, and the path of the files."""
        run, path = self.run()
        for file, data in self.plant.files(name).items():
            assert self.put(f"{path}/model/{file}", data).status == 200
        return run, f"{path}/model"

    def register(self, model: str, name: str, source: str | None = None) -> tuple[int, str]:
        """Registers a model's files; the version's number and the path of the files."""
        run, path = self.upload(name)
        self.registry("POST", "registered-models/create", {"name": model})
        answer = self.create(model, source or f"mlflow-artifacts:/{path}", run)
        return int(answer.body["model_version"]["version"]), path

    def create(self, model: str, source: str, run: str | None = None) -> Answer:
        return self.registry("POST", "model-versions/create", {"name": model, "source": source, "run_id": run})

    def papers(self, path: str, reference: Reference, name: str = "clean") -> None:
        """Puts a model's certificate for a promotion where the server looks, with its evidence."""
        place = papers_uri(path, reference)
        envelope = self.plant.signed(name, str(reference))
        for file in (envelope, envelope.with_name("evidence.jsonl.gz")):
            if file.exists():
                assert self.put(f"{place}/{file.name}", file.read_bytes()).status == 200

    def certified(self, model: str, alias: str = "production") -> tuple[Reference, str]:
        """A version of the clean model with its certificate, which only has to be promoted."""
        version, path = self.register(model, "clean")
        reference = parse_reference(f"models:/{model}/{version}@{alias}")
        self.papers(path, reference)
        return reference, path

    def alias(self, reference: Reference) -> Answer:
        body = {"name": reference.name, "alias": str(reference.alias), "version": str(reference.version)}
        return self.registry("POST", "registered-models/alias", body)

    def aliases(self, model: str) -> dict[str, int]:
        found = self.store.get_registered_model(model).aliases
        return {name: int(version) for name, version in found.items()}

    def location(self, model: str, version: int) -> str:
        return str(self.store.get_model_version_download_uri(model, str(version)))


def open_shop(folder: Path, plant: Plant, backend: str | None = None) -> Shop:
    """Sets MLflow up in this process; once only, since it keeps its stores in global variables."""
    os.environ.update(QUIET)
    os.environ["VERIFLUXA_GATE_POLICY"] = str(plant.policy)
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = backend or f"sqlite:///{folder}/mlflow.sqlite"
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = str(folder / "artifacts")
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["_MLFLOW_SERVER_FILE_STORE"]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from verifluxa.gate.mlflow_plugin.server import create_app

        return Shop(create_app(), folder, plant)


async def _request(app: Any, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    where, _, query = path.partition("?")
    sent = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(where),
        "raw_path": where.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1:5000"), (b"content-length", str(len(body)).encode()), *sent],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 5000),
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    found: dict[str, Any] = {"status": 0, "body": b"", "headers": []}
    over = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found["status"], found["headers"] = message["status"], message.get("headers", [])
        elif message["type"] == "http.response.body":
            found["body"] += message.get("body", b"")
            if not message.get("more_body"):
                over.set()

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - what a real server answers with a status of 500
        return Answer(500, repr(error))
    try:
        value = json.loads(found["body"])
    except ValueError:
        value = found["body"].decode(errors="replace")
    return Answer(found["status"], value)


def refused(answer: Answer, code: str) -> bool:
    return answer.status == 403 and code in str(answer.body)


def certified(shop: Shop, name: str) -> bool:
    """Whether production leads to the frozen bytes of the certified model."""
    version = shop.aliases(name).get("production")
    if version is None:
        return False
    location = shop.location(name, version)
    assert location.startswith(f"mlflow-artifacts:/{VAULT}/"), location
    digest = measure(shop.artifacts / location.removeprefix("mlflow-artifacts:/")).digest
    return digest == measure(shop.plant.model("clean")).digest


def tree(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}
