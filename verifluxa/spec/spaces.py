"""Input spaces: `image(28 px, 28 px, 1 ch) of 0..255 level`, `series(64 step, 3 ch) of -4..4 level`, tables."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from verifluxa.errors import Span, SpecError
from verifluxa.files import read_file
from verifluxa.spec.blocks import Known, settings
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import level_range, measured, show, whole
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.problems import FollowUpError, Problems
from verifluxa.spec.spec import EncodeStep, Feature, ImageSpace, SeriesSpace, TableSpace, TokenSpace
from verifluxa.spec.syntax import Boolean, Categories, Column, FieldRange, InputSyntax
from verifluxa.spec.terms import Number, Text
from verifluxa.spec.tokens import MAX_LETTERS, check_tokens, odd_text

MAX_COLUMNS = 1024
MAX_SCALER = 2**22
LARGEST = 2**24
"""Up to here whole numbers are exact in float32."""
EXAMPLE = '`table { age : 18..95 year  region : one of "north", "south"  member : bool }`'


def check_table(syntax: InputSyntax, problems: Problems) -> TableSpace:
    """The space of a table's rows.

    Raises:
        SpecError: VF1087 when it has no columns, or too many. A wrong column is reported: VF1021, VF1033, VF1087.
        FollowUpError: a column is wrong, which has been reported.
    """
    entries = syntax.block.entries if syntax.block is not None else ()
    if syntax.arguments or syntax.levels is not None or not 1 <= len(entries) <= MAX_COLUMNS:
        raise SpecError(
            "VF1087",
            "a table is declared with its columns" + (f", at most {MAX_COLUMNS}" if len(entries) > 1 else ""),
            place=syntax.kind.span,
            expected=EXAMPLE,
        )
    found: dict[str, Feature] = {}
    for entry in entries:
        feature = problems.attempt(partial(_feature, entry, found))
        if feature is not None:
            found[feature.name] = feature
    if len(found) < len(entries):
        raise FollowUpError
    return TableSpace(syntax.name.text, tuple(found.values()))


def _feature(entry: object, found: dict[str, Feature]) -> Feature:
    if not isinstance(entry, Column):
        raise SpecError(
            "VF1087",
            "a column has a name, a colon and what it may be",
            place=entry.span,  # type: ignore[attr-defined]
            expected='`age : 18..95 year`, `debt : 0..1 continuous`, `region : one of "a", "b"`, `member : bool`',
        )
    name, domain = entry.key.text, entry.domain
    if name in found:
        raise SpecError("VF1021", f"the column `{name}` is declared twice", place=entry.key.span)
    match domain:
        case Boolean():
            return Feature(name, Fraction(0), Fraction(1), 1, boolean=True)
        case Categories(items=items):
            return Feature(name, Fraction(0), Fraction(len(items) - 1), 1, items=_categories(items, entry.span))
        case FieldRange():
            return _number(name, domain)


def _categories(items: tuple[Text, ...], place: Span) -> tuple[str, ...]:
    words = tuple(item.value for item in items)
    wrong = next((item for item in items if len(item.value) > MAX_LETTERS or odd_text(item.value)), None)
    if len(set(words)) < len(words) or len(words) < 2 or wrong is not None:
        raise SpecError(
            "VF1087",
            "categories are at least two different words" if wrong is None else "this category has hidden characters",
            place=place if wrong is None else wrong.span,
            expected='`one of "north", "south", "east", "west"`',
        )
    return words


def _number(name: str, domain: FieldRange) -> Feature:
    low, high = domain.low.value, domain.high.value
    if low > high:
        raise SpecError(
            "VF1033",
            f"the range {domain.low.text}..{domain.high.text} is upside down",
            place=domain.span,
            expected=f"`{domain.high.text}..{domain.low.text}`",
        )
    if not domain.continuous and (low.denominator != 1 or high.denominator != 1 or max(-low, high) > LARGEST):
        raise SpecError(
            "VF1087",
            "a column of whole numbers has a range of whole numbers, at most 2^24 in size",
            place=domain.span,
            expected=f"`{show(low)}..{show(high)} continuous` for a column with fractions",
        )
    unit = None if domain.unit is None else domain.unit.text
    return Feature(name, low, high, None if domain.continuous else 1, unit)


class Scaled(NamedTuple):
    """What a scaler file says of one number that the network reads."""

    low: Fraction
    high: Fraction


def read_scaler(file: Text, space: TableSpace) -> tuple[EncodeStep, ...]:
    """`encode = "scaler.json"`: `(value - min) / (max - min)` for numbers; categories stay 0 and 1.

    Raises:
        SpecError: VF1051 for its path, VF1090 when it cannot be read or does not fit the table's columns.
    """
    path = beside(file.span.file, inside(file.value, file.span))
    entries = _entries(path, file.span)
    wanted = [(feature, item) for feature in space.features for item in (feature.items or (None,))]
    if len(entries) != len(wanted):
        raise _misfit(f"it has {len(entries)} features, the table gives {len(wanted)} numbers", file.span)
    scaled = [_scaled(entry, *want, file.span) for entry, want in zip(entries, wanted, strict=True)]
    lows, widths = tuple(one.low for one in scaled), tuple(one.high - one.low for one in scaled)
    return EncodeStep("subtract", lows), EncodeStep("divide", widths)


def _entries(path: Path, place: Span) -> list[Any]:
    try:
        found = json.loads(read_file(path, MAX_SCALER), parse_float=Fraction)["features"]
    except OSError as error:
        raise _misfit(f"it cannot be read: {error.strerror or error}", place) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _misfit("it is no JSON with a list `features`", place) from None
    if not isinstance(found, list):
        raise _misfit("its `features` are no list", place)
    return found


def _scaled(entry: object, feature: Feature, item: str | None, place: Span) -> Scaled:
    named = entry if isinstance(entry, dict) else {}
    if named.get("column") != feature.name or named.get("category") != item:
        wanted = feature.name if item is None else f"{feature.name} = {item}"
        found = named.get("column") if named.get("category") is None else f"{named['column']} = {named['category']}"
        raise _misfit(f"it has `{str(found)[:60]}` where the table has `{wanted}`", place)
    if item is not None:
        return Scaled(Fraction(0), Fraction(1))
    low, high = named.get("min", 0), named.get("max", 1)
    if not all(isinstance(end, int | Fraction) and not isinstance(end, bool) for end in (low, high)) or low >= high:
        raise _misfit(f"`{feature.name}` has no `min` below its `max`", place)
    return Scaled(Fraction(low), Fraction(high))


def _misfit(reason: str, place: Span) -> SpecError:
    return SpecError(
        "VF1090",
        f"this file does not scale the table's columns: {reason}",
        place=place,
        expected='`{"features": [{"column": "age", "min": 18, "max": 95}, {"column": "region", "category": "north"}]}`'
        ", in the order of the columns",
        remedy="the reference of the language shows the format",
    )


MAX_SIDE = 16_384
"""Pixels of one side."""
MAX_VALUES = 2**24
"""Values of one input: 16 million, a 2,360 x 2,360 colour image."""
MAX_LEVEL = 2**24
"""Up to here whole numbers are exact in float32."""

KINDS = ("image", "tokens", "table", "series")
MAX_STEPS, MAX_CHANNELS = 65_536, 4096
_EXAMPLE = "`image(28 px, 28 px, 1 ch) of 0..255 level`"


def check_space(syntax: InputSyntax, problems: Problems) -> ImageSpace | TokenSpace | TableSpace | SeriesSpace:
    """The input space of a declaration.

    Raises:
        SpecError: VF1026 for an unknown kind, VF1040 when the shape is not height, width and channels, VF1030 to
            VF1033 and VF1038 for its numbers, VF1044 when levels are not whole; what `tokens` and `tables`
            say of theirs; VF1091 when the shape of a series is not steps and channels, or its range is missing.
    """
    match syntax.kind.text:
        case "image":
            return _image(syntax, problems)
        case "tokens":
            return check_tokens(syntax, problems)
        case "table":
            return check_table(syntax, problems)
        case "series":
            return _series(syntax, problems)
    raise SpecError(
        "VF1026",
        f"there is no kind of input called `{syntax.kind.text}`",
        place=syntax.kind.span,
        expected=_EXAMPLE,
        remedy=did_you_mean(syntax.kind.text, KINDS),
    )


def _image(syntax: InputSyntax, problems: Problems) -> ImageSpace:
    settings(syntax.block, Known("image space", ()), problems)
    height, width, channels = _shape(syntax)
    low, high = _levels(syntax)
    return ImageSpace(syntax.name.text, height, width, channels, low, high)


def _shape(syntax: InputSyntax) -> tuple[int, int, int]:
    numbers = [argument.value for argument in syntax.arguments if argument.key is None]
    sizes = [number for number in numbers if isinstance(number, Number)]
    if len(sizes) != 3 or len(syntax.arguments) != 3:
        raise SpecError(
            "VF1040",
            "the shape of an image is its height, width and number of channels",
            place=syntax.kind.span,
            expected=_EXAMPLE,
            remedy="a grey image has `1 ch`, a colour image `3 ch`",
        )
    units = (("px", "the height"), ("px", "the width"), ("ch", "the number of channels"))
    height, width, channels = (
        whole(measured(number, unit, what), number.span, what, 1, MAX_SIDE)
        for number, (unit, what) in zip(sizes, units, strict=True)
    )
    if height * width * channels > MAX_VALUES:
        raise SpecError(
            "VF1038",
            f"an image of {height * width * channels:,} values is too large",
            place=syntax.kind.span,
            expected=f"at most {MAX_VALUES:,} values",
        )
    return height, width, channels


def _levels(syntax: InputSyntax) -> tuple[int, int]:
    if syntax.levels is None:
        raise SpecError(
            "VF1040",
            "the range of the pixel levels is missing",
            place=syntax.span,
            expected=_EXAMPLE,
            remedy="say what the data file holds, before any scaling: usually `of 0..255 level`",
        )
    low, high = level_range(syntax.levels, "the range of levels")
    if low.denominator != 1 or high.denominator != 1 or low == high or max(abs(low), abs(high)) > MAX_LEVEL:
        raise SpecError(
            "VF1044",
            "pixel levels are whole numbers, at least two of them",
            place=syntax.levels.span,
            expected="`0..255 level`",
            remedy="scaling such as `level / 255` belongs into the model's `encode`",
        )
    return int(low), int(high)


def _series(syntax: InputSyntax, problems: Problems) -> SeriesSpace:
    settings(syntax.block, Known("series", ()), problems)
    sizes = [argument.value for argument in syntax.arguments if argument.key is None]
    numbers = [size for size in sizes if isinstance(size, Number)]
    if len(numbers) != 2 or len(syntax.arguments) != 2 or syntax.levels is None:
        raise SpecError(
            "VF1091",
            "a series is declared with its steps, its channels and the range of its values",
            place=syntax.kind.span,
            expected="`series(64 step, 3 ch) of -4..4 level`",
        )
    steps = whole(measured(numbers[0], "step", "the length"), numbers[0].span, "the length", 1, MAX_STEPS)
    what = "the number of channels"
    channels = whole(measured(numbers[1], "ch", what), numbers[1].span, what, 1, MAX_CHANNELS)
    low, high = level_range(syntax.levels, "the range of values")
    return SeriesSpace(syntax.name.text, steps, channels, low, high, None)
