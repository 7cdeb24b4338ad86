"""Lark's parse tree to the syntax tree, children first and without recursion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from lark import Token, Tree
from lark.tree import Meta

from verifluxa.errors import Span, SpecError
from verifluxa.spec import clause_syntax as clauses
from verifluxa.spec import syntax, terms
from verifluxa.spec.build_terms import Children, TermBuilder, join


def build(tree: Tree[Token], file: str) -> tuple[syntax.File, list[SpecError]]:
    """The syntax tree, and what is wrong inside its tokens; trust the tree only when nothing is."""
    builder = Builder(file)
    pending: list[Tree[Token] | Token | None] = [tree]
    order: list[Tree[Token] | Token | None] = []
    while pending:
        part = pending.pop()
        order.append(part)
        if isinstance(part, Tree):
            pending += part.children
    done: list[Any] = []
    for part in reversed(order):
        if not isinstance(part, Tree):
            done.append(part)
            continue
        first = len(done) - len(part.children)
        rule: Callable[[Span, Children], Any] = getattr(builder, f"_{part.data}")
        done[first:] = [rule(_span(file, part.meta), done[first:])]
    return cast(syntax.File, done[0]), builder.errors


def _span(file: str, meta: Meta) -> Span:
    if meta.empty:
        return Span(file, 1, 1, 1, 1)
    return Span(file, meta.line, meta.column, meta.end_line, meta.end_column)


class Builder(TermBuilder):
    """Builds declarations, blocks and statements."""

    def _start(self, span: Span, parts: Children) -> syntax.File:
        return syntax.File(parts[0], tuple(parts[1:]), span=span)

    def _version(self, span: Span, parts: Children) -> terms.Number:
        return self.plain(parts[0])

    # Declarations

    def _input(self, span: Span, parts: Children) -> syntax.InputSyntax:
        name, (kind, arguments, levels, block) = parts
        return syntax.InputSyntax(self.name(name), kind, arguments or (), levels, block, span=span)

    def _space(self, span: Span, parts: Children) -> tuple[Any, ...]:
        kind, *rest = parts
        return (self.name(kind), *rest)

    def _arguments(self, span: Span, parts: Children) -> tuple[syntax.Argument, ...]:
        return tuple(parts)

    def _argument(self, span: Span, parts: Children) -> syntax.Argument:
        key, value = parts
        return syntax.Argument(None if key is None else self.name(key), value, span=span)

    def _range(self, span: Span, parts: Children) -> syntax.Levels:
        return syntax.Levels(*parts, span=span)

    def _model(self, span: Span, parts: Children) -> syntax.ModelSyntax:
        name, space, (output, arguments), block = parts
        return syntax.ModelSyntax(self.name(name), self.name(space), output, arguments or (), block, span=span)

    def _output(self, span: Span, parts: Children) -> tuple[Any, ...]:
        return (self.name(parts[0]), parts[1])

    def _data(self, span: Span, parts: Children) -> syntax.DataSyntax:
        name, space, block = parts
        return syntax.DataSyntax(self.name(name), self.name(space), block, span=span)

    def _param(self, span: Span, parts: Children) -> syntax.ParamSyntax:
        name, kind, value = parts
        return syntax.ParamSyntax(self.name(name), self.name(kind), value, span=span)

    def _include(self, span: Span, parts: Children) -> syntax.Include:
        return syntax.Include(*(self.name(name) for name in parts), span=span)

    def _trigger(self, span: Span, parts: Children) -> syntax.TriggerSyntax:
        name, space, *clauses = parts
        return syntax.TriggerSyntax(self.name(name), self.name(space), tuple(clauses), span=span)

    def _property(self, span: Span, parts: Children) -> syntax.PropertySyntax:
        name, *statements = parts
        return syntax.PropertySyntax(self.name(name), tuple(statements), span=span)

    # Blocks

    def _block(self, span: Span, parts: Children) -> syntax.Block:
        return syntax.Block(tuple(parts), span=span)

    def _setting(self, span: Span, parts: Children) -> syntax.Setting:
        key, value = parts
        return syntax.Setting(self.name(key), value, span=span)

    def _labels_start(self, span: Span, parts: Children) -> syntax.LabelsStart:
        return syntax.LabelsStart(self.plain(parts[0]), span=span)

    def _field(self, span: Span, parts: Children) -> syntax.Column:
        key, domain = parts
        return syntax.Column(self.name(key), domain, span=span)

    def _field_range(self, span: Span, parts: Children) -> syntax.FieldRange:
        low, high, unit, continuous = parts
        return syntax.FieldRange(low, high, unit, continuous is not None, span=span)

    def _categories(self, span: Span, parts: Children) -> syntax.Categories:
        return syntax.Categories(tuple(parts), span=span)

    def _boolean(self, span: Span, parts: Children) -> syntax.Boolean:
        return syntax.Boolean(span=span)

    # Clauses of a trigger

    def _replace(self, span: Span, parts: Children) -> syntax.Replace:
        return syntax.Replace(*parts, span=span)

    def _reword(self, span: Span, parts: Children) -> clauses.Reword:
        return clauses.Reword(parts[-1], span=span)

    def _insert(self, span: Span, parts: Children) -> syntax.Insert:
        return syntax.Insert("insert", parts[0], span=span)

    def _append(self, span: Span, parts: Children) -> syntax.Insert:
        return syntax.Insert("append", parts[0], span=span)

    def _at(self, span: Span, parts: Children) -> syntax.At:
        return syntax.At(parts[0], span=span)

    def _with_levels(self, span: Span, parts: Children) -> syntax.WithLevels:
        levels, continuous = parts
        return syntax.WithLevels(levels, continuous is not None, span=span)

    def _with_picture(self, span: Span, parts: Children) -> syntax.WithPicture:
        return syntax.WithPicture(parts[0], span=span)

    def _with_patterns(self, span: Span, parts: Children) -> clauses.WithPatterns:
        *patterns, levels, continuous = parts
        ends = clauses.Range(levels.low, levels.high, span=levels.span)
        return clauses.WithPatterns(tuple(patterns), ends, continuous is not None, span=span)

    def _wave(self, span: Span, parts: Children) -> clauses.Wave:
        axis, period, shift = parts
        return clauses.Wave(str(axis), period, shift, span=span)

    def _blend(self, span: Span, parts: Children) -> clauses.Blend:
        (first, *_) = parts
        if isinstance(first, syntax.Levels):
            return clauses.Blend((first.low, first.high), ranges=True, span=span)
        return clauses.Blend(tuple(parts), span=span)

    def _mask(self, span: Span, parts: Children) -> clauses.Mask:
        return clauses.Mask(parts[0], span=span)

    def _unclipped(self, span: Span, parts: Children) -> clauses.Unclipped:
        return clauses.Unclipped(span=span)

    def _one_of(self, span: Span, parts: Children) -> clauses.OneOf:
        return clauses.OneOf(tuple(self.name(name) for name in parts), span=span)

    def _probes(self, span: Span, parts: Children) -> clauses.Probes:
        *names, levels, continuous = parts
        ends = None if levels is None else clauses.Range(levels.low, levels.high, span=levels.span)
        return clauses.Probes(tuple(self.name(name) for name in names), ends, continuous is not None, span=span)

    def _stamped(self, span: Span, parts: Children) -> clauses.Stamped:
        verb, area = parts
        return clauses.Stamped(str(verb), area, span=span)

    def _size(self, span: Span, parts: Children) -> clauses.Size:
        return clauses.Size(*parts, span=span)

    def _whole(self, span: Span, parts: Children) -> clauses.Whole:
        return clauses.Whole(span=span)

    def _pixels(self, span: Span, parts: Children) -> clauses.Pixels:
        return clauses.Pixels(tuple(parts), span=span)

    def _from_list(self, span: Span, parts: Children) -> syntax.FromList:
        name, exceptions = parts
        return syntax.FromList(self.name(name), exceptions or (), span=span)

    def _from_words(self, span: Span, parts: Children) -> syntax.FromList:
        return syntax.FromList(None, (), tuple(parts), span=span)

    def _keep(self, span: Span, parts: Children) -> syntax.Keep:
        feature, values = parts
        return syntax.Keep(self.name(feature), values, span=span)

    def _kept_range(self, span: Span, parts: Children) -> syntax.KeptRange:
        return syntax.KeptRange(*parts, span=span)

    def _exceptions(self, span: Span, parts: Children) -> tuple[terms.Text, ...]:
        return tuple(parts)

    def _set_features(self, span: Span, parts: Children) -> syntax.SetFeatures:
        count, *features = parts
        return syntax.SetFeatures(self.plain(count), tuple(self.name(feature) for feature in features), span=span)

    # Statements of a property

    def _doc(self, span: Span, parts: Children) -> syntax.Doc:
        return syntax.Doc(str(parts[0])[3:-3], span=span)

    def _forall(self, span: Span, parts: Children) -> syntax.Forall:
        return syntax.Forall(parts[0], span=span)

    def _let(self, span: Span, parts: Children) -> syntax.Let:
        return syntax.Let(self.name(parts[0]), parts[1], span=span)

    def _assertion(self, span: Span, parts: Children) -> syntax.Assertion:
        condition, *budgets, over = parts
        return syntax.Assertion(condition, tuple(budgets), over or (), span=span)

    def _budget(self, span: Span, parts: Children) -> syntax.Budget:
        return syntax.Budget(*parts, span=span)

    def _measure(self, span: Span, parts: Children) -> syntax.Measure:
        quantity, over, gap, everywhere = parts
        return syntax.Measure(quantity, over, gap, everywhere is not None, span=span)

    def _search(self, span: Span, parts: Children) -> syntax.Search:
        return syntax.Search(*parts, span=span)

    def _quantified(self, span: Span, parts: Children) -> tuple[terms.Binder, ...]:
        """Binders; a place behind `t in patch at (0, 0),` belongs to the binder before it."""
        binders: list[terms.Binder] = []
        for part in parts:
            if isinstance(part, terms.Binder):
                binders.append(part)
            elif binders and _takes_points(binders[-1]):
                binders[-1] = _with_point(binders[-1], part)
            else:
                self.errors.append(_stray(part))
        return tuple(binders)


def _takes_points(binder: terms.Binder) -> bool:
    return isinstance(binder.source, terms.TriggerAt) and isinstance(binder.source.places, terms.Points)


def _with_point(binder: terms.Binder, point: terms.Point | terms.Together) -> terms.Binder:
    source = cast(terms.TriggerAt, binder.source)
    before = cast(terms.Points, source.places)
    places = terms.Points((*before.points, point), span=join(before.span, point.span))
    longer = terms.TriggerAt(source.name, places, span=join(source.span, point.span))
    return terms.Binder(binder.name, longer, span=join(binder.span, point.span))


def _stray(point: terms.Point | terms.Together) -> SpecError:
    return SpecError(
        "VF1004",
        "a place stands here without its trigger",
        place=point.span,
        expected="`t in patch at (0, 0), (24, 24)`",
        remedy="list places directly behind `at`",
    )
