"""Real servers over other stores and with other apps inside: PostgreSQL, files, MLflow's users and passwords."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.gate.mlflow_server import Server, serve
from tests.gate.plant import Plant
from verifluxa.certificate.keys import keygen
from verifluxa.cli.main import run
from verifluxa.errors import GateError
from verifluxa.gate.policy import load_policy
from verifluxa.gate.status import check_server

pytestmark = pytest.mark.soak


@pytest.fixture
def plant(made: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """With a key of the gate's own."""
    shutil.copytree(made.root, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "gate").glob("decisions.jsonl*"):
        path.unlink()
    keygen(tmp_path / "gate" / "gate.key").public.rename(tmp_path / "gate" / "gate.pub")
    plant = Plant(tmp_path)
    plant.policy.write_text(plant.policy.read_text() + '\n[gate]\nkeys = ["gate.pub"]\nkey = "gate.key"\n')
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return plant


def release(plant: Plant, server: Server) -> None:
    """The certified model becomes production, the backdoored one does not, and the audit passes."""
    assert check_server(server.uri, load_policy(plant.policy)).keys
    assert server.register("digits", plant.files("clean")) == 1
    assert server.register("digits", plant.files("badnets")) == 2
    certificate = plant.signed("clean", "models:/digits/1@production")
    asked = ["--registry", server.uri, "--policy", str(plant.policy)]
    promoting = ["gate", "promote", "models:/digits/1", "--alias", "production", "--certificate", str(certificate)]
    assert run([*promoting, *asked]) == 0
    body = {"name": "digits", "alias": "production", "version": "2"}
    assert server.registry("POST", "registered-models/alias", body).status == 403
    rename = {"name": "digits", "new_name": "letters"}
    assert server.registry("POST", "registered-models/rename", rename).status == 403
    stage = {"name": "digits", "version": "2", "stage": "Production", "archive_existing_versions": True}
    assert server.registry("POST", "model-versions/transition-stage", stage).status == 403
    found = server.call("GET", "/api/2.0/mlflow/model-versions/get?name=digits&version=1").body["model_version"]
    assert found["source"].startswith("mlflow-artifacts:/verifluxa-certified/")
    assert run(["gate", "audit", "--expect", "digits", *asked]) == 0


def test_a_store_in_files(plant: Plant) -> None:
    more = {"MLFLOW_ALLOW_FILE_STORE": "true"}
    with serve(plant.root, plant.policy, True, str(plant.root / "runs"), more) as server:
        release(plant, server)


def test_users_and_passwords_of_mlflow(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("flask_wtf") is None:
        pytest.skip("MLflow's basic auth needs Flask-WTF")
    (plant.root / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{plant.root}/auth.sqlite\n"
        "admin_username = admin\nadmin_password = another-password-1\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    more = {"VERIFLUXA_GATE_APP": "basic-auth", "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 32}
    more["MLFLOW_AUTH_CONFIG_PATH"] = str(plant.root / "auth.ini")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another-password-1")
    with serve(plant.root, plant.policy, True, None, more, ("admin", "another-password-1")) as server:
        stranger = Server(server.uri, server.folder)
        assert stranger.registry("POST", "registered-models/create", {"name": "x"}).status == 401
        release(plant, server)


def test_a_server_without_the_plugin_is_told_apart(plant: Plant) -> None:
    with serve(plant.root, plant.policy) as server:
        release(plant, server)
    with serve(plant.root, plant.policy, plugin=False) as open_server:
        with pytest.raises(GateError) as caught:
            check_server(open_server.uri, load_policy(plant.policy))
        assert caught.value.code == "VF6090"
        body = {"name": "digits", "alias": "production", "version": "2"}
        assert open_server.registry("POST", "registered-models/alias", body).status == 200
        assert run(["gate", "audit", "--registry", open_server.uri, "--policy", str(plant.policy)]) == 1
    with serve(plant.root, plant.policy) as server:
        # What was changed on the way past is found.
        assert run(["gate", "audit", "--registry", server.uri, "--policy", str(plant.policy)]) == 1


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server of this test's own, as another user where this one is root."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = binaries[-1] if binaries else None
    if found is None or find_spec("psycopg2") is None:
        pytest.skip("PostgreSQL's server or psycopg2 is not here")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    folder.mkdir()
    shutil.chown(folder, "postgres") if os.getuid() == 0 else None
    for parent in folder.parents:
        if os.getuid() == 0 and parent != Path("/tmp") and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    making = [*prefix, str(found / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "postgres"]
    subprocess.run(making, check=True, capture_output=True, cwd="/")
    asked = [*prefix, str(found / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)]
    process = subprocess.Popen(
        [*asked, "-h", "127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        time.sleep(1)
        yield f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(30)


def test_a_store_in_postgresql(plant: Plant) -> None:
    with postgres(plant.root / "postgres") as uri, serve(plant.root, plant.policy, True, uri) as server:
        release(plant, server)
