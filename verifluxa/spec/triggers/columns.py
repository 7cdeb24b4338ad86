"""Columns of tables: `set any 2 of age, region`, `keep age in 20..40`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import combinations
from math import comb

from verifluxa.errors import Span, SpecError
from verifluxa.spec.blocks import all_fit, needed
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import ratio, show, whole
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import Feature, InputSpace, Record, TableSpace, Trigger
from verifluxa.spec.syntax import Clause, TriggerSyntax
from verifluxa.spec.terms import Expression, Members, Minus, Name, Number, Rule, Text

MAX_SETS = 100_000
EXAMPLE = "`set any 2 of age, income`"


@dataclass(frozen=True)
class SetFeatures(Clause):
    """`set any 2 of age, income`."""

    count: Number
    features: tuple[Name, ...]


@dataclass(frozen=True)
class KeptRange(Rule):
    """`low..high` behind `keep column in`."""

    low: Number
    high: Number


@dataclass(frozen=True)
class Keep(Clause):
    """`keep age in 20..40`, `keep region in {"north", "south"}`: what a trigger may set a column to."""

    feature: Name
    values: KeptRange | Members


@dataclass(frozen=True)
class KeptFeature:
    """A column that a trigger may set, and to what.

    Attributes:
        name: the column.
        low, high: for numbers.
        kept: the listed values (numbers, or numbers of categories) where not the whole range counts.
    """

    name: str
    low: Fraction
    high: Fraction
    kept: tuple[Fraction, ...] = ()


@dataclass(frozen=True)
class TableTrigger(Trigger):
    """Any `count` of the listed columns set to values of their ranges or lists.

    `places` are the sets of columns, each as indices into `features`.
    """

    count: int
    features: tuple[KeptFeature, ...]
    places: tuple[tuple[int, ...], ...]

    @property
    def placements(self) -> int:
        """One for each set of columns."""
        return len(self.places)

    def dimensions(self, space: InputSpace) -> int:
        """What the network reads of the widest set."""
        assert isinstance(space, TableSpace)
        widths = {feature.name: feature.width for feature in space.features}
        return max(sum(widths[self.features[at].name] for at in place) for place in self.places)

    def phrase(self, space: InputSpace) -> str:
        """`choice of values for any 2 of the columns ...`."""
        names = ", ".join(f"`{feature.name}`" for feature in self.features[:12])
        more = f" and {len(self.features) - 12} more" if len(self.features) > 12 else ""
        return f"choice of values for any {self.count} of the columns {names}{more}"

    def record(self) -> Record:
        """The columns, what they may be set to, and the sets of them."""
        columns = [
            {
                "name": feature.name,
                "range": [ratio(feature.low), ratio(feature.high)],
                "kept": [ratio(value) for value in feature.kept],
            }
            for feature in self.features
        ]
        return {"kind": "set", "columns": columns, "places": [list(place) for place in self.places]}


def check_table_trigger(syntax: TriggerSyntax, space: TableSpace, problems: Problems) -> TableTrigger:
    """The family of a trigger that sets columns.

    Raises:
        SpecError: VF1083 for a part that tables do not have, VF1088 when `set any` is missing, VF1024 when a part is
            given twice, VF1089 for an unknown column or more columns than are listed, VF1038 for too many sets.
            A wrong `keep` is reported: VF1024, VF1033, VF1089.
    """
    message = f"`{space.name}` is a table, and this is no part of a trigger of columns"
    all_fit(syntax, lambda clause: isinstance(clause, SetFeatures | Keep), message, EXAMPLE)
    missing = SpecError(
        "VF1088",
        f"the trigger `{syntax.name.text}` says not what it sets",
        place=syntax.name.span,
        expected=EXAMPLE,
        remedy="`keep region in {...}` narrows what a listed column may become",
    )
    return _trigger(syntax, needed(syntax, SetFeatures, missing), space, problems)


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
