"""Image triggers beyond the plain patch: `add image with -8..8 level`, `replace image with "x.png" blend 20 %`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from verifluxa.errors import Span, SpecError
from verifluxa.spec.clause_syntax import Blend, Mask, Pixels, Range, Size, Stamped, Unclipped, Wave, Whole, WithPatterns
from verifluxa.spec.image_types import Free, Patterns, Picture, Place, StampTrigger, Values
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.placements import Room, groups_of
from verifluxa.spec.png import Levels as Pixelwise
from verifluxa.spec.png import read_png
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.syntax import At, Levels, Replace, TriggerSyntax, WithLevels, WithPicture
from verifluxa.spec.terms import Anywhere, Points, Text, Together
from verifluxa.spec.units import level_range, measured, whole
from verifluxa.spec.waves import sine

MAX_DIMENSIONS = 4096
"""Values of one trigger: the networks of the prover are dense in them."""
MAX_OPACITIES = 100

Part = TypeVar("Part")


@dataclass(frozen=True)
class Area:
    """The pixels of a stamp, the rectangle that holds them, and whether that is the image itself."""

    pixels: tuple[Place, ...]
    height: int
    width: int
    fixed: bool


def is_plain(syntax: TriggerSyntax) -> bool:
    """Whether a trigger is the plain patch: a rectangle, replaced at single places by free levels."""
    more = Stamped | WithPicture | WithPatterns | Blend | Mask | Unclipped
    places = [clause.places for clause in syntax.clauses if isinstance(clause, At)]
    together = [at for at in places if isinstance(at, Points) and any(isinstance(p, Together) for p in at.points)]
    return not together and not any(isinstance(clause, more) for clause in syntax.clauses)


def check_stamp(syntax: TriggerSyntax, space: ImageSpace, problems: Problems) -> StampTrigger:
    """The family of a declaration.

    Raises:
        SpecError: VF1045 when a part is missing, VF1024 when one is given twice, VF1057 when two do not go together,
            VF1041 to VF1043 for its pixels and places, VF1044 for its levels, VF1046 and VF1049 for pictures,
            VF1038 for too many values, VF1058 for an opacity, VF1030 to VF1033 for its numbers.
    """
    verb, area = _area(syntax, space)
    values, named = _values(syntax, space, area, verb)
    weights = _weights(syntax, area)
    blend = _single(syntax, Blend)
    opacities = _opacities(blend) if blend is not None else (Fraction(1),)
    varies = blend is not None and blend.ranges and len(opacities) > 1
    if verb == "add" and blend is not None:
        raise _together("`blend` and `add`", blend.span, "let the range or the amplitude say how much is added")
    unclipped = _single(syntax, Unclipped) is not None
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


def _single(syntax: TriggerSyntax, kind: type[Part]) -> Part | None:
    found = [clause for clause in syntax.clauses if isinstance(clause, kind)]
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    return found[0] if found else None


def _area(syntax: TriggerSyntax, space: ImageSpace) -> tuple[str, Area]:
    plain, stamped = _single(syntax, Replace), _single(syntax, Stamped)
    if plain is not None and stamped is not None:
        raise _together("two areas", stamped.span, "write two triggers, and `one of` both")
    if plain is not None and plain.width is not None:
        return "replace", _rectangle(Size(plain.height, plain.width, span=plain.span), space)
    if stamped is None:
        raise SpecError(
            "VF1045",
            f"the trigger `{syntax.name.text}` does not say which pixels",
            place=syntax.name.span if plain is None else plain.span,
            expected="`replace 3 px x 3 px`, `replace image`, `replace pixels (0, 0), (1, 1)`, or `add` of one of them",
        )
    match stamped.area:
        case Size() as size:
            return stamped.verb, _rectangle(size, space)
        case Whole():
            return stamped.verb, _all(space.height, space.width, fixed=True)
        case Pixels() as pixels:
            return stamped.verb, _listed(pixels, space)


def _rectangle(size: Size, space: ImageSpace) -> Area:
    height, width = (
        whole(measured(number, "px", what), number.span, what)
        for number, what in ((size.height, "the height of a patch"), (size.width, "the width of a patch"))
    )
    if height > space.height or width > space.width:
        raise SpecError(
            "VF1041",
            f"a patch of {height} x {width} px is larger than the image",
            place=size.span,
            expected=f"at most {space.height} x {space.width} px, the size of `{space.name}`",
            remedy="the first number is the height, the second the width",
        )
    return _all(height, width, fixed=False)


def _all(height: int, width: int, fixed: bool) -> Area:
    return Area(tuple((row, column) for row in range(height) for column in range(width)), height, width, fixed)


def _listed(pixels: Pixels, space: ImageSpace) -> Area:
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
    return Area(ordered, max(row for row, _ in ordered) + 1, max(column for _, column in ordered) + 1, fixed=False)


def _places(syntax: TriggerSyntax, space: ImageSpace, area: Area, problems: Problems) -> tuple[tuple[Place, ...], ...]:
    """Where the area goes; `image` goes nowhere else, listed pixels without `at` are counted from the top left."""
    at = _single(syntax, At)
    stamped = _single(syntax, Stamped)
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
    room = Room(space.height - area.height, space.width - area.width)
    groups = groups_of(at.places, room, problems)
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


def _values(syntax: TriggerSyntax, space: ImageSpace, area: Area, verb: str) -> tuple[Values, Span]:
    levels, picture, patterns = (_single(syntax, kind) for kind in (WithLevels, WithPicture, WithPatterns))
    given = [clause for clause in (levels, picture, patterns) if clause is not None]
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
        low, high = _range(levels.levels.low, levels.levels.high, levels.levels.span, levels.continuous)
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


def _range(low: object, high: object, place: Span, continuous: bool) -> tuple[Fraction, Fraction]:
    first, last = level_range(Levels(low, high, span=place), "the range of a trigger's levels")  # type: ignore[arg-type]
    if not continuous and (first.denominator != 1 or last.denominator != 1):
        raise SpecError(
            "VF1044",
            "levels are whole numbers here",
            place=place,
            expected="whole numbers, or `continuous` behind the range",
        )
    return first, last


def _in_range(values: Values, space: ImageSpace, place: Span) -> None:
    ends = (min(values.levels), max(values.levels)) if isinstance(values, Picture) else (values.low, values.high)
    if ends[0] < space.low or ends[1] > space.high:
        raise SpecError(
            "VF1044",
            f"the levels leave those of `{space.name}`",
            place=place,
            expected=f"within {space.low}..{space.high} level, or `unclipped`",
            remedy="levels are those of the data file, before `encode`",
        )


def _cells(area: Area, channels: int) -> Iterator[tuple[int, int, int]]:
    """(channel, row, column) in the order of the stamp's values."""
    return ((channel, row, column) for channel in range(channels) for row, column in area.pixels)


