"""The forms of Kubernetes that the admission webhook and its manifest must have, as JSON schemas.

The names, types and required fields are those of the API's own description: `admission/v1/types.go` of k8s.io/api for
the review, `api/openapi-spec/v3` of kubernetes/kubernetes for the objects of the manifest. The API server drops or
refuses unknown fields, so none may be there.
"""

from __future__ import annotations

from typing import Any

import jsonschema

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
TEXTS: Schema = {"type": "array", "items": TEXT}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
QUALIFIED = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"


def form(required: str = "", **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item}


STATUS = form(
    status={"enum": ["Success", "Failure"]},
    message=TEXT,
    reason=TEXT,
    code=NUMBER,
    metadata={"type": "object"},
    details={"type": "object"},
    kind=TEXT,
    apiVersion=TEXT,
)
REVIEW = form(
    "apiVersion kind response",
    apiVersion={"const": "admission.k8s.io/v1"},
    kind={"const": "AdmissionReview"},
    response=form(
        "uid allowed",
        uid=TEXT,
        allowed={"type": "boolean"},
        status=STATUS,
        patch={"type": "string", "contentEncoding": "base64"},
        patchType={"const": "JSONPatch"},
        auditAnnotations=LABELS,
        warnings=TEXTS,
    ),
)

METADATA = form(
    "name", name=TEXT, namespace=TEXT, labels=LABELS, annotations={**LABELS, "propertyNames": {"pattern": QUALIFIED}}
)
SELECTOR = form(matchLabels=LABELS, matchExpressions=listed({"type": "object"}))
RULE = form(
    apiGroups=TEXTS,
    apiVersions=TEXTS,
    operations=listed({"enum": ["CREATE", "UPDATE", "DELETE", "CONNECT", "*"]}),
    resources=TEXTS,
    scope={"enum": ["Cluster", "Namespaced", "*"]},
)
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
WEBHOOK = form(
    "name clientConfig sideEffects admissionReviewVersions",
    name={"type": "string", "pattern": r"^[a-z0-9-]+(\.[a-z0-9-]+){2,}$"},
    admissionReviewVersions={**TEXTS, "minItems": 1},
    clientConfig={
        **form(
            url=TEXT, caBundle=TEXT, service=form("namespace name", namespace=TEXT, name=TEXT, path=TEXT, port=PORT)
        ),
        "oneOf": [{"required": ["url"]}, {"required": ["service"]}],
    },
    # The API accepts webhooks of v1 with these two kinds of side effects alone.
    sideEffects={"enum": ["None", "NoneOnDryRun"]},
    failurePolicy={"enum": ["Fail", "Ignore"]},
    matchPolicy={"enum": ["Exact", "Equivalent"]},
    matchConditions=listed(form("name expression", name=TEXT, expression=TEXT)),
    namespaceSelector=SELECTOR,
    objectSelector=SELECTOR,
    rules=listed(RULE),
    timeoutSeconds={"type": "integer", "minimum": 1, "maximum": 30},
)
CONTAINER = form(
    "name",
    name=TEXT,
    image=TEXT,
    args=TEXTS,
    command=TEXTS,
    ports=listed(form("containerPort", containerPort=PORT, name=TEXT, protocol=TEXT)),
    volumeMounts=listed(form("name mountPath", name=TEXT, mountPath=TEXT, readOnly={"type": "boolean"}, subPath=TEXT)),
    readinessProbe={"type": "object"},
    resources={"type": "object"},
    securityContext={"type": "object"},
)
VOLUME = form(
    "name",
    name=TEXT,
    persistentVolumeClaim=form("claimName", claimName=TEXT, readOnly={"type": "boolean"}),
    secret=form(secretName=TEXT, defaultMode=NUMBER),
    configMap=form(name=TEXT),
    emptyDir={"type": "object"},
)
POD = form("containers", containers={**listed(CONTAINER), "minItems": 1}, volumes=listed(VOLUME), securityContext={})
OBJECTS = {
    "ValidatingWebhookConfiguration": form(
        "apiVersion kind metadata",
        apiVersion={"const": "admissionregistration.k8s.io/v1"},
        kind=TEXT,
        metadata=METADATA,
        webhooks=listed(WEBHOOK),
    ),
    "Service": form(
        "apiVersion kind metadata spec",
        apiVersion={"const": "v1"},
        kind=TEXT,
        metadata=METADATA,
        spec=form(
            "ports",
            selector=LABELS,
            ports=listed(form("port", port=PORT, targetPort={"type": ["integer", "string"]}, name=TEXT, protocol=TEXT)),
        ),
    ),
    "Deployment": form(
        "apiVersion kind metadata spec",
        apiVersion={"const": "apps/v1"},
        kind=TEXT,
        metadata=METADATA,
        spec=form(
            "selector template",
            replicas=NUMBER,
            strategy={"type": "object"},
            selector=SELECTOR,
            template=form("metadata spec", metadata=form(labels=LABELS, annotations=LABELS), spec=POD),
        ),
    ),
}


def check(value: object, schema: Schema) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
