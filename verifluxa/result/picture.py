"""A trigger as a picture, for notebooks; `verifluxa.report.pictures` draws those of reports."""

from __future__ import annotations

import numpy as np
from PIL import Image

from verifluxa.result.result import Grid


def trigger_image(grid: Grid, levels: tuple[float, float] | None, scale: int) -> Image.Image | None:
    """A trigger as a picture, grey or in colour; None where it is no rectangle of pixels.

    Args:
        grid: its levels.
        levels: that are drawn black and full; None for the least and the largest that the trigger has.
        scale: pixels of the picture for each pixel of the trigger.
    """
    values = np.asarray(grid, dtype=np.float64)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3):
        return None
    low, high = levels or (float(values.min()), float(values.max()))
    shades = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255
    large = np.rint(shades).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(large)
