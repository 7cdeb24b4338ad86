"""Benchmark records: what was measured, both sides in one run, as `build/bench.json` holds them."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

Side = Callable[[], float]
"""Does the work once and returns what it cost, in seconds."""


@dataclass(frozen=True)
class Record:
    """One line of the table.

    Attributes:
        bench: which benchmark.
        case: on what.
        what: which quantity, with its unit.
        ours: Verifluxa's value.
        peer: what it is compared with, or why there is nothing to compare with; None where it stands alone.
        theirs: the peer's value in the same run.
        ratio: how many times better ours is (above 1: better).
        repeats: how many times each side was measured; the values are medians.
        machine: where, when, and of which commit.
        curve: (size, seconds) pairs of a growth curve, or None.
        exponent: least-squares slope of log(seconds) against log(size), or None.
    """

    bench: str
    case: str
    what: str
    ours: float | None
    peer: str | None = None
    theirs: float | None = None
    ratio: float | None = None
    repeats: int = 1
    machine: str = ""
    curve: tuple[tuple[float, float], ...] | None = None
    exponent: float | None = None


def document(record: Record) -> dict[str, Any]:
    """The record as JSON holds it: a curve's keys only where there is a curve."""
    fields = asdict(record)
    if record.curve is None:
        del fields["curve"], fields["exponent"]
    return fields


def read(path: Path) -> list[Record]:
    """The records of an earlier run; none where there is no file."""
    if not path.exists():
        return []
    return [_record(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


def _record(fields: dict[str, Any]) -> Record:
    curve = fields.get("curve")
    return Record(**{**fields, "curve": None if curve is None else tuple((x, y) for x, y in curve)})


def write(path: Path, records: Iterable[Record]) -> None:
    """Writes the records, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(document(record)) for record in records)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def merged(before: Sequence[Record], names: Sequence[str], after: Sequence[Record]) -> list[Record]:
    """Earlier records of other benchmarks stay, those of the ones just run are replaced."""
    return [record for record in before if record.bench not in names] + list(after)


def interleaved(sides: Sequence[Side], repeats: int) -> list[float]:
    """Runs every side once to warm up, then A B A B ...; returns each side's median."""
    for side in sides:
        side()
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for side, seconds in zip(sides, taken, strict=True):
            seconds.append(side())
    return [statistics.median(seconds) for seconds in taken]


def exponent(curve: Sequence[tuple[float, float]]) -> float:
    """The e of seconds ~ size^e: least squares on the logarithms."""
    xs, ys = [math.log(x) for x, _ in curve], [math.log(y) for _, y in curve]
    middle = statistics.fmean(xs)
    spread = sum((x - middle) ** 2 for x in xs)
    return sum((x - middle) * y for x, y in zip(xs, ys, strict=True)) / spread


def growth(bench: str, case: str, what: str, curve: Sequence[tuple[float, float]], repeats: int) -> Record:
    """The record of a growth curve; `ours` is its last point."""
    points = tuple((float(x), float(y)) for x, y in curve)
    slope = exponent(points) if len({x for x, _ in points}) > 1 else None
    return Record(bench, case, what, points[-1][1], repeats=repeats, machine=machine(), curve=points, exponent=slope)


def spent() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@cache
def machine() -> str:
    """What the numbers were measured on, when, and of which commit: no names of hosts or people."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = (_processor(), f"{cores} cores", platform.system(), f"Python {platform.python_version()}")
    return ", ".join((*parts, f"torch {version('torch')}", f"{date.today()}", *_commit()))


def _commit() -> tuple[str, ...]:
    """The checked out commit, with a plus sign where files differ from it; nothing outside a repository."""
    command = ("git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=+")
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return (f"commit {found.stdout.strip()}",)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
