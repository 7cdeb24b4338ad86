"""Reads logs of predictions (CSV, JSON lines) and inputs for a check (NPZ, JSON lines, CSV)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from verifluxa.data.dataset import shown
from verifluxa.data.npz import Npz, read_bytes
from verifluxa.data.tables import csv_rows
from verifluxa.data.texts import json_lines
from verifluxa.errors import DataError
from verifluxa.triage.guard.runtime import Truth, check, check_rows, check_texts, load

ARRAYS = ("x", "images", "tokens", "train_x", "test_x")


def predictions(path: str, column: str) -> list[str]:
    """The predicted classes of a log, in order.

    Raises:
        DataError: VF8074 when a record has no class; what the readers raise.
    """
    found = []
    for number, record in _records(path):
        value = record.get(column)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise DataError(
                "VF8074",
                f"record {number} has no {shown(column)}",
                place=path,
                expected=f"the predicted class in each record: a CSV column or JSON key called {shown(column)}",
                remedy="name another one with --column",
            )
        found.append(str(value).strip())
    return found


def _records(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    content = read_bytes(path)
    if Path(path).suffix.lower() == ".csv":
        rows = csv_rows(content, path)
        header = [name.strip() for name in next(rows, (0, []))[1]]
        yield from ((number, dict(zip(header, row, strict=False))) for number, row in rows)
        return
    for number, line in json_lines(content, path):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise _no_inputs(f"line {number} is no JSON object", path)
        yield number, entry


def read_guard(path: str) -> dict[str, Any]:
    """Reads a guard file.

    Raises:
        DataError: VF8070 when it cannot be read or is no guard.
    """
    try:
        return load(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            "VF8070",
            f"this is no guard: {reason}",
            place=path,
            expected="the JSON file that `verifluxa guard export` wrote",
            remedy="export the guard again from its result",
        ) from None


def present(guard: dict[str, Any], path: str) -> Truth:
    """Which triggers are present in which inputs of a file, shape (N, triggers).

    Raises:
        DataError: VF8075 when the inputs are not those that the guard is for; what the readers raise.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return _arrays(guard, path)
    if suffix == ".csv":
        rows = [{str(k): str(v) for k, v in record.items()} for _, record in _records(path)]
        wanted = {name for one in guard["triggers"] for name in one.get("columns", {})}
        missing = sorted(name for name in wanted if not rows or name not in rows[0])
        if not wanted or missing:
            raise _no_inputs(f"there is no column {', '.join(map(shown, missing)) or 'that it asks for'}", path)
        return check_rows(guard, rows)
    if suffix != ".jsonl":
        raise _no_inputs(f"the ending `{suffix}` says nothing", path)
    texts = [record.get("text") for _, record in _records(path)]
    if not all(isinstance(text, str) for text in texts) or any(one["kind"] != "words" for one in guard["triggers"]):
        raise _no_inputs("a line has no `text`, or the guard is not for texts", path)
    return check_texts(guard, [str(text) for text in texts])


def _arrays(guard: dict[str, Any], path: str) -> Truth:
    arrays = Npz(read_bytes(path), path)
    name = next((one for one in ARRAYS if one in arrays.names), None)
    if name is None:
        raise _no_inputs(f"none of its arrays is called {', '.join(ARRAYS)}", path)
    inputs = arrays.array(name)
    if inputs.ndim == 4 and len(guard["shape"]) == 3 and inputs.shape[1:] == tuple(np.roll(guard["shape"], -1)):
        inputs = np.moveaxis(inputs, 3, 1)
    try:
        return check(guard, inputs)
    except (ValueError, TypeError) as error:
        raise _no_inputs(str(error), path) from None


def _no_inputs(reason: str, path: str) -> DataError:
    return DataError(
        "VF8075",
        f"these are no inputs for this guard or log: {reason}",
        place=path,
        expected="inputs as the spec counts them: x in .npz, `text` in .jsonl, the columns of the table in .csv",
    )
