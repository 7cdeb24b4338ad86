"""The MLflow server with the gate in it: `mlflow server --app-name verifluxa-gate`.

The check stands where every path ends: in the methods of the server's model registry store. So it does not matter over
which path a change comes (/api, /ajax-api, /graphql, any version of them, a static prefix, a route of tomorrow).
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from verifluxa import __version__
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.attestation import signing_key
from verifluxa.gate.mlflow_plugin.guard import Guard, install
from verifluxa.gate.mlflow_plugin.vault import protect
from verifluxa.gate.policy import Policy, load_policy
from verifluxa.gate.status import HEADER, NONCE, NONCE_HEADER, PATH, SIGNED_HEADER, encode_status

POLICY = "VERIFLUXA_GATE_POLICY"
"""The environment variable with the policy's path."""
APP = "VERIFLUXA_GATE_APP"
"""The environment variable with the name of another MLflow app that is to run inside, such as `basic-auth`."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class GuardedApplication:
    """The server's application, which says with every answer that it is guarded, and by which policy."""

    def __init__(self, inner: Application, guard: Guard) -> None:
        self.inner, self.guard = inner, guard

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        if str(scope["path"]).endswith(PATH):
            nonce = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("nonce", [""])[0]
            await self._answer(nonce, send)
            return
        asked = dict(scope.get("headers") or ()).get(NONCE_HEADER.encode(), b"").decode("latin-1")
        headers = await self._headers(asked)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self.inner(scope, receive, marked)

    async def _headers(self, nonce: str) -> list[tuple[bytes, bytes]]:
        policy = self.guard.policy()
        digest = "none" if policy is None else policy.sha256
        found = [(HEADER.encode(), f"version={__version__}; policy={digest}".encode())]
        if NONCE.matches(nonce):
            found.append((SIGNED_HEADER.encode(), base64.b64encode(await self._status(nonce))))
        return found

    async def _status(self, nonce: str) -> bytes:
        # In a thread: a program that signs may take long, and everybody else need not wait for it.
        return await asyncio.to_thread(_status, self.guard.policy(), nonce)

    async def _answer(self, nonce: str, send: Send) -> None:
        good = NONCE.matches(nonce)
        body = await self._status(nonce) if good else b'{"error": "?nonce= wants 16 to 128 hex digits"}'
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *await self._headers("")]
        await send({"type": "http.response.start", "status": 200 if good else 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _status(policy: Policy | None, nonce: str) -> bytes:
    try:
        return encode_status(policy, nonce, None if policy is None else signing_key(policy))
    except VerifluxaError:
        # Unsigned, which nobody takes for good who knows a key of this gate.
        return encode_status(policy, nonce, None)


def create_app() -> object:
    """The entry point `mlflow.app`: the usual application, whose stores ask the gate.

    Raises:
        GateError: VF6001 or VF6002 when there is no usable policy, VF6086 with MLflow's workspaces: such a server does
            not start.
    """
    path = policy_path()
    load_policy(path)
    check_no_workspaces()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.server import handlers

    guard = Guard(path)
    install(type(handlers._get_model_registry_store()), guard)
    protect()
    return GuardedApplication(_inner(os.environ.get(APP, "")), guard)


def _inner(name: str) -> Application:
    """MLflow's own application, or the one that another plugin makes of it."""
    from mlflow.server import app
    from mlflow.server.fastapi_app import create_fastapi_app

    if not name:
        plain: Application = create_fastapi_app(app)
        return plain
    from mlflow.utils.plugins import get_entry_points

    # mlflow and mlflow-skinny both name the same one.
    found = {item.value: item for item in get_entry_points("mlflow.app") if item.name == name}
    if len(found) != 1 or name == "verifluxa-gate":
        raise GateError(
            "VF6086",
            f"there is no MLflow app {name!r} to run inside the gate",
            place=APP,
            expected="the name of an `mlflow.app` entry point, such as basic-auth",
            remedy=f"install it, or leave {APP} out",
        )
    (entry,) = found.values()
    made = entry.load()()
    if not hasattr(made, "router"):
        # It made a WSGI application; the routes of today's MLflow are added around it.
        made = create_fastapi_app(made)
    inside: Application = made
    return inside


def check_no_workspaces() -> None:
    """Workspaces store artifacts below folders of their own, where what was certified would not be protected.

    Raises:
        GateError: VF6086 when they are on.
    """
    from mlflow import environment_variables

    flag = getattr(environment_variables, "MLFLOW_ENABLE_WORKSPACES", None)
    if flag is not None and flag.get():
        raise GateError(
            "VF6086",
            "MLflow's workspaces cannot be guarded",
            place="MLFLOW_ENABLE_WORKSPACES",
            expected="a server without workspaces",
            remedy="unset MLFLOW_ENABLE_WORKSPACES, and run a server for each team",
        )


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
