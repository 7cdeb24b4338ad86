"""The same files to another verifier: exported questions about single inputs, verdicts and CPU seconds side by side."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.environment import MARABOU, PLACE, ROOT, NotInstalled, marabou_python
from benchmarks.questions import Setting, problem
from benchmarks.records import Record, machine
from verifluxa.cli.export_command import Folder
from verifluxa.cli.vnncomp_command import solve
from verifluxa.interop.onnx_import import import_onnx
from verifluxa.interop.vnnlib_problem import Asked, ask
from verifluxa.interop.vnnlib_read import read_vnnlib
from verifluxa.search.replay import violation_margins
from verifluxa.verify import Request

NAME = "peers"
PEER = MARABOU.replace("==", " ")
LIMIT = 60
"""Seconds for one question, on each side."""
CASES = tuple((model, side) for model in ("clean", "clean_cnn") for side in (3, 5, 7))
SLACK = 1e-3
"""How far a peer's point may miss the condition, which it meets in its own arithmetic."""


@dataclass(frozen=True)
class Answered:
    """One side's answer: `sat`, `unsat` or another word, CPU seconds, the point of `sat`."""

    word: str
    seconds: float
    point: tuple[float, ...] | None = None


def run(small: bool = False) -> list[Record]:
    """Each model and size of the patch."""
    cases = CASES[:1] if small else CASES
    return [record for model, side in cases for record in _case(Setting(model, side, inputs=100), 2 if small else 20)]


def _case(setting: Setting, count: int) -> list[Record]:
    label = f"{setting.model} {setting.side}x{setting.side}, {count} questions about single inputs"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        list(Folder(folder, 1, 1, LIMIT).write(problem(setting), count))
        files = [line.split(",")[:2] for line in (folder / "instances.csv").read_text(encoding="utf-8").splitlines()]
        asked = [_read(folder, *pair) for pair in files]
        ours = [_ours(one) for one in asked]
        try:
            theirs, peer = _theirs(folder), PEER
        except NotInstalled as error:
            theirs, peer = None, f"{PEER}: peer not installed ({error})"
        wrong = [] if theirs is None else [_contradict(*three) for three in zip(ours, theirs, asked, strict=True)]
        if theirs is not None and any(wrong):
            _keep(folder, label, [(*files[i], ours[i], theirs[i]) for i in np.flatnonzero(wrong)])
    return _records(label, ours, theirs, peer, sum(wrong))


def _keep(folder: Path, label: str, found: list[tuple[str, str, Answered, Answered]]) -> None:
    """Keeps the files of contradictions, and who said what."""
    place = PLACE / "contradictions" / re.sub(r"\W+", "_", label)
    shutil.copytree(folder, place, dirs_exist_ok=True)
    lines = [f"{onnx} {vnnlib}\n  ours: {ours}\n  theirs: {theirs}\n" for onnx, vnnlib, ours, theirs in found]
    (place / "contradictions.txt").write_text("".join(lines), encoding="utf-8")


def _read(folder: Path, onnx: str, vnnlib: str) -> Asked:
    graph = import_onnx((folder / onnx).read_bytes()).graph
    (asked,) = ask(graph, read_vnnlib((folder / vnnlib).read_bytes(), vnnlib), "real", vnnlib)
    return asked


def _ours(asked: Asked) -> Answered:
    started = time.process_time()
    answer = solve((asked,), Request("", strategy="balanced"), time.monotonic() + LIMIT)
    point = None if answer.point is None else tuple(answer.point.tolist())
    return Answered(answer.word, time.process_time() - started, point)


def _theirs(folder: Path) -> list[Answered]:
    command = [str(marabou_python()), str(ROOT / "benchmarks" / "peers" / "marabou_peer.py"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    lines = [line.removeprefix("answer ") for line in done.stdout.splitlines() if line.startswith("answer {")]
    answers = map(json.loads, lines)
    return [Answered(a["answer"], a["seconds"], tuple(a["point"]) if "point" in a else None) for a in answers]


def _records(label: str, ours: list[Answered], theirs: list[Answered] | None, peer: str, wrong: int) -> list[Record]:
    sides = [ours] if theirs is None else [ours, theirs]
    shares = [100 * sum(a.word in ("sat", "unsat") for a in side) / len(ours) for side in sides]
    medians = [statistics.median(a.seconds for a in side) for side in sides]
    records = [Record(NAME, label, "decided, in %", shares[0], peer, *shares[1:], machine=machine())]
    ratio = None if theirs is None else medians[1] / medians[0]
    records.append(Record(NAME, label, "median CPU seconds", medians[0], peer, *medians[1:], ratio, machine=machine()))
    if theirs is not None:
        records.append(
            Record(NAME, label, "contradictions, each a mistake of one side", wrong, peer, machine=machine())
        )
    return records


def _contradict(ours: Answered, theirs: Answered, asked: Asked) -> bool:
    """Whether one side shows what the other excludes; a peer's point must meet the condition when it is replayed."""
    if (ours.word, theirs.word) == ("unsat", "sat"):
        return theirs.point is None or _meets(asked, np.array(theirs.point))
    return (ours.word, theirs.word) == ("sat", "unsat")


def _meets(asked: Asked, point: np.ndarray) -> bool:
    problem = asked.problem
    outputs = problem.graph.run(point.reshape(1, *problem.graph.input_shape))
    return bool(violation_margins(problem, 0, np.array([0]), outputs)[0] > -SLACK)
