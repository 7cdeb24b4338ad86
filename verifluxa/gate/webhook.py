"""Kubernetes admission: pods that name a model start only if the gate accepts it now.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/. The API server sends an
`AdmissionReview` of `admission.k8s.io/v1` and gets one back. This listens on 127.0.0.1 without TLS, which Kubernetes
demands: a proxy in the same pod with the cluster's own certificate stands before it (docs/how-to/gate.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from verifluxa.certificate.document import read_json
from verifluxa.errors import VerifluxaError
from verifluxa.gate.audit import decide_live
from verifluxa.gate.registry import Registry

ANNOTATION = "verifluxa.dev/model"
"""Of a pod, or of a pod's template: the models that it serves, such as `models:/digits@production`, with commas."""
KIND, VERSION = "AdmissionReview", "admission.k8s.io/v1"
LARGEST = 8 * 2**20
_UID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class Admission:
    """What the webhook decides with.

    Attributes:
        policy: the policy's file.
        registry: where the models are.
        required: whether a pod without the annotation is refused.
    """

    policy: Path
    registry: Registry
    required: bool = True


def review(admission: Admission, body: bytes) -> dict[str, Any]:
    """Answers one review. Whatever is wrong with it is a refusal.

    Args:
        admission: policy and registry.
        body: the AdmissionReview as it came.

    Returns:
        The AdmissionReview to send back.
    """
    uid = ""
    try:
        if len(body) > LARGEST:
            raise ValueError("the review is too long")
        value = read_json(body, "AdmissionReview")
        if not isinstance(value, dict) or value.get("kind") != KIND or value.get("apiVersion") != VERSION:
            raise ValueError(f"this is no {KIND} of {VERSION}")
        request = value["request"]
        if not isinstance(request, dict):
            raise ValueError("`request` is no object")
        asked = request.get("uid")
        uid = asked if isinstance(asked, str) and _UID.fullmatch(asked) else ""
        if not uid:
            raise ValueError("`request.uid` is none")
        problems = list(_problems(admission, request))
    except VerifluxaError as error:
        problems = [f"{error.code}: {error.message}"]
    except Exception as error:  # noqa: BLE001 - fail closed
        problems = [f"the review cannot be read: {error}"]
    response: dict[str, Any] = {"uid": uid, "allowed": not problems}
    if problems:
        message = "verifluxa: " + "; ".join(problems)
        response["status"] = {"status": "Failure", "code": 403, "reason": "Forbidden", "message": message[:4000]}
    return {"apiVersion": VERSION, "kind": KIND, "response": response}


def serve(admission: Admission, port: int) -> ThreadingHTTPServer:
    """A server on 127.0.0.1; the caller runs `serve_forever`."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isascii() or not length.isdigit() or int(length) > LARGEST:
                self.send_error(413)
                return
            answer = json.dumps(review(admission, self.rfile.read(int(length)))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: the log of decisions has it."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def _problems(admission: Admission, request: dict[str, Any]) -> Iterator[str]:
    operation = request.get("operation")
    if operation in ("DELETE", "CONNECT"):
        return
    if operation not in ("CREATE", "UPDATE"):
        raise ValueError("`request.operation` is none that the API has")
    named = _named(request.get("object"))
    if not named and admission.required:
        yield f"the pod has no annotation {ANNOTATION}, so nobody knows which model it serves"
    for source in named:
        try:
            decision = decide_live(admission.policy, admission.registry, source)
        except VerifluxaError as error:
            yield f"{source[:200]}: {error.code}: {error.message}"
            continue
        if not decision.permitted:
            yield f"{source[:200]}: " + ", ".join(f"{item.code}: {item.message}" for item in decision.reasons)


def _named(thing: object) -> list[str]:
    """The models that a pod names, or the template of what makes pods. Both count where both are there."""
    if not isinstance(thing, dict):
        raise ValueError("`request.object` is no object")
    spec = thing.get("spec")
    places = [thing]
    for _ in range(3):
        # Deployments and jobs hold a template; cron jobs hold a job's template that holds one.
        inner = spec.get("jobTemplate", spec.get("template")) if isinstance(spec, dict) else None
        if not isinstance(inner, dict):
            break
        places.append(inner)
        spec = inner.get("spec")
    found: list[str] = []
    for place in places:
        metadata = place.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        text = annotations.get(ANNOTATION) if isinstance(annotations, dict) else None
        if text is not None and not isinstance(text, str):
            raise ValueError(f"the annotation {ANNOTATION} is no text")
        found += [item.strip() for item in (text or "").split(",") if item.strip()]
    return list(dict.fromkeys(found))
