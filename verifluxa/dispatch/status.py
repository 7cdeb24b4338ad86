"""Where a run stands, read from its ledger while it goes on or after it, and its log of answered questions."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from verifluxa.certificate.evidence_lines import Header
from verifluxa.dispatch.ledger import Ledger
from verifluxa.dispatch.ledger_lines import decode_attacked
from verifluxa.question import Question
from verifluxa.verdict import Reason

SILENCE = 10.0
"""Seconds without a sign of life after which a run counts as stopped."""


@dataclass(frozen=True)
class Worst:
    """The open question where the attack came closest."""

    placement: str
    violation: str
    found: Fraction


@dataclass(frozen=True)
class PropertyStatus:
    """One property: its questions by verdict, the worst one that is open, seconds since it began, how it ended."""

    name: str
    questions: int
    counts: dict[str, int]
    placements: int
    attacked: int
    worst: Worst | None
    seconds: float
    ended: bool
    is_interrupted: bool

    @property
    def answered(self) -> int:
        """Questions that have an outcome."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class RunStatus:
    """A run.

    Attributes:
        spec, cluster: as they were asked for.
        workers: of the pool.
        left: seconds until the budget ends, or None.
        quiet: seconds since the last sign of life.
        is_over: whether the run has ended and written its result.
        properties: in the order in which they are proved.
    """

    spec: str
    cluster: str
    workers: int
    left: float | None
    quiet: float
    is_over: bool
    properties: tuple[PropertyStatus, ...]

    @property
    def where(self) -> str:
        """The cluster and its workers."""
        return f"{self.cluster}, {self.workers} worker{'' if self.workers == 1 else 's'}"

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.is_over:
            return "interrupted" if any(item.is_interrupted for item in self.properties) else "done"
        return "running" if self.quiet < SILENCE else f"no sign of life for {self.quiet:.0f} s"


def run_status(path: Path) -> RunStatus:
    """Reads where a run stands.

    Raises:
        UsageError: VF4420 when the ledger is not understood.
    """
    with Ledger.watch(path) as ledger:
        request = ledger.origin.request
        progress = {key: _value(text) for key, text in ledger.rows("SELECT key, value FROM progress")}
        rows = ledger.rows("SELECT number, name, questions, placements, started, ended FROM property ORDER BY number")
        headers = ledger.headers()
        properties = tuple(_property(ledger, headers[row[0]], *row) for row in rows)
        left = progress.get("left")
        at = progress.get("at")
        last = max([at if isinstance(at, float) else 0.0, *(float(row[5] or row[4]) for row in rows)], default=0.0)
        quiet = time.time() - last
        return RunStatus(
            spec=str(request.get("spec", "")),
            cluster=str(request.get("cluster", "")),
            workers=int(progress.get("workers") or 1),
            left=None if left is None else max(0.0, float(left) - quiet),
            quiet=quiet,
            is_over=bool(progress.get("over")),
            properties=properties,
        )


def status_words(found: RunStatus) -> Iterator[str]:
    """The same as lines of text."""
    yield f"{found.spec}: {found.state}; cluster {found.where}"
    if found.left is not None and not found.is_over:
        yield f"  budget left: {found.left:.0f} s"
    for item in found.properties:
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in item.counts.items() if count)
        yield f"{item.name}: {item.answered:,} of {item.questions:,} questions; {counts or 'none answered yet'}"
        yield f"  attacked {item.attacked:,} of {item.placements:,} places; {item.seconds:.0f} s"
        if item.worst is not None and not item.ended:
            worst = item.worst
            yield f"  worst open question: {worst.placement}, {worst.violation}: found {float(100 * worst.found):.1f} %"


def _property(
    ledger: Ledger,
    header: Header,
    number: int,
    name: str,
    questions: int,
    placements: int,
    started: float,
    ended: float | None,
) -> PropertyStatus:
    # A question that need not be asked any more, since a trigger decided, is not one that stayed open.
    query = "SELECT verdict, coalesce(reason, ''), count(*) FROM outcome WHERE property = ? GROUP BY 1, 2 ORDER BY 1"
    counts: Counter[str] = Counter()
    reasons = set()
    for verdict, reason, count in ledger.rows(query, number):
        counts["not asked" if reason == Reason.DECIDED else str(verdict)] += int(count)
        reasons.add(reason)
    ((attacked,),) = ledger.rows("SELECT count(*) FROM attack WHERE property = ?", number)
    return PropertyStatus(
        name=str(name),
        questions=int(questions),
        counts=dict(counts),
        placements=int(placements),
        attacked=int(attacked),
        worst=None if ended else _worst(ledger, number, header),
        seconds=float(ended or time.time()) - float(started),
        ended=ended is not None,
        is_interrupted=Reason.INTERRUPTED in reasons,
    )


def _worst(ledger: Ledger, number: int, header: Header) -> Worst | None:
    answered = {row[0] for row in ledger.rows("SELECT place FROM outcome WHERE property = ?", number)}
    at_pair = {pair: at for at, pair in enumerate(header.pairs)}
    worst: tuple[Fraction, Question] | None = None
    for (record,) in ledger.rows("SELECT CAST(record AS BLOB) FROM attack WHERE property = ?", number):
        for item in decode_attacked(record, str(ledger.path)):
            question = item.question
            place = question.placement * len(header.pairs) + at_pair[question.violation, question.selection]
            share = Fraction(item.found, max(1, len(header.selections[question.selection])))
            if place not in answered and (worst is None or share > worst[0]):
                worst = (share, question)
    if worst is None:
        return None
    label = ", ".join(f"{name} {value}" for name, value in header.placements[worst[1].placement])
    return Worst(label, header.violations[worst[1].violation], worst[0])


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


LOGGED = ("verdict", "reason", "found", "proved", "stage", "boxes", "leaves", "seconds")
"""What a line says of an answer, in this order."""


def log_lines(path: Path) -> Iterator[str]:
    """The lines: what was asked, the answer, the stage that gave it, what it took.

    Raises:
        UsageError: VF4420 when the ledger is not understood.
    """
    with Ledger.watch(path) as ledger:
        headers = ledger.headers()
        columns = ", ".join(("property", "place", "at", *LOGGED))
        for number, place, at, *values in ledger.rows(f"SELECT {columns} FROM outcome ORDER BY at, property, place"):
            yield _line(headers[number], place, at, values)


def _line(header: Header, place: int, at: float, values: Iterable[object]) -> str:
    placement, pair = divmod(place, len(header.pairs))
    violation, selection = header.pairs[pair]
    value = {
        "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        "property": header.property,
        "placement": dict(header.placements[placement]),
        "violation": header.violations[violation],
        "inputs": len(header.selections[selection]),
        **dict(zip(LOGGED, values, strict=True)),
    }
    return json.dumps(value, ensure_ascii=False)
