"""A trigger drawn with block characters, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHADES = "·░▒▓█"
PLAIN = ".-+*#"
"""For terminals without block characters."""
MOST_COLUMNS = 32
MOST_NUMBERS = 10


def blocks(
    trigger: NDArray[np.float64], corner: tuple[int, int], levels: tuple[float, float], ramp: str = SHADES
) -> list[str]:
    """Lines that show a trigger: shades with the numbers of rows and columns, and the levels beside them.

    Args:
        trigger: levels, shape (channels, height, width).
        corner: row and column of its first pixel.
        levels: the levels that are shown as dots and as full blocks.
        ramp: characters from the one to the other.
    """
    _, height, width = trigger.shape
    if width > MOST_COLUMNS or height > MOST_COLUMNS:
        return [f"({height} x {width} pixels; see the pictures)"]
    label = max(len(str(corner[0] + height - 1)), 2)
    cell = max(len(str(corner[1] + width - 1)), 2)
    numbers = _numbers(trigger) if width <= MOST_NUMBERS else [""] * height
    head = " ".join(str(corner[1] + column).rjust(cell) for column in range(width))
    lines = [" " * label + "  " + head]
    for row in range(height):
        shades = " ".join(_shade(float(level), levels, ramp) * cell for level in trigger[:, row].mean(axis=0))
        lines.append(f"{str(corner[0] + row).rjust(label)}  {shades}   {numbers[row]}".rstrip())
    return lines


def _shade(level: float, levels: tuple[float, float], ramp: str) -> str:
    if levels[1] <= levels[0]:
        return ramp[-1]
    share = (level - levels[0]) / (levels[1] - levels[0])
    return ramp[min(len(ramp) - 1, max(0, round(share * (len(ramp) - 1))))]


def _numbers(trigger: NDArray[np.float64]) -> list[str]:
    """The levels of each row; those of several channels joined by commas."""
    words = [[_pixel(trigger[:, row, column]) for column in range(trigger.shape[2])] for row in range(trigger.shape[1])]
    widest = max(len(word) for row in words for word in row)
    return [" ".join(word.rjust(widest) for word in row) for row in words]


def _pixel(levels: Sequence[float] | NDArray[np.float64]) -> str:
    return ",".join(f"{level:.4g}" for level in levels)
