"""One run of several benchmarks: records go into one file, and one that fails does not end the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as whole
from benchmarks.records import Record, read


def fails(small: bool) -> list[Record]:
    raise OSError("no digits here")


def test_a_benchmark_that_fails_leaves_the_others_their_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    parts = {"map": lambda small: [Record("map", f"small {small}", "gap", 2.0)], "gate": fails, "uap": lambda small: []}
    assert whole.main(["--small", "--out", str(out)], parts) == 1
    shown = capsys.readouterr()
    assert [record.case for record in read(out)] == ["small True"]
    assert "no digits here" in shown.err
    assert "benchmark uap: 0.0 CPU minutes" in shown.err
    assert shown.err.endswith("failed: gate\n")
    assert whole.main(["--only", "map", "--out", str(out)], parts) == 0
    assert [record.case for record in read(out)] == ["small False"]
