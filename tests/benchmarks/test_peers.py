"""The same files on both sides: what a contradiction is, and that a missing peer is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_peers
from benchmarks.bench_peers import Answered, Peer, _contradict, _theirs
from benchmarks.peers.environment import NotInstalled
from benchmarks.peers.instances import Found, answer_all
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine
from verifluxa.interop.vnnlib_problem import ask
from verifluxa.interop.vnnlib_read import read_vnnlib

TEXT = b"""(declare-const X_0 Real) (declare-const Y_0 Real)
(assert (>= X_0 0.0)) (assert (<= X_0 1.0)) (assert (>= Y_0 0.5))"""


def test_a_contradiction_is_a_verdict_against_a_verdict() -> None:
    (asked,) = ask(chain((1,), [Affine(np.ones((1, 1), np.float32))]), read_vnnlib(TEXT, "q"), "real", "q")
    unsat, sat = Answered("unsat", 1.0), Answered("sat", 1.0, (0.75,))
    assert _contradict(unsat, sat, asked)
    assert _contradict(sat, unsat, asked)
    assert not _contradict(unsat, Answered("sat", 1.0, (0.25,)), asked)
    for other in (Answered("timeout", 1.0), Answered("error", 1.0), Answered("unknown", 1.0)):
        assert not _contradict(unsat, other, asked)
        assert not _contradict(other, sat, asked)


def test_without_its_peers_the_benchmark_says_so() -> None:
    def missing() -> Path:
        raise NotInstalled("no network")

    peers = Peer("one 1.0", "one", missing, "nothing"), Peer("two 2.0", "two", missing, "nothing")
    records = bench_peers.run(True, peers)
    assert [(record.what, record.peer) for record in records] == [
        (what, f"{peer}: peer not installed (no network)")
        for peer in ("one 1.0", "two 2.0")
        for what in ("decided, in %", "median CPU seconds")
    ]
    assert records[0].ours == 100
    assert records[0].theirs is None


def test_what_a_peer_does_not_answer_is_open(tmp_path: Path) -> None:
    (tmp_path / "instances.csv").write_text("a,b,1\nc,d,1\n")
    peer = Peer("broken", "broken", lambda: Path(sys.executable), "tests.benchmarks.broken_peer")
    first, second = _theirs(peer, tmp_path, 2)
    assert (first.word, second.word) == ("error", "none")


def test_a_peer_answers_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "instances.csv").write_text("a.onnx,a.vnnlib,7\nb.onnx,b.vnnlib,7\n")

    def solve(onnx: Path, vnnlib: Path, limit: int) -> Found:
        assert (vnnlib, limit) == (onnx.with_suffix(".vnnlib"), 7)
        return ("sat", [0.5]) if onnx.stem == "a" else ("unsat", None)

    assert answer_all(solve, tmp_path) == 0
    lines = [json.loads(line.removeprefix("answer ")) for line in capsys.readouterr().out.splitlines()]
    assert [(line["answer"], line.get("point")) for line in lines] == [("sat", [0.5]), ("unsat", None)]
