"""A spec's text put into another form: `verifluxa fmt`, one way to write it, and `verifluxa pin`, digests of its data.

Both work on pieces, tokens and comments with what the tree knows of them, so that all that is not changed stays as it
is: comments, blank lines between groups, line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby, pairwise

from lark import Token

from verifluxa.errors import Span, SpecError
from verifluxa.spec import syntax, terms
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.parse import grammar, parse
from verifluxa.spec.read import clean
from verifluxa.spec.syntax import Block, DataSyntax, Setting

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


# `verifluxa fmt`

INDENT = "  "
_NAME_FOR_FORMAT = "spec.vfx"


def format_spec(text: str, path: str = _NAME_FOR_FORMAT) -> str:
    """The text in its one form; formatting it again changes nothing.

    Args:
        text: a spec that parses; names and units may be wrong.
        path: the name of the file, for places in messages.

    Raises:
        SpecError: it does not parse.
        ManyErrors: it does not parse, in several places.
    """
    text = _normal_order(clean(text, path), path)
    file = parse(text, path)
    lines = _spaced(list(_lines(pieces(text, file))))
    result = "\n".join(_aligned(lines)) + "\n" if lines else ""
    if parse(result, path) != file:
        raise AssertionError("formatting changed what the spec says")
    return result


@dataclass
class Line:
    """One line: its text without indentation, and the comment at its end."""

    depth: int
    text: str
    comment: str = ""
    blank_before: bool = False
    key: str = ""
    opens: bool = False
    closes: bool = False

    @property
    def only_comment(self) -> bool:
        """Whether the line holds nothing else."""
        return not self.text and bool(self.comment)


def _lines(found: list[Piece]) -> Iterator[Line]:
    """Puts pieces on lines: one for each entry, clause and statement; other line breaks stay where they are."""
    inline = _inline(found)
    line, depth, last = Line(0, ""), 0, None
    for index, piece in enumerate(found):
        if last is not None and _breaks(last, piece, index in inline):
            yield line
            closing = piece.role is Role.CLOSE
            continued = not closing and piece.role is not Role.START and _in_statement(found, index)
            line = Line(
                max(depth - closing, 0) + 2 * continued, "", blank_before=piece.lines_before > 1 and not continued
            )
        _add(line, piece, last)
        if index not in inline:
            depth += (piece.role is Role.OPEN) - (piece.role is Role.CLOSE)
            line.opens |= piece.role is Role.OPEN
            line.closes |= piece.role is Role.CLOSE
        last = piece
    if last is not None:
        yield line


def _inline(found: list[Piece]) -> set[int]:
    """Indices inside (and of) blocks that stay on one line: written so, and with at most one entry."""
    kept: set[int] = set()
    opened: list[int] = []
    for index, piece in enumerate(found):
        if piece.role is Role.OPEN:
            opened.append(index)
        elif piece.role is Role.CLOSE and opened:
            first = opened.pop()
            inside = found[first + 1 : index]
            entries = sum(part.role in (Role.START, Role.OPEN) for part in inside)
            if found[first].line == piece.line and entries <= 1:
                kept.update(range(first, index + 1))
    return kept


def _breaks(last: Piece, piece: Piece, inline: bool) -> bool:
    if last.role is Role.COMMENT or inline or (last.kind == "KEY" and piece.role is not Role.COMMENT):
        return last.role is Role.COMMENT
    if piece.role is Role.COMMENT:
        return piece.lines_before > 0
    if last.role in (Role.OPEN, Role.CLOSE) or piece.role in (Role.START, Role.CLOSE):
        return True
    return piece.lines_before > 0 and piece.role is not Role.OPEN


def _in_statement(found: list[Piece], index: int) -> bool:
    """Whether what is here goes on with the line before: the next token starts nothing."""
    following = next((piece for piece in found[index:] if piece.role is not Role.COMMENT), None)
    return following is not None and following.role not in (Role.START, Role.CLOSE)


def _add(line: Line, piece: Piece, last: Piece | None) -> None:
    if piece.role is Role.COMMENT:
        line.comment = piece.text
        return
    if last is not None and last.kind == "KEY" and line.text == last.text:
        line.key = last.text
    line.text += (" " if line.text and last is not None and _space(last, piece) else "") + piece.text


def _space(last: Piece, piece: Piece) -> bool:
    if last.text in ("(", "[", "..") or piece.text in (",", ")", "]", ".."):
        return False
    if last.role is Role.PREFIX or piece.role is Role.SUFFIX:
        return False
    if piece.text == "[" and last.text == ")":
        return False
    if piece.text == "(":
        return last.kind not in ("NAME", "RATE", "SINE")
    return not (last.role is Role.OPEN and piece.role is Role.CLOSE)


def _spaced(lines: list[Line]) -> list[Line]:
    """Blank lines around declarations of several lines, none just inside a block, none at the top."""
    for before, line in pairwise(lines):
        if before.opens or line.closes:
            line.blank_before = False
        elif before.closes:
            line.blank_before = True
    for index, line in enumerate(lines):
        if line.opens and line.depth == 0:
            _comments_above(lines, index).blank_before = True
    if lines:
        lines[0].blank_before = False
    return lines


def _comments_above(lines: list[Line], index: int) -> Line:
    """The first of the comments that stand directly above a line, or the line itself."""
    while index > 0 and not lines[index].blank_before and lines[index - 1].only_comment and lines[index - 1].depth == 0:
        index -= 1
    return lines[index]


def _aligned(lines: list[Line]) -> Iterator[str]:
    """The lines as text: `=` below `=`, `:` below `:`, comments below comments in neighbouring lines."""
    for _, group in groupby(_runs(lines, "key"), key=lambda item: item[0]):
        run = [line for _, line in group]
        width = max(len(line.key) for line in run)
        for line in run:
            line.text = line.key.ljust(width) + line.text[len(line.key) :] if line.key else line.text
    for _, group in groupby(_runs(lines, "comment"), key=lambda item: item[0]):
        run = [line for _, line in group]
        width = max(len(INDENT) * line.depth + len(line.text) for line in run)
        for line in run:
            if line.blank_before:
                yield ""
            text = INDENT * line.depth + line.text
            yield f"{text.ljust(width)}  {line.comment}" if line.comment and line.text else text + line.comment


def _runs(lines: list[Line], part: str) -> Iterator[tuple[int, Line]]:
    """Numbers runs of neighbouring lines that have the part; every other line is a run of its own."""
    number, run_depth = 0, -1
    for line in lines:
        has = bool(getattr(line, part)) and bool(line.text) and "\n" not in line.text
        number += not (has and line.depth == run_depth and not line.blank_before)
        run_depth = line.depth if has else -1
        yield number, line


# The normal order of `forall`: inputs, then the trigger, then the target.


def _normal_order(text: str, path: str) -> str:
    file = parse(text, path)
    triggers = {item.name.text for item in file.items if isinstance(item, syntax.TriggerSyntax)}
    changes = [
        change
        for node, _ in syntax.walk(file)
        if isinstance(node, syntax.Forall)
        for change in _reordered(node, text, triggers)
    ]
    for first, last, new in sorted(changes, reverse=True):
        text = text[:first] + new + text[last:]
    return text


def _reordered(forall: syntax.Forall, text: str, triggers: set[str]) -> Iterator[tuple[int, int, str]]:
    """What to write in place of each binder; nothing when a comment stands between them."""
    wanted = sorted(forall.binders, key=lambda binder: _rank(binder, triggers))
    first, last = offsets(text, forall.span)
    if "#" in text[first:last]:
        return
    for old, new in zip(forall.binders, wanted, strict=True):
        if old is not new:
            yield (*offsets(text, old.span), text[slice(*offsets(text, new.span))])


def _rank(binder: terms.Binder, triggers: set[str]) -> int:
    match binder.source:
        case terms.TriggerAt():
            return 1
        case terms.Selection(name=terms.Name(text=name), condition=None) if name in triggers:
            return 1
        case terms.Members() | terms.Call():
            return 2
    return 0


# `verifluxa pin`: writes the digests of data files into a spec and leaves the rest of its text as it is.


def pin_spec(text: str, digests: Mapping[str, str], path: str = "spec.vfx") -> str:
    """The text with `digest = sha256:...` in the data sets that are named.

    Args:
        text: a spec that parses.
        digests: for each data set its `sha256:` and 64 hex digits.
        path: the name of the file, for places in messages.

    Raises:
        SpecError: the text does not parse, or VF1020: it declares no such data set.
    """
    mark, line_end = text[: text.startswith("\ufeff")], "\r\n" if "\r\n" in text else "\n"
    text = clean(text, path)
    declared = {item.name.text: item for item in parse(text, path).items if isinstance(item, DataSyntax)}
    for name in digests:
        if name not in declared:
            raise SpecError(
                "VF1020",
                f"there is no data set called `{name}`",
                place=path,
                expected=", ".join(f"`{known}`" for known in declared) or None,
                remedy=did_you_mean(name, declared),
            )
    changes = [_change(text, declared[name], digest) for name, digest in digests.items()]
    for first, last, new in sorted(changes, reverse=True):
        text = text[:first] + new + text[last:]
    return mark + text.replace("\n", line_end)


def _change(text: str, item: DataSyntax, digest: str) -> tuple[int, int, str]:
    """What to write in place of which part of the text."""
    if item.block is None:
        end = offsets(text, item.span)[1]
        return end, end, f" {{ digest = {digest} }}"
    settings = {entry.key.text: entry for entry in item.block.entries if isinstance(entry, Setting)}
    if "digest" in settings:
        return (*offsets(text, settings["digest"].value.span), digest)
    return _insert(text, item.block, settings.get("file"), digest)


def _insert(text: str, block: Block, file: Setting | None, digest: str) -> tuple[int, int, str]:
    start = offsets(text, block.span)[0] + 1
    if block.span.line == block.span.end_line:
        end = start if file is None else offsets(text, file.span)[1]
        return end, end, f" digest = {digest}" + " " * (text[end] == "}")
    if file is None:
        return start, start, f"\n  digest = {digest}"
    first, last = offsets(text, file.span)
    before = text[text.rfind("\n", 0, first) + 1 : first]
    indent = before if not before.strip() else "  "
    key = "digest".ljust(text[first:last].index("=") - 1)
    end = text.index("\n", last)
    return end, end, f"\n{indent}{key} = {digest}"
