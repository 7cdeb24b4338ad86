"""Vocabulary files: a word a line, or a Hugging Face `tokenizer.json`. Bounded, and free of hidden characters."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from verifluxa.errors import Span, SpecError
from verifluxa.files import read_file

MAX_BYTES = 2**26
MAX_WORDS = 2**20
MAX_LETTERS = 256


@dataclass(frozen=True)
class Vocabulary:
    """The words in the order of their numbers, and the digest of the file."""

    words: tuple[str, ...] = field(repr=False)
    sha256: str
    tokenizer: bool


def read_vocabulary(path: Path, place: Span) -> Vocabulary:
    """Reads a vocabulary.

    Raises:
        SpecError: VF1080 when the file cannot be read or is too large, VF1081 when it is no vocabulary.
    """
    content = _content(path, place)
    tokenizer = path.suffix == ".json"
    words = _of_tokenizer(content, path, place) if tokenizer else _of_lines(content, path, place)
    if not 2 <= len(words) <= MAX_WORDS:
        raise _wrong(f"it has {len(words):,} words", path, place)
    first: dict[str, int] = {}
    for number, word in enumerate(words):
        if reason := odd_text(word):
            raise _wrong(f"word {number} {reason}", path, place)
        if word in first:
            raise _wrong(f"word {number} is word {first[word]} again", path, place)
        first[word] = number
    return Vocabulary(tuple(words), "sha256:" + hashlib.sha256(content).hexdigest(), tokenizer)


def _content(path: Path, place: Span) -> bytes:
    try:
        return read_file(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unread(path, reason, place) from None


def _of_lines(content: bytes, path: Path, place: Span) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(f"it is not UTF-8 text (byte {error.start})", path, place) from None
    # Only line ends end a word: `splitlines` would also break at characters that hide in words.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


def _of_tokenizer(content: bytes, path: Path, place: Span) -> list[str]:
    try:
        model = json.loads(content)["model"]["vocab"]
        numbered = model if isinstance(model, dict) else {entry[0]: n for n, entry in enumerate(model)}
        words = {int(number): str(word) for word, number in numbered.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise _wrong("it is no `tokenizer.json` with a vocabulary", path, place) from None
    if sorted(words) != list(range(len(numbered))):
        raise _wrong("its numbers are not 0, 1, 2, ... each once", path, place)
    return [words[number] for number in range(len(words))]


def odd_text(word: str) -> str | None:
    """What is wrong with a word: nothing in it, too much, or something that is not seen."""
    if not word.strip():
        return "is empty"
    if len(word) > MAX_LETTERS:
        return f"has {len(word):,} characters"
    hidden = next((letter for letter in word if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")), None)
    return None if hidden is None else f"has the hidden character U+{ord(hidden):04X}"


def _unread(path: Path, reason: str, place: Span) -> SpecError:
    return SpecError(
        "VF1080",
        f"the vocabulary `{path.name}` cannot be read: {reason}",
        place=place,
        expected="a file beside the spec: a word a line, or a `tokenizer.json`",
        remedy="check the path, which is relative to the spec",
    )


def _wrong(reason: str, path: Path, place: Span) -> SpecError:
    return SpecError(
        "VF1081",
        f"`{path.name}` is no vocabulary: {reason}",
        place=place,
        expected="UTF-8 text with a word a line, each once; the line, counted from 0, is the token's number",
        remedy="write the vocabulary that the model was trained with",
    )
