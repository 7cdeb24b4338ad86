"""Image triggers beyond the plain patch: `add image with -8..8 level`, `replace image with "x.png" blend 20 %`.

Blends, sets of pixels, pictures, perturbations, patterns, masks, several places at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Self

from lark.ast_utils import AsList

from verifluxa.errors import Span, SpecError
from verifluxa.png import Levels as Pixelwise
from verifluxa.spec.blocks import clause
from verifluxa.spec.numbers import level_range, measured, percent, ratio, show, sine, whole
from verifluxa.spec.paths import beside, inside, read_png
from verifluxa.spec.placements import Room, among, groups_of, image_clauses, size_of
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import ImageSpace, InputSpace, Record, Trigger
from verifluxa.spec.syntax import At, Clause, Levels, Replace, TriggerSyntax, WithLevels, WithPicture
from verifluxa.spec.terms import Anywhere, Number, Places, Point, Points, Rule, Text, Together
from verifluxa.spec.triggers.patch import levels_phrase

Place = tuple[int, int]
MAX_DIMENSIONS = 4096
"""Values of one trigger: the networks of the prover are dense in them."""
MAX_OPACITIES = 100

# As written


@dataclass(frozen=True)
class Size(Rule):
    """`5 px x 5 px`: height, then width."""

    height: Number
    width: Number


@dataclass(frozen=True)
class Whole(Rule):
    """`image`: all pixels."""


@dataclass(frozen=True)
class Pixels(Rule, AsList):
    """`pixels (0, 0), (3, 4)`: these, counted from the place."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Stamped(Clause):
    """`replace image`, `replace pixels ...`, `add 5 px x 5 px`, `add image`: which pixels, and what is done to them."""

    verb: str
    area: Size | Whole | Pixels


@dataclass(frozen=True)
class Blend(Clause, AsList):
    """`blend 20 %`, `blend 10 %, 20 %`, `blend 10 %..30 %`: the opacity, several, or a range."""

    amounts: tuple[Number, ...] | tuple[Levels]


@dataclass(frozen=True)
class Mask(Clause):
    """`mask "mask.png"`: how much of each pixel."""

    file: Text


@dataclass(frozen=True)
class Unclipped(Clause):
    """`unclipped`: values may leave the range of the input space."""


@dataclass(frozen=True)
class Wave(Rule):
    """`sine(columns 6 px shift 2 px)`."""

    axis: str
    period: Number
    shift: Number | None


@dataclass(frozen=True)
class Times(Rule):
    """`times -20..20 level`: amplitudes of patterns."""

    levels: Levels
    continuous: bool


@dataclass(frozen=True)
class WithPatterns(Clause):
    """`with sine(rows 4 px), "mark.png" times -20..20 level`."""

    patterns: tuple[Text | Wave, ...]
    times: Times


MORE = (Stamped, WithPicture, WithPatterns, Blend, Mask, Unclipped)
"""Clauses that no plain patch has."""

# As checked


@dataclass(frozen=True)
class Free:
    """A value of its own for each stamped pixel and channel in low..high; `step` 1: whole levels, None: any."""

    low: Fraction
    high: Fraction
    step: int | None

    @property
    def ends(self) -> tuple[Fraction, Fraction]:
        """The lowest and the highest value."""
        return self.low, self.high

    def record(self) -> Record:
        """What a property digest holds of it."""
        return {"levels": [ratio(self.low), ratio(self.high)], "step": self.step}


@dataclass(frozen=True)
class Picture:
    """Known levels, channel by channel, pixel by pixel in the order of the stamp's pixels."""

    levels: tuple[int, ...] = field(repr=False)

    @property
    def ends(self) -> tuple[int, int]:
        """The lowest and the highest value."""
        return min(self.levels), max(self.levels)

    def record(self) -> Record:
        """What a property digest holds of it."""
        return {"picture": _digest(tuple(map(Fraction, self.levels)))}


@dataclass(frozen=True)
class Patterns:
    """Amplitudes in low..high times patterns; a pattern has a factor for each channel and pixel, as `Picture` has."""

    patterns: tuple[tuple[Fraction, ...], ...] = field(repr=False)
    low: Fraction
    high: Fraction
    step: int | None

    @property
    def ends(self) -> tuple[Fraction, Fraction]:
        """The lowest and the highest amplitude."""
        return self.low, self.high

    def record(self) -> Record:
        """What a property digest holds of it."""
        amplitudes: Record = {"levels": [ratio(self.low), ratio(self.high)], "step": self.step}
        return amplitudes | {"patterns": [_digest(pattern) for pattern in self.patterns]}


