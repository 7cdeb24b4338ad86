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

_TOKEN = re.compile(r'([()]|\[[0-9, \t]*\]|"[^"]*"|[^\s()\[\];"]+)|;.*|([^ \t\r])')
"""In a line: a word, a comment, or what is none of them; blanks match nothing."""
_BRACKETED = "an expression in brackets"


class Mark(NamedTuple):
    """Where a word begins; made into a `Span` only for a message, since thousands are read and none is shown."""

    file: str
    line: int
    column: int

    @property
    def span(self) -> Span:
        """The place as messages name it."""
        return Span(self.file, self.line, self.column, self.line, self.column + 1)


class Word(NamedTuple):
    """A name, a number, a text; indices in square brackets belong to the word in front: `X[0,1]`."""

    text: str
    place: Mark


class Group(NamedTuple):
    """What stands between two brackets."""

    items: tuple[Expression, ...]
    place: Mark

    @property
    def head(self) -> str:
        """The first word; empty where there is none."""
        first = self.items[0] if self.items else None
        return first.text if isinstance(first, Word) else ""


Expression = Word | Group


def malformed(message: str, place: Mark, expected: str | None = None) -> DataError:
    """The error for what is no VNN-LIB."""
    remedy = "the file must be VNN-LIB 1.0 as VNN-COMP uses it, or VNN-LIB 2.0 with one network"
    return DataError("VF3401", message, place=place.span, expected=expected, remedy=remedy)


def too_large(message: str, place: Mark | str, expected: str) -> DataError:
    """The error for what goes past a limit."""
    where = place.span if isinstance(place, Mark) else place
    return DataError("VF3404", message, place=where, expected=expected, remedy="split the question into smaller ones")


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
    start = Mark(file, 1, 1)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise malformed(f"byte {error.start} is not ASCII", start) from None
    done: list[Group] = []
    stack: list[tuple[Mark, list[Expression]]] = []
    for token, line, column in _tokens(text, file):
        if token == ")":
            if not stack:
                raise malformed("a closing bracket has no opening one", Mark(file, line, column), _BRACKETED)
            place, items = stack.pop()
            (stack[-1][1] if stack else done).append(Group(tuple(items), place))
            continue
        here = Mark(file, line, column)
        if token == "(":
            if len(stack) == MOST_DEPTH:
                raise too_large("brackets are nested too deep", here, f"at most {MOST_DEPTH} levels")
            stack.append((here, []))
        elif not stack:
            raise malformed(f"`{_short(token)}` stands alone", here, _BRACKETED)
        else:
            _append(stack[-1][1], Word(token, here))
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


def _tokens(text: str, file: str) -> Iterator[tuple[str, int, int]]:
    """Brackets and words with their lines and columns."""
    count = 0
    for line, content in enumerate(text.split("\n"), 1):
        for found in _TOKEN.finditer(content):
            token = found[1]
            if token is None:
                if found[2] is not None:
                    raise malformed(f"`{found[2]}` is not understood here", Mark(file, line, found.start() + 1))
                continue
            count += 1
            if count > MOST_TOKENS:
                here = Mark(file, line, found.start() + 1)
                raise too_large("there are too many words", here, f"at most {MOST_TOKENS:,}")
            if len(token) > LONGEST_WORD:
                here = Mark(file, line, found.start() + 1)
                raise too_large(f"a word has {len(token):,} characters", here, f"at most {LONGEST_WORD:,}")
            yield token, line, found.start() + 1


def _short(token: str) -> str:
    return token if len(token) <= 40 else token[:37] + "..."
