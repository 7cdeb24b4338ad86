"""`verifluxa fmt`: one way to write a spec. Comments, blank lines between groups and line breaks are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from verifluxa.spec import syntax, terms
from verifluxa.spec.parse import parse
from verifluxa.spec.pieces import Piece, Role, offsets, pieces
from verifluxa.spec.read import clean

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
