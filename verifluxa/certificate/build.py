"""From a result document (`result.json`, see the interfaces page) and a few facts to a Statement."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np

from verifluxa.certificate.document import Fields, Json
from verifluxa.certificate.encode import indices_digest
from verifluxa.certificate.numbers import DECIMAL_FLOAT, Exact, float_text, parse_float_text
from verifluxa.certificate.parse import check_consistent
from verifluxa.certificate.population import PopulationBound
from verifluxa.certificate.statement import (
    NONE,
    VERIFIER_ID,
    Counterexample,
    Coverage,
    FrozenData,
    Model,
    Nested,
    PropertyResult,
    Statement,
    Subject,
    Verifier,
)
from verifluxa.documents import SHA256
from verifluxa.verdict import Reason, Verdict

VALID_FOR = timedelta(days=365)


@dataclass(frozen=True)
class ModelFacts:
    """What a model file said about itself: `jld2`, `bson`, ...; its Flux version, or `unknown`."""

    format: str
    flux_version: str
    dtype: str


@dataclass(frozen=True)
class PropertyFacts:
    """What a property spoke of.

    Attributes:
        data: name of the data set.
        selection: the selection rule in the spec's words.
        indices: frozen positions of the counted inputs in the data file.
        excluded: (position, reason) of the others.
        placements, targets: how many.
        leaves: closed and open leaves in the evidence.
        evidence: digest of the evidence file, or `none`.
        population: what follows for other inputs, or None.
    """

    data: str
    selection: str
    indices: tuple[int, ...]
    excluded: tuple[tuple[int, str], ...]
    placements: int
    targets: int
    leaves: int = 0
    evidence: str = NONE
    population: PopulationBound | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that stands in a certificate and not in the result document.

    Attributes:
        subjects: every file that defines the function (weights, architecture text, scaler, ...).
        models: by model name.
        properties: by property name.
        time_verified: when; the document carries UTC and whole seconds.
        valid_for: how long until it expires.
        resource_uri: which promotion it is for; `cert sign` can still set it.
        policy: digest of a policy; `cert sign --policy` sets it.
        materials: digests of Project.toml, Manifest.toml, training data, where known.
        versions: versions besides those of verifluxa, numpy and Python (torch, z3, ...).
    """

    subjects: tuple[Subject, ...]
    models: Mapping[str, ModelFacts]
    properties: Mapping[str, PropertyFacts]
    time_verified: datetime
    valid_for: timedelta = VALID_FOR
    resource_uri: str = NONE
    policy: str = NONE
    materials: tuple[Subject, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def build_statement(result: Mapping[str, object], facts: Facts) -> Statement:
    """Makes the unsigned statement.

    Args:
        result: the result document, schema `verifluxa/result/1`.
        facts: what the document does not say.

    Raises:
        CertificateError: VF5005 when the document lacks a field, VF5011 when it contradicts itself.
    """
    document = Fields(cast(Json, dict(result)), "result")
    document.choice("schema", "verifluxa/result/1")
    digests = {item.text("name"): item.text("sha256", SHA256) for item in document.objects("data")}
    data = _frozen(facts, digests)
    time = facts.time_verified.astimezone(UTC).replace(microsecond=0)
    strategy = document.child("strategy")
    statement = Statement(
        subjects=facts.subjects,
        verifier=Verifier(VERIFIER_ID, _versions(document, facts.versions)),
        time_verified=time,
        expires=time + facts.valid_for,
        resource_uri=facts.resource_uri,
        policy=facts.policy,
        verdict=document.member("verdict", Verdict),
        models=tuple(_model(item, facts) for item in document.objects("models")),
        data=data,
        params=tuple(sorted(document.named_texts("params").items())),
        strategy=(strategy.text("name"), strategy.text("sha256") if strategy.has("sha256") else NONE),
        properties=tuple(_property(item, document, facts, data) for item in document.objects("properties")),
        materials=facts.materials,
    )
    check_consistent(statement, "result")
    return statement


def _versions(document: Fields, others: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    versions = {"python": platform.python_version(), "numpy": np.__version__, **others}
    versions["verifluxa"] = document.child("tool").text("version")
    return tuple(sorted(versions.items()))


def _model(item: Fields, facts: Facts) -> Model:
    name = item.text("name")
    known = facts.models[name]
    return Model(name, item.text("graph_sha256", SHA256), known.format, known.flux_version, known.dtype)


def _frozen(facts: Facts, digests: Mapping[str, str]) -> tuple[FrozenData, ...]:
    """Each (data set, selection, index list) once, in the order of the properties."""
    frozen = [_freeze(known, digests[known.data]) for known in facts.properties.values()]
    return tuple(dict.fromkeys(frozen))


def _freeze(known: PropertyFacts, digest: str) -> FrozenData:
    excluded = tuple((int(index), reason) for index, reason in known.excluded)
    return FrozenData(known.data, digest, known.selection, indices_digest(known.indices), len(known.indices), excluded)


def _property(item: Fields, document: Fields, facts: Facts, data: tuple[FrozenData, ...]) -> PropertyResult:
    known = facts.properties[item.text("name")]
    frozen = _freeze(known, data_digest(data, known.data))
    return PropertyResult(
        name=item.text("name"),
        digest=item.text("digest", SHA256),
        verdict=item.member("verdict", Verdict),
        reason=item.member("reason", Reason) if item.has("reason") else None,
        arithmetic=document.choice("arithmetic", "float32", "float64", "real"),
        method=("+".join(sorted(item.child("stages").names())) if item.has("stages") else "") or NONE,
        bound=_bound(item.child("bound")) if item.has("bound") else None,
        data=data.index(frozen),
        coverage=_coverage(item.child("questions"), known),
        counterexample=_counterexample(item.child("counterexample")) if item.has("counterexample") else None,
        evidence=known.evidence,
        population=known.population,
    )


def data_digest(data: tuple[FrozenData, ...], name: str) -> str:
    """The digest of the data file of that name."""
    return next(item.digest for item in data if item.name == name)


def _bound(item: Fields) -> tuple[Exact, Exact]:
    return Exact(item.fraction("found", lowest=False), up=False), Exact(item.fraction("proved", lowest=False), up=True)


def _coverage(questions: Fields, known: PropertyFacts) -> Coverage:
    return Coverage(
        inputs=len(known.indices),
        placements=known.placements,
        targets=known.targets,
        questions=questions.integer("total"),
        certified=questions.integer("certified"),
        falsified=questions.integer("falsified"),
        unknown=questions.integer("unknown"),
        leaves=known.leaves,
    )


def _counterexample(item: Fields) -> Counterexample:
    placement = item.child("placement")
    return Counterexample(
        placement=tuple((name, placement.integer(name)) for name in sorted(placement.names())),
        target=item.integer("target") if item.has("target") else None,
        trigger=_trigger(item.raw("trigger"), item),
        inputs=item.integers("inputs"),
        rate=item.fraction("rate", lowest=False) if item.has("rate") else None,
        replayed=item.flag("replayed"),
        margin=item.text("margin", DECIMAL_FLOAT, 40),
        holds_in=item.choice("holds_in", "every order", "this replay"),
    )


def _trigger(value: Json, item: Fields) -> Nested:
    if isinstance(value, list):
        return tuple(_trigger(inner, item) for inner in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float_text(value)
    if parse_float_text(value) is None or not isinstance(value, str):
        item.fail("trigger", "numbers in nested arrays", value)
    return value
