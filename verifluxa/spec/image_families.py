"""Trigger families on images: in words, in records for digests, and their size."""

from __future__ import annotations

import hashlib
from fractions import Fraction

from verifluxa.spec.image_types import Free, Patterns, Picture, StampTrigger, Values
from verifluxa.spec.numbers import percent, show
from verifluxa.spec.spec import ImageSpace, PatchTrigger

Record = dict[str, object]
ImageTrigger = PatchTrigger | StampTrigger


def image_record(trigger: ImageTrigger) -> Record:
    """What a property digest holds of a family."""
    if isinstance(trigger, PatchTrigger):
        return {
            "kind": "patch",
            "size": [trigger.height, trigger.width],
            "places": [list(place) for place in trigger.places],
            "levels": [_exact(trigger.low), _exact(trigger.high)],
            "step": trigger.step,
        }
    varies: Record = {} if trigger.opacity is None else {"opacity": [_exact(end) for end in trigger.opacity]}
    return varies | {
        "kind": trigger.verb,
        "pixels": [list(pixel) for pixel in trigger.pixels],
        "places": [[list(place) for place in group] for group in trigger.places],
        "values": _values(trigger.values),
        "opacities": [_exact(value) for value in trigger.opacities],
        "weights": _listed(trigger.weights),
        "clip": trigger.clip,
    }


def _exact(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _listed(values: tuple[Fraction, ...]) -> str:
    """Long lists by their sha256."""
    return "sha256:" + hashlib.sha256(" ".join(map(_exact, values)).encode("ascii")).hexdigest() if values else ""


def _values(values: Values) -> Record:
    match values:
        case Free():
            return {"levels": [_exact(values.low), _exact(values.high)], "step": values.step}
        case Picture():
            return {"picture": _listed(tuple(map(Fraction, values.levels)))}
        case Patterns():
            amplitudes: Record = {"levels": [_exact(values.low), _exact(values.high)], "step": values.step}
            return amplitudes | {"patterns": [_listed(pattern) for pattern in values.patterns]}


def image_dimensions(trigger: ImageTrigger, space: ImageSpace) -> int:
    """Values of a trigger at one place; the most, where places differ."""
    if isinstance(trigger, PatchTrigger):
        return trigger.height * trigger.width * space.channels
    varies = int(trigger.opacity is not None)
    match trigger.values:
        case Picture():
            return varies
        case Patterns(patterns=patterns):
            own = len(patterns)
        case Free():
            own = len(trigger.pixels) * space.channels
    return varies + own * max(len(group) for group in trigger.places)


def image_words(trigger: ImageTrigger, space: ImageSpace) -> str:
    """A family in plain words, as they stand behind `no single`."""
    if isinstance(trigger, PatchTrigger):
        size = f"{trigger.height} x {trigger.width} px patch"
        return f"{size} {_levels(trigger.low, trigger.high, trigger.step)} at {_patch_places(trigger, space)}"
    return f"{_what(trigger, space)} {_range(trigger)}{_how(trigger)} {_stamp_places(trigger, space)}"


def _levels(low: Fraction, high: Fraction, step: int | None) -> str:
    if low == high:
        return f"of level {show(low)}"
    return f"of {'any level' if step is None else 'whole levels'} {show(low)}..{show(high)}"


def _patch_places(trigger: PatchTrigger, space: ImageSpace) -> str:
    everywhere = (space.height - trigger.height + 1) * (space.width - trigger.width + 1)
    if len(trigger.places) == 1:
        return f"place {trigger.places[0]}"
    if len(trigger.places) == everywhere:
        return f"any of all {everywhere:,} places"
    return f"any of {len(trigger.places):,} places"


def _what(trigger: StampTrigger, space: ImageSpace) -> str:
    kind = "perturbation" if trigger.verb == "add" else "stamp"
    height, width = trigger.box
    if trigger.is_rectangle:
        whole = (height, width) == (space.height, space.width)
        return f"{kind} of the whole image" if whole else f"{height} x {width} px {kind}"
    return f"{kind} of {len(trigger.pixels)} listed pixels"


def _range(trigger: StampTrigger) -> str:
    match trigger.values:
        case Free(low=low, high=high, step=step):
            return _levels(low, high, step)
        case Picture():
            return "with the known picture"
        case Patterns(patterns=patterns, low=low, high=high):
            count = f"{len(patterns)} patterns" if len(patterns) > 1 else "the pattern"
            return f"that is {count} times {show(low)}..{show(high)} levels"


def _how(trigger: StampTrigger) -> str:
    words = []
    if trigger.opacities != (Fraction(1),):
        words.append("blended in at " + " or ".join(percent(value) for value in trigger.opacities[:5]))
    if trigger.opacity is not None:
        words.append("blended in at any opacity of " + " to ".join(percent(end) for end in trigger.opacity))
    if trigger.weights:
        words.append("through a mask")
    if trigger.clip:
        words.append("clipped to the legal levels")
    return ", " + ", ".join(words) + "," if words else ""


def _stamp_places(trigger: StampTrigger, space: ImageSpace) -> str:
    if len(trigger.places) > 1:
        return f"at any of {len(trigger.places):,} places"
    if trigger.is_rectangle and trigger.box == (space.height, space.width):
        return "everywhere"
    return "at place " + " and ".join(map(str, trigger.places[0]))
