"""One run of several benchmarks: records go into one file, and one that fails does not end the others."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as whole
from benchmarks.records import Record, read


def fails(small: bool) -> list[Record]:
    raise OSError("no digits here")


def test_a_benchmark_that_fails_leaves_the_others_their_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    parts = {"map": lambda small: [Record("map", f"small {small}", "gap", 2.0)], "gate": fails, "uap": lambda small: []}
    monkeypatch.setattr(whole, "BENCHES", tuple(parts))
    for name, run in parts.items():
        monkeypatch.setitem(sys.modules, f"benchmarks.bench_{name}", SimpleNamespace(run=run))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--small", "--out", str(out)])
    assert whole.main() == 1
    shown = capsys.readouterr()
    assert [record.case for record in read(out)] == ["small True"]
    assert "no digits here" in shown.err
    assert "benchmark uap: 0.0 CPU minutes" in shown.err
    assert shown.err.endswith("failed: gate\n")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "map", "--out", str(out)])
    assert whole.main() == 0
    assert [record.case for record in read(out)] == ["small False"]
