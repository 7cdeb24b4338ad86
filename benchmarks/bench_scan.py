"""The scan on many networks: how many backdoored ones it calls suspect, how many clean ones, and what it costs.

`python -m benchmarks.bench_scan FIRST LAST [KIND ...]` prints the measures of each network of these seeds in a line.
The thresholds in `verifluxa/triage/scan/classes.py` were fixed with the seeds 100 to 107 (rates of patches and known
triggers: clean networks of the seeds 100 to 105); the records are of the seeds 0 to 9.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.questions import ROOT
from benchmarks.records import Record, machine
from benchmarks.scan_models import CLEAN, KINDS, SETS, Made, make, planted, success
from verifluxa.cli.init_spec import Look, best_way
from verifluxa.cli.scan_command import subject_of
from verifluxa.triage.scan.run import Scan, ScanSettings, scan

NAME = "scan"
CLEAN_SEEDS, PLANTED_SEEDS = range(10), range(5)
BUDGET = 3600.0
"""Seconds: no scan is cut short, so that other work on the machine changes nothing."""
CLEANSE = 2.0
"""The anomaly index above which Neural Cleanse calls a class suspect (Wang et al. 2019, section IV-B)."""
PEER = "the index of the mask above 2 alone (Neural Cleanse's rule)"
WHAT = {"digits": "MNIST", "clothes": "Fashion-MNIST"}


@dataclass(frozen=True)
class Outcome:
    """What a scan said of a network.

    Attributes:
        code: digest of the code that scanned it.
        target: of the planted trigger; None for a clean network.
        suspects: classes that the scan calls suspect.
        by_cleanse: classes whose mask has an anomaly index above `CLEANSE`.
        seconds: CPU seconds.
        line: the measures in words.
    """

    code: str
    target: int | None
    suspects: tuple[int, ...]
    by_cleanse: tuple[int, ...]
    seconds: float
    line: str

    def hit(self, found: tuple[int, ...]) -> bool:
        """A clean network counts where any class is suspect, a backdoored one where its target is."""
        return bool(found) if self.target is None else self.target in found


def run(small: bool = False) -> list[Record]:
    """Rates over at least 20 clean and 20 backdoored networks, and what a scan costs."""
    clean_seeds, planted_seeds = (range(1), range(1)) if small else (CLEAN_SEEDS, PLANTED_SEEDS)
    sets, kinds = (SETS[:1], KINDS[:1]) if small else (SETS, KINDS)
    records, seconds = [], []
    for data in sets:
        clean = [scanned(Made(data, CLEAN, seed)) for seed in clean_seeds]
        records.append(_record(data, CLEAN, f"of {len(clean)} clean networks called suspect", clean))
        seconds += [one.seconds for one in clean]
        for kind in kinds:
            bad = [scanned(Made(data, kind, seed)) for seed in planted_seeds]
            records.append(_record(data, kind, f"of {len(bad)} backdoored networks, their class called suspect", bad))
            seconds += [one.seconds for one in bad]
    what = "CPU seconds of a scan, median"
    records.append(Record(NAME, "784-32-10", what, statistics.median(seconds), repeats=len(seconds), machine=machine()))
    return records


def scanned(made: Made) -> Outcome:
    """Scans a network, trained where it is not there yet; what this very code said of it before is not asked again."""
    model = make(made)
    kept = model.parent / "outcome.json"
    if kept.exists():
        before = json.loads(kept.read_text())
        if before["code"] == code():
            return Outcome(**{key: tuple(value) if isinstance(value, list) else value for key, value in before.items()})
    look = Look(model, model.parent / "eval.npz", None, None, None, model.parent)
    started = time.process_time()
    subject = subject_of(best_way(look), model.parent / "scan.vfx", (made.name, made.data), 3)
    outcome = _outcome(made, scan(subject, ScanSettings(BUDGET)), started)
    kept.write_text(json.dumps(asdict(outcome)))
    return outcome


@cache
def code() -> str:
    """Digest of the code of the scan and of this benchmark."""
    files = [*sorted((ROOT / "verifluxa" / "triage" / "scan").glob("*.py")), Path(__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _outcome(made: Made, found: Scan, started: float) -> Outcome:
    seconds = time.process_time() - started
    target = None if made.kind == CLEAN else planted(made).target
    works = (
        "target - works -   " if target is None else f"target {target} works {success(made, found.loaded.graph):.2f}"
    )
    return Outcome(
        code=code(),
        target=target,
        suspects=tuple(sorted(row.target for row in found.suspects)),
        by_cleanse=tuple(sorted(row.target for row in found.rows if row.indices["mask"] > CLEANSE)),
        seconds=seconds,
        line=" ".join([f"{made.name:22} {works}", *_measures(found), f"{seconds:.1f} s"]),
    )


def _record(data: str, kind: str, what: str, many: list[Outcome]) -> Record:
    ours, theirs = (float(sum(found)) for found in zip(*map(_hits, many), strict=True))
    return Record(NAME, f"{WHAT[data]} {kind}", what, ours, PEER, theirs, repeats=len(many), machine=machine())


def _hits(one: Outcome) -> tuple[bool, bool]:
    return one.hit(one.suspects), one.hit(one.by_cleanse)


def _measures(found: Scan) -> Iterator[str]:
    """The least and largest measures over the classes, and the verdict."""
    rows = found.rows
    for name in ("mask", "change"):
        share = min(rows, key=lambda row: row.shares[name])
        index = max(row.indices[name] for row in rows)
        yield f"| {name} {share.shares[name]:.2f} at {share.target} index {index:.1f}"
    best = max(rows, key=lambda row: row.best.found.rate)
    proved = [float(row.proved.rate) for row in rows if row.proved is not None]
    yield f"| found {float(best.best.found.rate):.2f} at {best.target} proved {max(proved, default=np.nan):.2f}"
    yield f"| probe {found.probes[0].success:.2f} {found.probes[0].name} at {found.probes[0].target}"
    yield f"| {found.verdict} {[row.target for row in found.suspects]}"


def show(first: int, last: int, kinds: Sequence[str]) -> None:
    """Prints the measures of the networks of these seeds."""
    for seed in range(first, last + 1):
        for data in SETS:
            for kind in kinds or (CLEAN, *KINDS):
                print(scanned(Made(data, kind, seed)).line, flush=True)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    show(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
