"""Julia code as a tree, by tree-sitter, bounded in size, time, parts and depth, and small questions about its parts."""

from __future__ import annotations

import os
import re
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


CALLS = ("call_expression", "broadcast_call_expression")
WRITES = ("assignment", "compound_assignment_expression")
NUMBERS = ("integer_literal", "float_literal", "boolean_literal", "character_literal")
COMPARISONS = re.compile(r"\.?(===|==|!=|!==|≠|<|>|<=|>=|≤|≥|∈|∉|in|≈)")
_REACHING = ("index_expression", "field_expression", "parenthesized_expression", "adjoint_expression")
MOST_NAME = 200
LONGEST = 90


def quoted(part: Part) -> str:
    """Its code on one line, short."""
    words = " ".join(part.text[: 4 * LONGEST].split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def callee(part: Part) -> str:
    """What is called, as `Flux.train!`; macros as `@eval`, `BSON.@load`; empty where it is no name."""
    if part.kind == "macrocall_expression":
        names = [one.text for one in part.parts if one.kind in ("identifier", "field_expression", "scoped_identifier")]
        macro = next((one.text for one in part.parts if one.kind == "macro_identifier"), "")
        module = names[0] if names and part.parts[0].kind != "macro_identifier" else ""
        return f"{module}.{macro}" if module else macro
    if part.kind in CALLS and part.parts and part.parts[0].kind in ("identifier", "field_expression", "operator"):
        return dotted(part.parts[0])
    return ""


def dotted(part: Part) -> str:
    """A name with its modules; `Base.:+` as `Base.+`; empty where it is no plain name."""
    text = part.text.replace(":", "").replace("(", "").replace(")", "")
    plain = all(
        one.kind in ("identifier", "field_expression", "scoped_identifier", "quote_expression", "operator")
        or one.kind == "parenthesized_expression"
        for one in part.inside()
    )
    return text if plain and len(text) <= MOST_NAME else ""


def last_name(name: str) -> str:
    """`train!` of `Flux.train!`; of an operator all of it."""
    return name.rpartition(".")[2] or name


def arguments(call: Part) -> list[Part]:
    """What a call or macro is given, without the function itself."""
    listed = [one for one in call.parts if one.kind in ("argument_list", "macro_argument_list")]
    return listed[0].parts if listed else []


def target(write: Part) -> Part:
    """What an assignment writes to; `where` and `::T` around a definition are taken off."""
    part = write.parts[0] if write.parts else write
    while part.kind in ("where_expression", "typed_expression", "signature") and part.parts:
        part = part.parts[0]
    return part


def value(write: Part) -> Part:
    """What an assignment writes."""
    return write.parts[-1]


def operator(part: Part) -> str:
    """The operator of an assignment or of two operands; empty where there is none."""
    return next((one.text for one in part.parts if one.kind == "operator"), "")


def root(part: Part) -> str:
    """The variable that an expression reaches into: `x` of `view(x.a[1], 2)`; empty where there is none."""
    for _ in range(50):
        if part.kind == "identifier":
            return part.text
        name = last_name(callee(part))
        if part.kind in (*CALLS, "macrocall_expression"):
            given = arguments(part)
            if name not in ("view", "@view", "@views", "@inbounds", "selectdim", "vec", "parent") or not given:
                return ""
            part = given[0]
        elif part.kind in _REACHING and part.parts:
            part = part.parts[0]
        else:
            return ""
    return ""


def indices(part: Part) -> list[Part]:
    """The indices of `x[...]`, `view(x, ...)` or `@view(x[...])`; empty for anything else."""
    if part.kind == "index_expression" and len(part.parts) > 1:
        return part.parts[1].parts
    if part.kind == "macrocall_expression" and callee(part) in ("@view", "@views", "@inbounds"):
        given = arguments(part)
        return indices(given[0]) if given else []
    if part.kind == "call_expression" and last_name(callee(part)) == "view":
        return arguments(part)[1:]
    return []


def names_in(part: Part) -> Iterator[Part]:
    """The identifiers inside, without the names of fields."""
    for one in part.inside():
        if one.kind != "identifier":
            continue
        around = one.parent
        if around is not None and around.kind == "field_expression" and around.parts[0] is not one:
            continue
        yield one


def definition(part: Part) -> Part | None:
    """The call in the head of a function definition, `f(a, b)`; None where this defines none."""
    if part.kind == "function_definition":
        head = next((one for one in part.parts if one.kind == "signature"), None)
        head = target(head) if head is not None else None
    elif part.kind == "assignment":
        head = target(part)
    else:
        return None
    return head if head is not None and head.kind == "call_expression" else None


def condition(part: Part) -> Part | None:
    """What a branch asks; None where this is no branch."""
    kind = part.kind
    if kind in ("if_statement", "elseif_clause", "ternary_expression", "while_statement", "if_clause"):
        return part.parts[0] if part.parts else None
    if kind == "binary_expression" and operator(part) in ("&&", "||") and _stands_alone(part):
        return part.parts[0]
    if kind in CALLS and last_name(callee(part)) == "ifelse":
        given = arguments(part)
        return given[0] if given else None
    return None


def _stands_alone(part: Part) -> bool:
    """Whether `a && b` is a branch and not a part of a larger condition."""
    around = part.parent
    return (around is not None and around.kind in ("source_file", "block", "for_statement", "function_definition")) or (
        around is not None and around.kind.endswith(("_clause", "_statement")) and around.parts[0] is not part
    )
