"""Records: what stands in the file, how sides alternate, how growth is fitted."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from benchmarks.records import Record, document, exponent, growth, interleaved, machine, merged, read, write

PLAIN = Record("bounds", "mlp 3x3", "bounds per second", 30.0, "auto-LiRPA 0.3", 10.0, 3.0, 5, "a machine")
KEYS = {"bench", "case", "what", "ours", "peer", "theirs", "ratio", "repeats", "machine"}


def test_a_record_has_the_documented_keys() -> None:
    assert set(document(PLAIN)) == KEYS
    curve = growth("growth", "inputs", "seconds", [(1, 2.0), (2, 4.0)], 3)
    assert set(document(curve)) == KEYS | {"curve", "exponent"}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    records = [PLAIN, growth("growth", "inputs", "seconds", [(1, 2.0), (2, 4.0)], 3)]
    write(tmp_path / "made" / "bench.json", records)
    assert read(tmp_path / "made" / "bench.json") == records
    assert isinstance(json.loads((tmp_path / "made" / "bench.json").read_text()), list)


def test_no_file_holds_no_records(tmp_path: Path) -> None:
    assert read(tmp_path / "bench.json") == []


def test_a_part_that_is_run_again_replaces_only_itself() -> None:
    other = replace(PLAIN, bench="digits")
    again = replace(PLAIN, ours=31.0)
    assert merged([PLAIN, other], ("bounds",), [again]) == [other, again]


def test_sides_take_turns_after_one_pass_to_warm_up() -> None:
    calls: list[str] = []
    taken = {"a": iter([9.0, 1.0, 5.0, 3.0]), "b": iter([8.0, 2.0, 2.0, 7.0])}

    def side(name: str) -> float:
        calls.append(name)
        return next(taken[name])

    assert interleaved([lambda: side("a"), lambda: side("b")], 3) == [3.0, 2.0]
    assert calls == ["a", "b"] * 4


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_the_exponent_of_a_power_law_is_its_power(power: float) -> None:
    assert exponent([(x, 0.3 * x**power) for x in (4, 9, 25, 400)]) == pytest.approx(power)


def test_the_last_point_of_a_curve_is_its_value() -> None:
    record = growth("growth", "inputs", "seconds", [(25, 0.1), (400, 1.7)], 3)
    assert record.ours == 1.7
    assert record.curve == ((25.0, 0.1), (400.0, 1.7))


def test_the_machine_is_described_without_its_name() -> None:
    assert "cores" in machine()
    assert "torch" in machine()
    assert platform.node() not in machine().split(", ")


def test_a_record_says_when_it_was_measured() -> None:
    assert str(date.today()) in machine() or str(date.today() - timedelta(days=1)) in machine()
