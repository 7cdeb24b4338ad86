"""A run's log: a JSON line for each answered question, in the order in which they were answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from verifluxa.certificate.evidence_lines import Header
from verifluxa.dispatch.ledger import Ledger

COLUMNS = "property, place, verdict, reason, found, proved, stage, boxes, seconds, leaves, at"


def log_lines(path: Path) -> Iterator[str]:
    """The lines: what was asked, the answer, the stage that gave it, what it took.

    Raises:
        UsageError: VF4420 when the ledger is not understood.
    """
    with Ledger.watch(path) as ledger:
        headers = ledger.headers()
        for row in ledger.rows(f"SELECT {COLUMNS} FROM outcome ORDER BY at, property, place"):
            yield _line(headers[row[0]], row)


def _line(header: Header, row: tuple[object, ...]) -> str:
    _, place, verdict, reason, found, proved, stage, boxes, seconds, leaves, at = row
    assert isinstance(place, int)
    assert isinstance(at, float)
    placement, pair = divmod(place, len(header.pairs))
    violation, selection = header.pairs[pair]
    value = {
        "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        "property": header.property,
        "placement": dict(header.placements[placement]),
        "violation": header.violations[violation],
        "inputs": len(header.selections[selection]),
        "verdict": verdict,
        "reason": reason,
        "found": found,
        "proved": proved,
        "stage": stage,
        "boxes": boxes,
        "leaves": leaves,
        "seconds": seconds,
    }
    return json.dumps(value, ensure_ascii=False)
