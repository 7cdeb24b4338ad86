"""The statement as JSON: the layout that `schema/statement.schema.json` describes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from verifluxa.certificate.document import Json, canonical_json
from verifluxa.certificate.population import ASSUMPTIONS, PopulationBound
from verifluxa.certificate.statement import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    Counterexample,
    FrozenData,
    Model,
    Nested,
    PropertyResult,
    Statement,
    Subject,
)
from verifluxa.documents import time_text


def encode_statement(statement: Statement) -> bytes:
    """The canonical bytes: what is written to `certificate.json` and what is signed."""
    return canonical_json(statement_json(statement))


def indices_digest(indices: Sequence[int]) -> str:
    """`sha256:...` of a frozen list of positions in a data file (of the list's canonical JSON)."""
    return "sha256:" + hashlib.sha256(canonical_json([int(index) for index in indices])).hexdigest()


def statement_json(statement: Statement) -> dict[str, Json]:
    """The whole statement as a JSON value."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject_json(subject) for subject in statement.subjects],
        "predicateType": PREDICATE_TYPE,
        "predicate": _predicate(statement),
    }


def subject_json(subject: Subject) -> dict[str, Json]:
    """A file as an in-toto resource descriptor."""
    return {"name": subject.name, "digest": {"sha256": subject.sha256.removeprefix("sha256:")}}


def _predicate(statement: Statement) -> dict[str, Json]:
    return {
        "verifier": {"id": statement.verifier.id, "versions": dict(statement.verifier.versions)},
        "timeVerified": time_text(statement.time_verified),
        "expires": time_text(statement.expires),
        "resourceUri": statement.resource_uri,
        "policy": statement.policy,
        "verdict": statement.verdict.value,
        "models": [_model(model) for model in statement.models],
        "data": [_data(data) for data in statement.data],
        "params": dict(statement.params),
        "strategy": {"name": statement.strategy[0], "digest": statement.strategy[1]},
        "properties": [_property(result) for result in statement.properties],
        "materials": [subject_json(material) for material in statement.materials],
    }


def _model(model: Model) -> dict[str, Json]:
    return {
        "name": model.name,
        "graph": model.graph,
        "format": model.format,
        "fluxVersion": model.flux_version,
        "dtype": model.dtype,
    }


def _data(data: FrozenData) -> dict[str, Json]:
    return {
        "name": data.name,
        "digest": data.digest,
        "selection": data.selection,
        "indices": data.indices,
        "counted": data.counted,
        "excluded": [{"index": index, "reason": reason} for index, reason in data.excluded],
    }


def _property(result: PropertyResult) -> dict[str, Json]:
    bound = result.bound
    return {
        "name": result.name,
        "digest": result.digest,
        "verdict": result.verdict.value,
        "reason": result.reason.value if result.reason else None,
        "arithmetic": result.arithmetic,
        "method": result.method,
        "bound": {"found": bound[0].to_json(), "proved": bound[1].to_json()} if bound else None,
        "data": result.data,
        "coverage": dict(vars(result.coverage)),
        "counterexample": _counterexample(result.counterexample) if result.counterexample else None,
        "evidence": result.evidence,
        "population": _population(result.population) if result.population else None,
    }


def _counterexample(example: Counterexample) -> dict[str, Json]:
    return {
        "placement": dict(example.placement),
        "target": example.target,
        "trigger": _nested(example.trigger),
        "inputs": list(example.inputs),
        "rate": None if example.rate is None else str(example.rate),
        "replayed": example.replayed,
        "margin": example.margin,
        "holdsIn": example.holds_in,
    }


def _nested(value: Nested) -> Json:
    return value if isinstance(value, str) else [_nested(item) for item in value]


def _population(bound: PopulationBound) -> dict[str, Json]:
    return {
        "bound": bound.decimal,
        "confidence": str(bound.confidence),
        "failures": bound.failures,
        "total": bound.total,
        "properties": bound.properties,
        "family": str(bound.family),
        "assumptions": ASSUMPTIONS,
    }
