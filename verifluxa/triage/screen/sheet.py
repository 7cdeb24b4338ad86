"""The contact sheet: the most suspect images side by side, each with its number, label and strongest reason."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from verifluxa.data.pictures import as_seen
from verifluxa.triage.screen.run import Screened
from verifluxa.triage.screen.suspicion import Box, Suspect

COLUMNS, ROWS = 8, 6
TILE, LINE, GAP = 112, 20, 16
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
