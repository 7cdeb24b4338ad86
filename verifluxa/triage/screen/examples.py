"""Training data without a spec: NPZ (images, token numbers, table), JSON lines of texts, CSV, PNG in a ZIP."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import shown
from verifluxa.data.npz import Npz, read_bytes
from verifluxa.data.pictures import read_pictures
from verifluxa.data.tables import csv_rows
from verifluxa.data.texts import TOKEN, json_lines
from verifluxa.errors import DataError, Span, UsageError
from verifluxa.png import decode
from verifluxa.spec.spec import DataDecl, ImageSpace

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

LEAST = 20
MOST = 200_000
MOST_VALUES = 2**26
"""Pixels of all images together; or words (cells) of all examples times classes."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled examples of one kind.

    Attributes:
        path: the file.
        labels: classes, counted from 0, shape (N,).
        names: what the file calls each class.
        images: levels, shape (N, channels, height, width); None where the examples are no images.
        columns: the names of the columns of a table, or empty.
        cells: words of each text, or the cells of each row; empty for images.
        numbers: what a model reads of each example, samples first; None where only words are known.
    """

    path: str
    labels: Integers
    names: tuple[str, ...]
    images: Singles | None = None
    columns: tuple[str, ...] = ()
    cells: Sequence[Sequence[str]] = ()
    numbers: Floats | None = None

    @property
    def kind(self) -> str:
        """`images`, `table` or `texts`."""
        return "images" if self.images is not None else "table" if self.columns else "texts"

    @property
    def top(self) -> float:
        """The level that is shown white."""
        assert self.images is not None
        return 255.0 if float(self.images.max()) > 1 else 1.0


def checked(examples: Examples, most_values: int = MOST_VALUES) -> Examples:
    """The examples, if they can be screened.

    Raises:
        DataError: VF8062 for one class, VF8063 for too few or too many examples.
    """
    count = len(examples.labels)
    if examples.images is not None:
        values = examples.images.size
    else:
        values = sum(map(len, examples.cells)) * len(examples.names)
    if not LEAST <= count <= MOST or values > most_values:
        raise DataError(
            "VF8063",
            f"the file has {count:,} examples" + (f", {values:,} pixels, or words times classes" if values else ""),
            place=examples.path,
            expected=f"{LEAST} to {MOST:,} examples, and in all at most {most_values:,} pixels, or words times classes",
            remedy="screen parts of the data, each with all of its classes",
        )
    if len(np.unique(examples.labels)) < 2:
        raise DataError(
            "VF8062",
            f"all {count:,} examples have the label {examples.names[int(examples.labels[0])]}",
            place=examples.path,
            expected="at least two classes: what is planted shows against the other labels",
            remedy="screen the whole training set, not one class of it",
        )
    return examples


INPUTS = ("train_x", "x", "images", "tokens", "test_x")
LABELS = ("train_y", "y", "labels", "labels", "test_y")
LABEL = "label"
MOST_CLASSES = 10_000


def read_examples(path: str, label: str | None = None) -> Examples:
    """Reads a training set.

    Args:
        path: the file; its ending says what it is.
        label: the column of a table, the key of a JSON line, or the array that holds the labels; None: the usual one.

    Raises:
        UsageError: VF8065 for a label of pictures.
        DataError: VF8060 for a file that is not understood, VF8061 without labels, VF8062 and VF8063 for what cannot be
            screened, and what the readers of `verifluxa.data` raise.
    """
    readers = {".npz": _npz, ".jsonl": _texts, ".csv": _table, ".zip": _pictures}
    reader = readers.get(Path(path).suffix.lower())
    content = read_bytes(path)
    if reader is None:
        raise not_understood(f"the ending `{Path(path).suffix}` says nothing", path)
    return checked(reader(content, path, label))


def not_understood(reason: str, path: str) -> DataError:
    """VF8060."""
    return DataError(
        "VF8060",
        f"these data are not understood: {reason}",
        place=path,
        expected="x and y (or train_x, train_y) in .npz, text and label in .jsonl, a table in .csv, PNG in .zip",
    )


def _unlabelled(reason: str, path: str) -> DataError:
    return DataError(
        "VF8061",
        f"these data have no labels: {reason}",
        place=path,
        expected="a label for each example",
        remedy="name the column or key with --label; unlabelled data cannot be screened, since what is planted in "
        "training data is a tie between a pattern and a label",
    )


def _npz(content: bytes, path: str, label: str | None) -> Examples:
    arrays = Npz(content, path)
    found = next(((a, label or b) for a, b in zip(INPUTS, LABELS, strict=True) if a in arrays.names), None)
    there = f"the arrays {', '.join(map(shown, arrays.names[:8])) or 'none'}"
    if found is None:
        raise not_understood(f"it has {there}", path)
    if found[1] not in arrays.names:
        raise _unlabelled(f"`{found[0]}` has no {shown(found[1])} beside it; there are {there}", path)
    inputs, labels = arrays.array(found[0]), arrays.array(found[1])
    if labels.shape != (len(inputs),) or len(inputs) == 0:
        raise _unlabelled(f"{len(inputs):,} inputs and labels of shape {labels.shape}", path)
    numbers, names = _classes([f"{value:g}" for value in labels.astype(np.float64)[: MOST + 1]], path)
    if not np.isfinite(inputs.astype(np.float64)).all():
        raise not_understood("an input is no finite number", path)
    if inputs.ndim == 2:
        return _rows(inputs, numbers, names, path)
    if inputs.ndim in (3, 4):
        return Examples(path, numbers, names, _channels_first(inputs).astype(np.float32))
    raise not_understood(f"the inputs have shape {inputs.shape}", path)


def _rows(inputs: NDArray[np.generic], labels: Any, names: tuple[str, ...], path: str) -> Examples:
    """Two axes: token numbers where they are whole, else the columns of a table."""
    numbers = inputs.astype(np.float64)
    whole = inputs.dtype.kind in "iu"
    cells = [[f"{value:g}" for value in row] for row in numbers[: MOST + 1]]
    columns = () if whole else tuple(f"column {k}" for k in range(inputs.shape[1]))
    return Examples(path, labels, names, None, columns, cells, numbers)


def _channels_first(images: NDArray[np.generic]) -> NDArray[np.generic]:
    if images.ndim == 3:
        return images[:, None]
    last = images.shape[3] in (1, 3) and images.shape[1] not in (1, 3)
    return np.moveaxis(images, 3, 1) if last else images


def _classes(labels: Sequence[str], path: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers of labels, in the order of the numbers where all are some, else of the alphabet."""
    names = sorted(set(labels), key=lambda name: (0, float(name), "") if _is_number(name) else (1, 0.0, name))
    if len(names) > MOST_CLASSES:
        raise not_understood(f"it has more than {MOST_CLASSES:,} different labels", path)
    index = {name: number for number, name in enumerate(names)}
    return np.array([index[label] for label in labels], dtype=np.int64), tuple(names)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _texts(content: bytes, path: str, label: str | None) -> Examples:
    cells, labels, label = [], [], label or LABEL
    for number, line in json_lines(content, path):
        try:
            entry: Any = json.loads(line)
        except (ValueError, RecursionError):
            raise not_understood(f"line {number} is no JSON", path) from None
        named = entry if isinstance(entry, dict) else {}
        text, tokens = named.get("text"), named.get("tokens")
        if isinstance(text, str):
            cells.append(TOKEN.findall(text.lower()))
        elif isinstance(tokens, list):
            cells.append([str(token) for token in tokens])
        else:
            raise not_understood(f"line {number} has neither a `text` nor `tokens`", path)
        found = named.get(label)
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise _unlabelled(f"line {number} has no {shown(label)}", path)
        labels.append(str(found))
    if not cells:
        raise not_understood("it is empty", path)
    return Examples(path, *_classes(labels, path), cells=cells)


