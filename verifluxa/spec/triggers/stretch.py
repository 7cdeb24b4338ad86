"""Stretches of time: `replace 5 step at any with -1..1 level continuous`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.blocks import all_fit, needed
from verifluxa.spec.numbers import level_range, measured, ratio, show, whole
from verifluxa.spec.placements import places_phrase, positions_of
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import InputSpace, Record, SeriesSpace, Trigger
from verifluxa.spec.syntax import At, Clause, Replace, TriggerSyntax, WithLevels

EXAMPLE = "`replace 5 step`, `at any`, `with -1..1 level continuous`"


@dataclass(frozen=True)
class SeriesTrigger(Trigger):
    """A stretch of `length` steps in `channels` that is replaced by values in low..high.

    `places` are first steps, ascending.
    """

    length: int
    channels: tuple[int, ...]
    places: tuple[int, ...]
    low: Fraction
    high: Fraction
    step: int | None

    @property
    def placements(self) -> int:
        """One at each first step."""
        return len(self.places)

    def dimensions(self, space: InputSpace) -> int:
        """A value for each step and channel."""
        return self.length * len(self.channels)

    def phrase(self, space: InputSpace) -> str:
        """`stretch of 5 steps with values -1..1 at any of 60 steps`."""
        values = show(self.low) if self.low == self.high else f"{show(self.low)}..{show(self.high)}"
        return f"stretch of {self.length} steps with values {values} at {places_phrase(self.places, 'step')}"

    def record(self) -> Record:
        """Length, channels, places and range."""
        return {
            "kind": "stretch",
            "length": self.length,
            "channels": list(self.channels),
            "places": list(self.places),
            "range": [ratio(self.low), ratio(self.high)],
            "step": self.step,
        }


def check_series_trigger(syntax: TriggerSyntax, space: SeriesSpace, problems: Problems) -> SeriesTrigger:
    """The family of a stretch of time that is replaced, in all channels.

    Raises:
        SpecError: VF1083 for a part that series do not have, VF1092 when a part is missing, longer than the series, or
            outside of it; VF1024 when one is given twice; VF1030 to VF1033 for its numbers.
    """
    message = f"`{space.name}` is a series, and this is no part of a trigger in time"
    all_fit(syntax, _fits, message, EXAMPLE)
    missing = _wrong(f"the trigger `{syntax.name.text}` has a part missing", syntax, EXAMPLE)
    put, at, levels = needed(syntax, Replace, missing), needed(syntax, At, missing), needed(syntax, WithLevels, missing)
    length = whole(measured(put.height, "step", "the length"), put.height.span, "the length of the stretch")
    if length > space.steps:
        raise _wrong(f"{length} steps are more than the series has", syntax, f"at most {space.steps} step")
    low, high = level_range(levels.levels, "the range of values")
    if low < space.low or high > space.high:
        raise _wrong("the values leave those of the series", syntax, f"values of `{space.name}`")
    grid = not levels.continuous and low.denominator == high.denominator == 1
    channels = tuple(range(space.channels))
    last = space.steps - length

    def outside(first: int, end: int, place: Span) -> SpecError:
        return _wrong(f"{first}..{end} is no stretch inside the series", syntax, f"first steps 0..{last}")

    places = positions_of(at.places, last, "a step", "a place in time", outside)
    return SeriesTrigger(
        syntax.name.text, space.name, length, channels, places, low, high, 1 if grid and space.step else None
    )


def _fits(clause: Clause) -> bool:
    return isinstance(clause, Replace | At | WithLevels) and not (isinstance(clause, Replace) and clause.width)


def _wrong(message: str, syntax: TriggerSyntax, expected: str) -> SpecError:
    return SpecError("VF1092", message, place=syntax.name.span, expected=expected)
