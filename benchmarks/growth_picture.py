"""The picture of the growth curves in docs/benchmarks.md, drawn from the records when the tables are renewed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.records import Record

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
CASE = re.compile(r"against (?P<what>.+), rate (?P<rate>\d+ %)")
"""How `bench_growth` names its curves."""
WIDTH, HEIGHT, DPI = 11.0, 2.6, 100
MARKS = {"50 %": "o", "20 %": "s"}


def curves(records: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """The growth records, by what grows and then by rate, in their order."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if (named := CASE.match(record.case)) and record.bench == "growth" and record.curve is not None:
            found.setdefault(named["what"], {})[named["rate"]] = record
    return found


def draw(records: Sequence[Record], path: Path = PICTURE) -> bool:
    """Draws one panel for each curve; False, and no picture, where no curve was measured."""
    panels = curves(records)
    if not panels:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (what, by_rate) in zip(axes, panels.items(), strict=True):
            _panel(axis, what, by_rate)
        axes[0].set_ylabel("CPU seconds per question")
        # No date and no version: the same records give the same file.
        figure.savefig(path, metadata={"Software": None})
    return True


def _panel(axis: Axes, what: str, by_rate: dict[str, Record]) -> None:
    """One curve a rate on logarithmic axes, with its exponent in the legend."""
    for rate, record in by_rate.items():
        sizes, seconds = zip(*(record.curve or ()), strict=True)
        label = rate if record.exponent is None else f"{rate}: size$^{{{record.exponent:.2f}}}$"
        axis.plot(sizes, seconds, marker=MARKS.get(rate, "x"), markersize=3, linewidth=1, label=label)
    axis.set(xscale="log", yscale="log", xlabel=what)
    sizes = sorted({size for record in by_rate.values() for size, _ in record.curve or ()})
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=6)
    axis.minorticks_off()
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.legend(frameon=False, fontsize=6, loc="upper left")
