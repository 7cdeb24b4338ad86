"""The result document, schema `verifluxa/result/1`. Its layout is fixed; programs rely on it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from verifluxa.result.result import Counterexample, DataUsed, FileUsed, ModelUsed, Place, PropertyResult, Result

SCHEMA = "verifluxa/result/1"
LINE = 120


def document(result: Result) -> dict[str, object]:
    """The document as plain values: numbers that matter are strings."""
    return {**heading(result), "properties": [property_entry(item) for item in result.properties], **footing(result)}


def heading(result: Result) -> dict[str, object]:
    """What stands before the properties."""
    name, digest = result.strategy
    return {
        "schema": SCHEMA,
        "tool": {"name": "verifluxa", "version": result.version},
        "spec": {"path": result.spec.path, "sha256": result.spec.sha256},
        "params": {key: str(value) for key, value in result.params},
        "models": [_model(item) for item in result.models],
        "data": [_data(item) for item in result.data],
        "strategy": {"name": name, "sha256": digest},
        "arithmetic": result.arithmetic,
        "verdict": str(result.verdict),
    }


def footing(result: Result) -> dict[str, object]:
    """What stands after the properties."""
    machine = result.machine
    return {"machine": {"cluster": machine.cluster, "workers": machine.workers, "device": machine.device}}


def property_entry(item: PropertyResult) -> dict[str, object]:
    """One entry of `properties`."""
    counts = item.counts
    entry: dict[str, object] = {
        "name": item.name,
        "statement": item.words,
        "kind": item.kind,
        "verdict": str(item.verdict),
        "reason": None if item.reason is None else str(item.reason),
        "digest": item.digest,
        "bound": None if item.found is None else {"found": str(item.found), "proved": str(item.proved)},
        "counted": item.counted,
        "questions": {
            "total": counts.total,
            "certified": counts.certified,
            "falsified": counts.falsified,
            "unknown": counts.unknown,
            "skipped": counts.skipped,
        },
        "per_input": [{"index": index, "verdict": str(verdict)} for index, verdict in item.per_input],
        "places": [_place(place) for place in item.places],
        "unknown": [{"question": question, "reason": str(reason)} for question, reason in item.unknown],
        **_measured(item),
        "population": _population(item.population),
        "counterexample": None if item.counterexample is None else _counterexample(item.counterexample),
        "stages": {stage: round(seconds, 3) for stage, seconds in item.stages.items()},
        "closed": dict(item.closed),
        "seconds": round(item.seconds, 3),
    }
    return entry if item.message is None else {**entry, "message": item.message}


def dumps(value: object) -> str:
    """JSON that people can read: what fits on a line stands on one, so that long maps stay one line an entry."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: object, indent: str) -> list[str]:
    short = _one_line(value)
    if short is not None and len(indent) + len(short) <= LINE:
        return [short]
    inner = indent + "  "
    if isinstance(value, dict):
        items = [(json.dumps(key) + ": ", _lines(item, inner)) for key, item in value.items()]
        return _framed("{", items, "}", indent)
    if isinstance(value, list):
        return _framed("[", [("", _lines(item, inner)) for item in value], "]", indent)
    return [json.dumps(value, ensure_ascii=False, allow_nan=False)]


def _framed(opening: str, items: Sequence[tuple[str, list[str]]], closing: str, indent: str) -> list[str]:
    lines = [opening]
    for number, (key, block) in enumerate(items):
        comma = "," if number + 1 < len(items) else ""
        lines += [f"{indent}  {key}{block[0]}", *block[1:]]
        lines[-1] += comma
    return [*lines, indent + closing]


def _one_line(value: object) -> str | None:
    """The value on one line where it could fit; what holds too many parts is not even tried."""
    if isinstance(value, (dict, list)) and _parts(value, LINE) > LINE:
        return None
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _parts(value: object, most: int) -> int:
    """How many values are inside, counted no further than `most` + 1."""
    count = 1
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            count += _parts(item, most - count)
            if count > most:
                break
    return count


def _file(item: FileUsed) -> dict[str, object]:
    return {"name": item.name, "path": item.path, "sha256": item.sha256}


def _model(item: ModelUsed) -> dict[str, object]:
    entry = {**_file(item.file), "graph_sha256": item.graph_sha256, "format": item.format, "dtype": item.dtype}
    if item.architecture is not None:
        entry["architecture"] = {"path": item.architecture.path, "sha256": item.architecture.sha256}
    return entry


def _data(item: DataUsed) -> dict[str, object]:
    excluded = [{"index": index, "reason": reason} for index, reason in item.excluded]
    return {**_file(item.file), "counted": item.counted, "excluded": excluded}


def _place(item: Place) -> dict[str, object]:
    return {
        "placement": dict(item.placement),
        "target": item.target,
        "found": str(item.found),
        "proved": str(item.proved),
    }


def _measured(item: PropertyResult) -> dict[str, object]:
    """The gap that was asked for, and the strongest trigger; `found` of the bound is what is sure of its rate.

    Of a comparison, the bounds of the other model.
    """
    if item.compared is not None:
        other = item.compared
        bound = {"found": str(other.found), "proved": str(other.proved)}
        return {"compared": {"model": other.model, "bound": bound}}
    if item.gap is None:
        return {}
    shown = None if item.strongest is None else _counterexample(item.strongest)
    everywhere = {"everywhere": True} if item.everywhere else {}
    return {"gap": str(item.gap), **everywhere, "strongest": shown}


def _population(bound: tuple[str, str] | None) -> dict[str, object] | None:
    return None if bound is None else {"bound": bound[0], "confidence": bound[1]}


def _counterexample(item: Counterexample) -> dict[str, object]:
    said: dict[str, object] = {"words": list(item.words)} if item.words else {}
    return said | {
        "placement": dict(item.placement),
        "target": item.target,
        "trigger": item.trigger,
        "inputs": list(item.inputs),
        "rate": None if item.rate is None else str(item.rate),
        "replayed": True,
        "margin": repr(item.margin),
        "holds_in": item.holds_in,
    }
