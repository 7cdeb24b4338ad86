"""How long the command line takes to start: wall seconds of whole processes, Python included."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.questions import DIGITS, ROOT
from benchmarks.records import Record, interleaved, machine

NAME = "startup"
REPEATS = 9
LINES = 200
PYTHON = "an empty Python process"


def run(small: bool = False) -> list[Record]:
    """Each command in turn with an empty interpreter, which is the least that a Python program can take."""
    spec = long_spec()
    commands = {
        "verifluxa --version": ["--version"],
        f"verifluxa check of a spec of {LINES} lines": ["check", str(spec)],
        "verifluxa explain VF2101": ["explain", "VF2101"],
    }
    repeats = 1 if small else REPEATS
    return [_record(name, arguments, repeats) for name, arguments in commands.items()]


def _record(name: str, arguments: list[str], repeats: int) -> Record:
    entry = [sys.executable, "-m", "verifluxa", *arguments]
    ours, theirs = interleaved([lambda: _seconds(entry), lambda: _seconds([sys.executable, "-c", ""])], repeats)
    return Record(NAME, name, "wall seconds of the process", ours, PYTHON, theirs, theirs / ours, repeats, machine())


def _seconds(command: list[str]) -> float:
    """Wall seconds of one process.

    Raises:
        RuntimeError: when it fails: a failure's time says nothing.
    """
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return seconds


def long_spec() -> Path:
    """The digit example with further properties under other names, until it has enough lines; its files beside it."""
    text = (DIGITS / "no_backdoor.vfx").read_text(encoding="utf-8")
    head, prop = text.split("property no_universal_trigger", 1)
    lines = len(text.splitlines())
    more = -(-(LINES - lines) // (len(prop.splitlines()) + 1))
    folder = ROOT / "build" / "bench" / "startup"
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"property no_universal_trigger_{number}{prop}" for number in range(more + 1)]
    for name in ("clean.jld2", "architecture.txt", "mnist_eval.npz"):
        (folder / name).write_bytes((DIGITS / name).read_bytes())
    path = folder / "long.vfx"
    path.write_text(head + "\n".join(parts), encoding="utf-8")
    return path
