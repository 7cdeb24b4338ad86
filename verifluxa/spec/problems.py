"""What checking finds, errors and warnings, and how people see it: the place, its line with carets, what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from verifluxa.errors import ManyErrors, Span, SpecError, VerifluxaError
from verifluxa.spec.read import hidden

Result = TypeVar("Result")


@dataclass(frozen=True)
class SpecWarning:
    """Something that is legal and probably not meant. Same parts as an error; the exit code stays as it is."""

    code: str
    message: str
    place: Span | None = None
    expected: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        parts = [f"{where}warning[{self.code}]: {self.message}"]
        if self.remedy is not None:
            parts.append(f"  help: {self.remedy}")
        return "\n".join(parts)


class FollowUpError(Exception):
    """A part was not checked since something it names is wrong itself, which has been reported there."""


@dataclass
class Problems:
    """The errors and warnings of one file, in the order in which they were found."""

    errors: list[SpecError] = field(default_factory=list)
    warnings: list[SpecWarning] = field(default_factory=list)

    def attempt(self, check: Callable[[], Result]) -> Result | None:
        """The result of a check, or None when it found an error, which is kept; others go on."""
        try:
            return check()
        except SpecError as error:
            self.errors.append(error)
        except FollowUpError:
            pass
        return None

    def warn(self, code: str, message: str, place: Span, remedy: str | None = None) -> None:
        """Keeps a warning."""
        self.warnings.append(SpecWarning(code, message, place, None, remedy))


def unsupported(what: str, place: Span, remedy: str | None = None) -> SpecError:
    """VF1014: the language has it, the checker does not support it yet."""
    return SpecError("VF1014", f"{what}: not supported yet", place=place, remedy=remedy)


# What people see of it

WINDOW = 100
"""Characters of a long line that are shown around the place."""


def render(error: VerifluxaError | SpecWarning, source_text: str) -> str:
    """An error with the line that it is about; several errors one below the other.

    Args:
        error: what was found.
        source_text: the text of the file that its place lies in.
    """
    if isinstance(error, ManyErrors):
        return "\n\n".join(render(part, source_text) for part in error.errors)
    kind = "warning" if isinstance(error, SpecWarning) else "error"
    lines = [f"{kind}[{error.code}]: {visible(error.message)}"]
    margin = ""
    if isinstance(error.place, Span):
        margin = " " * len(str(error.place.line))
        lines.append(f"{margin}--> {visible(str(error.place))}")
        lines += _excerpt(error.place, source_text, margin)
    elif error.place is not None:
        lines.append(f"--> {visible(error.place)}")
    lines += _notes(margin, "expected", error.expected) + _notes(margin, "help", error.remedy)
    return "\n".join(lines)


def visible(text: str) -> str:
    """The text with hidden characters and tabs made visible, so that no terminal obeys them."""
    return "".join(_shown(character) for character in text)


def _notes(margin: str, title: str, text: str | None) -> list[str]:
    return [] if text is None else [f"{margin} = {title}: {visible(text)}"]


def _excerpt(place: Span, source_text: str, margin: str) -> list[str]:
    lines = source_text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if not 1 <= place.line <= len(lines):
        return []
    line = lines[place.line - 1]
    end = place.end_column if place.end_line == place.line else len(line) + 1
    first, last = place.column - 1, max(end - 1, place.column)
    start = max(0, first - WINDOW // 2) if len(line) > WINDOW else 0
    before, marked, after = line[start:first], line[first:last], line[last : start + WINDOW]
    if "\0" in before + marked + after:
        return []  # no text at all; to see its bytes helps nobody
    marked = marked[:WINDOW]
    text = ("..." if start else "") + visible(before)
    shown = text + visible(marked) + visible(after) + ("..." if start + WINDOW < len(line) else "")
    carets = " " * _width(text) + "^" * max(1, _width(visible(marked)))
    return [f"{margin} |", f"{place.line} | {shown}".rstrip(), f"{margin} | {carets}"]


def _shown(character: str) -> str:
    if character == "\t":
        return "    "
    return f"<U+{ord(character):04X}>" if hidden(character) else character


def _width(text: str) -> int:
    """Columns that a text takes in a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
