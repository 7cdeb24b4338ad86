"""Triggers: `trigger patch : digit { replace 3 px x 3 px at any with 0..255 level }`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, TypeVar, cast

from verifluxa.errors import Span, SpecError
from verifluxa.spec.clause_syntax import OneOf, Probes, Reword
from verifluxa.spec.image_types import Picture, StampTrigger
from verifluxa.spec.known import check_probes
from verifluxa.spec.names import Table, same_space
from verifluxa.spec.placements import Room, places_of
from verifluxa.spec.problems import Problems
from verifluxa.spec.series import check_series_trigger
from verifluxa.spec.space_types import SeriesSpace, TableSpace, TokenSpace
from verifluxa.spec.spec import ImageSpace, InputSpace, PatchTrigger, SingleTrigger, Trigger, UnionTrigger
from verifluxa.spec.stamps import check_stamp, is_plain
from verifluxa.spec.synonyms import check_synonyms, is_rewording
from verifluxa.spec.syntax import (
    At,
    Clause,
    FromList,
    Insert,
    Keep,
    Replace,
    SetFeatures,
    TriggerSyntax,
    WithLevels,
)
from verifluxa.spec.tables import check_table_trigger
from verifluxa.spec.tokens import check_word_trigger
from verifluxa.spec.units import level_range, measured, whole

Part = TypeVar("Part", Replace, At, WithLevels)

_WORDS = ("token", "tokens")
_EXAMPLE = "`replace 3 px x 3 px`, `at any`, `with 0..255 level`"


class Size(NamedTuple):
    """Height and width of a patch in pixels."""

    height: int
    width: int


def check_trigger(syntax: TriggerSyntax, space: InputSpace, problems: Problems) -> Trigger:
    """The trigger family of a declaration, by its space; see the checks of each kind.

    Raises:
        SpecError: what is wrong with it.
    """
    match space:
        case TokenSpace() if is_rewording(syntax):
            return check_synonyms(syntax, space, problems)
        case TokenSpace():
            return check_word_trigger(syntax, space, problems)
        case TableSpace():
            return check_table_trigger(syntax, space, problems)
        case SeriesSpace():
            return check_series_trigger(syntax, space, problems)
        case ImageSpace() if any(isinstance(clause, Probes) for clause in syntax.clauses):
            return check_probes(syntax, space, problems)
        case ImageSpace():
            _is_image_trigger(syntax)
            plain = is_plain(syntax)
            return check_patch(syntax, space, problems) if plain else check_stamp(syntax, space, problems)


def is_union(syntax: TriggerSyntax) -> bool:
    """Whether a trigger is one of several families."""
    return any(isinstance(clause, OneOf) for clause in syntax.clauses)


def check_union(
    syntax: TriggerSyntax, space: InputSpace, table: Table, known: Mapping[str, Trigger | None]
) -> UnionTrigger:
    """The union of families that are declared on their own.

    Args:
        syntax: the declaration.
        space: its input space.
        table: what each name of the file is.
        known: the families that are no unions.

    Raises:
        SpecError: VF1057 for other clauses beside `one of`, a family that is named twice or is a union itself, and
            families that are clipped beside such that are not; VF1066 for a family of another space; VF1020, VF1022.
    """
    if len(syntax.clauses) > 1:
        raise _not_joined("`one of` and other clauses do not go together", syntax.clauses[1].span)
    only = syntax.clauses[0]
    assert isinstance(only, OneOf)
    members: list[SingleTrigger] = []
    for name in only.names:
        found = cast(Trigger, table.find(name, "trigger", known))
        if isinstance(found, UnionTrigger) or found in members:
            raise _not_joined(f"`{name.text}` is a union itself, or named twice", name.span)
        same_space(space.name, found.space, f"the trigger `{syntax.name.text}`", name.span)
        members.append(found)
    if len({_leaves_the_range(member, space) for member in members}) > 1 and any(map(_clips, members)):
        raise _not_joined("some of these are clipped and others are not", only.span)
    return UnionTrigger(syntax.name.text, space.name, tuple(members))


def _clips(member: SingleTrigger) -> bool:
    return isinstance(member, StampTrigger) and member.clip


def _leaves_the_range(member: SingleTrigger, space: InputSpace) -> bool:
    """Whether a clip behind the stamp would change what the family says."""
    if not isinstance(member, StampTrigger) or member.clip or not isinstance(space, ImageSpace):
        return False
    values = member.values
    ends = (min(values.levels), max(values.levels)) if isinstance(values, Picture) else (values.low, values.high)
    return member.verb == "add" or ends[0] < space.low or ends[1] > space.high


def _not_joined(what: str, place: Span) -> SpecError:
    return SpecError(
        "VF1057", what, place=place, expected="`one of patch, wave`", remedy="give each family a trigger of its own"
    )


def check_patch(syntax: TriggerSyntax, space: ImageSpace, problems: Problems) -> PatchTrigger:
    """The family of a declaration.

    Raises:
        SpecError: VF1045 when a part is missing, VF1024 when one is given twice,
            VF1041 when the patch is larger than the image, VF1042 and VF1043 for its places, VF1044 when
            its levels are not levels of the space, VF1030 to VF1033 for its numbers.
    """
    size = _size(_only(syntax, Replace, "replace", "`replace 3 px x 3 px`"), space)
    at = _only(syntax, At, "at", "`at any`, `at corners` or `at (24, 24)`")
    levels = _only(syntax, WithLevels, "with", f"`with {space.low}..{space.high} level`")
    low, high = _levels(levels, space)
    return PatchTrigger(
        name=syntax.name.text,
        space=space.name,
        height=size.height,
        width=size.width,
        places=places_of(at.places, room(size, space), problems),
        low=low,
        high=high,
        step=None if levels.continuous else 1,
    )


def room(size: Size, space: ImageSpace) -> Room:
    """Where a patch of this size is inside the image."""
    return Room(space.height - size.height, space.width - size.width)


def _is_image_trigger(syntax: TriggerSyntax) -> None:
    for clause in syntax.clauses:
        words = isinstance(clause, Replace) and clause.width is None and clause.height.unit is not None
        if isinstance(clause, Insert | FromList | SetFeatures | Keep | Reword):
            raise _no_image(clause)
        if words and isinstance(clause, Replace) and str(clause.height.unit and clause.height.unit.text) in _WORDS:
            raise _no_image(clause)


def _no_image(clause: Clause) -> SpecError:
    return SpecError(
        "VF1083",
        "the trigger is declared for images, and this is no part of an image trigger",
        place=clause.span,
        expected=_EXAMPLE,
    )


def _only(syntax: TriggerSyntax, kind: type[Part], word: str, example: str) -> Part:
    found = [clause for clause in syntax.clauses if isinstance(clause, kind)]
    if not found:
        raise SpecError(
            "VF1045",
            f"the trigger `{syntax.name.text}` has no `{word}`",
            place=syntax.name.span,
            expected=example,
            remedy=f"a patch has three parts: {_EXAMPLE}",
        )
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    return found[0]


def _size(clause: Replace, space: ImageSpace) -> Size:
    if clause.width is None:
        raise SpecError(
            "VF1045",
            "the patch has a height and no width",
            place=clause.span,
            expected=f"`replace {clause.height.text} px x {clause.height.text} px`",
        )
    size = Size(
        whole(measured(clause.height, "px", "the height of a patch"), clause.height.span, "the height of a patch"),
        whole(measured(clause.width, "px", "the width of a patch"), clause.width.span, "the width of a patch"),
    )
    if size.height > space.height or size.width > space.width:
        raise SpecError(
            "VF1041",
            f"a patch of {size.height} x {size.width} px is larger than the image",
            place=clause.span,
            expected=f"at most {space.height} x {space.width} px, the size of `{space.name}`",
            remedy="the first number is the height, the second the width",
        )
    return size


def _levels(clause: WithLevels, space: ImageSpace) -> tuple[Fraction, Fraction]:
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