Values = Free | Picture | Patterns


@dataclass(frozen=True)
class StampTrigger(Trigger):
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

    @property
    def placements(self) -> int:
        """One at each place for each opacity."""
        return len(self.places) * len(self.opacities)

    def dimensions(self, space: InputSpace) -> int:
        """The values of v, and the opacity where it varies."""
        assert isinstance(space, ImageSpace)
        varies = int(self.opacity is not None)
        match self.values:
            case Picture():
                return varies
            case Patterns(patterns=patterns):
                own = len(patterns)
            case Free():
                own = len(self.pixels) * space.channels
        return varies + own * max(len(group) for group in self.places)

    def phrase(self, space: InputSpace) -> str:
        """`perturbation of the whole image of whole levels -8..8, clipped to the legal levels, everywhere`."""
        assert isinstance(space, ImageSpace)
        return f"{self._what(space)} {self._range()}{self._how()} {self._where(space)}"

    def _what(self, space: ImageSpace) -> str:
        kind = "perturbation" if self.verb == "add" else "stamp"
        height, width = self.box
        if self.is_rectangle:
            whole_image = (height, width) == (space.height, space.width)
            return f"{kind} of the whole image" if whole_image else f"{height} x {width} px {kind}"
        return f"{kind} of {len(self.pixels)} listed pixels"

    def _range(self) -> str:
        match self.values:
            case Free(low=low, high=high, step=step):
                return levels_phrase(low, high, step)
            case Picture():
                return "with the known picture"
            case Patterns(patterns=patterns, low=low, high=high):
                count = f"{len(patterns)} patterns" if len(patterns) > 1 else "the pattern"
                return f"that is {count} times {show(low)}..{show(high)} levels"

    def _how(self) -> str:
        words = []
        if self.opacities != (Fraction(1),):
            words.append("blended in at " + " or ".join(percent(value) for value in self.opacities[:5]))
        if self.opacity is not None:
            words.append("blended in at any opacity of " + " to ".join(percent(end) for end in self.opacity))
        if self.weights:
            words.append("through a mask")
        if self.clip:
            words.append("clipped to the legal levels")
        return ", " + ", ".join(words) + "," if words else ""

    def _where(self, space: ImageSpace) -> str:
        if len(self.places) > 1:
            return f"at any of {len(self.places):,} places"
        if self.is_rectangle and self.box == (space.height, space.width):
            return "everywhere"
        return "at place " + " and ".join(map(str, self.places[0]))

    def record(self) -> Record:
        """Pixels, places, values, opacities, weights; long lists by their sha256."""
        varies: Record = {} if self.opacity is None else {"opacity": [ratio(end) for end in self.opacity]}
        return varies | {
            "kind": self.verb,
            "pixels": [list(pixel) for pixel in self.pixels],
            "places": [[list(place) for place in group] for group in self.places],
            "values": self.values.record(),
            "opacities": [ratio(value) for value in self.opacities],
            "weights": _digest(self.weights),
            "clip": self.clip,
        }

    def narrowed(self, places: Places, space: InputSpace, problems: Problems) -> Self:
        """At some of its places; VF1042 for another one."""
        assert isinstance(space, ImageSpace)
        groups = groups_of(places, Room.of(*self.box, space), problems)
        among(set(groups) - set(self.places), self.name, places)
        return replace(self, places=groups)

    def is_clipped(self) -> bool:
        """What is added is, unless the spec says `unclipped`."""
        return self.clip

    def leaves_range(self, space: InputSpace) -> bool:
        """Where it is not clipped and adds, or has values outside the range."""
        assert isinstance(space, ImageSpace)
        low, high = self.values.ends
        return not self.clip and (self.verb == "add" or low < space.low or high > space.high)

    def puts_levels(self, space: InputSpace) -> bool:
        """Where it replaces whole pixels by legal levels, be they free or known."""
        assert isinstance(space, ImageSpace)
        opaque = self.opacity is None and self.opacities == (Fraction(1),) and not self.weights
        low, high = self.values.ends
        legal = space.low <= low and high <= space.high
        return self.verb == "replace" and opaque and legal and not isinstance(self.values, Patterns)

    def varies_opacity(self) -> bool:
        """With `blend 10 %..30 %`."""
        return self.opacity is not None


