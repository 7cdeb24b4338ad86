"""Tables: CSV files typed by the columns of the input space. Cells are values and never anything else."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import class_numbers, shown
from verifluxa.data.texts import Rows, too_few
from verifluxa.errors import DataError

if TYPE_CHECKING:
    from verifluxa.spec.spec import DataDecl, Feature, TableSpace

MAX_CELL = 4096
MAX_COLUMNS = 4096
MAX_ROWS = 10**6
NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_TRUTH = {"0": 0.0, "false": 0.0, "no": 0.0, "1": 1.0, "true": 1.0, "yes": 1.0}


def read_table(content: bytes, decl: DataDecl, space: TableSpace, path: str) -> Rows:
    """What the network reads of each row (N, width), and labels, cut by `take`. Columns may stand in any order.

    Raises:
        DataError: VF3020 when it is no CSV text, VF3021 for its header, VF3022 for a row of another length, VF3023
            for a cell that is not of its column, VF3017 for a label.
    """
    rows = csv_rows(content, path)
    header = next(rows, (0, []))[1]
    places = _places(header, decl, space, path)
    found: list[list[float]] = []
    labels: list[str] = []
    for number, row in rows:
        if decl.take is not None and len(found) == decl.take:
            break
        if len(row) != len(header):
            raise DataError(
                "VF3022",
                f"row {number} has {len(row)} cells, the header {len(header)}",
                place=path,
                expected=f"{len(header)} cells in each row",
                remedy="a cell that holds a comma stands between double quotes",
            )
        found.append([value for f in space.features for value in _cell(row[places[f.name]], f, number, path)])
        if decl.labelled:
            labels.append(row[places[decl.label]].strip())
    if not found or (decl.take or 0) > len(found):
        raise too_few(len(found), decl, path)
    numbers = class_numbers(labels, decl, path) if decl.labelled else np.zeros(len(found), dtype=np.int64)
    inputs: NDArray[np.float64] = np.array(found, dtype=np.float64)
    return inputs, numbers


def csv_rows(content: bytes, path: str) -> Iterator[tuple[int, list[str]]]:
    """Rows and their line numbers; strict quotes, bounded cells."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_csv(f"it is not UTF-8 text (byte {error.start})", path) from None
    if "\0" in text:
        raise _no_csv("it holds zero bytes", path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            too_large = len(row) > MAX_COLUMNS or any(len(cell) > MAX_CELL for cell in row)
            if too_large or reader.line_num > MAX_ROWS:
                raise _no_csv(f"line {reader.line_num} is too long, or there are too many", path)
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise _no_csv(f"line {reader.line_num}: {error}", path) from None


def _no_csv(reason: str, path: str) -> DataError:
    return DataError(
        "VF3020",
        f"this is no CSV table: {reason}",
        place=path,
        expected="UTF-8 text, a header line, cells between commas, double quotes closed",
    )


def _places(header: list[str], decl: DataDecl, space: TableSpace, path: str) -> dict[str, int]:
    names = [name.strip() for name in header]
    if not names:
        raise _header("the file is empty", path, "a line with the names of the columns, and rows below it", None)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _header(f"two columns are called {shown(twice)}", path, "each column once", None)
    wanted = [feature.name for feature in space.features] + ([decl.label] if decl.labelled else [])
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            have = ", ".join(shown(column) for column in names[:12]) + (", ..." if len(names) > 12 else "")
            remedy = f"did you mean {shown(near[0])}?" if near else None
            if name == decl.label and remedy is None:
                remedy = 'say which column it is: `label = "credit"` in the data set'
            raise _header(f"there is no column called {shown(name)}", path, f"one of {have}", remedy)
    return {name: names.index(name) for name in wanted}


def _header(reason: str, path: str, expected: str, remedy: str | None) -> DataError:
    return DataError("VF3021", reason, place=path, expected=expected, remedy=remedy)


def _cell(cell: str, feature: Feature, row: int, path: str) -> list[float]:
    text = cell.strip()
    if feature.items:
        if text not in feature.items:
            raise _wrong_cell(text, feature, row, path)
        return [float(item == text) for item in feature.items]
    if feature.boolean:
        if text.lower() not in _TRUTH:
            raise _wrong_cell(text, feature, row, path)
        return [_TRUTH[text.lower()]]
    if NUMBER.fullmatch(text) is None:
        raise _wrong_cell(text, feature, row, path)
    value = float(text)
    inside = float(feature.low) <= value <= float(feature.high)
    if not inside or (feature.step is not None and value != np.floor(value)):
        raise _wrong_cell(text, feature, row, path)
    return [value]


def _wrong_cell(text: str, feature: Feature, row: int, path: str) -> DataError:
    near = get_close_matches(text[:200], feature.items, n=1)
    if feature.items:
        expected = ", ".join(shown(item) for item in feature.items[:12]) + (", ..." if len(feature.items) > 12 else "")
    elif feature.boolean:
        expected = "yes or no, true or false, 1 or 0"
    else:
        kind = "a number" if feature.step is None else "a whole number"
        expected = f"{kind} in {float(feature.low):g}..{float(feature.high):g}"
        expected += "" if feature.unit is None else f" ({feature.unit})"
    remedy = f"did you mean {shown(near[0])}?" if near else None
    if text[:1] in "=@" and text:
        remedy = "this looks like a formula of a spreadsheet: cells are read as they are, and nothing is computed"
    return DataError(
        "VF3023",
        f"row {row} has {shown(text)} in the column `{feature.name}`" if text else f"row {row} has no `{feature.name}`",
        place=path,
        expected=expected,
        remedy=remedy,
    )
