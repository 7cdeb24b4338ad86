"""Places along a line: positions in a text, steps of a series."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from verifluxa.report.page.drawing import svg, text
from verifluxa.report.page.elements import Markup, element
from verifluxa.report.sensitivity import Cell, worst_of
from verifluxa.report.words import in_words
from verifluxa.result.result import Place

WIDTH, HEIGHT = 640, 130
LEFT, TOP, BOTTOM = 44, 12, 26
MOST_BARS = 160


def along(places: Sequence[Place]) -> str | None:
    """The name of the only number of each placement (`position`), where there are several; else None."""
    names = {tuple(name for name, _ in place.placement) for place in places}
    only = names.pop() if len(names) == 1 else ()
    values = {place.placement for place in places}
    return only[0] if len(only) == 1 and only[0] not in ("set", "appended") and len(values) > 1 else None


def strip(places: Sequence[Place], name: str, limit: Fraction | None) -> Markup:
    """A bar for each place: what was found, and up to where nothing is excluded; the limit as a line."""
    cells = _cells(places)
    step = (WIDTH - LEFT - 4) / len(cells)
    bars = [_bar(cell, LEFT + number * step, step * 0.82, limit) for number, (_, cell) in enumerate(cells)]
    every = max(1, round(34 / step))
    ticks = [
        text(str(at), LEFT + (number + 0.41) * step, HEIGHT - 8)
        for number, (at, _) in enumerate(cells)
        if number % every == 0
    ]
    scale = [text(f"{share} %", LEFT - 6, _height(share / 100) + 4, "end") for share in (0, 50, 100)]
    lines = [
        element("line.axis", x1=str(LEFT), x2=str(WIDTH), y1=f"{_height(share):g}", y2=f"{_height(share):g}")
        for share in (0, 0.5, 1)
    ]
    if limit is not None:
        at = f"{_height(float(limit)):g}"
        lines.append(element("line.rule", x1=str(LEFT), x2=str(WIDTH), y1=at, y2=at))
    worst = max((cell for _, cell in cells), key=lambda cell: cell.found.rate)
    label = f"Found and proved rate by {name}. Worst: {_title(worst)}"
    words = f"By {name}: solid, the strongest trigger that was found; grey, what no proof excludes."
    words += "" if limit is None else f" The line: {float(100 * limit):g} %."
    drawing = svg((WIDTH, HEIGHT), label, *bars, *lines, *ticks, *scale)
    return element("figure", drawing, element("figcaption", words))


def _cells(places: Sequence[Place]) -> list[tuple[int, Cell]]:
    """The worst of each place, or of neighbours together where there are many; in order."""
    values = sorted({place.placement[0][1] for place in places})
    size = -(-len(values) // MOST_BARS)
    block = {value: number // size for number, value in enumerate(values)}
    groups: list[list[Place]] = [[] for _ in range(-(-len(values) // size))]
    for place in places:
        groups[block[place.placement[0][1]]].append(place)
    return [(values[number * size], worst_of(group)) for number, group in enumerate(groups)]


def _bar(cell: Cell, x: float, width: float, limit: Fraction | None) -> Markup:
    look = "risk" if limit is not None and cell.found.rate > limit else "within"
    found, proved = float(cell.found.rate), float(cell.proved.rate)
    parts = [element("title", _title(cell))]
    for kind, share in (("open", proved), (look, found)):
        top = _height(share)
        parts.append(
            element(
                f"rect.{kind}", x=f"{x:.5g}", y=f"{top:.5g}", width=f"{width:.4g}", height=f"{_height(0) - top:.4g}"
            )
        )
    return element("g", *parts)


def _title(cell: Cell) -> str:
    return f"{cell.words}: found {in_words(cell.found)}, proved at most {in_words(cell.proved)}"


def _height(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)
