"""The plain patch: `trigger patch : digit { replace 3 px x 3 px at any with 0..255 level }`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

from verifluxa.errors import SpecError
from verifluxa.spec.blocks import needed
from verifluxa.spec.numbers import level_range, ratio, show
from verifluxa.spec.placements import EXAMPLE, Room, among, image_clauses, places_of, size_of
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import ImageSpace, InputSpace, Record, Trigger
from verifluxa.spec.syntax import At, Replace, TriggerSyntax, WithLevels
from verifluxa.spec.terms import Places


@dataclass(frozen=True)
class PatchTrigger(Trigger):
    """A `height` x `width` patch that replaces pixels, all channels.

    Attributes:
        places: top-left pixels (row, column), in row-major order, each once.
        low, high: the range of each level.
        step: 1 on the grid of integer levels, None where `continuous`.
    """

    height: int
    width: int
    places: tuple[tuple[int, int], ...]
    low: Fraction
    high: Fraction
    step: int | None

    @property
    def placements(self) -> int:
        """One at each place."""
        return len(self.places)

    def dimensions(self, space: InputSpace) -> int:
        """A level for each pixel and channel."""
        assert isinstance(space, ImageSpace)
        return self.height * self.width * space.channels

    def phrase(self, space: InputSpace) -> str:
        """`3 x 3 px patch of whole levels 0..255 at any of all 676 places`."""
        assert isinstance(space, ImageSpace)
        size = f"{self.height} x {self.width} px patch"
        everywhere = (space.height - self.height + 1) * (space.width - self.width + 1)
        places = f"any of {'all ' * (len(self.places) == everywhere)}{len(self.places):,} places"
        where = f"place {self.places[0]}" if len(self.places) == 1 else places
        return f"{size} {levels_phrase(self.low, self.high, self.step)} at {where}"

    def record(self) -> Record:
        """Its size, places and range."""
        return {
            "kind": "patch",
            "size": [self.height, self.width],
            "places": [list(place) for place in self.places],
            "levels": [ratio(self.low), ratio(self.high)],
            "step": self.step,
        }

    def narrowed(self, places: Places, space: InputSpace, problems: Problems) -> Self:
        """At some of its places; VF1042 for another one."""
        assert isinstance(space, ImageSpace)
        wanted = places_of(places, Room.of(self.height, self.width, space), problems)
        among(set(wanted) - set(self.places), self.name, places)
        return replace(self, places=wanted)

    def puts_levels(self, space: InputSpace) -> bool:
        """Always: its levels are those of the space."""
        return True


def levels_phrase(low: Fraction, high: Fraction, step: int | None) -> str:
    """A range of levels in plain words."""
    if low == high:
        return f"of level {show(low)}"
    return f"of {'any level' if step is None else 'whole levels'} {show(low)}..{show(high)}"


def check_patch(syntax: TriggerSyntax, space: ImageSpace, problems: Problems) -> PatchTrigger:
    """The family of a declaration.

    Raises:
        SpecError: VF1083 for a part that images do not have, VF1045 when a part is missing, VF1024 when one is given
            twice, VF1041 when the patch is larger than the image, VF1042 and VF1043 for its places, VF1044 when
            its levels are not levels of the space, VF1030 to VF1033 for its numbers.
    """
    image_clauses(syntax, (Replace, At, WithLevels))
    size = needed(syntax, Replace, _missing(syntax, "replace", "`replace 3 px x 3 px`"))
    height, width = _size(size, space)
    at = needed(syntax, At, _missing(syntax, "at", "`at any`, `at corners` or `at (24, 24)`"))
    levels = needed(syntax, WithLevels, _missing(syntax, "with", f"`with {space.low}..{space.high} level`"))
    low, high = legal_levels(levels, space)
    return PatchTrigger(
        name=syntax.name.text,
        space=space.name,
        height=height,
        width=width,
        places=places_of(at.places, Room.of(height, width, space), problems),
        low=low,
        high=high,
        step=None if levels.continuous else 1,
    )


def _missing(syntax: TriggerSyntax, word: str, example: str) -> SpecError:
    return SpecError(
        "VF1045",
        f"the trigger `{syntax.name.text}` has no `{word}`",
        place=syntax.name.span,
        expected=example,
        remedy=f"a patch has three parts: {EXAMPLE}",
    )


def _size(clause: Replace, space: ImageSpace) -> tuple[int, int]:
    if clause.width is None:
        raise SpecError(
            "VF1045",
            "the patch has a height and no width",
            place=clause.span,
            expected=f"`replace {clause.height.text} px x {clause.height.text} px`",
        )
    return size_of(clause.height, clause.width, clause.span, space)


def legal_levels(clause: WithLevels, space: ImageSpace) -> tuple[Fraction, Fraction]:
    """The ends of `with low..high level`, levels of the space.

    Raises:
        SpecError: VF1044 when they are not, VF1030, VF1031 and VF1033 for the numbers.
    """
    low, high = level_range(clause.levels, "the range of a patch's levels")
    if low < space.low or high > space.high:
        raise SpecError(
            "VF1044",
            f"the levels {clause.levels.low.text}..{clause.levels.high.text} leave those of `{space.name}`",
            place=clause.levels.span,
            expected=f"within {space.low}..{space.high} level",
            remedy="levels are those of the data file, before `encode`",
        )
    if not clause.continuous and (low.denominator != 1 or high.denominator != 1):
        raise SpecError(
            "VF1044",
            "levels are whole numbers here",
            place=clause.levels.span,
            expected=f"whole numbers within {space.low}..{space.high}, or `continuous` behind the range",
        )
    return low, high