def _digest(values: tuple[Fraction, ...]) -> str:
    """A long list by its sha256."""
    return "sha256:" + hashlib.sha256(" ".join(map(ratio, values)).encode("ascii")).hexdigest() if values else ""


# The check


@dataclass(frozen=True)
class Region:
    """The pixels of a stamp, the rectangle that holds them, and whether that is the image itself."""

    pixels: tuple[Place, ...]
    height: int
    width: int
    fixed: bool


def is_stamp(syntax: TriggerSyntax) -> bool:
    """Whether a trigger on images is more than the plain patch."""
    places = [one.places for one in syntax.clauses if isinstance(one, At)]
    together = [at for at in places if isinstance(at, Points) and any(isinstance(p, Together) for p in at.points)]
    return bool(together) or any(isinstance(one, MORE) for one in syntax.clauses)


def check_stamp(syntax: TriggerSyntax, space: ImageSpace, problems: Problems) -> StampTrigger:
    """The family of a declaration.

    Raises:
        SpecError: VF1083 for a part that images do not have, VF1045 when a part is missing, VF1024 when one is given
            twice, VF1057 when two do not go together, VF1041 to VF1043 for its pixels and places, VF1044 for its
            levels, VF1046 and VF1049 for pictures, VF1038 for too many values, VF1058 for an opacity, VF1030 to
            VF1033 for its numbers.
    """
    image_clauses(syntax, (*MORE, Replace, At, WithLevels))
    verb, area = _area(syntax, space)
    values, named = _values(syntax, space, area, verb)
    weights = _weights(syntax, area)
    blend = clause(syntax, Blend)
    opacities = _opacities(blend) if blend is not None else (Fraction(1),)
    varies = blend is not None and isinstance(blend.amounts[0], Levels) and len(opacities) > 1
    if verb == "add" and blend is not None:
        raise _together("`blend` and `add`", blend.span, "let the range or the amplitude say how much is added")
    unclipped = clause(syntax, Unclipped) is not None
    if not unclipped and verb == "replace":
        _in_range(values, space, named)
    trigger = StampTrigger(
        name=syntax.name.text,
        space=space.name,
        verb=verb,
        pixels=area.pixels,
        places=_places(syntax, space, area, problems),
        values=values,
        opacities=(Fraction(1),) if varies else opacities,
        weights=weights,
        clip=verb == "add" and not unclipped,
        opacity=(opacities[0], opacities[-1]) if varies else None,
    )
    _bounded(trigger, space, syntax.name.span)
    return trigger


def _area(syntax: TriggerSyntax, space: ImageSpace) -> tuple[str, Region]:
    plain, stamped = clause(syntax, Replace), clause(syntax, Stamped)
    if plain is not None and stamped is not None:
        raise _together("two areas", stamped.span, "write two triggers, and `one of` both")
    if plain is not None and plain.width is not None:
        return "replace", _all(*size_of(plain.height, plain.width, plain.span, space), fixed=False)
    if stamped is None:
        raise SpecError(
            "VF1045",
            f"the trigger `{syntax.name.text}` does not say which pixels",
            place=syntax.name.span if plain is None else plain.span,
            expected="`replace 3 px x 3 px`, `replace image`, `replace pixels (0, 0), (1, 1)`, or `add` of one of them",
        )
    match stamped.area:
        case Size(height=height, width=width):
            return stamped.verb, _all(*size_of(height, width, stamped.area.span, space), fixed=False)
        case Whole():
            return stamped.verb, _all(space.height, space.width, fixed=True)
        case Pixels() as pixels:
            return stamped.verb, _listed(pixels, space)


def _all(height: int, width: int, fixed: bool) -> Region:
    return Region(tuple((row, column) for row in range(height) for column in range(width)), height, width, fixed)


