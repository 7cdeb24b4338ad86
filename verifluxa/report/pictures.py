"""Pictures of a counterexample (PNG): the trigger alone, and inputs before and after it is stamped on."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from verifluxa.data.pictures import as_seen
from verifluxa.question import Problem, Question

Pixels = NDArray[np.float64]
Colour = tuple[int, int, int]
Look = tuple[int, Colour, str]
"""Size, colour and anchor (as Pillow calls it) of a text."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (27, 31, 36)
FAINT: Colour = (101, 109, 118)
FRAME: Colour = (208, 215, 222)
ALARM: Colour = (207, 34, 46)

MARGIN = 48
CELL_SIDE = 132
TILE_SIDE = 224
MOST_CELLS = 32
GAP = 28


@dataclass(frozen=True)
class Levels:
    """The range of pixel levels in the user's units: `low` is shown black, `high` white."""

    low: float
    high: float


@dataclass(frozen=True)
class Corner:
    """Top-left pixel of the trigger in the picture, 0-based."""

    row: int
    column: int


@dataclass(frozen=True)
class Caption:
    """A headline and the smaller line below it."""

    title: str
    subtitle: str


@dataclass(frozen=True, eq=False)
class Example:
    """One input before and after; images in the user's units, shape (channels, height, width).

    Attributes:
        index: position in the data file.
        before, after: the images.
        class_before, class_after: what the network says, in words.
    """

    index: int
    before: Pixels
    after: Pixels
    class_before: str
    class_after: str


