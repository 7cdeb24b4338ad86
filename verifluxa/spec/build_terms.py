"""Parse tree to syntax tree, the small parts: one method per grammar rule of `terms`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from lark import Token

from verifluxa.errors import Span, SpecError
from verifluxa.spec import terms
from verifluxa.spec.numbers import exact

Children = list[Any]
"""What the rule's parts became, in order; None for an optional part that is not there."""

_ESCAPE = re.compile(r"\\(.)")


class TermBuilder:
    """Builds names, numbers, expressions, places and sources.

    What is wrong inside a token is kept in `errors`, so that one pass finds all of it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[SpecError] = []

    def place(self, token: Token) -> Span:
        """Where a token is."""
        return token_span(self.file, token)

    def name(self, token: Token) -> terms.Name:
        """A name token as a node."""
        return terms.Name(str(token), span=self.place(token))

    def plain(self, token: Token, sign: Token | None = None, unit: terms.Unit | None = None) -> terms.Number:
        """A number token as a node; its span starts at the sign and ends with the unit."""
        span = self.place(token)
        try:
            value = exact(str(token), span)
        except SpecError as error:
            self.errors.append(error)
            value = Fraction(1)
        start = span if sign is None else self.place(sign)
        text = str(token) if sign is None else f"-{token}"
        whole = join(start, span if unit is None else unit.span)
        return terms.Number(text, value if sign is None else -value, unit, span=whole)

    # Numbers and words

    def _number(self, span: Span, parts: Children) -> terms.Number:
        sign, token, unit = parts
        return self.plain(token, sign, unit)

    def _signed(self, span: Span, parts: Children) -> terms.Number:
        sign, token = parts
        return self.plain(token, sign)

    def _literal(self, span: Span, parts: Children) -> terms.Number:
        token, unit = parts
        return self.plain(token, None, unit)

    def _unit(self, span: Span, parts: Children) -> terms.Unit:
        return terms.Unit(str(parts[0]), span=span)

    _long_unit = _unit

    def _text(self, span: Span, parts: Children) -> terms.Text:
        raw = str(parts[0])[1:-1]
        wrong = [escape for escape in _ESCAPE.findall(raw) if escape not in '\\"']
        if wrong:
            self.errors.append(
                SpecError(
                    "VF1013",
                    f"`\\{wrong[0]}` means nothing in a string",
                    place=span,
                    expected='`\\"` for a quote, `\\\\` for a backslash',
                    remedy="in paths write `/`",
                )
            )
        return terms.Text(_ESCAPE.sub(r"\1", raw), span=span)

    def _digest(self, span: Span, parts: Children) -> terms.Digest:
        return terms.Digest(str(parts[0]), span=span)

    # Expressions

    def _reference(self, span: Span, parts: Children) -> terms.Reference:
        return terms.Reference(str(parts[0]), span=span)

    def _call(self, span: Span, parts: Children) -> terms.Call:
        return terms.Call(self.name(parts[0]), parts[1], span=span)

    _source_call = _call

    def _index(self, span: Span, parts: Children) -> terms.Index:
        return terms.Index(*parts, span=span)

    def _outputs(self, span: Span, parts: Children) -> tuple[terms.Expression, ...]:
        return tuple(parts)

    def _list(self, span: Span, parts: Children) -> terms.ListOf:
        return terms.ListOf(tuple(parts), span=span)

    def _minus(self, span: Span, parts: Children) -> terms.Minus:
        return terms.Minus(parts[0], span=span)

    def _sum(self, span: Span, parts: Children) -> terms.Arithmetic:
        left, operator, right = parts
        return terms.Arithmetic(str(operator), left, right, span=span)

    _product = _sum

    def _comparison(self, span: Span, parts: Children) -> terms.Comparison:
        left, operator, right = parts
        return terms.Comparison(str(operator), left, right, span=span)

    def _in_range(self, span: Span, parts: Children) -> terms.InRange:
        return terms.InRange(*parts, span=span)

    def _in_set(self, span: Span, parts: Children) -> terms.InSet:
        return terms.InSet(*parts, span=span)

    def _negation(self, span: Span, parts: Children) -> terms.Not:
        return terms.Not(parts[0], span=span)

    def _both(self, span: Span, parts: Children) -> terms.Both:
        return terms.Both(tuple(parts), span=span)

    def _either(self, span: Span, parts: Children) -> terms.Either:
        return terms.Either(tuple(parts), span=span)

    def _rate(self, span: Span, parts: Children) -> terms.Rate:
        return terms.Rate(*parts, span=span)

    def _strongest(self, span: Span, parts: Children) -> terms.Strongest:
        return terms.Strongest(parts[0], span=span)

    def _strongest_of(self, span: Span, parts: Children) -> terms.StrongestOf:
        return terms.StrongestOf(self.name(parts[0]), span=span)

    # Places

    def _anywhere(self, span: Span, parts: Children) -> terms.Anywhere:
        return terms.Anywhere(span=span)

    def _corners(self, span: Span, parts: Children) -> terms.Corners:
        return terms.Corners(span=span)

    def _point(self, span: Span, parts: Children) -> terms.Point:
        return terms.Point(*parts, span=span)

    def _together(self, span: Span, parts: Children) -> terms.Together:
        return terms.Together(tuple(parts), span=span)

    def _points(self, span: Span, parts: Children) -> terms.Points:
        return terms.Points(tuple(parts), span=span)

    def _positions(self, span: Span, parts: Children) -> terms.Positions:
        return terms.Positions(tuple(parts), span=span)

    def _grid_places(self, span: Span, parts: Children) -> terms.GridPlaces:
        return terms.GridPlaces(*parts, span=span)

    def _grid(self, span: Span, parts: Children) -> terms.Steps:
        first, last, step = parts
        return terms.Steps(first, last, None if step is None else self.plain(step), span=span)

    # What variables range over

    def _selection(self, span: Span, parts: Children) -> terms.Selection:
        condition = parts[1] if len(parts) > 1 else None  # Lark leaves no None for an inlined rule
        return terms.Selection(self.name(parts[0]), condition, span=span)

    def _around(self, span: Span, parts: Children) -> terms.Around:
        return terms.Around(self.name(parts[0]), parts[1], span=span)

    def _members(self, span: Span, parts: Children) -> terms.Members:
        return terms.Members(tuple(part for part in parts if part is not None), span=span)

    def _source_at(self, span: Span, parts: Children) -> terms.TriggerAt:
        places = parts[1]
        if isinstance(places, terms.Point | terms.Together):
            places = terms.Points((places,), span=places.span)
        return terms.TriggerAt(self.name(parts[0]), places, span=span)

    def _binder(self, span: Span, parts: Children) -> terms.Binder:
        return terms.Binder(self.name(parts[0]), parts[1], span=span)


def token_span(file: str, token: Token) -> Span:
    """Where a token is."""
    line, column = token.line or 1, token.column or 1
    return Span(file, line, column, token.end_line or line, token.end_column or column)


def join(first: Span, last: Span) -> Span:
    """From the start of one place to the end of another."""
    return Span(first.file, first.line, first.column, last.end_line, last.end_column)
