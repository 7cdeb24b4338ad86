"""The lift benchmark: its file is the one that its text describes, and it gives its three records."""

from __future__ import annotations

import hashlib

from benchmarks import bench_lift
from verifluxa.flux.load import lift


def test_the_file_lifts_with_its_digest() -> None:
    path, text = bench_lift.model_file(8)
    found = lift(path, text)
    assert found.graph.output_shape == (4,)
    assert found.sources[0] == (path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def test_time_and_memory_are_measured() -> None:
    records = bench_lift.run(small=True)
    assert [record.what.split(",")[0] for record in records][:2] == ["wall seconds"] * 2
    assert all(record.ratio for record in records[:2])
