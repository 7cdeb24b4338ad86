"""The MLflow server with the gate in it: `mlflow server --app-name verifluxa-gate`.

The check stands where every road ends: in the methods of the server's model registry store. So it does not matter over
which path a change comes (/api, /ajax-api, /graphql, any version of them, a static prefix, a route of tomorrow).
"""

from __future__ import annotations

import os
from pathlib import Path

from verifluxa.errors import GateError
from verifluxa.gate.mlflow_plugin.guard import Guard, install
from verifluxa.gate.policy import load_policy

POLICY = "VERIFLUXA_GATE_POLICY"
"""The environment variable with the policy's path."""


def create_app() -> object:
    """The entry point `mlflow.app`: the usual application, whose store asks the gate.

    Raises:
        GateError: VF6001 or VF6002 when there is no usable policy: such a server does not start.
    """
    path = policy_path()
    load_policy(path)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.server import app, handlers
    from mlflow.server.fastapi_app import create_fastapi_app

    install(type(handlers._get_model_registry_store()), Guard(path))
    return create_fastapi_app(app)


def policy_path() -> Path:
    """The path of the server's policy.

    Raises:
        GateError: VF6001 when none is named.
    """
    path = os.environ.get(POLICY)
    if not path:
        raise GateError(
            "VF6001",
            "the server has no policy",
            place=POLICY,
            expected="the path of a policy beside the server",
            remedy=f"set {POLICY}=/path/of/policy.toml before `mlflow server`",
        )
    return Path(path)
