"""The map's benchmark on four places."""

from __future__ import annotations

from benchmarks import bench_map


def test_every_pair_is_measured_as_closely_as_was_asked() -> None:
    records = {record.what: record.ours for record in bench_map.run(small=True)}
    assert records["(place, target) pairs"] == 40
    assert records["pairs whose worst rate is known within 2 %, in %"] == 100
    assert records["widest interval, in %"] <= 2
