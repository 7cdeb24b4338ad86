"""Runs the benchmarks, writes `build/bench.json` and prints the table: `python -m benchmarks [--only NAME]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.records import Record, merged, read, spent, write
from benchmarks.table import RECORDS, text

Run = Callable[[bool], list[Record]]
BENCHES = (
    *("bounds", "alpha", "digits", "map", "growth", "startup", "arithmetic", "triage"),
    *("checker", "lift", "gate", "hard", "cluster", "scan", "peers", "scale", "uap"),
)


def main(given: Sequence[str] | None = None, benches: Mapping[str, Run] | None = None) -> int:
    """Runs all benchmarks or one; records of the others stay as they are in the file.

    Args:
        given: the arguments; None: those of the command line.
        benches: what runs under each name; None: all of ours.
    """
    names_of_all = tuple(BENCHES if benches is None else benches)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=names_of_all, help="one benchmark")
    parser.add_argument("--small", action="store_true", help="tiny sizes, once: shows that it works, measures nothing")
    parser.add_argument("--out", type=Path, default=RECORDS, help="where the records go")
    arguments = parser.parse_args(given)
    _one_thread()
    names = (arguments.only,) if arguments.only else names_of_all
    parts = {name: _ours(name) for name in names} if benches is None else benches
    failed = [name for name in names if not _part(name, parts[name], arguments.small, arguments.out)]
    print(text([record for record in read(arguments.out) if record.bench in names]))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _ours(name: str) -> Run:
    """A benchmark that is loaded when it runs: one that cannot be loaded does not end the others."""
    return lambda small: importlib.import_module(f"benchmarks.bench_{name}").run(small)


def _part(name: str, run: Run, small: bool, out: Path) -> bool:
    """One benchmark, whose records replace its earlier ones at once; whether it ended well. The others go on."""
    print(f"benchmark {name} ...", file=sys.stderr, flush=True)
    used, started = spent(), time.monotonic()
    try:
        records = run(small)
    except Exception:  # noqa: BLE001 - hours of measuring do not end with one of them
        traceback.print_exc()
        return False
    write(out, merged(read(out), (name,), records))
    minutes = (spent() - used) / 60, (time.monotonic() - started) / 60
    print(f"benchmark {name}: {minutes[0]:.1f} CPU minutes, {minutes[1]:.1f} on the clock", file=sys.stderr, flush=True)
    return True


def _one_thread() -> None:
    """One numerical thread a process: what is compared is the work, not the machine's idle cores."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"


if __name__ == "__main__":
    sys.exit(main())