def _picture(file: Text, area: Area, channels: int) -> Pixelwise:
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


def _patterns(clause: WithPatterns, space: ImageSpace, area: Area) -> Patterns:
    low, high = amplitudes(clause.levels, clause.continuous)
    found = []
    for pattern in clause.patterns:
        if isinstance(pattern, Wave):
            found.append(tuple(_wave(pattern, row, column) for _, row, column in _cells(area, space.channels)))
        else:
            pixels = _picture(pattern, area, space.channels)
            found.append(tuple(Fraction(int(pixels[r, c, k]), 255) for k, r, c in _cells(area, space.channels)))
    return Patterns(tuple(found), low, high, None if clause.continuous else 1)


def amplitudes(levels: Range, continuous: bool) -> tuple[Fraction, Fraction]:
    """The ends of `times low..high level`.

    Raises:
        SpecError: VF1044 for parts of levels without `continuous`, VF1030 to VF1033 for the numbers.
    """
    return _range(levels.low, levels.high, levels.span, continuous)


def _wave(wave: Wave, row: int, column: int) -> Fraction:
    """`sin(2 pi (i + shift) / period)` along rows or columns, to six digits."""
    period = measured(wave.period, "px", "the period of a wave")
    shift = Fraction(0) if wave.shift is None else measured(wave.shift, "px", "the shift of a wave")
    if period <= 0:
        raise SpecError("VF1032", "a period must be more than 0 px", place=wave.period.span, expected="`6 px`")
    at = (row if wave.axis == "rows" else column) + shift
    return sine(at / period)


def _weights(syntax: TriggerSyntax, area: Area) -> tuple[Fraction, ...]:
    mask = _single(syntax, Mask)
    if mask is None:
        return ()
    pixels = _picture(mask.file, area, 1)
    weights = tuple(Fraction(int(pixels[row, column, 0]), 255) for row, column in area.pixels)
    if not any(weights):
        raise SpecError("VF1049", "the mask is black, so nothing is stamped", place=mask.span, expected="some white")
    return weights


def _opacities(blend: Blend) -> tuple[Fraction, ...]:
    found = [measured(amount, "%", "an opacity") / 100 for amount in blend.amounts]
    for amount, value in zip(blend.amounts, found, strict=True):
        if not 0 < value <= 1:
            raise SpecError(
                "VF1058", f"an opacity cannot be {amount.text} %", place=amount.span, expected="above 0 % to 100 %"
            )
    if blend.ranges:
        if found[0] > found[1]:
            raise SpecError(
                "VF1033", "the ends of the opacity are upside down", place=blend.span, expected="the lower end first"
            )
        return (found[0], found[1]) if found[0] < found[1] else (found[0],)
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
