"""Text to syntax tree. After an error parsing goes on at the next declaration, so that several are shown at once.

A grammar rule becomes the node whose class has its name. The few that are more than that are here: names, numbers and
texts, whose tokens may be wrong in themselves, lists, and the places of a binder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from lark import Lark, Token, Tree, UnexpectedInput, v_args
from lark.ast_utils import create_transformer
from lark.lark import PostLex
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from verifluxa.errors import ManyErrors, Span, SpecError, VerifluxaError
from verifluxa.spec import syntax, terms
from verifluxa.spec.explain_syntax import BLOCK_START, explain, position
from verifluxa.spec.numbers import exact
from verifluxa.spec.read import clean
from verifluxa.spec.syntax import File, walk
from verifluxa.spec.triggers.table import SYNTAX

Children = list[Any]
"""What the rule's parts became, in order; None for an optional part that is not there."""

_ESCAPE = re.compile(r"\\(.)")


def build(tree: Tree[Token], file: str) -> tuple[syntax.File, list[SpecError]]:
    """The syntax tree, and what is wrong inside its tokens; trust the tree only when nothing is."""
    builder = Builder(file)
    for module in (terms, syntax, *SYNTAX):
        create_transformer(module, builder, builder.nodes)
    return builder.transform(tree), builder.errors


@v_args(meta=True)
class Builder(Transformer_NonRecursive[Token, syntax.File]):
    """Tokens, and the rules that build no node of their name; without recursion, so any depth is safe.

    What is wrong inside a token is kept in `errors`, so that one pass finds all of it.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.source = file
        self.errors: list[SpecError] = []

    def nodes(self, inline: bool, meta: bool) -> Callable[[type[terms.Rule]], Any]:
        """How `create_transformer` makes a node: with its place, tokens as text, and flags as they are declared."""

        def decorated(kind: type[terms.Rule]) -> Any:
            make: Callable[..., terms.Rule] = kind
            flags = [item.type == "bool" for item in fields(kind) if item.name != "span"]

            def node(_: object, rule: str, children: Children, place: Meta) -> terms.Rule:
                parts = [str(part) if isinstance(part, Token) else part for part in children]
                if not inline:
                    return make(tuple(parts), span=self._span(place))
                values = [part is not None if flag else part for part, flag in zip(parts, flags, strict=False)]
                return make(*values, span=self._span(place))

            return v_args(wrapper=node)(kind)

        return decorated

    def _span(self, place: Meta) -> Span:
        if place.empty:
            return Span(self.source, 1, 1, 1, 1)
        return Span(self.source, place.line, place.column, place.end_line, place.end_column)

    def NAME(self, token: Token) -> terms.Name:
        """A name as a node."""
        return terms.Name(str(token), span=token_span(self.source, token))

    KEY = NAME

    def NUMBER(self, token: Token) -> terms.Number:
        """A number without sign and unit."""
        place = token_span(self.source, token)
        try:
            value = exact(str(token), place)
        except SpecError as error:
            self.errors.append(error)
            value = Fraction(1)
        return terms.Number(str(token), value, None, span=place)

    def STRING(self, token: Token) -> terms.Text:
        """A string without its quotes, escapes resolved."""
        raw, place = str(token)[1:-1], token_span(self.source, token)
        wrong = [escape for escape in _ESCAPE.findall(raw) if escape not in '\\"']
        if wrong:
            self.errors.append(
                SpecError(
                    "VF1013",
                    f"`\\{wrong[0]}` means nothing in a string",
                    place=place,
                    expected='`\\"` for a quote, `\\\\` for a backslash',
                    remedy="in paths write `/`",
                )
            )
        return terms.Text(_ESCAPE.sub(r"\1", raw), span=place)

    def LONG_STRING(self, token: Token) -> syntax.Doc:
        """The text between triple quotes."""
        return syntax.Doc(str(token)[3:-3], span=token_span(self.source, token))

    def number(self, place: Meta, children: Children) -> terms.Number:
        """A number with its sign and unit, where they are there."""
        sign, number, *unit = children
        text, value = (number.text, number.value) if sign is None else (f"-{number.text}", -number.value)
        return terms.Number(text, value, *unit or (None,), span=self._span(place))

    signed = number

    def literal(self, place: Meta, children: Children) -> terms.Number:
        """A number with its unit; a sign before it is arithmetic."""
        return self.number(place, [None, *children])

    def reference(self, place: Meta, children: Children) -> terms.Reference:
        """A name used as a value."""
        return terms.Reference(children[0].text, span=self._span(place))

    def unit(self, place: Meta, children: Children) -> terms.Unit:
        """A word, `%`, or `eur/year`."""
        (word,) = children
        return terms.Unit(word.text if isinstance(word, terms.Name) else str(word), span=self._span(place))

    def listed(self, place: Meta, children: Children) -> tuple[Any, ...]:
        """The parts themselves."""
        return tuple(children)

    items = arguments = outputs = values = clauses = patterns = exceptions = names = statements = budgets = listed

    def version(self, place: Meta, children: Children) -> terms.Number:
        """The number behind `spec`."""
        number: terms.Number = children[0]
        return number

    def over(self, place: Meta, children: Children) -> tuple[terms.Binder, ...]:
        """The binders behind `over`, where there are any."""
        return children[0] if children else ()

    def quantified(self, place: Meta, children: Children) -> tuple[terms.Binder, ...]:
        """Binders; a place behind `t in patch at (0, 0),` belongs to the binder before it."""
        binders: list[terms.Binder] = []
        for part in children:
            if isinstance(part, terms.Binder):
                binders.append(part)
            elif binders and (longer := _with_point(binders[-1], part)) is not None:
                binders[-1] = longer
            else:
                self.errors.append(_stray(part))
        return tuple(binders)


def _with_point(binder: terms.Binder, point: terms.Point | terms.Together) -> terms.Binder | None:
    """The binder of a trigger at some points with one more; None for any other binder."""
    match binder.source:
        case terms.TriggerAt(name=name, places=terms.Points(points=points) as before) as source:
            places = terms.Points((*points, point), span=_join(before.span, point.span))
            longer = terms.TriggerAt(name, places, span=_join(source.span, point.span))
            return terms.Binder(binder.name, longer, span=_join(binder.span, point.span))
    return None


def _stray(point: terms.Point | terms.Together) -> SpecError:
    return SpecError(
        "VF1004",
        "a place stands here without its trigger",
        place=point.span,
        expected="`t in patch at (0, 0), (24, 24)`",
        remedy="list places directly behind `at`",
    )


def token_span(file: str, token: Token) -> Span:
    """Where a token is."""
    line, column = token.line or 1, token.column or 1
    return Span(file, line, column, token.end_line or line, token.end_column or column)


def _join(first: Span, last: Span) -> Span:
    """From the start of one place to the end of another."""
    return Span(first.file, first.line, first.column, last.end_line, last.end_column)


MAX_TOKENS = 50_000
"""More words and signs than any spec has; keeps the time for a hostile file to a second or two."""
MAX_DEPTH = 100
"""Deepest nesting of expressions; what follows may then use recursion."""
MAX_ERRORS = 20
"""Errors shown at once; later ones are usually echoes."""

_TOKENS = re.compile(r'#[^\n]*|"""[\s\S]*?"""|"(?:\\[^\n]|[^"\\\n])*"|\w+|[^\w\s]')


def parse(text: str, path: str) -> File:
    """Parses a spec.

    Args:
        text: the text of the file.
        path: its name, for places in messages.

    Raises:
        SpecError: VF1002, VF1004 to VF1009, VF1012 or VF1013: the one error that was found.
        ManyErrors: several such errors.
    """
    text = clean(text, path)
    _bounded(text, path)
    found = _tree(text, path)
    if not isinstance(found, Tree):
        raise combined(found)
    file, errors = build(found, path)
    errors += too_deep(file)
    if errors:
        raise combined(errors)
    return file


@cache
def grammar() -> Lark:
    """The parser; made once, in less than a tenth of a second."""
    text = files("verifluxa.spec").joinpath("grammar.lark").read_text(encoding="utf-8")
    options = {"parser": "lalr", "lexer": "contextual", "propagate_positions": True, "maybe_placeholders": True}
    return Lark(text, start="file", postlex=WholeWords(), **options)


class WholeWords(PostLex):
    """Lets the lexer see a name everywhere, so that `anywhere` is one word and not the keyword `any` and a rest."""

    always_accept = ("NAME",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens as they are."""
        return stream


