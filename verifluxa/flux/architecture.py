"""The architecture text to a syntax tree: what `show(model)` prints, or what people write in source.

Nothing is evaluated but sums and products of whole numbers. Every node knows its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from lark import Lark, Token, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from verifluxa.errors import ModelError, Span
from verifluxa.flux.limits import DEPTH, TEXT_BYTES
from verifluxa.flux.values import Symbol

_LARGEST = 2**31 - 1
_ANONYMOUS = re.compile(r'->|(?<=[(,\s])#[0-9]+(?=\s*[,)])|\bvar"')
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "nothing": None}
_WORDS = {
    "RPAR": "`)`",
    "LPAR": "`(`",
    "COMMA": "`,`",
    "SEMICOLON": "`;`",
    "COLON": "`:`",
    "EQUAL": "`=`",
    "RSQB": "`]`",
    "LSQB": "`[`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "NAME": "a name",
    "INTEGER": "a whole number",
    "FLOAT": "a number",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "TIMES": "`*`",
    "SYMBOL": "a symbol",
    "STRING": "a string",
    "__ANON_0": "`=>`",
    "$END": "the end of the text",
}


@dataclass(frozen=True)
class Node:
    """A part of the text.

    Attributes:
        span: its place.
        depth: how many levels of parts it is made of.
    """

    span: Span
    depth: int


@dataclass(frozen=True)
class Literal(Node):
    """A number, a Bool, `nothing`, a string or a symbol."""

    value: bool | int | float | str | Symbol | None


@dataclass(frozen=True)
class Name(Node):
    """A name, `relu` or `Flux.flatten`, or an operator."""

    name: str


@dataclass(frozen=True)
class Pair(Node):
    """`left => right`."""

    left: Expression
    right: Expression


@dataclass(frozen=True)
class Range(Node):
    """`first:last`, whole numbers."""

    first: int
    last: int


@dataclass(frozen=True)
class Sequence(Node):
    """A tuple `(a, b)` or a vector `[a, b]`."""

    items: tuple[Expression, ...]
    vector: bool


@dataclass(frozen=True)
class Keyword(Node):
    """`name = value` among arguments."""

    name: str
    value: Expression


@dataclass(frozen=True)
class Call(Node):
    """`name(arguments; keywords)`: the name without type parameters, the arguments in order."""

    name: str
    arguments: tuple[Expression | Keyword, ...]


Expression = Literal | Name | Pair | Range | Sequence | Call


def parse_architecture(text: str, file: str) -> Call | Name:
    """Parses the text of a model.

    Args:
        text: `Chain(...)`, or a single layer or function.
        file: its name, for places.

    Returns:
        The outermost layer.

    Raises:
        ModelError: VF2007 when the text is not of that form, VF2005 when it holds an anonymous function,
            VF2004 when it is too long or nests too deep.
    """
    if len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES:
        raise ModelError("VF2004", f"the architecture is longer than {TEXT_BYTES} bytes", place=file)
    _refuse_anonymous(text, file)
    try:
        # Neither step recurses: a hostile text may nest as deep as it is long.
        result = _Build(file).transform(_parser().parse(text))
    except UnexpectedInput as error:
        raise _unexpected(error, text, file) from None
    except VisitError as error:
        if isinstance(error.orig_exc, ModelError):
            raise error.orig_exc from None
        raise
    if not isinstance(result, Call | Name):
        raise refuse(result.span, "an architecture begins with a layer", "`Chain(...)`, `Dense(4 => 3)`, ...")
    return result


def refuse(span: Span, message: str, expected: str | None = None, remedy: str | None = None) -> ModelError:
    """The error for a text that is not the text of a Flux model."""
    return ModelError(
        "VF2007",
        message,
        place=span,
        expected=expected,
        remedy=remedy or 'paste what Julia prints for `show(stdout, MIME("text/plain"), model)`',
    )


@cache
def _parser() -> Lark:
    grammar = files("verifluxa.flux").joinpath("architecture.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _refuse_anonymous(text: str, file: str) -> None:
    # Comments may hold anything, so they are blanked; `#9)` is not a comment but how Julia prints a closure.
    found = _ANONYMOUS.search(re.sub(r"(?<!\")#(?![0-9]+\s*[,)])[^\n]*", lambda match: " " * len(match.group()), text))
    if found is None:
        return
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - (text.rfind("\n", 0, found.start()) + 1) + 1
    raise ModelError(
        "VF2005",
        "the architecture holds an anonymous function, whose code is in no file",
        place=Span(file, line, column, line, column + len(found.group())),
        expected="layers and functions of Flux itself",
        remedy="write that part with Flux layers (`Flux.flatten`, `Dense(..., relu)`, ...)",
    )


def _unexpected(error: UnexpectedInput, text: str, file: str) -> ModelError:
    names: set[str] = set()
    if isinstance(error, UnexpectedToken):
        names = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        names = set(error.allowed or ())
    expected = sorted(_WORDS[name] for name in names if name in _WORDS)
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        line, column, found = text.count("\n") + 1, len(text) - text.rfind("\n"), "the end of the text"
    else:
        line, column = error.line, error.column
        word = str(error.token) if isinstance(error, UnexpectedToken) else text[error.pos_in_stream or 0]
        found = f"`{word[:40]}`"
        if word == "×" or re.match(r"\[|-element|×|Array\{", text[error.pos_in_stream or 0 :]):
            return _own_layer(Span(file, line, column, line, column + 1))
    return refuse(
        Span(file, line, column, line, column + 1),
        f"{found} cannot stand here in an architecture",
        " or ".join(expected[:8]) or None,
    )


def _own_layer(span: Span) -> ModelError:
    return ModelError(
        "VF2005",
        "an array stands here: Julia prints one only for a layer that is not one of Flux's own",
        place=span,
        expected="layers and functions of Flux itself",
        remedy="write that part with Flux layers and save the model again",
    )


@v_args(meta=True)
class _Build(Transformer_NonRecursive[Token, Expression]):
    """Tree to nodes; refuses arithmetic on anything but whole numbers, and deep nesting."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def start(self, _: Meta, parts: list[Expression | Token]) -> Expression:
        last = parts[-1]
        assert not isinstance(last, Token)  # the grammar puts the name of an assignment first
        return last

    def _at(self, meta: Meta, *parts: Node) -> tuple[Span, int]:
        span = Span(self._file, meta.line, meta.column, meta.end_line, meta.end_column)
        depth = 1 + max((part.depth for part in parts), default=0)
        if depth > DEPTH:
            raise ModelError("VF2004", f"the architecture nests more than {DEPTH} deep", place=span)
        return span, depth

    def number(self, meta: Meta, parts: list[Token]) -> Literal:
        return Literal(*self._at(meta), _number(parts[0], self._at(meta)[0]))

    def negative(self, meta: Meta, parts: list[Literal]) -> Literal:
        value = parts[-1].value
        assert isinstance(value, int | float)  # the grammar allows a number only
        return Literal(*self._at(meta), -value)

    def symbol(self, meta: Meta, parts: list[Token]) -> Literal:
        return Literal(*self._at(meta), Symbol(str(parts[0])[1:]))

    def text(self, meta: Meta, parts: list[Token]) -> Literal:
        return Literal(*self._at(meta), str(parts[0])[1:-1])

    def name(self, meta: Meta, parts: list[Token]) -> Literal | Name:
        word = str(parts[0])
        if word in _CONSTANTS:
            return Literal(*self._at(meta), _CONSTANTS[word])
        return Name(*self._at(meta), word)

    def operator(self, meta: Meta, parts: list[Token]) -> Name:
        return Name(*self._at(meta), str(parts[0]))

    def add(self, meta: Meta, parts: list[Expression | Token]) -> Literal:
        left, right = self._whole(parts)
        return self._small(meta, left + right)

    def subtract(self, meta: Meta, parts: list[Expression | Token]) -> Literal:
        left, right = self._whole(parts)
        return self._small(meta, left - right)

    def multiply(self, meta: Meta, parts: list[Expression | Token]) -> Literal:
        left, right = self._whole(parts)
        return self._small(meta, left * right)

    def pair(self, meta: Meta, parts: list[Expression]) -> Pair:
        return Pair(*self._at(meta, *parts), parts[0], parts[1])

    def range(self, meta: Meta, parts: list[Expression | Token]) -> Range:
        left, right = self._whole(parts)
        return Range(*self._at(meta), left, right)

    def colon(self, meta: Meta, parts: list[Token]) -> Name:
        return Name(*self._at(meta), str(parts[0]))

    def tuple_value(self, meta: Meta, parts: list[Expression]) -> Sequence:
        return Sequence(*self._at(meta, *parts), tuple(parts), False)

    def vector(self, meta: Meta, parts: list[Expression]) -> Sequence:
        return Sequence(*self._at(meta, *parts), tuple(parts), True)

    def keyword(self, meta: Meta, parts: list[Token | Expression]) -> Keyword:
        name, value = parts
        assert isinstance(value, Node)  # the grammar puts the name first
        return Keyword(*self._at(meta, value), str(name), value)

    def types(self, _: Meta, __: list[Token]) -> None:
        # Type parameters say nothing that the arguments do not say.
        return None

    def call(self, meta: Meta, parts: list[Token | Expression | Keyword | None]) -> Call:
        arguments = tuple(part for part in parts[1:] if isinstance(part, Node))
        names = [part.name for part in arguments if isinstance(part, Keyword)]
        span, depth = self._at(meta, *arguments)
        if len(set(names)) != len(names):
            raise refuse(span, "two arguments have the same name")
        return Call(span, depth, str(parts[0]), arguments)

    def _whole(self, parts: list[Expression | Token]) -> tuple[int, int]:
        left, right = (part for part in parts if isinstance(part, Node))
        if isinstance(left, Literal) and isinstance(right, Literal):
            first, second = left.value, right.value
            if isinstance(first, int) and isinstance(second, int):
                return first, second
        raise refuse(left.span, "only whole numbers are added, multiplied or make a range in an architecture")

    def _small(self, meta: Meta, value: int) -> Literal:
        span, depth = self._at(meta)
        return Literal(span, depth, _bounded(value, span))


def _number(word: str, span: Span) -> int | float:
    if re.fullmatch("[0-9_]+", word):
        # Twelve digits suffice, and a longer word would be slow to read.
        return _bounded(int(word[:12].replace("_", "")), span)
    if "f" in word:
        return _finite(float(np.float32(word.replace("f", "e"))), span)
    return _finite(float(word), span)


def _bounded(value: int, span: Span) -> int:
    if abs(value) > _LARGEST:
        raise refuse(span, "this number is too large for a size", f"at most {_LARGEST}")
    return value


def _finite(value: float, span: Span) -> float:
    if not np.isfinite(value):
        raise refuse(span, "this number is not finite")
    return value
