"""Which inputs count: `eval where correct(digits, x) and label(x) != target`, down to a `Selection`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.meaning import (
    Constant,
    Correct,
    LabelOf,
    Meaning,
    Scope,
    Target,
    class_index,
    describe,
    meaning,
)
from verifluxa.spec.problems import unsupported
from verifluxa.spec.spec import DataDecl, ModelDecl, Selection
from verifluxa.spec.terms import Both, Comparison, Either, Expression, InRange, InSet, Not


@dataclass(frozen=True)
class CorrectBy:
    """The model answers right."""

    model: ModelDecl
    span: Span


@dataclass(frozen=True)
class LabelIs:
    """The label is one of some classes, or none of them."""

    classes: tuple[Constant, ...]
    negated: bool
    span: Span


@dataclass(frozen=True)
class LabelIsNotTarget:
    """The label is not the target class."""

    span: Span


@dataclass(frozen=True)
class AnyOf:
    """One of the groups holds, or (negated) none of them; about labels alone."""

    groups: tuple[tuple[Condition, ...], ...]
    negated: bool
    span: Span


Condition = CorrectBy | LabelIs | LabelIsNotTarget | AnyOf


@dataclass(frozen=True)
class Chosen:
    """A data set and the conditions on its inputs. Class names wait until the property's model is known."""

    data: DataDecl
    conditions: tuple[Condition, ...]
    span: Span
    radius: Fraction = Fraction(0)


def conditions(expression: Expression, scope: Scope) -> tuple[Condition, ...]:
    """The conditions of a `where`, which all have to hold.

    Raises:
        SpecError: VF1014 for a range, VF1063 when it is no condition on an input, and whatever its parts raise.
    """
    match expression:
        case Both(parts=parts):
            return tuple(condition for part in parts for condition in conditions(part, scope))
        case Comparison():
            return (_comparison(expression, scope),)
        case InSet():
            return (_in_set(expression, scope),)
        case Either(parts=parts):
            return (AnyOf(tuple(conditions(part, scope) for part in parts), False, expression.span),)
        case Not(operand=operand):
            return (AnyOf((conditions(operand, scope),), True, expression.span),)
        case InRange():
            raise unsupported("a range in `where`", expression.span, "for labels write `label(x) in {1, 2, 3}`")
    value = meaning(expression, scope)
    if isinstance(value, Correct):
        return (CorrectBy(value.model, expression.span),)
    raise _no_condition(expression.span, describe(value))


def selection(chosen: Chosen, model: ModelDecl) -> Selection:
    """The selection, with labels as class numbers of the property's model.

    Raises:
        SpecError: VF1065 when no label can meet the conditions, VF1064 and VF1073 for unknown classes,
            VF1014 when two models have to be correct, and for `or` and `not` of anything but labels.
    """
    labels: set[int] = set(range(model.output.count))
    correct: str | None = None
    not_target = False
    for condition in chosen.conditions:
        match condition:
            case CorrectBy(model=by):
                if correct not in (None, by.name):
                    raise unsupported("`correct` of two models", condition.span)
                correct = by.name
            case LabelIsNotTarget():
                not_target = True
            case _:
                labels &= _labels(condition, model)
                if not labels:
                    raise _empty(condition.span)
    kept = None if len(labels) == model.output.count else tuple(sorted(labels))
    return Selection(chosen.data.name, correct, kept, not_target, chosen.radius)


def _labels(condition: Condition, model: ModelDecl) -> set[int]:
    """The labels that meet a condition on labels."""
    every = set(range(model.output.count))
    match condition:
        case LabelIs(classes=classes, negated=negated):
            named = {class_index(value, model.output, model.name) for value in classes}
            return every - named if negated else named
        case AnyOf(groups=groups, negated=negated):
            met = set()
            for group in groups:
                met |= every.intersection(*(_labels(part, model) for part in group))
            return every - met if negated else met
    raise unsupported("`or` and `not` of anything but labels", condition.span, "join the conditions by `and`")


def _comparison(expression: Comparison, scope: Scope) -> Condition:
    left, right = meaning(expression.left, scope), meaning(expression.right, scope)
    if isinstance(right, LabelOf):
        left, right = right, left
    if not isinstance(left, LabelOf):
        raise _no_condition(expression.span, f"a comparison of {describe(left)} with {describe(right)}")
    if expression.operator not in ("==", "!="):
        raise SpecError(
            "VF1063",
            f"labels are not ordered, so `{expression.operator}` means nothing",
            place=expression.span,
            expected="`==`, `!=` or `label(x) in {1, 2}`",
        )
    return _label(right, expression)


def _label(right: Meaning, expression: Comparison) -> Condition:
    if isinstance(right, Constant):
        return LabelIs((right,), expression.operator == "!=", expression.span)
    if isinstance(right, Target):
        if expression.operator == "!=":
            return LabelIsNotTarget(expression.span)
        raise unsupported("inputs whose label is the target", expression.span, "did you mean `label(x) != target`?")
    raise SpecError(
        "VF1063",
        f"a label cannot be compared with {describe(right)}",
        place=expression.span,
        expected='a class, such as `3` or `"negative"`, or the target',
    )


def _in_set(expression: InSet, scope: Scope) -> Condition:
    value = meaning(expression.value, scope)
    members = [meaning(item, scope) for item in expression.members.items]
    classes = tuple(member for member in members if isinstance(member, Constant))
    if not isinstance(value, LabelOf) or len(classes) != len(members):
        raise _no_condition(expression.span, f"{describe(value)} in a list")
    if not classes:
        raise _empty(expression.span)
    return LabelIs(classes, False, expression.span)


def _empty(place: Span) -> SpecError:
    return SpecError(
        "VF1065",
        "no input can meet these conditions, and a property of no inputs says nothing",
        place=place,
        remedy="look for two conditions on the label that contradict each other",
    )


def _no_condition(place: Span, what: str) -> SpecError:
    return SpecError(
        "VF1063",
        f"{what} is not a condition on an input",
        place=place,
        expected="`correct(model, x)`, `label(x) != target`, `label(x) == 3` or `label(x) in {1, 2}`, joined by `and`",
    )
