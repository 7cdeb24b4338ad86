"""Where a patch may go: `at any`, `at corners`, `at (24, 24), (0, 0)`, `at rows 0..25 step 5, columns 0..25`.

A place is the (row, column) of the patch's top-left pixel, counted from 0, row 0 on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.errors import Span, SpecError
from verifluxa.spec.problems import Problems
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
from verifluxa.spec.units import whole

MAX_PLACES = 1_000_000

Place = tuple[int, int]


@dataclass(frozen=True)
class Room:
    """The last row and the last column at which the patch is still inside the image."""

    last_row: int
    last_column: int

    def holds(self, place: Place) -> bool:
        """Whether a patch at this place is inside the image."""
        return 0 <= place[0] <= self.last_row and 0 <= place[1] <= self.last_column


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
