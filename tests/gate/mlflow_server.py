"""A real MLflow server with the gate in it: SQLite, a local artifact folder, 127.0.0.1, no telemetry."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
PATIENCE = 240


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, and what the body says."""

    status: int
    body: Any


@dataclass(frozen=True)
class Server:
    """A running server."""

    uri: str
    folder: Path
    user: tuple[str, str] | None = None

    def headers(self) -> dict[str, str]:
        if self.user is None:
            return {"Content-Type": "application/json"}
        text = base64.b64encode(":".join(self.user).encode()).decode()
        return {"Content-Type": "application/json", "Authorization": f"Basic {text}"}

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def call(self, method: str, path: str, value: Mapping[str, object] | None = None) -> Answer:
        """One HTTP call with a JSON body."""
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self.uri + path, data, self.headers(), method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return Answer(answer.status, _json(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _json(error.read()))

    def registry(self, method: str, path: str, value: Mapping[str, object]) -> Answer:
        """A call of the model registry's API."""
        return self.call(method, f"/api/2.0/mlflow/{path}", value)

    def aliases(self, name: str) -> dict[str, str]:
        """The aliases of a model, by HTTP."""
        answer = self.call("GET", f"/api/2.0/mlflow/registered-models/get?name={name}")
        found = answer.body["registered_model"].get("aliases", [])
        return {item["alias"]: item["version"] for item in found}

    def register(self, name: str, files: Mapping[str, bytes]) -> int:
        """Logs files in a run and registers them; returns the number of the version."""
        run = self.registry("POST", "runs/create", {"experiment_id": "0"}).body["run"]["info"]
        for file, data in files.items():
            path = run["artifact_uri"].removeprefix("mlflow-artifacts:/") + f"/model/{file}"
            self.put(path, data)
        self.registry("POST", "registered-models/create", {"name": name})
        source = run["artifact_uri"] + "/model"
        body = {"name": name, "source": source, "run_id": run["run_id"]}
        return int(self.registry("POST", "model-versions/create", body).body["model_version"]["version"])

    def put(self, path: str, data: bytes) -> None:
        """Writes an artifact, as anybody who can reach the server can."""
        url = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, self.headers(), method="PUT"), timeout=60):
            pass


@contextmanager
def serve(
    folder: Path,
    policy: Path,
    plugin: bool = True,
    backend: str | None = None,
    more: Mapping[str, str] | None = None,
    user: tuple[str, str] | None = None,
) -> Iterator[Server]:
    """Starts `mlflow server --app-name verifluxa-gate` and stops it with all that it started."""
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", *(["--app-name", "verifluxa-gate"] if plugin else [])]
    command += ["--backend-store-uri", backend or f"sqlite:///{folder}/mlflow.sqlite", "--artifacts-destination"]
    command += [str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {
        **os.environ,
        **QUIET,
        "VERIFLUXA_GATE_POLICY": str(policy),
        "PYTHONWARNINGS": "ignore",
        **(more or {}),
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder)
        try:
            server = Server(f"http://127.0.0.1:{port}", folder, user)
            _wait(server, process)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if server.call("GET", "/health").status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server does not start:\n" + (server.folder / "server.log").read_text()[-4000:])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
