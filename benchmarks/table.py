"""The table of `build/bench.json`: on the terminal, and as Markdown in docs/benchmark-tables.md.

`python -m benchmarks.table` writes the Markdown between the two marks of that page: tables of what `build/bench.json`
holds are made anew, those of other benchmarks stay, so that the page can be renewed part by part. The picture of the
growth curves is drawn with them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import Record, read

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "build" / "bench.json"
PAGE = ROOT / "docs" / "benchmark-tables.md"
BEGIN = "<!-- begin: made by `python -m benchmarks.table` from build/bench.json -->"
END = "<!-- end -->"
HEADING = "### "
HEAD = ("case", "what", "ours", "theirs", "peer", "ratio", "repeats")
CURVE_HEAD = ("case", "what", "size: value", "exponent", "repeats")
Cells = tuple[str, ...]
Section = tuple[str, Cells, list[Cells]]
"""Title, head and rows of a table."""


def number(value: float | None) -> str:
    """Three significant digits, thousands with commas; a dash for nothing. Nearly 100 (%) is not shown as 100."""
    if value is None:
        return "-"
    if 99 < value < 100:
        return f"{math.floor(100 * value) / 100:g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def row(record: Record) -> Cells:
    """The cells of a record without a curve."""
    values = (number(record.ours), number(record.theirs), record.peer or "-", number(record.ratio))
    return (record.case, record.what, *values, str(record.repeats))


def curve_row(record: Record) -> Cells:
    """The cells of a growth curve."""
    points = ", ".join(f"{number(size)}: {number(value)}" for size, value in record.curve or ())
    return (record.case, record.what, points, number(record.exponent), str(record.repeats))


def sections(records: Sequence[Record]) -> list[Section]:
    """Title, head and rows of each benchmark's table, in the order of the records."""
    result: list[Section] = []
    for name in dict.fromkeys(record.bench for record in records):
        own = [record for record in records if record.bench == name]
        plain = [row(record) for record in own if record.curve is None]
        curves = [curve_row(record) for record in own if record.curve is not None]
        result += [(name, head, rows) for head, rows in ((HEAD, plain), (CURVE_HEAD, curves)) if rows]
    return result


def text(records: Sequence[Record]) -> str:
    """For a terminal."""
    parts = []
    for name, head, rows in sections(records):
        widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in [head, *rows]
        ]
        parts.append("\n".join([name, "=" * len(name), *lines]))
    return "\n\n".join(parts)


def markdown(records: Sequence[Record]) -> dict[str, str]:
    """For the page, by benchmark: heading, machines, and the tables of its values and of its curves."""
    parts: dict[str, str] = {}
    for name, head, rows in sections(records):
        machines = dict.fromkeys(record.machine for record in records if record.bench == name)
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [head, *rows]]
        table = "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
        before = parts.get(name, f"{HEADING}{name}\n\nMeasured on: {'; '.join(machines)}.")
        parts[name] = f"{before}\n\n{table}"
    return parts


def renew(page: str, records: Sequence[Record]) -> str:
    """The page with the tables of these records made anew; those of other benchmarks stay as they are.

    Raises:
        ValueError: when the marks are not there.
    """
    before, found, rest = page.partition(BEGIN)
    tables, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError("the page has lost its marks")
    standing = [f"{HEADING}{part.strip()}" for part in f"\n{tables}".split(f"\n{HEADING}")[1:]]
    parts = {part.splitlines()[0].removeprefix(HEADING): part for part in standing} | markdown(records)
    return "\n\n".join([f"{before}{BEGIN}", *parts.values(), f"{END}{after}"])


def main() -> int:
    """Renews the page from the records of the last runs."""
    records = read(RECORDS)
    if not records:
        print("there is no build/bench.json yet: run `make bench`", file=sys.stderr)
        return 1
    from benchmarks.growth_picture import draw  # here: a run prints its tables without loading a plotting library

    PAGE.write_text(renew(PAGE.read_text(encoding="utf-8"), records), encoding="utf-8")
    draw(records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