def combined(errors: Sequence[SpecError]) -> VerifluxaError:
    """One error as it is; several as one `ManyErrors`, in the order of the text, without echoes."""
    ordered: dict[tuple[str, str], VerifluxaError] = {}
    for error in sorted(errors, key=_order):
        ordered.setdefault((error.code, str(error.place)), error)
    kept = list(ordered.values())[:MAX_ERRORS]
    return kept[0] if len(kept) == 1 else ManyErrors(kept)


def too_deep(file: File) -> list[SpecError]:
    """VF1009 at the first expression that is nested too deeply."""
    deep = (node.span for node, depth in walk(file) if depth > MAX_DEPTH)
    return [
        SpecError(
            "VF1009",
            f"this is nested more than {MAX_DEPTH} levels deep",
            place=span,
            remedy="split the expression, or give parts of it a name with `let` or `param`",
        )
        for span in islice(deep, 1)
    ]


def _tree(text: str, path: str) -> Tree[Token] | list[SpecError]:
    """The parse tree, or every error: after each one parsing starts again at the next declaration."""
    parser, begin, errors = grammar(), 0, list[SpecError]()
    while len(errors) < MAX_ERRORS:
        try:
            tree = parser.parse(_blank(text[:begin]) + text[begin:])
        except UnexpectedInput as error:
            errors.append(explain(error, parser, text, path))
            following = BLOCK_START.search(text, _line_start(text, position(error, text)))
            while following is not None and following.start(1) <= begin:
                following = BLOCK_START.search(text, following.end())
            if following is None:
                return errors
            begin = following.start(1)
        else:
            return errors or tree
    return errors


def _bounded(text: str, path: str) -> None:
    if sum(1 for _ in islice(_TOKENS.finditer(text), MAX_TOKENS + 1)) > MAX_TOKENS:
        raise SpecError(
            "VF1002",
            f"the spec has more than {MAX_TOKENS:,} words and signs",
            place=path,
            remedy="say places as ranges (`at rows 0..25 step 5, columns 0..25`), or split the file",
        )


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _order(error: SpecError) -> tuple[int, int]:
    place = error.place
    return (place.line, place.column) if isinstance(place, Span) else (0, 0)
