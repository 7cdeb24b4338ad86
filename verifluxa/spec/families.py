"""Spaces and trigger families that are no images: in words, in records for digests, and their size."""

from __future__ import annotations

from fractions import Fraction

from verifluxa.spec.numbers import show
from verifluxa.spec.space_types import (
    Feature,
    KeptFeature,
    SeriesSpace,
    SeriesTrigger,
    SynonymTrigger,
    TableSpace,
    TableTrigger,
    TokenSpace,
    WordTrigger,
)

Record = dict[str, object]
OtherSpace = TokenSpace | TableSpace | SeriesSpace
OtherTrigger = WordTrigger | SynonymTrigger | TableTrigger | SeriesTrigger


def space_record(space: OtherSpace) -> Record:
    """What a property digest holds of a space: all that decides what an input is."""
    match space:
        case TokenSpace():
            return {
                "kind": "tokens",
                "length": space.length,
                "vocabulary": space.vocab_sha256,
                "pad": space.pad,
                "unknown": space.unknown,
                "truncate": space.truncate,
            }
        case TableSpace():
            return {"kind": "table", "columns": [_column(feature) for feature in space.features]}
        case SeriesSpace():
            sizes = {"steps": space.steps, "channels": space.channels}
            return {"kind": "series", **sizes, "range": _range(space.low, space.high), "step": space.step}


def trigger_record(trigger: OtherTrigger) -> Record:
    """What a property digest holds of a trigger family."""
    match trigger:
        case WordTrigger():
            return {
                "kind": "append" if trigger.appends else "insert" if trigger.inserts else "replace",
                "count": trigger.count,
                "places": list(trigger.places),
                "words": list(trigger.words),
            }
        case SynonymTrigger():
            return {"kind": "synonyms", "sets": [list(words) for words in trigger.sets]}
        case TableTrigger():
            return {
                "kind": "set",
                "columns": [_kept(feature) for feature in trigger.features],
                "places": [list(place) for place in trigger.places],
            }
        case SeriesTrigger():
            return {
                "kind": "stretch",
                "length": trigger.length,
                "channels": list(trigger.channels),
                "places": list(trigger.places),
                "range": _range(trigger.low, trigger.high),
                "step": trigger.step,
            }


def _range(low: Fraction, high: Fraction) -> list[str]:
    return [f"{end.numerator}/{end.denominator}" for end in (low, high)]


def _column(feature: Feature) -> Record:
    record: Record = {"name": feature.name, "range": _range(feature.low, feature.high), "step": feature.step}
    return record | {"unit": feature.unit, "categories": list(feature.items), "bool": feature.boolean}


def _kept(feature: KeptFeature) -> Record:
    kept = [f"{value.numerator}/{value.denominator}" for value in feature.kept]
    return {"name": feature.name, "range": _range(feature.low, feature.high), "kept": kept}


def family_words(trigger: OtherTrigger, space: OtherSpace) -> str:
    """A trigger family in plain words, as they stand behind `no single`."""
    match trigger:
        case WordTrigger():
            what = "word" if trigger.count == 1 else f"sequence of {trigger.count} words"
            if trigger.appends:
                return f"{what} out of {len(trigger.words):,}, appended to the text,"
            verb = "inserted" if trigger.inserts else "put in place of others"
            return f"{what} out of {len(trigger.words):,}, {verb} at {_positions(trigger.places, 'position')},"
        case SynonymTrigger():
            return f"word, of {len(trigger.places):,} in {len(trigger.sets):,} sets, replaced throughout by a synonym,"
        case TableTrigger():
            names = ", ".join(f"`{feature.name}`" for feature in trigger.features[:12])
            more = f" and {len(trigger.features) - 12} more" if len(trigger.features) > 12 else ""
            return f"choice of values for any {trigger.count} of the columns {names}{more}"
        case SeriesTrigger():
            values = show(trigger.low) if trigger.low == trigger.high else f"{show(trigger.low)}..{show(trigger.high)}"
            places = _positions(trigger.places, "step")
            return f"stretch of {trigger.length} steps with values {values} at {places}"


def _positions(places: tuple[int, ...], word: str) -> str:
    return f"{word} {places[0]}" if len(places) == 1 else f"any of {len(places):,} {word}s"


def dimensions(trigger: OtherTrigger, space: OtherSpace) -> int:
    """Free values of a trigger at one place; the most, where places differ."""
    if isinstance(trigger, WordTrigger):
        return trigger.count
    if isinstance(trigger, SynonymTrigger):
        return 1
    if isinstance(trigger, SeriesTrigger):
        return trigger.length * len(trigger.channels)
    assert isinstance(space, TableSpace)
    widths = {feature.name: feature.width for feature in space.features}
    return max(sum(widths[trigger.features[at].name] for at in place) for place in trigger.places)