def _listed(pixels: Pixels, space: ImageSpace) -> Region:
    found = set()
    for point in pixels.points:
        place = tuple(whole(number.value, number.span, "a row or column", 0) for number in (point.row, point.column))
        if place[0] >= space.height or place[1] >= space.width:
            raise SpecError(
                "VF1042",
                f"the pixel {place} is not inside the image",
                place=point.span,
                expected=f"rows 0..{space.height - 1} and columns 0..{space.width - 1}",
            )
        if place in found:
            raise SpecError("VF1024", f"the pixel {place} is listed twice", place=point.span)
        found.add((place[0], place[1]))
    ordered = tuple(sorted(found))
    return Region(ordered, max(row for row, _ in ordered) + 1, max(column for _, column in ordered) + 1, fixed=False)


def _places(
    syntax: TriggerSyntax, space: ImageSpace, area: Region, problems: Problems
) -> tuple[tuple[Place, ...], ...]:
    """Where the area goes; `image` goes nowhere else, listed pixels without `at` are counted from the top left."""
    at = clause(syntax, At)
    stamped = clause(syntax, Stamped)
    listed = stamped is not None and isinstance(stamped.area, Pixels)
    if at is None and (area.fixed or listed):
        return (((0, 0),),)
    if at is None:
        raise SpecError(
            "VF1045",
            f"the trigger `{syntax.name.text}` has no `at`",
            place=syntax.name.span,
            expected="`at any`, `at corners` or `at (24, 24)`",
        )
    if area.fixed and not isinstance(at.places, Anywhere):
        raise _together("`image` and `at`", at.span, "the whole image has one place")
    groups = groups_of(at.places, Room.of(area.height, area.width, space), problems)
    for group in groups:
        covered = [(row + down, column + right) for row, column in group for down, right in area.pixels]
        if len(set(covered)) < len(covered):
            raise SpecError(
                "VF1059",
                f"stamps at {' and '.join(map(str, group))} overlap",
                place=at.span,
                expected="places that are stamped at once and share no pixel",
            )
    return groups


def _values(syntax: TriggerSyntax, space: ImageSpace, area: Region, verb: str) -> tuple[Values, Span]:
    levels, picture, patterns = (clause(syntax, kind) for kind in (WithLevels, WithPicture, WithPatterns))
    given = [one for one in (levels, picture, patterns) if one is not None]
    if not given:
        raise SpecError(
            "VF1045",
            f"the trigger `{syntax.name.text}` has no `with`",
            place=syntax.name.span,
            expected='`with 0..255 level`, `with "picture.png"` or `with sine(rows 4 px) times -20..20 level`',
        )
    if len(given) > 1:
        raise _together("two `with`", given[1].span, "write two triggers, and `one of` both")
    if isinstance(levels, WithLevels):
        low, high = amplitudes(levels)
        return Free(low, high, None if levels.continuous else 1), levels.span
    if isinstance(picture, WithPicture):
        if verb == "add":
            raise _together("`add` and a picture", picture.span, 'say how much of it: `with "x.png" times 0..40 level`')
        pixels = _picture(picture.file, area, space.channels)
        chosen = [int(pixels[row, column, channel]) for channel, row, column in _cells(area, space.channels)]
        return Picture(tuple(chosen)), picture.span
    assert isinstance(patterns, WithPatterns)
    if verb == "replace":
        raise _together("`replace` and `times`", patterns.span, "amplitudes are for `add`")
    return _patterns(patterns, space, area), patterns.span


def amplitudes(given: WithLevels | Times) -> tuple[Fraction, Fraction]:
    """The ends of `times low..high level` or `with low..high level`.

    Raises:
        SpecError: VF1044 for parts of levels without `continuous`, VF1030 to VF1033 for the numbers.
    """
    first, last = level_range(given.levels, "the range of a trigger's levels")
    if not given.continuous and (first.denominator != 1 or last.denominator != 1):
        raise SpecError(
            "VF1044",
            "levels are whole numbers here",
            place=given.levels.span,
            expected="whole numbers, or `continuous` behind the range",
        )
    return first, last


def _in_range(values: Values, space: ImageSpace, place: Span) -> None:
    low, high = values.ends
    if low < space.low or high > space.high:
        raise SpecError(
            "VF1044",
            f"the levels leave those of `{space.name}`",
            place=place,
            expected=f"within {space.low}..{space.high} level, or `unclipped`",
            remedy="levels are those of the data file, before `encode`",
        )


def _cells(area: Region, channels: int) -> Iterator[tuple[int, int, int]]:
    """(channel, row, column) in the order of the stamp's values."""
    return ((channel, row, column) for channel in range(channels) for row, column in area.pixels)


