"""Julia code as a tree, by tree-sitter: bounded in size, time, number of parts and depth. Nothing of it is run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verifluxa.errors import DataError, Span, UsageError
from verifluxa.files import NotAFileError, open_file

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

MOST_BYTES = 2**20
"""Of one file: training scripts have some thousand bytes."""
MOST_PARTS = 500_000
MOST_DEPTH = 300
MOST_SECONDS = 5.0
"""CPU seconds for parsing a file; text that is no Julia at all can take tree-sitter minutes."""


@dataclass(eq=False)
class Part:
    """A named part of the tree; built once and not changed afterwards.

    Attributes:
        kind: as the grammar calls it, `call_expression`.
        text: its code.
        row, column: where it begins, 0-based; the column in characters.
        end: row and column behind it.
        parent: the part around it; None at the top.
        parts: the named parts inside.
        broken: whether the parser could make nothing of it, or a piece is missing here.
    """

    kind: str
    text: str
    row: int
    column: int
    end: tuple[int, int]
    parent: Part | None
    parts: list[Part] = field(default_factory=list)
    broken: bool = False

    def around(self) -> Iterator[Part]:
        """The parts around it, from the inside out."""
        part = self.parent
        while part is not None:
            yield part
            part = part.parent

    def inside(self) -> Iterator[Part]:
        """The part and all parts inside, in the order of the text."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting += reversed(part.parts)

    def span(self, file: str) -> Span:
        """Its place."""
        return Span(file, self.row + 1, self.column + 1, self.end[0] + 1, self.end[1] + 1)


@dataclass(frozen=True, eq=False)
class Code:
    """A file of Julia code.

    Attributes:
        path: as the user gave it.
        lines: of text.
        top: the whole tree.
        cut: parts that were not looked into, since they are nested too deeply.
    """

    path: str
    lines: tuple[str, ...]
    top: Part
    cut: tuple[Part, ...]


def read_code(path: str) -> Code:
    """Reads and parses a file.

    Raises:
        UsageError: VF8050 when tree-sitter is not installed.
        DataError: VF8051 when the file is missing, too large, or no text; VF8052 when parsing takes too long.
    """
    content = read_text(path)
    tree = _parsed(_parser(), content, path)
    return _code(path, content, tree)


def read_text(path: str) -> bytes:
    """The bytes of a text file.

    Raises:
        DataError: VF8051.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise cannot_review(path, f"it has {size:,} bytes")
            content = file.read(MOST_BYTES)
    except NotAFileError:
        raise cannot_review(path, "it is not a file") from None
    except (OSError, ValueError) as error:
        raise cannot_review(path, getattr(error, "strerror", None) or str(error)) from None
    if b"\0" in content:
        raise cannot_review(path, f"it holds a zero byte (byte {content.index(0)}), so it is a binary file")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise cannot_review(path, f"it is not UTF-8 (byte {error.start})") from None
    return content


def cannot_review(path: str, reason: str) -> DataError:
    """VF8051."""
    return DataError(
        "VF8051",
        f"this file cannot be reviewed: {reason}",
        place=path,
        expected=f"Julia code (.jl), Project.toml or Manifest.toml: UTF-8 text of at most {MOST_BYTES:,} bytes",
        remedy="name the file that the training runs",
    )


def _parser() -> Parser:
    try:
        import tree_sitter_julia
        from tree_sitter import Language, Parser
    except ImportError:
        raise UsageError(
            "VF8050",
            "a review needs the packages tree-sitter and tree-sitter-julia, which are not installed",
            remedy="`pip install 'verifluxa[review]'`",
        ) from None
    return Parser(Language(tree_sitter_julia.language()))


def _parsed(parser: Parser, content: bytes, path: str) -> Tree:
    limit = time.process_time() + MOST_SECONDS
    try:
        # Only a source that is read in pieces lets the parser be stopped.
        return parser.parse(
            lambda at, _point: content[at : at + 2**16],
            progress_callback=lambda _at, _wrong: time.process_time() > limit,
        )
    except ValueError:
        raise DataError(
            "VF8052",
            f"parsing this file takes longer than {MOST_SECONDS:g} seconds",
            place=path,
            expected="Julia code",
            remedy="look at the file by hand: text that is no Julia, or that was made to be hard to read",
        ) from None


def _code(path: str, content: bytes, tree: Tree) -> Code:
    """Copies the named nodes. By hand: the depth of a tree must not be the depth of Python's stack."""
    builder = _Builder(content.split(b"\n"))
    top = builder.part(tree.root_node, None)
    waiting = [(tree.root_node, top, 0)]
    cut, count = [], 1
    while waiting:
        node, part, depth = waiting.pop()
        if depth >= MOST_DEPTH or count > MOST_PARTS:
            if node.named_child_count:
                cut.append(part)
            continue
        for child in node.children:
            if child.is_named or child.is_error or child.is_missing:
                inner = builder.part(child, part)
                part.parts.append(inner)
                waiting.append((child, inner, depth + 1))
                count += 1
    return Code(path, tuple(content.decode("utf-8").split("\n")), top, tuple(cut))


MOST_QUOTED = 4000
"""Bytes of a part's text that are kept: rules look at names and short expressions."""


@dataclass(frozen=True)
class _Builder:
    lines: list[bytes]

    def part(self, node: Node, parent: Part | None) -> Part:
        text = self._text(node)
        row, column = self._place(*node.start_point)
        broken = node.is_error or node.is_missing
        return Part(node.type, text, row, column, self._place(*node.end_point), parent, broken=broken)

    def _place(self, row: int, byte: int) -> tuple[int, int]:
        line = self.lines[row] if row < len(self.lines) else b""
        # A line of a million bytes with a part at every byte would be quadratic work.
        return row, len(line[:byte].decode("utf-8", "ignore")) if byte < MOST_QUOTED else byte

    def _text(self, node: Node) -> str:
        (row, start), (last, end) = node.start_point, node.end_point
        if row == last:
            return self.lines[row][start : min(end, start + MOST_QUOTED)].decode("utf-8", "ignore")
        kept = [self.lines[row][start : start + MOST_QUOTED]]
        size = len(kept[0])
        for at in range(row + 1, last + 1):
            if size > MOST_QUOTED or at >= len(self.lines):
                break
            kept.append(self.lines[at][: end if at == last else MOST_QUOTED])
            size += len(kept[-1])
        return b"\n".join(kept).decode("utf-8", "ignore")
