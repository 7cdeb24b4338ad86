"""The trigger that was found, and which of its parts matter."""

from __future__ import annotations

import math

import numpy as np

from verifluxa.replay import Replayed
from verifluxa.report.page.elements import Markup, element, picture, svg, table, text
from verifluxa.report.parts import Effects, Part, effects
from verifluxa.report.pictures import Levels, is_picture, shades
from verifluxa.report.scenes import trigger_image
from verifluxa.report.story import Story
from verifluxa.report.words import effect_words, in_words, place_words
from verifluxa.result.result import Counterexample

SIDE = 54
LEFT, TOP = 34, 22
MOST_CELLS = 12
"""Rows or columns of a trigger whose levels are written into its pixels; a larger one is a picture."""
MOST_VALUES = 64
MOST_PARTS = 12
LOSS_STEPS = 9


def trigger(story: Story) -> list[Markup]:
    """The trigger of a property, what it does, and which parts of it matter; nothing where none was found."""
    shown = shown_trigger(story)
    return [element("h3", "The trigger that was found"), *shown, *_parts(story)] if shown else []


def shown_trigger(story: Story) -> list[Markup]:
    """The trigger itself, and what it does; nothing where none was found."""
    found, item, replayed = story.found, story.item, story.replayed
    if found is None:
        return []
    orders = "in every order of evaluation" if found.holds_in == "every order" else "in the replay of the run only"
    return [
        element("p.lead", f"At {place_words(found)}: {effect_words(item, found)}."),
        _drawn(found, replayed),
        element(
            "p",
            f"Margin {found.margin:.4g}: the weakest input that the verdict rests on violates by so much, {orders}.",
        ),
        _again(replayed),
    ]


def _again(replayed: Replayed | None) -> Markup:
    if replayed is None:
        return element("p.note", "It was not evaluated again for this page.")
    total = len(replayed.replay.inputs)
    words = f"Evaluated again for this page on the network as deployed: {replayed.violated} of {total} inputs violate"
    if replayed.reproduced:
        return element("p", words + ", as the result says.")
    return element("p", element("strong.falsified", f"{words}. This does NOT reproduce what the result says."))


def _drawn(found: Counterexample, replayed: Replayed | None) -> Markup:
    if found.words:
        return element("p.panel.lead", ", ".join(found.words))
    if replayed is not None and is_picture(replayed.problem, found.placement):
        return _pixels(replayed, found)
    levels = np.asarray(found.trigger, dtype=np.float64).reshape(-1)
    more = f" ... ({levels.size:,} values)" if levels.size > MOST_VALUES else ""
    return element("pre", " ".join(f"{level:.6g}" for level in levels[:MOST_VALUES]) + more)


def _pixels(replayed: Replayed, found: Counterexample) -> Markup:
    image = trigger_image(replayed.problem, replayed.question, replayed.trigger)
    place = dict(found.placement)
    domain = replayed.problem.domain_of(replayed.question.placement)
    levels = Levels(min(0.0, float(domain.lower.min())), float(domain.upper.max()))
    _, rows, columns = image.shape
    words = f"Trigger of {rows} x {columns} pixels, first pixel at row {place['row']}, column {place['column']}"
    if max(rows, columns) > MOST_CELLS:
        scale = max(1.0, 300 / max(rows, columns))
        href = element("image.pixels", href=picture(image, levels), width=str(columns), height=str(rows))
        return element(
            "figure",
            svg((columns, rows), words, href, shown=(columns * scale, rows * scale)),
            element("figcaption", f"{words}."),
        )
    colours = shades(image, levels)
    cells = []
    for row in range(rows):
        for column in range(columns):
            red, green, blue = (int(part) for part in colours[row, column])
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128
            label = ",".join(f"{level:.4g}" for level in image[:, row, column])
            cells += _square(row, column, f"#{red:02x}{green:02x}{blue:02x}", label, "w" if dark else "k")
    return element(
        "figure",
        svg(_size(rows, columns), f"{words}: levels {_listed(image)}", *cells, *_rulers(place, rows, columns)),
        element("figcaption", f"{words}. Numbers are levels."),
    )


def _listed(image: np.ndarray) -> str:
    rows = [" ".join(",".join(f"{level:.4g}" for level in pixel) for pixel in row) for row in image.transpose(1, 2, 0)]
    return "; ".join(rows)


