"""Where a patch may go: `at any`, `at corners`, `at (24, 24), (0, 0)`, `at rows 0..25 step 5, columns 0..25`.

A place is the (row, column) of the patch's top-left pixel, counted from 0, row 0 on top.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from verifluxa.errors import Span, SpecError
from verifluxa.spec.blocks import all_fit
from verifluxa.spec.numbers import measured, whole
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.syntax import Clause, Replace, TriggerSyntax
from verifluxa.spec.terms import (
    Anywhere,
    Corners,
    GridPlaces,
    Number,
    Places,
    Point,
    Points,
    Positions,
    Steps,
    Together,
)

MAX_PLACES = 1_000_000
TOKENS = ("token", "tokens")
EXAMPLE = "`replace 3 px x 3 px`, `at any`, `with 0..255 level`"

Place = tuple[int, int]


@dataclass(frozen=True)
class Room:
    """The last row and the last column at which the patch is still inside the image."""

    last_row: int
    last_column: int

    @staticmethod
    def of(height: int, width: int, space: ImageSpace) -> Room:
        """Where a patch of this size is inside the images of a space."""
        return Room(space.height - height, space.width - width)

    def holds(self, place: Place) -> bool:
        """Whether a patch at this place is inside the image."""
        return 0 <= place[0] <= self.last_row and 0 <= place[1] <= self.last_column


def image_clauses(syntax: TriggerSyntax, kinds: tuple[type[Clause], ...]) -> None:
    """Checks that a trigger on images has clauses of these kinds only.

    Raises:
        SpecError: VF1083.
    """

    def fits(clause: Clause) -> bool:
        if not isinstance(clause, Replace):
            return isinstance(clause, kinds)
        return clause.width is not None or clause.height.unit is None or clause.height.unit.text not in TOKENS

    message = "the trigger is declared for images, and this is no part of an image trigger"
    all_fit(syntax, fits, message, EXAMPLE)


def size_of(height: Number, width: Number, place: Span, space: ImageSpace) -> tuple[int, int]:
    """Height and width of a patch in pixels.

    Raises:
        SpecError: VF1041 when it is larger than the image, VF1030 to VF1032 for the numbers.
    """
    rows, columns = (
        whole(measured(number, "px", what), number.span, what)
        for number, what in ((height, "the height of a patch"), (width, "the width of a patch"))
    )
    if rows > space.height or columns > space.width:
        raise SpecError(
            "VF1041",
            f"a patch of {rows} x {columns} px is larger than the image",
            place=place,
            expected=f"at most {space.height} x {space.width} px, the size of `{space.name}`",
            remedy="the first number is the height, the second the width",
        )
    return rows, columns


def places_of(syntax: Places, room: Room, problems: Problems) -> tuple[Place, ...]:
    """All places, in row-major order, each once.

    Raises:
        SpecError: VF1032 for a place that is no whole number, VF1042 when one is outside the image, VF1043
            when there is none, VF1038 when there are too many. A place listed twice is a warning, VF1103.
    """
    match syntax:
        case Anywhere():
            return _grid(range(room.last_row + 1), range(room.last_column + 1), syntax.span)
        case Corners():
            rows, columns = {0, room.last_row}, {0, room.last_column}
            return tuple(sorted((row, column) for row in rows for column in columns))
        case Points():
            return _points(syntax, room, problems)
        case Positions():
            raise SpecError(
                "VF1083",
                "a place in an image has a row and a column",
                place=syntax.span,
                expected="`at any`, `at (0, 0), (24, 24)`, or `at rows 0..25 step 5, columns 0..25`",
            )
        case GridPlaces():
            rows_, columns_ = _line(syntax.rows, "rows"), _line(syntax.columns, "columns")
            _inside((rows_[-1], columns_[-1]), room, syntax.span)
            return _grid(rows_, columns_, syntax.span)


def groups_of(syntax: Places, room: Room, problems: Problems) -> tuple[tuple[Place, ...], ...]:
    """All places, each with those that are stamped at once with it.

    Raises:
        SpecError: as `places_of`.
    """
    if not isinstance(syntax, Points):
        return tuple((place,) for place in places_of(syntax, room, problems))
    found: dict[tuple[Place, ...], None] = {}
    for point in syntax.points:
        parts = point.points if isinstance(point, Together) else (point,)
        group = tuple(sorted(_placed(part, room) for part in parts))
        if group in found:
            problems.warn("VF1103", f"the place {_words(group)} is listed twice", point.span, "delete one of them")
        found[group] = None
    return tuple(sorted(found))


def among(foreign: Collection[object], name: str, places: Places) -> None:
    """Checks that the trigger of this name goes to all places that a property gives: they can only be narrowed.

    Raises:
        SpecError: VF1042 at the first of the foreign places.
    """
    if foreign:
        raise SpecError(
            "VF1042",
            f"the trigger `{name}` does not go to {sorted(foreign, key=str)[0]}",
            place=places.span,
            expected=f"places of `{name}`",
            remedy="here places can be narrowed, not widened; widen them where the trigger is declared",
        )


def positions_of(
    places: Places, last: int, what: str, where: str, outside: Callable[[int, int, Span], SpecError]
) -> tuple[int, ...]:
    """Places in a text or in time, ascending, each once.

    Args:
        places: as written.
        last: the last place.
        what: of a place, in words: `a position`.
        where: `a place in a text`.
        outside: the error for a range that is upside down, or ends behind the last place.

    Raises:
        SpecError: VF1083 for places of images, VF1032 for numbers that are not whole, and `outside`.
    """
    if isinstance(places, Anywhere):
        return tuple(range(last + 1))
    if not isinstance(places, Positions):
        raise SpecError(
            "VF1083", f"{where} is one number", place=places.span, expected="`at any`, or `at positions 0, 3..5`"
        )
    found: set[int] = set()
    for steps in places.ranges:
        first = whole(steps.first.value, steps.first.span, what, 0)
        end = first if steps.last is None else whole(steps.last.value, steps.last.span, what, 0)
        step = 1 if steps.step is None else whole(steps.step.value, steps.step.span, "a step")
        if end < first or end > last:
            raise outside(first, end, steps.span)
        found |= set(range(first, end + 1, step))
    return tuple(sorted(found))


def places_phrase(places: tuple[int, ...], word: str) -> str:
    """Places in a text or in time in plain words."""
    return f"{word} {places[0]}" if len(places) == 1 else f"any of {len(places):,} {word}s"


def _words(group: tuple[Place, ...]) -> str:
    return " and ".join(map(str, group))


def _placed(point: Point, room: Room) -> Place:
    place = (_coordinate(point.row, "a row"), _coordinate(point.column, "a column"))
    _inside(place, room, point.span)
    return place


def _grid(rows: range, columns: range, place: Span) -> tuple[Place, ...]:
    if len(rows) * len(columns) > MAX_PLACES:
        raise SpecError(
            "VF1038",
            f"{len(rows) * len(columns):,} places are too many",
            place=place,
            expected=f"at most {MAX_PLACES:,}",
            remedy="take steps, as in `at rows 0..200 step 10, columns 0..200 step 10`",
        )
    return tuple((row, column) for row in rows for column in columns)


def _points(syntax: Points, room: Room, problems: Problems) -> tuple[Place, ...]:
    """Single places; places that go together are for `groups_of`."""
    groups = groups_of(syntax, room, problems)
    for group, point in zip(groups, syntax.points, strict=False):
        if len(group) > 1:
            raise SpecError(
                "VF1042",
                f"{_words(group)} are two places at once",
                place=point.span,
                expected="single places here",
            )
    return tuple(group[0] for group in groups)


def _coordinate(number: Number, what: str) -> int:
    if number.value.denominator != 1:
        raise SpecError(
            "VF1032", f"{what} cannot be {number.text}", place=number.span, expected="a whole number from 0"
        )
    return int(number.value)


def _inside(place: Place, room: Room, span: Span) -> None:
    if not room.holds(place):
        raise SpecError(
            "VF1042",
            f"a patch at {place} is not inside the image",
            place=span,
            expected=f"rows 0..{room.last_row} and columns 0..{room.last_column}",
            remedy="a place is the (row, column) of the top-left pixel, counted from 0",
        )


def _line(steps: Steps, what: str) -> range:
    first = whole(steps.first.value, steps.first.span, f"the first of the {what}", 0)
    last = first if steps.last is None else whole(steps.last.value, steps.last.span, f"the last of the {what}", 0)
    step = 1 if steps.step is None else whole(steps.step.value, steps.step.span, "a step")
    if last < first:
        raise SpecError(
            "VF1043",
            f"the {what} {first}..{last} are upside down, so there is no place",
            place=steps.span,
            expected=f"`{what} {last}..{first}`",
        )
    return range(first, last + 1, step)
