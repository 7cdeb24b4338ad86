"""Maps of a picture's places: the worst found and proved rate at each, for all targets together and for each alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction

from verifluxa.replay import Replayed
from verifluxa.report.page.elements import Markup, element, legend, svg, table, text
from verifluxa.report.page.style import step_of
from verifluxa.report.sensitivity import Cell, PlaceMap, is_map, place_map, ranking, targets_of, worst_of
from verifluxa.report.story import Story
from verifluxa.report.words import OUTPUTS, class_name, in_words, percent
from verifluxa.result.result import Place, PropertyResult, Share

LEFT, TOP = 30, 20
WIDEST = 460
SMALL = 132
LARGEST_CELL = 32
MOST_TARGETS = 24
MOST_RANKED = 10
RATES = {
    "found": "Found: the strongest trigger that the search kept at each place; 0 says only that it kept none",
    "proved": "Proved: no trigger at this place does more; a proof goes no further than it must",
}


def maps(item: PropertyResult, most: int) -> list[Markup]:
    """The maps of a property whose places have rows and columns; nothing for others.

    Args:
        item: the property.
        most: cells of one map.
    """
    if not is_map(item.places):
        return []
    whole = place_map(item.places, most)
    return [
        *main_maps(item, whole),
        legend(),
        *_by_target(item, most, which_of(whole)),
        worst_places(item),
    ]


def main_maps(item: PropertyResult, whole: PlaceMap) -> list[Markup]:
    """The maps of found and of proved rates, side by side."""
    both = [figure(item, whole, which) for which in RATES]
    return [element("div.pair", *both)] if which_of(whole) == "proved" else both


def figure(item: PropertyResult, whole: PlaceMap, which: str) -> Markup:
    """The map of one of `RATES`; where all places have the same proved rate, the sentence that says so."""
    if which == "proved" and which_of(whole) != "proved":
        return element("p.note", _same(whole.worst.proved))
    note = f" Each cell is the worst of {whole.block} x {whole.block} places." if whole.block > 1 else ""
    words = RATES[which]
    return element("figure", _map(item, whole, which, words), element("figcaption", f"{words}.{note}"))


def _same(proved: Share) -> str:
    if proved.count == proved.total:
        return "Nothing is proved about single places: questions were not asked, or are open."
    return (
        f"Proved: at each place no trigger does more than {percent(proved)}. A proof stops once the allowed rate is "
        "excluded, so the true worst rate may be anywhere between the found and the proved one."
    )


def _map(item: PropertyResult, whole: PlaceMap, which: str, words: str) -> Markup:
    columns, rows = len(whole.columns), len(whole.rows)
    side = max(5, min(46, WIDEST // columns, 2 * WIDEST // rows))
    cells = [
        element(
            "rect",
            element("title", _title(item, whole.cells[at])),
            class_=f"h{step_of(_rate(whole.cells[at], which).rate)}",
            x=str(at[1]),
            y=str(at[0]),
            width="1",
            height="1",
        )
        for at in sorted(whole.cells)
    ]
    frame = element("rect.frame", width=str(columns), height=str(rows))
    grid = element("g", *cells, frame, transform=f"translate({LEFT} {TOP}) scale({side})", shape_rendering="crispEdges")
    numbers = _numbers(whole, which, side) if side >= 36 else []
    label = f"{words}. Worst: {_title(item, whole.worst)}"
    size = (LEFT + columns * side + 4, TOP + rows * side + 4)
    return svg(size, label, grid, *_ticks(whole, side), *numbers)


def _numbers(whole: PlaceMap, which: str, side: int) -> list[Markup]:
    found = []
    for (row, column), cell in sorted(whole.cells.items()):
        rate = _rate(cell, which).rate
        x, y = LEFT + (column + 0.5) * side, TOP + (row + 0.5) * side + 4
        found.append(text(f"{float(100 * rate):.0f}", x, y, look=f"t{step_of(rate)}"))
    return found


def _ticks(whole: PlaceMap, side: int) -> list[Markup]:
    """Numbers of the rows and columns, as many as are legible."""
    every = max(1, -(-26 // side))
    found = []
    for number, column in enumerate(whole.columns):
        if number % every == 0:
            found.append(text(str(column), LEFT + (number + 0.5) * side, TOP - 6))
    for number, row in enumerate(whole.rows):
        if number % every == 0:
            found.append(text(str(row), LEFT - 5, TOP + (number + 0.5) * side + 4, "end"))
    return found


def _rate(cell: Cell, which: str) -> Share:
    return cell.found if which == "found" else cell.proved


def _title(item: PropertyResult, cell: Cell) -> str:
    to = "" if cell.target is None else f" to class {class_name(item.classes, cell.target)}"
    return f"{cell.words}: found {in_words(cell.found)}{to}, proved at most {in_words(cell.proved)}"


def which_of(whole: PlaceMap) -> str:
    """Which rates tell more: those that are proved, unless they are the same everywhere."""
    return "proved" if len({cell.proved.rate for cell in whole.cells.values()}) > 1 else "found"


def _by_target(item: PropertyResult, most: int, which: str) -> list[Markup]:
    """A small map for each target, the worst first where there are many."""
    targets = targets_of(item.places)
    if len(targets) < 2:
        return []
    groups: dict[int | None, list[Place]] = defaultdict(list)
    for place in item.places:
        groups[place.target].append(place)
    drawn = {target: place_map(groups[target], most) for target in targets}
    shown = sorted(sorted(targets, key=lambda target: -drawn[target].worst.found.rate)[:MOST_TARGETS])
    more = "" if len(shown) == len(targets) else f" The {MOST_TARGETS} worst of {len(targets)} targets."
    tiles = [
        element("figure", _small(item, target, drawn[target], which), _small_words(item, target, drawn[target]))
        for target in shown
    ]
    return [
        element("h4", "For each target class"),
        element("p.note", f"{which.capitalize()} rates, on the same places and the same scale." + more),
        element("div.tiles", *tiles),
    ]


def _small_words(item: PropertyResult, target: int, drawn: PlaceMap) -> Markup:
    worst = drawn.worst
    proved = max((cell.proved for cell in drawn.cells.values()), key=lambda share: share.rate)
    lines = [element("strong", f"to {class_name(item.classes, target)}"), f"found {percent(worst.found)}"]
    lines += [worst.words] if worst.found.count else []
    lines += [f"proved ≤ {percent(proved)}"] if proved.count < proved.total else []
    return element("figcaption", *(part for line in lines for part in (line, element("br"))))


def _small(item: PropertyResult, target: int, drawn: PlaceMap, which: str) -> Markup:
    columns, rows = len(drawn.columns), len(drawn.rows)
    steps: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for at in sorted(drawn.cells):
        steps[step_of(_rate(drawn.cells[at], which).rate)].append(at)
    paths = [element("path", class_=f"h{step}", d=_runs(cells)) for step, cells in sorted(steps.items())]
    frame = element("rect.frame", width=str(columns), height=str(rows))
    label = f"Target {class_name(item.classes, target)}: worst at {_title(item, drawn.worst)}"
    scale = min(LARGEST_CELL, SMALL / max(columns, rows))
    shown = (columns * scale, rows * scale)
    grid = element("g", *paths, frame, shape_rendering="crispEdges")
    return svg((columns, rows), label, grid, shown=shown)


def _runs(cells: Sequence[tuple[int, int]]) -> str:
    """The outline of cells, neighbours in a row as one rectangle."""
    parts: list[str] = []
    start = 0
    for number in range(1, len(cells) + 1):
        row, column = cells[start]
        if number == len(cells) or cells[number] != (row, column + number - start):
            width = number - start
            parts.append(f"M{column} {row}h{width}v1h-{width}z")
            start = number
    return "".join(parts)


def worst_places(item: PropertyResult, names: dict[str, str] | None = None) -> Markup:
    """The worst placements in numbers; `names` are other words for some."""
    cells = [
        cell for cell in ranking(item.places, MOST_RANKED) if cell.found.count or cell.proved.count < cell.proved.total
    ]
    if not cells:
        return element("p.note", "Nothing was found or proved at any single place.")
    rows = []
    for cell in cells:
        to = "" if cell.target is None else class_name(item.classes, cell.target)
        words = (names or {}).get(cell.words, cell.words)
        rows.append([words, to, in_words(cell.found), in_words(cell.proved)])
    return table("The worst places", ["place", "to class", "found", "proved at most"], rows)


# From which class to which: what the network says of each class's inputs under the trigger that was found.

MOST_CLASSES = 20
OTHERS = "others"
BREAKS, KEEPS = "violates", "does not"


def matrix(story: Story) -> list[Markup]:
    """The matrix of a trigger; nothing where it was not evaluated again, or the property is not about classes."""
    replayed = story.replayed
    if replayed is None or replayed.problem.violations[replayed.question.violation].label == OUTPUTS:
        return []
    rows, columns, counts = _counted(replayed)
    body = []
    for row in rows:
        total = sum(counts[row, column] for column in columns)
        cells = [_cell(counts[row, column], total) for column in columns]
        body.append([f"{row} ({total})", *cells])
    words = "Class of the input (how many), and what the network says with the trigger on it"
    return [
        element("h3", "From which class to which"),
        element("div.cells", table(words, ["", *columns], body)),
    ]


def _cell(count: int, total: int) -> Markup:
    return element("td", str(count) if count else "", class_=f"h{step_of(Fraction(count, max(total, 1)))}")


def _counted(replayed: Replayed) -> tuple[list[str], list[str], Counter[tuple[str, str]]]:
    """Rows and columns in order, and the number of inputs at each."""
    problem, played = replayed.problem, replayed.replay
    labels = [int(problem.labels[at]) for at in played.inputs]
    if played.after.shape[1] > 1:
        after = [int(number) for number in played.after.argmax(axis=1)]
        columns = _shown(after, replayed.classes, played.after.shape[1])
        said = [_named(number, columns, replayed.classes) for number in after]
    else:
        said = [BREAKS if margin > 0 else KEEPS for margin in played.margins]
        columns = [BREAKS, KEEPS]
    rows = _shown(labels, replayed.classes, 0)
    named = [_named(number, rows, replayed.classes) for number in labels]
    return rows, columns, Counter(zip(named, said, strict=True))


def _shown(numbers: Sequence[int], classes: Sequence[str], least: int) -> list[str]:
    """All classes where they are few, else those that occur; of very many the commonest, and one for all others."""
    tally = Counter(numbers)
    if len(tally) <= least <= MOST_CLASSES:
        return [class_name(classes, number) for number in range(least)]
    kept = sorted(number for number, _ in tally.most_common(MOST_CLASSES))
    return [class_name(classes, number) for number in kept] + ([OTHERS] if len(tally) > len(kept) else [])


def _named(number: int, shown: Sequence[str], classes: Sequence[str]) -> str:
    name = class_name(classes, number)
    return name if name in shown else OTHERS


WIDTH, HEIGHT = 640, 130
# Places along a line: positions in a text, steps of a series.

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
    label = f"Found and proved rate by {name}. Worst: {_strip_title(worst)}"
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
    parts = [element("title", _strip_title(cell))]
    for kind, share in (("open", proved), (look, found)):
        top = _height(share)
        parts.append(
            element(
                f"rect.{kind}", x=f"{x:.5g}", y=f"{top:.5g}", width=f"{width:.4g}", height=f"{_height(0) - top:.4g}"
            )
        )
    return element("g", *parts)


def _strip_title(cell: Cell) -> str:
    return f"{cell.words}: found {in_words(cell.found)}, proved at most {in_words(cell.proved)}"


def _height(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)
