"""A spec's text as pieces that can be put on lines again: tokens and comments, with what the tree knows of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from lark import Token

from verifluxa.errors import Span
from verifluxa.spec import syntax, terms
from verifluxa.spec.parse import grammar

_COMMENT = re.compile(r"#[^\n]*")


class Role(Enum):
    """What a piece is for the layout."""

    PLAIN = auto()
    START = auto()
    """The first token of a declaration, entry, clause or statement."""
    OPEN = auto()
    """`{` of a block."""
    CLOSE = auto()
    """`}` of a block."""
    PREFIX = auto()
    """No space behind: the sign of `-1`, and `{` of `{3, 7}`."""
    SUFFIX = auto()
    """No space before: `}` of `{3, 7}`."""
    COMMENT = auto()


@dataclass(frozen=True)
class Piece:
    """A token or comment. `lines_before`: line ends between the piece before it and this one."""

    text: str
    kind: str
    role: Role
    line: int
    end_line: int
    lines_before: int


def pieces(text: str, file: syntax.File) -> list[Piece]:
    """All tokens and comments of a text that parses, in order."""
    roles = dict(_roles(file))
    found: list[Piece] = []
    end, line = 0, 1
    for token in [*grammar().parse_interactive(text).iter_parse(), None]:
        gap_end = len(text) if token is None or token.start_pos is None else token.start_pos
        for comment in _COMMENT.finditer(text, end, gap_end):
            before = text.count("\n", end, comment.start())
            line += before
            found.append(Piece(comment.group().rstrip(), "COMMENT", Role.COMMENT, line, line, before))
            end = comment.end()
        if token is not None:
            before = text.count("\n", end, gap_end)
            found.append(_piece(token, roles, before))
            end, line = token.end_pos or gap_end, token.end_line or line
    return found


def _piece(token: Token, roles: dict[tuple[int, int], Role], before: int) -> Piece:
    line, column = token.line or 1, token.column or 1
    role = roles.get((line, column), Role.PLAIN)
    if token.type == "LBRACE" and role is Role.PLAIN:
        role = Role.OPEN
    if token.type == "RBRACE" and role is Role.PLAIN:
        role = Role.CLOSE
    return Piece(str(token), token.type, role, line, token.end_line or line, before)


def _roles(file: syntax.File) -> Iterator[tuple[tuple[int, int], Role]]:
    """Roles by (line, column); later ones win, so the sign of a number inside an entry is a sign."""
    if file.version is not None:
        yield (file.span.line, file.span.column), Role.START
    for node, _ in syntax.walk(file):
        start, end = _ends(node.span)
        match node:
            case terms.Members():
                yield start, Role.PREFIX
                yield end, Role.SUFFIX
            case terms.Minus():
                yield start, Role.PREFIX
            case terms.Number(text=text) if text.startswith("-"):
                yield start, Role.PREFIX
            case _ if isinstance(node, syntax.Line):
                yield start, Role.START


def _ends(span: Span) -> tuple[tuple[int, int], tuple[int, int]]:
    return (span.line, span.column), (span.end_line, span.end_column - 1)


def offsets(text: str, span: Span) -> tuple[int, int]:
    """Indices of the first character of a place and of the one behind it."""
    return _offset(text, span.line, span.column), _offset(text, span.end_line, span.end_column)


def _offset(text: str, line: int, column: int) -> int:
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1
