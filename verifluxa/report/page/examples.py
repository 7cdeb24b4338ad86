"""Inputs before and after the trigger is put on, with what the network says and by what margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verifluxa.question import Floats
from verifluxa.replay import Replayed
from verifluxa.report.page.elements import Content, Markup, element, picture, svg, table
from verifluxa.report.pictures import Levels
from verifluxa.report.scenes import scene
from verifluxa.report.story import Story
from verifluxa.spec.spec import ImageSpace, InputSpace, SeriesSpace, TableSpace, TokenSpace

MOST_SHOWN = 6
TILE = 112
MOST_STEPS = 400


@dataclass(frozen=True, eq=False)
class Example:
    """An input before and after.

    Attributes:
        index: position in the data file.
        before, after: values in the user's units, shape of one input.
        said: what the network says before and after, in words.
        margin: by how much it violates.
        changed: flat positions that the trigger writes.
    """

    index: int
    before: Floats
    after: Floats
    said: tuple[str, str]
    margin: float
    changed: frozenset[int]

    @property
    def words(self) -> str:
        """`input 17: class 3, then class 7 (margin 20.1)`."""
        return f"input {self.index}: {self.said[0]}, with the trigger {self.said[1]} (margin {self.margin:.4g})"


def examples(story: Story, most: int = MOST_SHOWN) -> list[Markup]:
    """A few inputs that the trigger misleads, in the form that their space has."""
    replayed = story.replayed
    if replayed is None or story.space is None or not replayed.violated:
        return []
    chosen = _chosen(replayed)[:most]
    drawn = _drawn(chosen, story.space)
    return [element("h3", "Inputs before and after"), *drawn]


def _chosen(replayed: Replayed) -> list[Example]:
    seen = scene(replayed.problem, replayed.question, replayed.trigger, replayed.replay, replayed.classes, "")
    problem = replayed.problem
    margins = dict(zip(replayed.replay.inputs.tolist(), replayed.replay.margins.tolist(), strict=True))
    written = {
        index: frozenset(stamp.positions[np.abs(stamp.gain).sum(1) > 0].tolist())
        for stamp, own in problem.placements[replayed.question.placement].groups(np.array(seen.shown, dtype=np.int64))
        for index in np.array(seen.shown)[own].tolist()
    }
    return [
        Example(problem.indices[at], seen.before[n], seen.after[n], seen.classes[n], margins[at], written[at])
        for n, at in enumerate(seen.shown)
    ]


def _drawn(chosen: Sequence[Example], space: InputSpace) -> list[Markup]:
    match space:
        case ImageSpace():
            return [_images(chosen, space)]
        case TokenSpace():
            return [_texts(chosen, space)]
        case TableSpace():
            return [_rows(chosen, space)]
        case SeriesSpace():
            return [_series(chosen, space)]


def _images(chosen: Sequence[Example], space: ImageSpace) -> Markup:
    return element("div.tiles", *(_image_pair(example, space) for example in chosen))


def _image_pair(example: Example, space: ImageSpace) -> Markup:
    shape = (space.channels, space.height, space.width)
    levels = Levels(
        min(float(space.low), float(example.after.min())), max(float(space.high), float(example.after.max()))
    )
    outline = _outline(example, space)
    tiles = [
        _tile(example.before.reshape(shape), levels, f"input {example.index} as it is: {example.said[0]}"),
        element("span", "→", aria_hidden="true"),
        _tile(example.after.reshape(shape), levels, f"with the trigger: {example.said[1]}", outline),
    ]
    return element(
        "figure.tile",
        element("div.before-after", *tiles),
        element("figcaption", *_answer(example)),
    )


def _tile(image: Floats, levels: Levels, label: str, outline: Content = "") -> Markup:
    _, height, width = image.shape
    scale = TILE / max(height, width)
    drawn = element("image.pixels", href=picture(image, levels), width=str(width), height=str(height))
    return svg((width, height), label, drawn, outline, shown=(width * scale, height * scale))


def _outline(example: Example, space: ImageSpace) -> Markup:
    """A frame around what the trigger writes, unless that is the whole picture."""
    positions = np.array(sorted(example.changed), dtype=np.int64) % (space.channels * space.height * space.width)
    _, rows, columns = np.unravel_index(positions, (space.channels, space.height, space.width))
    if not len(positions) or len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == space.height * space.width:
        return Markup()
    return element(
        "rect.outline",
        x=str(columns.min()),
        y=str(rows.min()),
        width=str(columns.max() - columns.min() + 1),
        height=str(rows.max() - rows.min() + 1),
    )


def _texts(chosen: Sequence[Example], space: TokenSpace) -> Markup:
    return element("div.texts", *(_text_pair(example, space) for example in chosen))


def _text_pair(example: Example, space: TokenSpace) -> Markup:
    return element(
        "div.panel",
        element("p.note", *_answer(example)),
        element("p", _sentence(example.before, space, frozenset())),
        element("p", _sentence(example.after, space, example.changed)),
    )


def _answer(example: Example) -> list[Content]:
    """`input 17: class 3 → class 7, margin 20.1`."""
    said = element("strong.falsified", example.said[1])
    return [f"input {example.index}: {example.said[0]} → ", said, f", margin {example.margin:.4g}"]


def _sentence(tokens: Floats, space: TokenSpace, marked: frozenset[int]) -> list[Content]:
    parts: list[Content] = []
    for at, token in enumerate(tokens.reshape(-1).astype(int).tolist()):
        if token == space.pad and at not in marked:
            continue
        word = space.words[token] if 0 <= token < len(space.words) else str(token)
        parts += [element("mark", word) if at in marked else word, " "]
    return parts


def _rows(chosen: Sequence[Example], space: TableSpace) -> Markup:
    columns = _changed_columns(chosen, space)
    rows = []
    for example in chosen:
        cells: list[Content] = [str(example.index)]
        for name in columns:
            old, new = (_cell(row, space, name) for row in (example.before, example.after))
            cells.append([old, " → ", element("mark", new)] if old != new else old)
        said = [example.said[0], " → ", element("strong.falsified", example.said[1])]
        rows.append([*cells, said, f"{example.margin:.4g}"])
    return table("What the trigger does to some rows", ["input", *columns, "class", "margin"], rows)


def _changed_columns(chosen: Sequence[Example], space: TableSpace) -> list[str]:
    written = set().union(*(example.changed for example in chosen))
    found, start = [], 0
    for feature in space.features:
        if written & set(range(start, start + feature.width)):
            found.append(feature.name)
        start += feature.width
    return found


def _cell(row: Floats, space: TableSpace, name: str) -> str:
    feature = next(item for item in space.features if item.name == name)
    values = row.reshape(-1)[space.start(name) : space.start(name) + feature.width]
    if feature.items:
        return feature.items[int(values.argmax())]
    if feature.boolean:
        return "yes" if values[0] else "no"
    return f"{values[0]:g}" + (f" {feature.unit}" if feature.unit else "")


def _series(chosen: Sequence[Example], space: SeriesSpace) -> Markup:
    return element("div.tiles", *(_line_pair(example, space) for example in chosen))


def _line_pair(example: Example, space: SeriesSpace) -> Markup:
    before, after = (values.reshape(space.channels, space.steps) for values in (example.before, example.after))
    low = min(float(before.min()), float(after.min()))
    span = max(float(before.max()), float(after.max())) - low or 1.0
    lines = []
    for look, values in (("before-line", before), ("after-line", after)):
        lines += [element(f"polyline.{look}", points=_points(channel, low, span)) for channel in values]
    drawing = svg((300, 104), example.words, *lines)
    return element("figure.tile", drawing, element("figcaption", f"{example.words}. Red: with the trigger."))


def _points(channel: Floats, low: float, span: float) -> str:
    """A line through the values; of long series through some of them."""
    at = np.unique(np.linspace(0, len(channel) - 1, min(len(channel), MOST_STEPS)).astype(int))
    width = 296 / max(1, len(channel) - 1)
    return " ".join(f"{2 + step * width:.5g},{102 - 100 * (channel[step] - low) / span:.5g}" for step in at)