def trigger_picture(trigger: Pixels, corner: Corner, levels: Levels, caption: Caption) -> Image.Image:
    """Draws a trigger, enlarged, with its levels and the rows and columns where it sits.

    Args:
        trigger: levels, shape (channels, height, width).
        corner: where its first pixel is.
        levels: the range of levels.
        caption: what stands above it.
    """
    _, height, width = trigger.shape
    side = max(12, min(CELL_SIDE, CELL_SIDE * 6 // max(height, width)))
    top, left = below_caption(), MARGIN + 64
    image = canvas(caption, left + width * side + MARGIN, top + 44 + height * side + MARGIN)
    draw = ImageDraw.Draw(image)
    top += 44
    colours = shades(trigger, levels)
    for row in range(height):
        for column in range(width):
            box = (left + column * side, top + row * side, left + (column + 1) * side - 1, top + (row + 1) * side - 1)
            _cell(draw, box, colours[row, column], trigger[:, row, column], side)
    draw.rectangle((left - 1, top - 1, left + width * side, top + height * side), outline=FRAME, width=2)
    _rulers(draw, left, top, side, corner, (height, width))
    return image


def before_after_picture(
    examples: Sequence[Example], patch: tuple[int, int], corner: Corner, levels: Levels, caption: Caption
) -> Image.Image:
    """Draws inputs above, the same inputs with the trigger below, each with the class that the network gives.

    Args:
        examples: at most eight are legible.
        patch: height and width of the trigger, for the outline around it.
        corner: where its first pixel is.
        levels: the range of levels.
        caption: what stands above them.
    """
    _, height, width = examples[0].before.shape
    scale = max(1, TILE_SIDE // max(height, width))
    size = (width * scale, height * scale)
    left, top, line = MARGIN + 96, below_caption(), size[1] + 64
    image = canvas(caption, left + len(examples) * (size[0] + GAP) - GAP + MARGIN, top + 44 + 2 * line + 24)
    draw = ImageDraw.Draw(image)
    for number, example in enumerate(examples):
        x = left + number * (size[0] + GAP)
        text(draw, (x + size[0] / 2, top + 18), f"input {example.index}", (22, FAINT, "mm"))
        tile(image, (x, top + 44), example.before, levels, scale)
        text(draw, (x + size[0] / 2, top + 44 + size[1] + 26), example.class_before, (30, INK, "mm"))
        tile(image, (x, top + 44 + line), example.after, levels, scale)
        changed = example.class_after != example.class_before
        text(
            draw,
            (x + size[0] / 2, top + 44 + line + size[1] + 26),
            example.class_after,
            (30, ALARM if changed else INK, "mm"),
        )
        _outline(draw, (x, top + 44 + line), corner, patch, scale)
    for word, y in (("before", top + 44), ("after", top + 44 + line)):
        text(draw, (MARGIN, y + size[1] / 2), word, (24, FAINT, "lm"))
    return image


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def canvas(caption: Caption, width: int, height: int) -> Image.Image:
    """A sheet of at least this size with its caption on it."""
    needed = MARGIN * 2 + int(max(_font(36).getlength(caption.title), _font(24).getlength(caption.subtitle)))
    image = Image.new("RGB", (max(width, needed), height), PAPER)
    draw = ImageDraw.Draw(image)
    text(draw, (MARGIN, MARGIN), caption.title, (36, INK, "la"))
    text(draw, (MARGIN, MARGIN + 52), caption.subtitle, (24, FAINT, "la"))
    return image


def below_caption() -> int:
    """Where the caption ends."""
    return MARGIN + 52 + 24 + 32


def shades(image: Pixels, levels: Levels) -> NDArray[np.uint8]:
    """Shape (height, width, 3); see `data.pictures.as_seen`."""
    return as_seen(image, levels.low, levels.high)


def _cell(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], shade: NDArray[np.uint8], values: Pixels, side: int
) -> None:
    red, green, blue = (int(part) for part in shade)
    draw.rectangle(box, fill=(red, green, blue), outline=FRAME)
    if side < 40:
        return
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 140
    words = "\n".join(f"{value:.4g}" for value in values)
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    size = min(32, side * 3 // (4 * max(2, len(values))))
    draw.multiline_text(centre, words, PAPER if dark else INK, _font(size), anchor="mm", align="center", spacing=2)


def _rulers(draw: ImageDraw.ImageDraw, left: int, top: int, side: int, corner: Corner, size: tuple[int, int]) -> None:
    """Numbers of the rows and columns; every one where they fit, else the first and the last."""
    for row in _labelled(size[0], side):
        text(draw, (left - 16, top + (row + 0.5) * side), str(corner.row + row), (24, FAINT, "rm"))
    for column in _labelled(size[1], side):
        text(draw, (left + (column + 0.5) * side, top - 14), str(corner.column + column), (24, FAINT, "ms"))
    text(draw, (MARGIN - 8, top - 14), "row \\ col", (18, FAINT, "ls"))


def _labelled(count: int, side: int) -> list[int]:
    return list(range(count)) if side >= 40 else sorted({0, count - 1})


def tile(image: Image.Image, place: tuple[int, int], pixels: Pixels, levels: Levels, scale: int) -> None:
    """Puts pixels (channels, height, width) at a place, each enlarged."""
    small = Image.fromarray(shades(pixels, levels))
    large = small.resize((small.width * scale, small.height * scale), Image.Resampling.NEAREST)
    image.paste(large, place)
    x, y = place
    ImageDraw.Draw(image).rectangle((x - 1, y - 1, x + large.width, y + large.height), outline=FRAME)


def _outline(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], corner: Corner, patch: tuple[int, int], scale: int
) -> None:
    x, y = place[0] + corner.column * scale, place[1] + corner.row * scale
    box = (x - 3, y - 3, x + patch[1] * scale + 2, y + patch[0] * scale + 2)
    draw.rectangle(box, outline=ALARM, width=3)


def text(draw: ImageDraw.ImageDraw, place: tuple[float, float], words: str, look: Look) -> None:
    """Writes at a place."""
    size, colour, anchor = look
    draw.text(place, words, colour, _font(size), anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


# A picture of a decision (PNG): the input without and with its trigger, heuristics, and beside them what is proved.

COLD, HOT = (33, 102, 172), (178, 24, 43)
"""Values below and above 0, on white."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One tile.

    Attributes:
        title, note: the lines below it.
        pixels: levels (channels, height, width), or of a heat map one value for each pixel (height, width).
        levels: the range of levels; None: a heat map.
    """

    title: str
    note: str
    pixels: Pixels
    levels: Levels | None = None


def heatmap_picture(panels: Sequence[Panel], caption: Caption) -> Image.Image:
    """Draws panels beside each other; a heat map is scaled by its own largest value.

    Args:
        panels: of images of one size.
        caption: what stands above them.
    """
    height, width = panels[0].pixels.shape[-2:]
    scale = max(1, TILE_SIDE // max(height, width))
    step, top = max(width * scale, TILE_SIDE) + GAP, below_caption()
    image = canvas(caption, 2 * MARGIN + len(panels) * step - GAP, top + height * scale + 96)
    draw = ImageDraw.Draw(image)
    for number, panel in enumerate(panels):
        left = MARGIN + number * step
        pixels = coloured(panel.pixels) if panel.levels is None else panel.pixels
        tile(image, (left, top), pixels, panel.levels or Levels(0.0, 255.0), scale)
        text(draw, (left, top + height * scale + 16), panel.title, (24, INK, "la"))
        text(draw, (left, top + height * scale + 48), panel.note, (18, FAINT, "la"))
    return image


def coloured(values: Pixels) -> Pixels:
    """A heat map (height, width) as colours (3, height, width) in 0..255: white at 0, red above it, blue below.

    >>> coloured(np.array([[0.0, 2.0, -1.0]]))[:, 0].astype(int).tolist()
    [[255, 178, 144], [255, 24, 178], [255, 43, 213]]
    """
    share = values / max(float(np.abs(values).max()), 1e-12)
    ends = np.where(share[None] < 0, np.reshape(COLD, (3, 1, 1)), np.reshape(HOT, (3, 1, 1)))
    return 255.0 + np.abs(share) * (ends - 255.0)


MOST_EXAMPLES = 6

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """A counterexample with everything that is drawn of it.

    Attributes:
        problem, question: what it refutes.
        trigger: levels, shape (channels, height, width).
        shown: inputs that it changes, indices into the problem's.
        before: these inputs without the trigger, in the user's units, shape (n, channels, height, width).
        after: the same inputs with the trigger, in the user's units, shape (n, channels, height, width).
        classes: for each of them, what the network says without and with the trigger, in words.
        effect: what the trigger does, one sentence.
    """

    problem: Problem
    question: Question
    trigger: Values
    shown: tuple[int, ...]
    before: Values
    after: Values
    classes: tuple[tuple[str, str], ...]
    effect: str


def is_picture(problem: Problem, label: Iterable[tuple[str, int]]) -> bool:
    """Whether a placement is a rectangle in a picture."""
    return len(problem.graph.input_shape) == 3 and {"row", "column"} <= {name for name, _ in label}


def pictures(scene: Scene) -> dict[str, bytes]:
    """The PNG files of a counterexample by name: `trigger.png`, `inputs.png`. Empty where nothing is an image."""
    place = dict(scene.problem.placements[scene.question.placement].label)
    if not is_picture(scene.problem, place.items()):
        return {}
    corner = Corner(place["row"], place["column"])
    before = scene.before
    domain = scene.problem.domain_of(scene.question.placement)
    levels = Levels(min(0.0, float(domain.lower.min())), float(domain.upper.max()))
    seen = Levels(min(0.0, float(before.min()), float(scene.after.min())), _most(before, scene.after, domain.upper))
    _, height, width = scene.trigger.shape
    title = f"Trigger: {_span('row', corner.row, height)}, {_span('column', corner.column, width)}"
    caption = Caption(title, scene.effect)
    alone = trigger_picture(scene.trigger, corner, levels, caption)
    beside = before_after_picture(_examples(scene), (height, width), corner, seen, caption)
    return {"trigger.png": png(alone), "inputs.png": png(beside)}


def _most(*levels: Values) -> float:
    return max(float(values.max()) for values in levels)


def choose(classes: Sequence[int], most: int = MOST_EXAMPLES) -> list[int]:
    """Positions of the inputs to show: one of each class first, in the order of the classes, then further ones.

    >>> choose([3, 3, 1, 2, 1], most=4)
    [2, 3, 0, 1]
    """
    first: dict[int, int] = {}
    for position, number in enumerate(classes):
        first.setdefault(number, position)
    chosen = [first[number] for number in sorted(first)]
    chosen += [position for position in range(len(classes)) if position not in set(chosen)]
    return chosen[:most]


def _examples(scene: Scene) -> list[Example]:
    return [
        Example(scene.problem.indices[index], scene.before[number], scene.after[number], before, after)
        for number, (index, (before, after)) in enumerate(zip(scene.shown, scene.classes, strict=True))
    ]


def _span(name: str, first: int, count: int) -> str:
    return f"{name} {first}" if count == 1 else f"{name}s {first} to {first + count - 1}"
