"""The same files to another verifier: exported questions about single inputs, verdicts and CPU seconds side by side."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.peers.environment import (
    MARABOU,
    PLACE,
    ROOT,
    VIBECHECK,
    NotInstalled,
    marabou_python,
    vibecheck_python,
)
from benchmarks.questions import Setting, problem
from benchmarks.records import Record, machine
from verifluxa.cli.export_command import Folder
from verifluxa.cli.vnncomp_command import solve
from verifluxa.interop.onnx_import import import_onnx
from verifluxa.interop.vnnlib_problem import RegionQuery, ask
from verifluxa.interop.vnnlib_read import read_vnnlib
from verifluxa.question import Problem
from verifluxa.search.replay import violation_margins
from verifluxa.verify import Request

NAME = "peers"
LIMIT = 10
"""Seconds for one question, on each side."""
COUNT = 20
"""Questions of each case."""
GRACE = 3
"""A peer that has not ended after so many times the limits of all its questions is ended."""
CASES = tuple((model, side) for model in ("clean", "clean_cnn") for side in (3, 5, 7))
SLACK = 1e-3
"""How far a peer's point may miss the condition, which it meets in its own arithmetic."""


class Peer(NamedTuple):
    """Another verifier: what it is called, its environment and interpreter, and the module that answers a folder."""

    name: str
    environment: str
    python: Callable[[], Path]
    module: str


PEERS = (
    Peer(VIBECHECK.replace("==", " "), "vibecheck", vibecheck_python, "benchmarks.peers.vibecheck_peer"),
    Peer(MARABOU.replace("==", " "), "marabou", marabou_python, "benchmarks.peers.marabou_peer"),
)


@dataclass(frozen=True)
class Answered:
    """One side's answer: `sat`, `unsat` or another word, CPU seconds, the point of `sat`."""

    word: str
    seconds: float
    point: tuple[float, ...] | None = None


def run(small: bool = False, peers: Sequence[Peer] | None = None) -> list[Record]:
    """Each model and size of the patch."""
    cases = CASES[:1] if small else CASES
    settings, count = [Setting(model, side, inputs=100) for model, side in cases], 2 if small else COUNT
    return [record for setting in settings for record in _case(setting, count, PEERS if peers is None else peers)]


def _case(setting: Setting, count: int, peers: Sequence[Peer]) -> list[Record]:
    label = f"{setting.model} {setting.side}x{setting.side}, {count} questions about single inputs"
    return compared(NAME, label, problem(setting), count, peers)


def compared(bench: str, label: str, asked: Problem, count: int, peers: Sequence[Peer]) -> list[Record]:
    """Exports questions about single inputs of a problem, `count` of them, and answers them here and by each peer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        list(Folder(folder, 1, 1, LIMIT).write(asked, count))
        files = [line.split(",")[:2] for line in (folder / "instances.csv").read_text(encoding="utf-8").splitlines()]
        ours = [_ours(folder, *pair) for pair in files]
        found = [record for peer in peers for record in _against(peer, label, folder, files, ours)]
    return [replace(record, bench=bench) for record in found]


def _against(peer: Peer, label: str, folder: Path, files: list[list[str]], ours: list[Answered]) -> list[Record]:
    try:
        theirs = _theirs(peer, folder, len(files))
    except NotInstalled as error:
        return _records(label, ours, None, f"{peer.name}: peer not installed ({error})", 0)
    asked = [_read(folder, *pair) for pair in files]
    wrong = [_contradict(*three) for three in zip(ours, theirs, asked, strict=True)]
    if any(wrong):
        _keep(folder, f"{label} {peer.name}", [(*files[i], ours[i], theirs[i]) for i in np.flatnonzero(wrong)])
    return _records(label, ours, theirs, peer.name, sum(wrong))


def _keep(folder: Path, label: str, found: list[tuple[str, str, Answered, Answered]]) -> None:
    """Keeps the files of contradictions, and who said what."""
    place = PLACE / "contradictions" / re.sub(r"\W+", "_", label)
    shutil.copytree(folder, place, dirs_exist_ok=True)
    lines = [f"{onnx} {vnnlib}\n  ours: {ours}\n  theirs: {theirs}\n" for onnx, vnnlib, ours, theirs in found]
    (place / "contradictions.txt").write_text("".join(lines), encoding="utf-8")


def _read(folder: Path, onnx: str, vnnlib: str) -> RegionQuery:
    graph = import_onnx((folder / onnx).read_bytes()).graph
    (asked,) = ask(graph, read_vnnlib((folder / vnnlib).read_bytes(), vnnlib), "real", vnnlib)
    return asked


def _ours(folder: Path, onnx: str, vnnlib: str) -> Answered:
    """Reading the two files counts, as it does for the peers."""
    started = time.process_time()
    asked = _read(folder, onnx, vnnlib)
    answer = solve((asked,), Request("", strategy="balanced"), time.monotonic() + LIMIT)
    point = None if answer.point is None else tuple(answer.point.tolist())
    return Answered(answer.word, time.process_time() - started, point)


def _theirs(peer: Peer, folder: Path, count: int) -> list[Answered]:
    """A peer's answers; where it ends early or not at all, what it has not answered is open."""
    command = [str(peer.python()), "-m", peer.module, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    log, most = folder / "log.txt", GRACE * LIMIT * count
    with log.open("w", encoding="utf-8") as output, contextlib.suppress(subprocess.TimeoutExpired):
        streams = {"stdout": output, "stderr": subprocess.DEVNULL}
        subprocess.run(command, **streams, env=environment, cwd=ROOT, timeout=most, check=False)
    lines = log.read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line.removeprefix("answer ")) for line in lines if line.startswith("answer {")]
    given = [Answered(a["answer"], a["seconds"], tuple(a["point"]) if "point" in a else None) for a in answers]
    return given + [Answered("none", float(LIMIT))] * (count - len(given))


def _records(
    label: str, ours: Sequence[Answered], theirs: Sequence[Answered] | None, peer: str, wrong: int
) -> list[Record]:
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


def _contradict(ours: Answered, theirs: Answered, asked: RegionQuery) -> bool:
    """Whether one side shows what the other excludes; a peer's point must meet the condition when it is replayed."""
    if (ours.word, theirs.word) == ("unsat", "sat"):
        return theirs.point is None or _meets(asked, np.array(theirs.point))
    return (ours.word, theirs.word) == ("sat", "unsat")


def _meets(asked: RegionQuery, point: np.ndarray) -> bool:
    problem = asked.problem
    outputs = problem.graph.run(point.reshape(1, *problem.graph.input_shape))
    return bool(violation_margins(problem, 0, np.array([0]), outputs)[0] > -SLACK)
