"""VNN-LIB files as bracketed expressions with their places: bounded in size, number and depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from verifluxa.errors import DataError, Span

MOST_BYTES = 16_000_000
MOST_TOKENS = 1_000_000
MOST_DEPTH = 64
LONGEST_WORD = 1_200
"""Characters of one word: enough for the exact decimal digits of any double."""

_TOKEN = re.compile(r'[ \t\r\n]+|;[^\n]*|[()]|\[[0-9, \t]*\]|"[^"\n]*"|[^\s()\[\];"]+')


class Word(NamedTuple):
    """A name, a number, a text; indices in square brackets belong to the word in front: `X[0,1]`."""

    text: str
    place: Span


class Group(NamedTuple):
    """What stands between two brackets."""

    items: tuple[Expression, ...]
    place: Span

    @property
    def head(self) -> str:
        """The first word; empty where there is none."""
        first = self.items[0] if self.items else None
        return first.text if isinstance(first, Word) else ""


Expression = Word | Group


def malformed(message: str, place: Span, expected: str | None = None) -> DataError:
    """The error for what is no VNN-LIB."""
    remedy = "the file must be VNN-LIB 1.0 as VNN-COMP uses it, or VNN-LIB 2.0 with one network"
    return DataError("VF3401", message, place=place, expected=expected, remedy=remedy)


def too_large(message: str, place: Span | str, expected: str) -> DataError:
    """The error for what goes past a limit."""
    return DataError("VF3404", message, place=place, expected=expected, remedy="split the question into smaller ones")


def read_expressions(data: bytes, file: str) -> list[Group]:
    """All expressions of a file, in order.

    Args:
        data: the file's bytes.
        file: its name, for places.

    Raises:
        DataError: VF3401 for what is malformed, VF3404 past a limit.
    """
    if len(data) > MOST_BYTES:
        raise too_large(f"the file has {len(data):,} bytes", file, f"at most {MOST_BYTES:,}")
    start = Span(file, 1, 1, 1, 1)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise malformed(f"byte {error.start} is not ASCII", start) from None
    done: list[Group] = []
    stack: list[tuple[Span, list[Expression]]] = []
    for word in _words(text, file):
        if word.text == "(":
            if len(stack) == MOST_DEPTH:
                raise too_large("brackets are nested too deep", word.place, f"at most {MOST_DEPTH} levels")
            stack.append((word.place, []))
        elif not stack:
            what = "a closing bracket has no opening one" if word.text == ")" else f"`{_short(word)}` stands alone"
            raise malformed(what, word.place, "an expression in brackets")
        elif word.text == ")":
            place, items = stack.pop()
            (stack[-1][1] if stack else done).append(Group(tuple(items), place))
        else:
            _append(stack[-1][1], word)
    if stack:
        raise malformed("this bracket is never closed", stack[-1][0], "`)`")
    return done


def _append(items: list[Expression], word: Word) -> None:
    if not word.text.startswith("["):
        items.append(word)
        return
    before = items[-1] if items else None
    if not isinstance(before, Word) or before.text.endswith("]"):
        raise malformed("indices stand behind no name", word.place, "such as X[0]")
    items[-1] = Word(before.text + re.sub(r"\s", "", word.text), before.place)


def _words(text: str, file: str) -> Iterator[Word]:
    """Brackets and words with their places."""
    line, line_start, position, count = 1, 0, 0, 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        token = "" if found is None else found[0]
        if token and token[0] in " \t\r\n;":
            breaks = token.count("\n")
            if breaks:
                line, line_start = line + breaks, position + token.rindex("\n") + 1
            position += len(token)
        else:
            column = position - line_start + 1
            here = Span(file, line, column, line, column + 1)
            if not token:
                raise malformed(f"`{text[position]}` is not understood here", here)
            position += len(token)
            count += 1
            if count > MOST_TOKENS:
                raise too_large("there are too many words", here, f"at most {MOST_TOKENS:,}")
            if len(token) > LONGEST_WORD:
                raise too_large(f"a word has {len(token):,} characters", here, f"at most {LONGEST_WORD:,}")
            yield Word(token, here)


def _short(word: Word) -> str:
    return word.text if len(word.text) <= 40 else word.text[:37] + "..."
