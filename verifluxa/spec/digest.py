"""The property digest: what exactly was proved, whatever the files are called and however the spec is written.

It is the sha256 of canonical JSON with the trigger family, the statement with params in place, the input
space, encode, layout, classes and version of Flux of the models, the data's digest and which of its inputs
count. Names, comments, doc texts and file names are left out, and so is the model's own digest: it stands
beside this one, so that one policy serves every version of a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from verifluxa.spec.numbers import ratio
from verifluxa.spec.spec import (
    BinaryOutput,
    Compare,
    DataDecl,
    Measure,
    ModelDecl,
    OutputRow,
    PerInput,
    Property,
    RateBound,
    RealOutput,
    Record,
    Rows,
    Selection,
    Spec,
    Statement,
    models_of,
    named,
)

SCHEMA = "verifluxa/property/1"


def property_digest(spec: Spec, prop: Property, data_sha256: Mapping[str, str]) -> str:
    """`sha256:` and the hex digest of a property.

    Args:
        spec: the checked spec that the property is part of; params are already in place in it.
        prop: the property.
        data_sha256: for each data set the digest of the file that was used, `sha256:...`.

    Raises:
        KeyError: `data_sha256` does not have the data set that the property speaks of.
    """
    return "sha256:" + hashlib.sha256(canonical(spec, prop, data_sha256)).hexdigest()


def canonical(spec: Spec, prop: Property, data_sha256: Mapping[str, str]) -> bytes:
    """The bytes that are digested: JSON with sorted keys, no spaces, fractions as `numerator/denominator`."""
    claim = prop.statement
    data = named(spec.data, claim.selection.data)
    models = [named(spec.models, name) for name in models_of(claim)]
    names = [model.name for model in models]
    record = {
        "schema": SCHEMA,
        "space": named(spec.spaces, claim.trigger.space).record(),
        "models": [_model(model) for model in models],
        "trigger": claim.trigger.record(),
        "data": _data(data, data_sha256[data.name]),
        "selection": _selection(claim.selection, names),
        "statement": _statement(claim),
    }
    if isinstance(claim, Compare):
        other = named(spec.data, claim.old.selection.data)
        record["compared"] = {
            "model": names.index(claim.old.model),
            "data": _data(other, data_sha256[other.name]),
            "selection": _selection(claim.old.selection, names),
            "statement": _rate(claim.old),
        }
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _model(model: ModelDecl) -> Record:
    """The version of Flux stands there only where the spec gives one: what it means depends on it then."""
    record: Record = {
        "encode": [[step.kind, [ratio(value) for value in step.values]] for step in model.encode],
        "layout": model.layout,
        "classes": model.output.count,
        "labels": list(model.output.labels),
    }
    match model.output:
        case BinaryOutput(threshold=threshold):
            record["threshold"] = ratio(threshold)
        case RealOutput(size=size):
            record["outputs"] = size
    return record if model.flux is None else record | {"flux": model.flux}


def _data(data: DataDecl, sha256: str) -> Record:
    record: Record = {"sha256": sha256, "take": data.take, "labels_start_at": data.labels_start_at}
    if data.label != "label":
        record["label"] = data.label
    if data.sample is not None:
        record["sample"] = {"size": data.sample, "seed": data.seed, "balanced": data.balanced}
    return record


def _selection(selection: Selection, models: list[str]) -> Record:
    record: Record = {
        "correct": None if selection.correct is None else models.index(selection.correct),
        "labels": None if selection.labels is None else list(selection.labels),
        "label_is_not_target": selection.label_is_not_target,
    }
    return record | {"radius": ratio(selection.radius)} if selection.radius else record


def _statement(claim: Statement) -> Record:
    match claim:
        case RateBound():
            return {"kind": "rate", **_rate(claim)}
        case PerInput():
            record: Record = {"kind": "per-input", "expected": claim.expected, "targets": list(claim.targets)}
            return record | _rows(claim.rows)
        case Compare(new=new):
            return {"kind": "compare", **_rate(new)}
        case Measure():
            everywhere = {"everywhere": True} if claim.everywhere else {}
            return {"kind": "measure", **_rate(claim.rate), "gap": ratio(claim.gap), **everywhere}


def _rate(claim: RateBound) -> Record:
    """What came to the language later stands there only where it is used, so that older digests stay."""
    record: Record = {"targets": list(claim.targets), "limit": ratio(claim.limit)} | _rows(claim.rows)
    if claim.limits:
        record["limits"] = [[target, ratio(limit)] for target, limit in claim.limits]
    if claim.below:
        record["below"] = True
    return record


def _rows(rows: Rows) -> Record:
    if not rows:
        return {}
    return {"rows": [[_row(row) for row in group] for group in rows]}


def _row(row: OutputRow) -> Record:
    return {
        "stamped": [ratio(value) for value in row.stamped],
        "clean": [ratio(value) for value in row.clean],
        "constant": ratio(row.constant),
        "closed": row.closed,
    }
