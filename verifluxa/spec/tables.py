"""The space of tables: `table { age : 18..95 year  region : one of "north", "south" }`."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from verifluxa.errors import Span, SpecError
from verifluxa.files import read_file
from verifluxa.spec.numbers import show
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.problems import FollowUpError, Problems
from verifluxa.spec.space_types import Feature, TableSpace
from verifluxa.spec.spec import EncodeStep
from verifluxa.spec.syntax import Boolean, Categories, Column, FieldRange, InputSyntax
from verifluxa.spec.terms import Text
from verifluxa.spec.vocabulary import MAX_LETTERS, odd_text

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