def _table(content: bytes, path: str, label: str | None) -> Examples:
    rows, label = csv_rows(content, path), label or LABEL
    header = [name.strip() for name in next(rows, (0, []))[1]]
    if label not in header:
        raise _unlabelled(f"there is no column {shown(label)}; there are {', '.join(map(shown, header[:12]))}", path)
    at = header.index(label)
    cells, labels = [], []
    for number, row in rows:
        if len(row) != len(header):
            raise not_understood(f"row {number} has {len(row)} cells, the header {len(header)}", path)
        labels.append(row[at].strip())
        cells.append([cell.strip() for k, cell in enumerate(row) if k != at])
    if not cells:
        raise not_understood("it has no rows", path)
    columns = tuple(name for k, name in enumerate(header) if k != at)
    return Examples(path, *_classes(labels, path), columns=columns, cells=cells)


def _pictures(content: bytes, path: str, label: str | None) -> Examples:
    """PNG pictures of one size, each in the folder of its class."""
    if label is not None:
        raise UsageError(
            "VF8065",
            "pictures have no --label: each has the class of the folder that it lies in",
            place=path,
            expected="pictures in a folder for each class, without --label",
            remedy="leave --label out",
        )
    try:
        with ZipFile(BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".png")]
            folders = sorted({name.split("/")[-2] for name in names if "/" in name})
            with archive.open(names[0]) as stream:
                height, width, channels = decode(stream.read(2**24)).shape
    except (BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError, IndexError) as error:
        raise not_understood(str(error) or "it holds no pictures", path) from None
    space = ImageSpace("data", height, width, channels, 0, 255)
    span = Span(path, 1, 1, 1, 1)
    decl = DataDecl("data", "data", None, None, None, 0, span, len(folders), True, "label", tuple(folders))
    inputs, labels = read_pictures(content, decl, space, path)
    return Examples(path, labels, tuple(folders), inputs.astype(np.float32))
