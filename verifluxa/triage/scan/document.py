"""The scan document, schema `verifluxa/scan/1`: what `--format json` prints."""

from __future__ import annotations

import math
from typing import Any

from verifluxa.result.result import Share
from verifluxa.result.trigger import trigger_grid
from verifluxa.triage.scan.classes import ClassRow
from verifluxa.triage.scan.rates import Ends
from verifluxa.triage.scan.road import Scan, accuracy, most_found
from verifluxa.triage.scan.words import MEANS_NOT

SCHEMA = "verifluxa/scan/1"
MOST_PLACES = 50


def document(scan: Scan) -> dict[str, Any]:
    """The document as JSON holds it; numbers that do not exist are null."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "verifluxa", "version": scan.version},
        "model": {"path": scan.model.path, "sha256": scan.model.sha256},
        "data": {"path": scan.data.path, "sha256": scan.data.sha256, "inputs": scan.inputs, "right": scan.right},
        "arithmetic": scan.arithmetic,
        "verdict": scan.verdict,
        "means_not": MEANS_NOT,
        "family": scan.what,
        "classes": [_class(scan, row) for row in scan.rows],
        "places": [_place(scan, one) for one in most_found(scan, MOST_PLACES)],
        "proved_questions": {"proved": sum(one.proved is not None for one in scan.ends), "total": len(scan.ends)},
        "clean_accuracy": accuracy(scan),
        "known_triggers": [
            {
                "name": one.name,
                "title": one.title,
                "source": one.source,
                "placement": dict(one.place),
                "target": one.target,
                "success": one.success,
                "without": one.before,
                "accuracy": one.accuracy,
            }
            for one in scan.probes
        ],
        "words": [
            {"said": one.said, "placement": dict(one.place), "target": one.target, "found": str(one.found)}
            for one in scan.words
        ],
        "strange": [
            {"kind": one.kind, "count": one.count, "top": one.top, "shares": list(one.shares)} for one in scan.strange
        ],
        "next_spec": scan.next_spec,
        "seconds": {part: round(seconds, 3) for part, seconds in scan.seconds.items()},
    }


def _class(scan: Scan, row: ClassRow) -> dict[str, Any]:
    successes = {one.kind.name: float(one.success[row.target]) for one in scan.inverted}
    return {
        "target": row.target,
        "name": row.name,
        "score": row.score,
        "suspect": bool(row.reasons),
        "reasons": [{"measure": one.measure, "words": one.words, "score": one.score} for one in row.reasons],
        "found": str(row.best.found),
        "proved": _share(row.proved),
        "sizes": {name: _number(value) for name, value in row.sizes.items()},
        "shares_of_median": {name: _number(value) for name, value in row.shares.items()},
        "successes": {name: _number(value) for name, value in successes.items()},
        "anomaly_indices": {name: _number(value) for name, value in row.indices.items()},
        "strongest": _place(scan, row.best),
    }


def _place(scan: Scan, one: Ends) -> dict[str, Any]:
    problem = scan.loaded.problem
    place = problem.placements[one.question.placement]
    trigger = None if one.trigger is None else trigger_grid(problem, place, one.trigger)
    return {
        "placement": dict(place.label),
        "target": one.question.violation,
        "found": str(one.found) if one.tried else None,
        "proved": _share(one.proved),
        "trigger": trigger,
    }


def _share(share: Share | None) -> str | None:
    return None if share is None else str(share)


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "infinite"
