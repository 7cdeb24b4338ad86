"""How long and with how much memory a large JLD2 file is lifted, beside NumPy reading the same bytes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.questions import ROOT
from benchmarks.records import Record, interleaved, machine
from tests.flux.writer import FLOAT, Writer
from verifluxa.flux.load import lift, load_model

NAME = "lift"
REPEATS = 15
PEER = "np.fromfile"


def run(small: bool = False) -> list[Record]:
    """The file is in the page cache on both sides; a lift reads, checks, copies where it must, and builds the graph."""
    width, repeats = (256, 1) if small else (4096, REPEATS)
    path, text = model_file(width)
    size = path.stat().st_size
    case = f"JLD2 of {size / 1e6:.1f} MB, two Dense layers"
    works: tuple[tuple[str, Callable[[], object]], ...] = (
        ("wall seconds, graph", lambda: load_model(path, text)),
        ("wall seconds, graph and sha256 of the file", lambda: lift(path, text)),
    )
    records = []
    for what, work in works:
        ours, theirs = interleaved([partial(_seconds, work), partial(_seconds, partial(_read, path))], repeats)
        records.append(Record(NAME, case, what, ours, PEER, theirs, theirs / ours, repeats, machine()))
    peak = _peak(path, text) / size
    return [
        *records,
        Record(NAME, case, "peak memory / size of the file", peak, "the bar", 2.0, 2.0 / max(peak, 0.01), 1, machine()),
    ]


def model_file(width: int) -> tuple[Path, str]:
    """A file of bare arrays as JLD2 writes them, and the architecture that goes with it."""
    layers = ((width, width), (width, width // 2))
    text = "Chain(" + ", ".join(f"Dense({inputs} => {outputs}, relu)" for inputs, outputs in layers) + ")"
    folder = ROOT / "build" / "bench" / "lift"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"weights_{width}.jld2"
    generator = np.random.default_rng(0)
    writer, links = Writer(), {}
    for number, (inputs, outputs) in enumerate(layers, start=1):
        for name, dims in ((f"weight{number}", (inputs, outputs)), (f"bias{number}", (outputs,))):
            data = generator.normal(size=dims).astype(np.float32).tobytes()
            links[name] = writer.dataset(dims, FLOAT, data)
    path.write_bytes(writer.file(writer.group(links)))
    return path, text


def _read(path: Path) -> object:
    return np.fromfile(path, np.uint8)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    # Letting go of the memory is not part of the work.
    del result
    return seconds


def _peak(path: Path, text: str) -> float:
    """Bytes that a fresh process needs at most, above what it holds after a lift of a small model."""
    small, small_text = model_file(8)
    command = f"from {__name__} import show_peak; show_peak()"
    done = subprocess.run(
        [sys.executable, "-c", command, str(small), small_text, str(path), text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def show_peak() -> None:
    """Prints by how many bytes the second lift raises the most that the process holds."""
    small, small_text, path, text = sys.argv[1:]
    lift(small, small_text)
    before = _memory("VmRSS")
    lift(path, text)
    print(_memory("VmHWM") - before)


def _memory(name: str) -> int:
    """Bytes of a line of Linux's account of this process; a child's `ru_maxrss` would begin at its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