def _picture(file: Text, area: Region, channels: int) -> Pixelwise:
    """A picture of the area's size, with as many channels as are needed."""
    path = beside(file.span.file, inside(file.value, file.span))
    pixels = read_png(path, file.span)
    fits = pixels.shape[:2] == (area.height, area.width) and pixels.shape[2] in (1, channels)
    if not fits:
        colours = {1: "grey", 3: "RGB"}
        raise SpecError(
            "VF1049",
            f"the picture has {pixels.shape[0]} x {pixels.shape[1]} px, {colours[pixels.shape[2]]}",
            place=file.span,
            expected=f"{area.height} x {area.width} px, grey" + (" or RGB" if channels == 3 else ""),
            remedy="scale the picture to the size of the stamp; height comes first",
        )
    return pixels if pixels.shape[2] == channels else pixels.repeat(channels, axis=2)


def _patterns(given: WithPatterns, space: ImageSpace, area: Region) -> Patterns:
    low, high = amplitudes(given.times)
    found = []
    for pattern in given.patterns:
        if isinstance(pattern, Wave):
            found.append(tuple(_wave(pattern, row, column) for _, row, column in _cells(area, space.channels)))
        else:
            pixels = _picture(pattern, area, space.channels)
            found.append(tuple(Fraction(int(pixels[r, c, k]), 255) for k, r, c in _cells(area, space.channels)))
    return Patterns(tuple(found), low, high, None if given.times.continuous else 1)


def _wave(wave: Wave, row: int, column: int) -> Fraction:
    """`sin(2 pi (i + shift) / period)` along rows or columns, to six digits."""
    period = measured(wave.period, "px", "the period of a wave")
    shift = Fraction(0) if wave.shift is None else measured(wave.shift, "px", "the shift of a wave")
    if period <= 0:
        raise SpecError("VF1032", "a period must be more than 0 px", place=wave.period.span, expected="`6 px`")
    at = (row if wave.axis == "rows" else column) + shift
    return sine(at / period)


def _weights(syntax: TriggerSyntax, area: Region) -> tuple[Fraction, ...]:
    mask = clause(syntax, Mask)
    if mask is None:
        return ()
    pixels = _picture(mask.file, area, 1)
    weights = tuple(Fraction(int(pixels[row, column, 0]), 255) for row, column in area.pixels)
    if not any(weights):
        raise SpecError("VF1049", "the mask is black, so nothing is stamped", place=mask.span, expected="some white")
    return weights


def _opacities(blend: Blend) -> tuple[Fraction, ...]:
    """All of a list, or both ends of a range."""
    numbers = [
        number for one in blend.amounts for number in ((one.low, one.high) if isinstance(one, Levels) else (one,))
    ]
    found = [measured(number, "%", "an opacity") / 100 for number in numbers]
    for number, value in zip(numbers, found, strict=True):
        if not 0 < value <= 1:
            raise SpecError(
                "VF1058", f"an opacity cannot be {number.text} %", place=number.span, expected="above 0 % to 100 %"
            )
    if isinstance(blend.amounts[0], Levels):
        if found[0] > found[1]:
            raise SpecError(
                "VF1033", "the ends of the opacity are upside down", place=blend.span, expected="the lower end first"
            )
        return tuple(sorted(set(found)))
    if len(set(found)) < len(found) or len(found) > MAX_OPACITIES:
        raise SpecError(
            "VF1058",
            "the opacities are too many, or one is listed twice",
            place=blend.span,
            expected=f"up to {MAX_OPACITIES}",
        )
    return tuple(sorted(found))


def _bounded(trigger: StampTrigger, space: ImageSpace, place: Span) -> None:
    sides = max(len(group) for group in trigger.places)
    own = len(trigger.values.patterns) if isinstance(trigger.values, Patterns) else len(trigger.pixels) * space.channels
    if own * sides > MAX_DIMENSIONS:
        raise SpecError(
            "VF1038",
            f"a trigger of {own * sides:,} values is too large",
            place=place,
            expected=f"at most {MAX_DIMENSIONS:,} values",
            remedy="stamp a part of the image, or use patterns with an amplitude",
        )


def _together(what: str, place: Span, remedy: str) -> SpecError:
    return SpecError("VF1057", f"{what} do not go together", place=place, remedy=remedy)