def _square(row: int, column: int, fill: str, label: str, look: str) -> list[Markup]:
    x, y = LEFT + column * SIDE, TOP + row * SIDE
    square = element("rect", x=str(x), y=str(y), width=str(SIDE), height=str(SIDE), fill=fill, stroke="#7d8590")
    return [square, text(label, x + SIDE / 2, y + SIDE / 2 + 4, look=f"{look} figure")]


def _rulers(place: dict[str, int], rows: int, columns: int) -> list[Markup]:
    across = [text(str(place["column"] + n), LEFT + (n + 0.5) * SIDE, TOP - 7) for n in range(columns)]
    down = [text(str(place["row"] + n), LEFT - 6, TOP + (n + 0.5) * SIDE + 4, "end") for n in range(rows)]
    return [*across, *down]


def _size(rows: int, columns: int) -> tuple[float, float]:
    return LEFT + columns * SIDE + 2, TOP + rows * SIDE + 2


def _parts(story: Story) -> list[Markup]:
    """Which parts matter, where the trigger has several and the network is there."""
    replayed = story.replayed
    if replayed is None or story.space is None or not replayed.violated:
        return []
    found = effects(replayed, story.space)
    if found is None:
        return []
    least, total = found.inputs
    on = "all inputs that count" if least == total else f"the first {least:,} of {total:,} inputs"
    words = (
        f"Each part alone is left as it is in the input, and the network is evaluated again on {on}: exact figures, no "
        f"estimate. With the whole trigger {in_words(found.rate)} violate, margin {found.margin:.4g}."
    )
    place = dict(story.found.placement) if story.found is not None else {}
    drawing = [_effect_map(found, place)] if found.parts[0].place is not None else []
    name = "pixels" if found.parts[0].size == (1, 1) else "blocks of pixels"
    return [
        element("h3", f"Which {name if drawing else 'parts'} of the trigger matter"),
        element("p", words),
        element("div.tiles", *drawing, _effect_table(found)),
    ]


def _effect_map(found: Effects, place: dict[str, int]) -> Markup:
    """The margin that is lost without each part, in the colours of all maps."""
    rows = 1 + max(part.place[0] for part in found.parts if part.place is not None)
    columns = 1 + max(part.place[1] for part in found.parts if part.place is not None)
    cells: list[Markup] = []
    for part in found.parts:
        if part.place is not None:
            x, y = LEFT + part.place[1] * SIDE, TOP + part.place[0] * SIDE
            step = _loss_step(found.loss(part))
            square = element("rect", element("title", _part_words(part)), class_=f"h{step}", x=str(x), y=str(y),
                             width=str(SIDE), height=str(SIDE), stroke="#7d8590")  # fmt: skip
            cells += [
                square,
                text(_change(found, part), x + SIDE / 2, y + SIDE / 2 + 4, look=f"t{step}"),
            ]
    rulers = _rulers(place, rows, columns) if found.parts[0].size == (1, 1) and "row" in place else []
    label = "Change of the margin without each part. Most: " + _part_words(found.ranked[0])
    return element(
        "figure",
        svg(_size(rows, columns), label, *cells, *rulers),
        element(
            "figcaption",
            # Which end of the scale is the darker one depends on the theme.
            "Change of the margin when this pixel is left as it is in the input; the stronger the colour, the more.",
        ),
    )


def _change(found: Effects, part: Part) -> str:
    change = part.margin - found.margin
    decimals = max(0, 2 - math.floor(math.log10(max(abs(found.margin), 1e-9))))
    return f"{change:+.{decimals}f}" if change else "0"


def _loss_step(loss: float) -> int:
    return min(LOSS_STEPS, max(0, round(loss * LOSS_STEPS)))


def _part_words(part: Part) -> str:
    return f"without {part.words}: {in_words(part.rate)} violate, margin {part.margin:.4g}"


def _effect_table(found: Effects) -> Markup:
    ranked = found.ranked
    rows = [
        [part.words, in_words(part.rate), f"{part.margin:.4g}", _change(found, part)] for part in ranked[:MOST_PARTS]
    ]
    more = "" if len(ranked) <= MOST_PARTS else f", the {MOST_PARTS} that matter most of {len(ranked)}"
    return table(
        f"Without a part{more}", ["left as in the input", "inputs that violate", "margin", "change of the margin"], rows
    )
