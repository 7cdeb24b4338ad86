"""The same files on both sides: what a contradiction is, and that a missing peer is said."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import bench_peers
from benchmarks.bench_peers import Answered, _contradict
from benchmarks.peers.environment import NotInstalled
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


def test_without_its_peer_the_benchmark_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise NotInstalled("no network")

    monkeypatch.setattr(bench_peers, "marabou_python", missing)
    records = bench_peers.run(small=True)
    assert [(record.what, record.peer) for record in records] == [
        ("decided, in %", "maraboupy 2.0.0: peer not installed (no network)"),
        ("median CPU seconds", "maraboupy 2.0.0: peer not installed (no network)"),
    ]
    assert records[0].ours == 100
    assert records[0].theirs is None
