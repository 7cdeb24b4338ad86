"""A screen from its data to the ranked list."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from verifluxa.data.pictures import as_seen
from verifluxa.triage.screen.activations import look_at_activations
from verifluxa.triage.screen.examples import Examples, Floats
from verifluxa.triage.screen.images import look_at_images
from verifluxa.triage.screen.items import look_at_table, look_at_texts
from verifluxa.triage.screen.suspicion import Box, Suspect, Suspicion, ranked

CLEAR = 0.5
"""Score from which an example counts as suspect; the rest of the list is an order of what to look at next."""


@dataclass(frozen=True, eq=False)
class Screened:
    """The examples, all suspicions, and the ranked list."""

    examples: Examples
    suspicions: tuple[Suspicion, ...]
    suspects: tuple[Suspect, ...]

    @property
    def clear(self) -> int:
        """How many of the list are suspect."""
        return sum(one.score >= CLEAR for one in self.suspects)


def screen(examples: Examples, activations: Floats | None = None, most: int = 1000) -> Screened:
    """Looks at training data in every way that their kind allows.

    Args:
        examples: that `read_examples` gave.
        activations: penultimate ones of a model that was trained on them, shape (N, d), or None.
        most: how long the ranked list may be.
    """
    looks = {"images": look_at_images, "texts": look_at_texts, "table": look_at_table}
    found = looks[examples.kind](examples)
    if activations is not None:
        found += look_at_activations(examples, activations)
    return Screened(examples, tuple(found), tuple(ranked(found, len(examples.labels), most)))


COLUMNS, ROWS = 8, 6
TILE, LINE, GAP = 112, 20, 16
# The contact sheet: the most suspect images side by side, each with its number, label and strongest reason.

PAPER, INK, FAINT, ALARM = (255, 255, 255), (27, 31, 36), (101, 109, 118), (207, 34, 46)


def contact_sheet(screened: Screened) -> bytes:
    """A PNG of the first images of the ranked list; a frame marks the block that recurs.

    Raises:
        ValueError: the examples are no images, or there is no suspect.
    """
    shown = screened.suspects[: COLUMNS * ROWS]
    if screened.examples.images is None or not shown:
        raise ValueError("nothing to show")
    rows = -(-len(shown) // COLUMNS)
    cell = (TILE + GAP, TILE + 3 * LINE + GAP)
    sheet = Image.new("RGB", (COLUMNS * cell[0] + GAP, rows * cell[1] + 2 * LINE + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    title = f"{len(shown)} most suspect of {len(screened.examples.labels):,} examples; {screened.clear} are suspect"
    draw.text((GAP, GAP // 2), title, INK, ImageFont.load_default(18))
    for number, suspect in enumerate(shown):
        at = (GAP + number % COLUMNS * cell[0], 2 * LINE + number // COLUMNS * cell[1])
        _one(sheet, at, suspect, screened)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _one(sheet: Image.Image, at: tuple[int, int], suspect: Suspect, screened: Screened) -> None:
    examples = screened.examples
    assert examples.images is not None
    picture = as_seen(examples.images[suspect.index], 0.0, examples.top)
    height, width = picture.shape[:2]
    scale = max(1, TILE // max(height, width))
    image = Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.NEAREST)
    image.thumbnail((TILE, TILE))
    sheet.paste(image, at)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((at[0] - 1, at[1] - 1, at[0] + image.width, at[1] + image.height), outline=FAINT)
    box = next((one.box for one in suspect.reasons if one.box is not None), None)
    if box is not None and suspect.reasons[0].box is not None:
        _frame(draw, at, box, image.width / width)
    small = ImageFont.load_default(13)
    words = (f"example {suspect.index}", f"label {examples.names[examples.labels[suspect.index]]}"[:16])
    colour = ALARM if suspect.score >= 0.5 else INK
    for line, text in enumerate((*words, f"{suspect.reasons[0].look} {suspect.score:.2f}")):
        draw.text((at[0], at[1] + TILE + 2 + line * (LINE - 3)), text, colour if line == 2 else INK, small)


def _frame(draw: ImageDraw.ImageDraw, at: tuple[int, int], box: Box, scale: float) -> None:
    x, y = at[0] + box.column * scale, at[1] + box.row * scale
    draw.rectangle((x - 2, y - 2, x + box.side * scale + 1, y + box.side * scale + 1), outline=ALARM, width=2)
