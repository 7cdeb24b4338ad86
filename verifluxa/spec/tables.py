"""Tables: `table { age : 18..95 year  region : one of "north", "south" }`, `set any 2 of age, region`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fractions import Fraction
from functools import partial
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

from verifluxa.errors import Span, SpecError
from verifluxa.files import read_file
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import show
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.problems import FollowUpError, Problems
from verifluxa.spec.space_types import Feature, KeptFeature, TableSpace, TableTrigger
from verifluxa.spec.spec import EncodeStep
from verifluxa.spec.syntax import (
    Boolean,
    Categories,
    Column,
    FieldRange,
    InputSyntax,
    Keep,
    KeptRange,
    SetFeatures,
    TriggerSyntax,
)
from verifluxa.spec.terms import Expression, Minus, Name, Number, Text
from verifluxa.spec.units import whole
from verifluxa.spec.vocabulary import MAX_LETTERS, odd_text

MAX_COLUMNS = 1024
MAX_SETS = 100_000
MAX_SCALER = 2**22
LARGEST = 2**24
"""Up to here whole numbers are exact in float32."""
EXAMPLE = '`table { age : 18..95 year  region : one of "north", "south"  member : bool }`'
_TRIGGER = "`set any 2 of age, income`"


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


def check_table_trigger(syntax: TriggerSyntax, space: TableSpace, problems: Problems) -> TableTrigger:
    """The family of a trigger that sets columns.

    Raises:
        SpecError: VF1083 for a part that tables do not have, VF1088 when `set any` is missing, VF1024 when a part is
            given twice, VF1089 for an unknown column or more columns than are listed, VF1038 for too many sets.
            A wrong `keep` is reported: VF1024, VF1033, VF1089.
    """
    for clause in syntax.clauses:
        if not isinstance(clause, SetFeatures | Keep):
            raise SpecError(
                "VF1083",
                f"`{space.name}` is a table, and this is no part of a trigger of columns",
                place=clause.span,
                expected=_TRIGGER,
            )
    found = [clause for clause in syntax.clauses if isinstance(clause, SetFeatures)]
    if not found:
        raise SpecError(
            "VF1088",
            f"the trigger `{syntax.name.text}` says not what it sets",
            place=syntax.name.span,
            expected=_TRIGGER,
            remedy="`keep region in {...}` narrows what a listed column may become",
        )
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    return _trigger(syntax, found[0], space, problems)


def _trigger(syntax: TriggerSyntax, clause: SetFeatures, space: TableSpace, problems: Problems) -> TableTrigger:
    features = {feature.name: feature for feature in space.features}
    listed: list[str] = []
    for name in clause.features:
        _known(name, features, f"a column of `{space.name}`")
        if name.text in listed:
            raise SpecError("VF1089", f"the column `{name.text}` is listed twice", place=name.span)
        listed.append(name.text)
    count = whole(clause.count.value, clause.count.span, "the number of columns", 1)
    if count > len(listed):
        raise SpecError(
            "VF1089",
            f"`set any {count}` of {len(listed)} columns",
            place=clause.span,
            expected=f"at most {len(listed)}, or more columns behind `of`",
        )
    if comb(len(listed), count) > MAX_SETS:
        raise SpecError(
            "VF1038",
            f"{comb(len(listed), count):,} sets of columns are too many",
            place=clause.span,
            expected=f"at most {MAX_SETS:,}",
        )
    kept: dict[str, KeptFeature] = {}
    for keep in (part for part in syntax.clauses if isinstance(part, Keep)):
        narrowed = problems.attempt(partial(_keep, keep, features, listed, kept))
        if narrowed is not None:
            kept[narrowed.name] = narrowed
    whole_ranges = {name: KeptFeature(name, features[name].low, features[name].high) for name in listed}
    chosen = tuple(kept.get(name, whole_ranges[name]) for name in listed)
    return TableTrigger(syntax.name.text, space.name, count, chosen, tuple(combinations(range(len(listed)), count)))


def _known(name: Name, names: Iterable[str], what: str) -> None:
    known = list(names)
    if name.text not in known:
        raise SpecError(
            "VF1089",
            f"`{name.text}` is not {what}",
            place=name.span,
            expected=", ".join(f"`{other}`" for other in known[:12]) + (", ..." if len(known) > 12 else ""),
            remedy=did_you_mean(name.text, known),
        )


def _keep(clause: Keep, features: dict[str, Feature], listed: list[str], kept: dict[str, KeptFeature]) -> KeptFeature:
    _known(clause.feature, listed, "a column that the trigger sets")
    name = clause.feature.text
    if name in kept:
        raise SpecError("VF1024", f"`keep {name}` is given twice", place=clause.span)
    feature = features[name]
    if isinstance(clause.values, KeptRange):
        return _kept_range(clause.values, feature)
    values = {_value(item, feature) for item in clause.values.items}
    if not values:
        raise SpecError("VF1089", f"no value of `{name}` is left", place=clause.span)
    return KeptFeature(name, feature.low, feature.high, tuple(sorted(values)))


def _kept_range(values: KeptRange, feature: Feature) -> KeptFeature:
    low, high = values.low.value, values.high.value
    fits = feature.low <= low <= high <= feature.high
    if feature.items or not fits or (feature.step is not None and (low.denominator, high.denominator) != (1, 1)):
        raise _no_value(values.span, f"{values.low.text}..{values.high.text}", feature)
    return KeptFeature(feature.name, low, high)


def _value(item: Expression, feature: Feature) -> Fraction:
    if feature.items:
        if isinstance(item, Text) and item.value in feature.items:
            return Fraction(feature.items.index(item.value))
        raise _no_value(item.span, item.value if isinstance(item, Text) else "this", feature)
    number = item.operand if isinstance(item, Minus) else item
    if not isinstance(number, Number) or number.unit is not None:
        raise _no_value(item.span, "this", feature)
    value = -number.value if isinstance(item, Minus) else number.value
    if not feature.low <= value <= feature.high or (feature.step is not None and value.denominator != 1):
        raise _no_value(item.span, number.text, feature)
    return value


def _no_value(place: Span, text: str, feature: Feature) -> SpecError:
    if feature.items:
        expected = "one of " + ", ".join(f'"{item}"' for item in feature.items[:12])
        remedy = did_you_mean(text, feature.items)
    else:
        kind = "a number" if feature.step is None else "a whole number"
        expected, remedy = f"{kind} in {show(feature.low)}..{show(feature.high)}", None
    return SpecError("VF1089", f"`{feature.name}` is never {text}", place=place, expected=expected, remedy=remedy)


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
