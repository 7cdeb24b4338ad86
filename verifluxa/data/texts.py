"""Texts: JSON lines with a text and a label, or an NPZ file of token numbers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import class_numbers, shown
from verifluxa.data.npz import Npz
from verifluxa.errors import DataError, UnsupportedError
from verifluxa.files import read_file

if TYPE_CHECKING:
    from verifluxa.spec.spec import DataDecl, TokenSpace

Floats = NDArray[np.float64]
Rows = tuple[Floats, NDArray[np.int64]]
Split = Callable[[str], list[int]]

MAX_LINE = 2**20
MAX_TOKENIZER = 2**26
MAX_ROWS = 10**6
TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
"""What a word is where the vocabulary is a list: letters and digits, possibly with one apostrophe inside."""


def read_texts(content: bytes, decl: DataDecl, space: TokenSpace, path: str) -> Rows:
    """Token numbers (N, length) and labels of a file, cut by `take`.

    Raises:
        DataError: VF3026 for a line that is no text with a label, VF3027 for a text that is too long, VF3028 for a
            number or word that the vocabulary does not have, VF3017 for a label.
        UnsupportedError: VF7010 when the vocabulary is a `tokenizer.json` and `tokenizers` is not installed.
    """
    split = _tokenizer(space, decl) if space.tokenizer else _words(space)
    rows: list[list[int]] = []
    labels: list[str] = []
    for number, line in json_lines(content, path):
        if decl.take is not None and len(rows) == decl.take:
            break
        tokens, label = _entry(line, number, split, decl, path)
        rows.append(_filled(tokens, number, space, path))
        labels.append(label)
    if not rows or (decl.take or 0) > len(rows):
        raise too_few(len(rows), decl, path)
    numbers = class_numbers(labels, decl, path) if decl.labelled else np.zeros(len(rows), dtype=np.int64)
    return np.array(rows, dtype=np.float64), numbers


def too_few(count: int, decl: DataDecl, path: str) -> DataError:
    """VF3014 or VF3018: no rows, or fewer than `take`."""
    if count == 0:
        return DataError("VF3014", "the file has no inputs, and a property of no inputs says nothing", place=path)
    return DataError(
        "VF3018",
        f"`{decl.name}` takes {decl.take:,} inputs, the file has {count:,}",
        place=path,
        expected=f"`take` of at most {count:,}",
    )


def json_lines(content: bytes, path: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers; bounded in length and number.

    Raises:
        DataError: VF3026.
    """
    for number, line in enumerate(content.split(b"\n"), 1):
        if len(line) > MAX_LINE or number > MAX_ROWS:
            raise _line_error(number, f"is longer than {MAX_LINE:,} bytes, or one of too many", path)
        if line.strip():
            yield number, line


def _line_error(number: int, reason: str, path: str) -> DataError:
    return DataError(
        "VF3026",
        f"line {number} {reason}",
        place=path,
        expected='JSON lines such as `{"text": "A fine film.", "label": "positive"}`',
    )


def _entry(line: bytes, number: int, split: Split, decl: DataDecl, path: str) -> tuple[list[int], str]:
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise _line_error(number, "is no JSON", path) from None
    named = entry if isinstance(entry, dict) else {}
    text, tokens, label = named.get("text"), named.get("tokens"), named.get(decl.label)
    if isinstance(text, str):
        found = split(text)
    elif isinstance(tokens, list) and all(type(token) is int for token in tokens):
        found = tokens
    else:
        raise _line_error(number, "has neither a `text` nor a list of `tokens`", path)
    if decl.labelled and (isinstance(label, bool) or not isinstance(label, str | int)):
        raise _line_error(number, f"has no `{decl.label}`", path)
    return found, str(label)


def _words(space: TokenSpace) -> Split:
    numbers = {word: number for number, word in enumerate(space.words)}
    other = -1 if space.unknown is None else space.unknown

    def split(text: str) -> list[int]:
        return [numbers.get(word, other) for word in TOKEN.findall(text.lower())]

    return split


