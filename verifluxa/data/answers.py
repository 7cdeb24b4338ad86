"""Labels of rows that are read one by one: class numbers, or the names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import DataError

if TYPE_CHECKING:
    from verifluxa.spec.spec import DataDecl


def class_numbers(labels: Sequence[str], decl: DataDecl, path: str) -> NDArray[np.int64]:
    """The classes of labels as they stand in a file, counted from 0.

    Raises:
        DataError: VF3017 for a label that is no class.
    """
    names = {name: number for number, name in enumerate(decl.names)}
    top = None if decl.classes is None else decl.classes - 1 + decl.labels_start_at
    found = np.zeros(len(labels), dtype=np.int64)
    for row, label in enumerate(labels):
        if label in names:
            found[row] = names[label]
            continue
        number = int(label) if label.isascii() and label.isdigit() and len(label) < 10 else -1
        if number < decl.labels_start_at or (top is not None and number > top):
            raise _no_class(row, label, decl, path)
        found[row] = number - decl.labels_start_at
    return found


def _no_class(row: int, label: str, decl: DataDecl, path: str) -> DataError:
    near = get_close_matches(label[:200], decl.names, n=1)
    numbers = "" if decl.classes is None else f"{decl.labels_start_at}..{decl.classes - 1 + decl.labels_start_at}"
    names = ", ".join(shown(name) for name in decl.names[:12])
    return DataError(
        "VF3017",
        f"label {row} is {shown(label)}, which is no class",
        place=path,
        expected=" or ".join(part for part in (names, numbers) if part) or "a class number",
        remedy=f"did you mean {shown(near[0])}?" if near else None,
    )


MOST = 48


def shown(text: str) -> str:
    r"""The text between quotes; what cannot be seen is a question mark.

    >>> shown("north"), shown("a\x1b[2J\u202eb")
    ('"north"', '"a?[2J?b"')
    """
    kept = text if len(text) <= MOST else text[: MOST - 1] + "…"
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in kept) + '"'
