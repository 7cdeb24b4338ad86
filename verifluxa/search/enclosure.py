"""Numbers that are known between two rationals: what exact evaluation makes of constants that are no rationals.

The root in a batch normalisation is irrational, and a stamp keeps the nearest double of an opacity of a third. An
`Enclosure` holds such a number; a `Fraction` stays exact beside it. Interval arithmetic: Moore, Kearfott and Cloud
(2009), Introduction to Interval Analysis, chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

ROOT_BITS = 128
"""Significant bits of a root."""


@dataclass(frozen=True)
class Enclosure:
    """Some number from `low` to `high`; sums and products with Fractions and Enclosures are Enclosures."""

    low: Fraction
    high: Fraction

    def __add__(self, other: Fraction | Enclosure) -> Enclosure:
        return Enclosure(self.low + low(other), self.high + high(other))

    __radd__ = __add__

    def __mul__(self, other: Fraction | Enclosure) -> Enclosure:
        ends = [own * end for own in (self.low, self.high) for end in (low(other), high(other))]
        return Enclosure(min(ends), max(ends))

    __rmul__ = __mul__

    def __truediv__(self, other: Fraction) -> Enclosure:
        return self * (1 / other)


Number = Fraction | Enclosure


def low(value: Number) -> Fraction:
    """The lower end."""
    return value.low if isinstance(value, Enclosure) else value


def high(value: Number) -> Fraction:
    """The upper end."""
    return value.high if isinstance(value, Enclosure) else value


def mapped(function: Callable[[Fraction], Fraction], value: Number) -> Number:
    """A nondecreasing function of a number."""
    if isinstance(value, Enclosure):
        return Enclosure(function(value.low), function(value.high))
    return function(value)


def largest(values: Iterable[Number]) -> Number:
    """The maximum."""
    numbers = list(values)
    ends = max(map(low, numbers)), max(map(high, numbers))
    return ends[0] if ends[0] == ends[1] else Enclosure(*ends)


def inverse_root(square: Fraction) -> Number:
    """`1 / sqrt(square)` of a positive rational: exact where that is a rational, else within 2^-127 of its size.

    >>> inverse_root(Fraction(9, 4))
    Fraction(2, 3)
    >>> found = inverse_root(Fraction(2))
    >>> found.low ** 2 * 2 < 1 < found.high ** 2 * 2
    True
    """
    numerator, denominator = square.numerator, square.denominator
    top, bottom = math.isqrt(denominator), math.isqrt(numerator)
    if top * top == denominator and bottom * bottom == numerator:
        return Fraction(top, bottom)
    # floor(sqrt(denominator * 4^shift / numerator)) with at least ROOT_BITS bits, and the next whole number.
    shift = max(0, ROOT_BITS + (numerator.bit_length() - denominator.bit_length()) // 2 + 1)
    root = math.isqrt((denominator << (2 * shift)) // numerator)
    return Enclosure(Fraction(root, 1 << shift), Fraction(root + 1, 1 << shift))


def about(value: Fraction, error: Fraction) -> Enclosure:
    """A number that is within `error` of a value."""
    return Enclosure(value - error, value + error)