def _tokenizer(space: TokenSpace, decl: DataDecl) -> Split:
    """The `tokenizer.json` itself splits texts, as it did for the training."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UnsupportedError(
            "VF7010",
            f"`{space.vocab}` needs the package `tokenizers`, which is not installed",
            place=decl.span,
            remedy="`pip install verifluxa[texts]`, or give token numbers (`tokens` in JSON lines, or an NPZ file)",
        ) from None
    path = Path(decl.span.file).parent / space.vocab
    content = read_file(path, MAX_TOKENIZER)
    if "sha256:" + hashlib.sha256(content).hexdigest() != space.vocab_sha256:
        raise DataError("VF3003", "the tokenizer changed while the spec was read", place=str(path))
    loaded = Tokenizer.from_str(content.decode("utf-8"))
    loaded.no_padding()
    loaded.no_truncation()

    def split(text: str) -> list[int]:
        return [int(token) for token in loaded.encode(text).ids]

    return split


def _filled(tokens: list[int], number: int, space: TokenSpace, path: str) -> list[int]:
    """Exactly `length` tokens, each of the vocabulary."""
    wrong = next((token for token in tokens if not 0 <= token < len(space.words)), None)
    if wrong is not None:
        raise DataError(
            "VF3028",
            f"line {number} has a word that the vocabulary does not have"
            if wrong == -1
            else f"line {number} has the token {wrong}, the vocabulary ends at {len(space.words) - 1}",
            place=path,
            remedy='name the word that stands for others: `unknown = "[UNK]"` in the input space'
            if wrong == -1
            else None,
        )
    missing = space.length - len(tokens)
    if missing < 0 and not space.truncate:
        raise DataError(
            "VF3027",
            f"line {number} has {len(tokens)} tokens",
            place=path,
            expected=f"at most {space.length}, the length of `{space.name}`",
            remedy="write `overflow = truncate` into the input space if the deployed system cuts texts too",
        )
    if missing > 0 and space.pad is None:
        raise DataError(
            "VF3027",
            f"line {number} has {len(tokens)} tokens",
            place=path,
            expected=f"{space.length}, the length of `{space.name}`, as no word fills shorter texts",
            remedy='name it: `pad = "[PAD]"` in the input space',
        )
    return tokens[: space.length] + [space.pad or 0] * max(missing, 0)


def read_tokens(content: bytes, decl: DataDecl, space: TokenSpace, path: str) -> Rows:
    """Numbers of tokens from arrays, cut by `take`.

    Raises:
        DataError: VF3010 for their shape, VF3028 for numbers that are no words; what NPZ files and labels raise.
    """
    arrays = Npz(content, path)
    inputs = arrays.array(one_of(arrays, ("x", "tokens", "test_x"), path))
    if inputs.ndim == 0 or inputs.shape[1:] not in ((space.length,), (1, space.length)):
        raise DataError(
            "VF3010",
            f"the texts have shape {inputs.shape}, which is not that of `{space.name}`",
            place=path,
            expected=f"(N, {space.length}): one row of token numbers for each text",
        )
    taken = inputs.reshape(len(inputs), space.length)[: decl.take].astype(np.float64)
    if len(taken) == 0 or (decl.take or 0) > len(inputs):
        raise too_few(len(inputs), decl, path)
    fits = (taken >= 0) & (taken < len(space.words)) & (taken == np.floor(taken))
    if not fits.all():
        row, column = np.argwhere(~fits)[0]
        raise DataError(
            "VF3028",
            f"text {row} has the token {taken[row, column]:g} at position {column}",
            place=path,
            expected=f"whole numbers 0..{len(space.words) - 1}, lines of the vocabulary counted from 0",
            remedy="Julia counts words from 1: subtract 1 when the file is written",
        )
    return taken, array_labels(arrays, len(inputs), decl, path)


def one_of(arrays: Npz, keys: tuple[str, ...], path: str) -> str:
    """The one name of `keys` that the file has.

    Raises:
        DataError: VF3007 or VF3008 when it has none, or several.
    """
    found = [name for name in keys if name in arrays.names]
    if len(found) == 1:
        return found[0]
    have = ", ".join(shown(name) for name in arrays.names[:10])
    raise DataError(
        "VF3008" if found else "VF3007",
        f"the file has several arrays that could be meant: {', '.join(found)}" if found else "the file lacks an array",
        place=path,
        expected=f"one array called {' or '.join(f'`{key}`' for key in keys)}; the file has {have or 'none'}",
    )


def array_labels(arrays: Npz, count: int, decl: DataDecl, path: str) -> NDArray[np.int64]:
    """The labels of an NPZ file, cut by `take`."""
    if not decl.labelled:
        return np.zeros(min(count, decl.take or count), dtype=np.int64)
    labels = arrays.array(one_of(arrays, ("y", "labels", "test_y"), path))
    whole = labels.shape == (count,) and bool((labels.astype(np.float64) == np.floor(labels.astype(np.float64))).all())
    if not whole:
        raise DataError(
            "VF3015",
            f"{count:,} inputs and labels of shape {labels.shape}",
            place=path,
            expected=f"one whole number for each input: shape ({count},)",
        )
    return class_numbers([str(int(label)) for label in labels[: decl.take]], decl, path)
