"""Series in time: `series(64 step, 3 ch) of -4..4 level`, `replace 5 step at any with -1..1 level continuous`."""

from __future__ import annotations

from verifluxa.errors import SpecError
from verifluxa.spec.blocks import Known, settings
from verifluxa.spec.problems import Problems
from verifluxa.spec.space_types import SeriesSpace, SeriesTrigger
from verifluxa.spec.syntax import At, InputSyntax, Replace, TriggerSyntax, WithLevels
from verifluxa.spec.terms import Anywhere, Number, Positions
from verifluxa.spec.units import level_range, measured, whole

MAX_STEPS, MAX_CHANNELS = 65_536, 4096
EXAMPLE = "`series(64 step, 3 ch) of -4..4 level`"
_TRIGGER = "`replace 5 step`, `at any`, `with -1..1 level continuous`"


def check_series(syntax: InputSyntax, problems: Problems) -> SeriesSpace:
    """The space of a series; its values are any numbers of the range.

    Raises:
        SpecError: VF1091 when its shape is not steps and channels, or the range is missing; VF1030 to VF1033 and VF1038
            for its numbers.
    """
    settings(syntax.block, Known("series", ()), problems)
    sizes = [argument.value for argument in syntax.arguments if argument.key is None]
    numbers = [size for size in sizes if isinstance(size, Number)]
    if len(numbers) != 2 or len(syntax.arguments) != 2 or syntax.levels is None:
        raise SpecError(
            "VF1091",
            "a series is declared with its steps, its channels and the range of its values",
            place=syntax.kind.span,
            expected=EXAMPLE,
        )
    steps = whole(measured(numbers[0], "step", "the length"), numbers[0].span, "the length", 1, MAX_STEPS)
    what = "the number of channels"
    channels = whole(measured(numbers[1], "ch", what), numbers[1].span, what, 1, MAX_CHANNELS)
    low, high = level_range(syntax.levels, "the range of values")
    return SeriesSpace(syntax.name.text, steps, channels, low, high, None)


def check_series_trigger(syntax: TriggerSyntax, space: SeriesSpace, problems: Problems) -> SeriesTrigger:
    """The family of a stretch of time that is replaced, in all channels.

    Raises:
        SpecError: VF1083 for a part that series do not have, VF1092 when a part is missing, longer than the series, or
            outside of it; VF1024 when one is given twice; VF1030 to VF1033 for its numbers.
    """
    for clause in syntax.clauses:
        if not isinstance(clause, Replace | At | WithLevels) or (isinstance(clause, Replace) and clause.width):
            raise SpecError(
                "VF1083",
                f"`{space.name}` is a series, and this is no part of a trigger in time",
                place=clause.span,
                expected=_TRIGGER,
            )
    put, at, levels = (_only(syntax, kind) for kind in (Replace, At, WithLevels))
    assert isinstance(put, Replace)
    assert isinstance(at, At)
    assert isinstance(levels, WithLevels)
    length = whole(measured(put.height, "step", "the length"), put.height.span, "the length of the stretch")
    if length > space.steps:
        raise _wrong(f"{length} steps are more than the series has", syntax, f"at most {space.steps} step")
    low, high = level_range(levels.levels, "the range of values")
    if low < space.low or high > space.high:
        raise _wrong("the values leave those of the series", syntax, f"values of `{space.name}`")
    grid = not levels.continuous and low.denominator == high.denominator == 1
    channels = tuple(range(space.channels))
    places = _places(at, space.steps - length, syntax)
    return SeriesTrigger(
        syntax.name.text, space.name, length, channels, places, low, high, 1 if grid and space.step else None
    )


def _only(syntax: TriggerSyntax, kind: type) -> object:
    found = [clause for clause in syntax.clauses if isinstance(clause, kind)]
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    if not found:
        raise _wrong(f"the trigger `{syntax.name.text}` has a part missing", syntax, _TRIGGER)
    return found[0]


def _places(at: At, last: int, syntax: TriggerSyntax) -> tuple[int, ...]:
    if isinstance(at.places, Anywhere):
        return tuple(range(last + 1))
    if not isinstance(at.places, Positions):
        raise SpecError(
            "VF1083", "a place in time is one number", place=at.places.span, expected="`at any`, `at positions 0, 3..5`"
        )
    found: set[int] = set()
    for steps in at.places.ranges:
        first = whole(steps.first.value, steps.first.span, "a step", 0)
        end = first if steps.last is None else whole(steps.last.value, steps.last.span, "a step", 0)
        step = 1 if steps.step is None else whole(steps.step.value, steps.step.span, "a step")
        if end < first or end > last:
            raise _wrong(f"{first}..{end} is no stretch inside the series", syntax, f"first steps 0..{last}")
        found |= set(range(first, end + 1, step))
    return tuple(sorted(found))


def _wrong(message: str, syntax: TriggerSyntax, expected: str) -> SpecError:
    return SpecError("VF1092", message, place=syntax.name.span, expected=expected)
