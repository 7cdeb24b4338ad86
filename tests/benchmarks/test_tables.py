"""Tables: numbers as people read them, the page renewed between its marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.growth_picture import curves, draw
from benchmarks.records import Record, growth
from benchmarks.table import BEGIN, END, PAGE, markdown, number, renew, text

RECORDS = [
    Record("bounds", "mlp 3x3", "bounds per second", 25800.4, "auto-LiRPA 0.3", 2400.0, 10.75, 5, "a machine"),
    Record("bounds", "cnn 3x3", "bounds per second", 185.0, "auto-LiRPA 0.3: peer not installed (no network)"),
    growth("growth", "inputs", "seconds", [(25, 0.25), (400, 4.0)], 3),
]


SHOWN = [(None, "-"), (0.0, "0"), (0.012345, "0.0123"), (25800.4, "25,800"), (123.4, "123"), (100.0, "100")]
"""What is nearly all is not all: a share of 99.985 % was shown as 100 while a question was open."""


@pytest.mark.parametrize(("value", "shown"), [*SHOWN, (99.985, "99.98"), (99.6, "99.6")])
def test_numbers_have_three_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_terminal_sees_one_table_for_each_benchmark() -> None:
    lines = text(RECORDS).splitlines()
    assert lines[0] == "bounds"
    assert " ".join(lines[3].split()) == "mlp 3x3 bounds per second 25,800 2,400 auto-LiRPA 0.3 10.8 5"
    assert "peer not installed (no network)" in lines[4]
    assert " ".join(lines[-1].split()) == "inputs seconds 25: 0.25, 400: 4 1 3"


def test_the_page_names_the_machine_once() -> None:
    page = markdown(RECORDS[:1] * 2)["bounds"]
    assert page.count("a machine") == 1
    assert page.count("| mlp 3x3 | bounds per second | 25,800 | 2,400 | auto-LiRPA 0.3 | 10.8 | 5 |") == 2


def test_only_what_stands_between_the_marks_is_renewed() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    new = renew(page, RECORDS)
    assert new.startswith(f"before\n{BEGIN}\n")
    assert new.endswith(f"{END}\nafter\n")
    assert "old" not in new
    assert renew(new, RECORDS) == new


def test_tables_of_benchmarks_that_were_not_run_stay() -> None:
    whole = renew(f"{BEGIN}{END}", [*RECORDS, growth("bounds", "width", "seconds", [(1, 1.0), (2, 2.0)], 1)])
    assert whole.count("### ") == 2, "one heading, also where a benchmark has values and curves"
    part = renew(whole, [RECORDS[2], Record("uap", "plain", "accuracy", 54.0)])
    assert part[: part.index("### uap")].split() == whole[: whole.index(END)].split()
    again = renew(part, [Record("uap", "plain", "accuracy", 55.0)])
    assert again == part.replace("| 54 |", "| 55 |"), "a commit that the page names may hold these digits too"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        renew("nothing here", RECORDS)


def test_the_page_of_this_repository_has_its_marks() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.index(BEGIN) < page.index(END)


def test_growth_curves_are_drawn_by_what_grows_and_rate(tmp_path: Path) -> None:
    points = [(25.0, 0.25), (400.0, 4.0)]
    records = [
        growth("growth", f"against {what}, rate {rate}; decided in %: 100, 100", "seconds", points, 1)
        for rate in ("50 %", "20 %")
        for what in ("inputs", "places")
    ]
    assert {what: list(by_rate) for what, by_rate in curves(records).items()} == {
        "inputs": ["50 %", "20 %"],
        "places": ["50 %", "20 %"],
    }
    assert draw(records, tmp_path / "growth.png")
    with Image.open(tmp_path / "growth.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 2, "not an empty page"
        drawn = picture.convert("RGB").tobytes()
    assert draw(records, tmp_path / "again.png")
    with Image.open(tmp_path / "again.png") as picture:
        assert picture.convert("RGB").tobytes() == drawn
    assert not draw(RECORDS[:2], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
