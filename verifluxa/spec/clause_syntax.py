"""Clauses of image triggers beyond the plain patch, as they are written."""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.spec.terms import Name, Node, Number, Point, Text


@dataclass(frozen=True)
class Size(Node):
    """`5 px x 5 px`: height, then width."""

    height: Number
    width: Number


@dataclass(frozen=True)
class Whole(Node):
    """`image`: all pixels."""


@dataclass(frozen=True)
class Pixels(Node):
    """`pixels (0, 0), (3, 4)`: these, counted from the place."""

    points: tuple[Point, ...]


Area = Size | Whole | Pixels


@dataclass(frozen=True)
class Stamped(Node):
    """`replace image`, `replace pixels ...`, `add 5 px x 5 px`, `add image`: which pixels, and what is done to them."""

    verb: str
    area: Area


@dataclass(frozen=True)
class Blend(Node):
    """`blend 20 %`, `blend 10 %, 20 %`, `blend 10 %..30 %`: the opacity, several, or the ends of a range."""

    amounts: tuple[Number, ...]
    ranges: bool = False


@dataclass(frozen=True)
class Mask(Node):
    """`mask "mask.png"`: how much of each pixel."""

    file: Text


@dataclass(frozen=True)
class Unclipped(Node):
    """`unclipped`: values may leave the range of the input space."""


@dataclass(frozen=True)
class Wave(Node):
    """`sine(columns 6 px shift 2 px)`."""

    axis: str
    period: Number
    shift: Number | None


@dataclass(frozen=True)
class Range(Node):
    """`low..high` with units."""

    low: Number
    high: Number


@dataclass(frozen=True)
class WithPatterns(Node):
    """`with sine(rows 4 px), "mark.png" times -20..20 level`."""

    patterns: tuple[Text | Wave, ...]
    levels: Range
    continuous: bool


@dataclass(frozen=True)
class Probes(Node):
    """`probe badnets_square, sinusoid`, `probe all`: known triggers; `times 0..60 level`: with another amplitude."""

    names: tuple[Name, ...]
    levels: Range | None = None
    continuous: bool = False


@dataclass(frozen=True)
class Reword(Node):
    """`replace words by synonyms "synonyms.txt"`."""

    file: Text


@dataclass(frozen=True)
class OneOf(Node):
    """`one of patch, wave`: a trigger of one of these families."""

    names: tuple[Name, ...]
