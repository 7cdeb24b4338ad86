"""Trigger families on images beyond the plain patch, as `check` resolves them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

Place = tuple[int, int]


@dataclass(frozen=True)
class Free:
    """A value of its own for each stamped pixel and channel in low..high; `step` 1: whole levels, None: any."""

    low: Fraction
    high: Fraction
    step: int | None


@dataclass(frozen=True)
class Picture:
    """Known levels, channel by channel, pixel by pixel in the order of the stamp's pixels."""

    levels: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True)
class Patterns:
    """Amplitudes in low..high times patterns; a pattern has a factor for each channel and pixel, as `Picture` has."""

    patterns: tuple[tuple[Fraction, ...], ...] = field(repr=False)
    low: Fraction
    high: Fraction
    step: int | None


Values = Free | Picture | Patterns


@dataclass(frozen=True)
class StampTrigger:
    """A stamp `x + strength * (v - x)` (replace) or `x + strength * v` (add) on listed pixels.

    Attributes:
        verb: `replace` or `add`.
        pixels: (row, column) from the place, in row-major order.
        places: each one or several (row, column) that are stamped at once, each with values of its own.
        values: what v may be.
        opacities: one placement for each, at each place; 1 is opaque.
        opacity: the ends of a range; the opacity is then a value of the trigger, and `opacities` is 1 alone.
        weights: how much of each pixel, times the opacity; empty: all.
        clip: whether the result is clipped to the range of the space.
    """

    name: str
    space: str
    verb: str
    pixels: tuple[Place, ...] = field(repr=False)
    places: tuple[tuple[Place, ...], ...]
    values: Values
    opacities: tuple[Fraction, ...] = (Fraction(1),)
    weights: tuple[Fraction, ...] = field(default=(), repr=False)
    clip: bool = False
    opacity: tuple[Fraction, Fraction] | None = None

    @property
    def box(self) -> tuple[int, int]:
        """Height and width of the least rectangle that holds the pixels, from the place on."""
        return max(row for row, _ in self.pixels) + 1, max(column for _, column in self.pixels) + 1

    @property
    def is_rectangle(self) -> bool:
        """Whether the pixels are a whole rectangle."""
        height, width = self.box
        return len(self.pixels) == height * width
