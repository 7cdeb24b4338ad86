"""Which places carry the risk: the worst found and the worst proved rate at each place of a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from verifluxa.report.words import label_words
from verifluxa.result.result import Place, Share

MOST_SIDE = 90
"""Rows or columns of a map."""


@dataclass(frozen=True)
class Cell:
    """The worst of one or several places.

    Attributes:
        words: the place of `found`, or the block of places.
        found, proved: the worst rates.
        target: the class of the worst found rate, or None; where several are as bad, or nothing was found, the one
            of which least is proved.
    """

    words: str
    found: Share
    proved: Share
    target: int | None


@dataclass(frozen=True)
class PlaceMap:
    """A map with rows and columns.

    Attributes:
        rows, columns: numbers of the rows and columns, ascending; of blocks the first one.
        cells: by index of row and column; places that are not in the family are left out.
        block: how many rows and columns stand for one.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    cells: dict[tuple[int, int], Cell]
    block: int = 1

    @property
    def worst(self) -> Cell:
        """The cell with the largest found rate."""
        return max(self.cells.values(), key=lambda cell: (cell.found.rate, cell.proved.rate))


def targets_of(places: Iterable[Place]) -> list[int]:
    """The target classes, ascending."""
    return sorted({place.target for place in places if place.target is not None})


def is_map(places: Sequence[Place]) -> bool:
    """Whether places have rows and columns."""
    return bool(places) and all({"row", "column"} <= dict(place.placement).keys() for place in places)


def place_map(places: Sequence[Place], most: int) -> PlaceMap:
    """The worst over targets, members of the family and opacities at each place.

    Args:
        places: with rows and columns, at least one.
        most: cells that are drawn; more are put together in square blocks.
    """
    at = [dict(place.placement) for place in places]
    rows = sorted({label["row"] for label in at})
    columns = sorted({label["column"] for label in at})
    block = 1
    while -(-len(rows) // block) * -(-len(columns) // block) > most or max(len(rows), len(columns)) > MOST_SIDE * block:
        block += 1
    row_of = {row: number // block for number, row in enumerate(rows)}
    column_of = {column: number // block for number, column in enumerate(columns)}
    groups: dict[tuple[int, int], list[Place]] = defaultdict(list)
    for place, label in zip(places, at, strict=True):
        groups[row_of[label["row"]], column_of[label["column"]]].append(place)
    cells = {key: worst_of(group) for key, group in groups.items()}
    return PlaceMap(tuple(rows[::block]), tuple(columns[::block]), cells, block)


def worst_of(places: Sequence[Place]) -> Cell:
    """The worst found and the worst proved rate of some places."""
    found = max(places, key=_found)
    proved = max((place.proved for place in places), key=_size)
    return Cell(label_words(found.placement), found.found, proved, found.target)


def ranking(places: Iterable[Place], most: int) -> list[Cell]:
    """The worst placements, each once with its worst target."""
    groups: dict[tuple[tuple[str, int], ...], list[Place]] = defaultdict(list)
    for place in places:
        groups[place.placement].append(place)
    cells = [worst_of(group) for group in groups.values()]
    return sorted(cells, key=lambda cell: (-cell.found.rate, -cell.proved.rate))[:most]


def _found(place: Place) -> tuple[Fraction, Fraction, int]:
    return place.found.rate, place.proved.rate, place.found.total


def _size(share: Share) -> tuple[Fraction, int]:
    return share.rate, share.total
