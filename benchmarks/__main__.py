"""Runs the benchmarks, writes `build/bench.json` and prints the table: `python -m benchmarks [--only NAME]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from benchmarks.records import merged, read, write
from benchmarks.table import RECORDS, text

BENCHES = (
    *("bounds", "alpha", "digits", "map", "growth", "startup", "arithmetic", "triage"),
    *("checker", "lift", "gate", "hard", "cluster", "scan", "peers", "uap"),
)


def main() -> int:
    """Runs all benchmarks or one; records of the others stay as they are in the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=BENCHES, help="one benchmark")
    parser.add_argument("--small", action="store_true", help="tiny sizes, once: shows that it works, measures nothing")
    parser.add_argument("--out", type=Path, default=RECORDS, help="where the records go")
    arguments = parser.parse_args()
    _one_thread()
    names = (arguments.only,) if arguments.only else BENCHES
    for name in names:
        print(f"benchmark {name} ...", file=sys.stderr)
        records = importlib.import_module(f"benchmarks.bench_{name}").run(arguments.small)
        # After each, so that an interrupted run keeps what it has measured.
        write(arguments.out, merged(read(arguments.out), (name,), records))
    print(text([record for record in read(arguments.out) if record.bench in names]))
    return 0


def _one_thread() -> None:
    """One numerical thread a process: what is compared is the work, not the machine's idle cores."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"


if __name__ == "__main__":
    sys.exit(main())
