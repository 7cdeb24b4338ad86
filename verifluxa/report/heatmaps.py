"""A picture of a decision (PNG): the input without and with its trigger, heuristics, and beside them what is proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from verifluxa.report.pictures import (
    FAINT,
    GAP,
    INK,
    MARGIN,
    TILE_SIDE,
    Caption,
    Levels,
    Pixels,
    below_caption,
    canvas,
    text,
    tile,
)

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
