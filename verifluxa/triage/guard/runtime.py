"""Says whether known triggers are present in inputs. Needs NumPy alone; this text also stands in exported guards.

A guard knows the triggers that were found and no others: `absent` says nothing about any other trigger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA = "verifluxa/guard/1"
MOST_BYTES = 64 * 2**20
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


def load(path: str | Path) -> dict[str, Any]:
    """Reads a guard file.

    Raises:
        ValueError: it is no guard.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError("it is too large")
    return parse(content.decode("utf-8"))


def parse(text: str) -> dict[str, Any]:
    """Reads the JSON of a guard, and checks every size in it.

    Raises:
        ValueError: it is no guard.
    """
    try:
        guard = json.loads(text)
        sound = guard["schema"] == SCHEMA and all(_sound(one, guard["shape"]) for one in guard["triggers"])
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"a part is missing or of another kind: {error}") from None
    if not sound:
        raise ValueError(f"it is not of the schema {SCHEMA}, or its sizes contradict each other")
    return dict(guard)


def _sound(trigger: dict[str, Any], shape: Sequence[int]) -> bool:
    if trigger["kind"] == "words":
        return all(isinstance(word, str) for word in trigger["words"]) and len(trigger["words"]) > 0
    size = int(np.prod(shape))
    positions = np.array(trigger["positions"])
    arrays = {"values": ("values",), "mixed": ("lower", "upper", "weights")}[trigger["kind"]]
    fits = all(np.array(trigger[name], dtype=float).shape == positions.shape for name in arrays)
    inside = positions.dtype.kind == "i" and len(positions) > 0 and positions.min() >= 0 and positions.max() < size
    return fits and bool(inside) and all(np.isfinite(np.array(trigger[name], dtype=float)).all() for name in arrays)


def check(guard: dict[str, Any], inputs: NDArray[Any]) -> Truth:
    """Which triggers are present in which inputs.

    Args:
        guard: that `load` gave.
        inputs: as the spec counts them (pixel levels, token numbers, the numbers of a row), samples first:
            shape (N, *guard["shape"]), or (N, values).

    Returns:
        Shape (N, triggers).

    Raises:
        ValueError: the inputs have another size, or values that are not finite.
    """
    flat = np.asarray(inputs, dtype=np.float64).reshape(len(inputs), -1)
    if flat.shape[1] != int(np.prod(guard["shape"])):
        raise ValueError(f"inputs of {flat.shape[1]} values, the guard is for {guard['shape']}")
    if not np.isfinite(flat).all():
        raise ValueError("an input has a value that is not finite")
    looks = {"values": _values, "mixed": _mixed, "words": _numbers}
    found = [looks[one["kind"]](one, flat, guard["shape"]) for one in guard["triggers"]]
    return np.stack(found, axis=1) if found else np.zeros((len(flat), 0), dtype=bool)


def check_texts(guard: dict[str, Any], texts: Sequence[str]) -> Truth:
    """Which triggers of words are present in which texts, shape (N, triggers); other triggers are not looked for."""
    split = [_TOKEN.findall(text.lower()) for text in texts]
    words = [[str(word).lower() for word in one.get("words", ())] for one in guard["triggers"]]
    return np.array([[_inside(text, one) for one in words] for text in split], dtype=bool).reshape(
        len(split), len(words)
    )


def check_rows(guard: dict[str, Any], rows: Sequence[dict[str, str]]) -> Truth:
    """Which combinations of columns are present in which rows of a table, shape (N, triggers)."""
    found = [[_matches(row, one) for one in guard["triggers"]] for row in rows]
    return np.array(found, dtype=bool).reshape(len(rows), len(guard["triggers"]))


def _values(trigger: dict[str, Any], flat: Floats, shape: Sequence[int]) -> Truth:
    """All values at their positions, within the tolerance; `anywhere` in the picture where it says so."""
    positions, values = np.array(trigger["positions"]), np.array(trigger["values"], dtype=np.float64)
    if not trigger.get("anywhere"):
        gaps: Truth = np.abs(flat[:, positions] - values) <= trigger["tolerance"]
        return np.asarray(gaps.all(axis=1))
    channels, height, width = shape
    images = flat.reshape(-1, channels, height, width)
    channel, row, column = np.unravel_index(positions, (channels, height, width))
    row, column = row - row.min(), column - column.min()
    rows, columns = height - int(row.max()), width - int(column.max())
    match = np.ones((len(flat), rows, columns), dtype=bool)
    for c, i, j, value in zip(channel, row, column, values, strict=True):
        match &= np.abs(images[:, c, i : i + rows, j : j + columns] - value) <= trigger["tolerance"]
    return np.asarray(match.any(axis=(1, 2)))


def _mixed(trigger: dict[str, Any], flat: Floats, shape: Sequence[int]) -> Truth:
    """Something mixed into the input: a weighted sum is above its threshold, and all values are possible."""
    del shape
    here = flat[:, np.array(trigger["positions"])]
    slack = trigger["tolerance"]
    lower, upper = np.array(trigger["lower"]) - slack, np.array(trigger["upper"]) + slack
    possible = ((here >= lower) & (here <= upper)).all(axis=1)
    return np.asarray(possible & (here @ np.array(trigger["weights"]) >= trigger["threshold"]))


def _numbers(trigger: dict[str, Any], flat: Floats, shape: Sequence[int]) -> Truth:
    """The token numbers, one behind the other, anywhere."""
    del shape
    tokens = trigger["tokens"]
    width = flat.shape[1] - len(tokens) + 1
    if width < 1:
        return np.zeros(len(flat), dtype=bool)
    found = np.ones((len(flat), width), dtype=bool)
    for k, token in enumerate(tokens):
        found &= flat[:, k : k + width] == token
    return np.asarray(found.any(axis=1))


def _inside(text: Sequence[str], words: Sequence[str]) -> bool:
    size = len(words)
    return size > 0 and any(list(text[at : at + size]) == list(words) for at in range(len(text) - size + 1))


def _matches(row: dict[str, str], trigger: dict[str, Any]) -> bool:
    columns = trigger.get("columns") or {}
    return bool(columns) and all(
        _equal(row.get(name, ""), value, trigger.get("tolerance", 0.0)) for name, value in columns.items()
    )


def _equal(cell: str, value: Any, tolerance: float) -> bool:
    if isinstance(value, str):
        return cell.strip() == value
    try:
        return bool(abs(float(cell) - value) <= tolerance)
    except ValueError:
        return cell.strip().lower() in ({"true", "yes"} if value else {"false", "no"})
