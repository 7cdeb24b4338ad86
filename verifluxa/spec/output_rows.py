"""Conditions on outputs: comparisons, ranges, `abs`, `and`, `or`, `not`, down to rows that are above zero."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm

from verifluxa.errors import Span, SpecError
from verifluxa.spec.linear import Linear, is_constant, linear
from verifluxa.spec.meaning import Scope, TargetVariable, TriggerVariable
from verifluxa.spec.problems import unsupported
from verifluxa.spec.spec import ModelDecl, OutputRow, Rows, Trigger
from verifluxa.spec.syntax import children
from verifluxa.spec.terms import Both, Call, Comparison, Either, Expression, InRange, Name, Node, Not, Reference, Text

MAX_GROUPS = 64
"""Ways in which one input may violate."""
LARGEST = 2**40
"""Factors are brought to whole numbers, which doubles hold exactly."""

_FORMS = "`net(t(x)) <= 10`, `net(t(x))[0] in 0..1` or `abs(net(t(x)) - net(x)) <= 2`"

Row = tuple[Linear, bool]
"""A linear expression that is above zero, or (True) at least zero."""
Groups = tuple[tuple[Row, ...], ...]


@dataclass(frozen=True)
class OutputCondition:
    """A condition on the outputs of a model under a trigger."""

    model: ModelDecl
    trigger: Trigger
    variable: str
    rows: Rows
    span: Span


def speaks_of_outputs(expression: Expression, scope: Scope) -> bool:
    """Whether an expression reads what a model returns, rather than its class; compared with a class, it does not."""
    waiting: list[Node] = [expression]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Comparison) and any(_is_class(side, scope) for side in (node.left, node.right)):
            continue
        if isinstance(node, Call):
            if node.name.text in ("class", "correct", "label"):
                continue
            if node.name.text == "abs" or node.name.text in scope.world.models:
                return True
        waiting += children(node)
    return False


def _is_class(side: Expression, scope: Scope) -> bool:
    """Whether a side is a label, a target, a class, or the name of one."""
    match side:
        case Call(name=Name(text=name)):
            return name in ("class", "label")
        case Reference(name=name):
            return isinstance(scope.variables.get(name), TargetVariable)
    return isinstance(side, Text)


def output_condition(expression: Expression, scope: Scope, negated: bool) -> OutputCondition:
    """A condition on outputs, or what contradicts it.

    Raises:
        SpecError: VF1067 when it is no such condition or always holds, VF1072 when no input carries the trigger,
            VF1038 for too many alternatives, VF1014 for two models or inputs, and whatever its parts raise.
    """
    groups = _groups(expression, scope, negated)
    answers = [read for group in groups for row, _ in group for read in row.answers]
    stamped = [answer for answer, _ in answers if answer.image.trigger is not None]
    if not stamped:
        raise SpecError(
            "VF1072",
            "no input carries a trigger here, so this says nothing about triggers",
            place=expression.span,
            expected="`net(t(x))` with `forall t in ...`",
        )
    first = stamped[0]
    for answer, place in answers:
        if answer.model.name != first.model.name:
            raise unsupported("outputs of two models in one claim", place, "write one property for each")
        if answer.image.variable != first.image.variable:
            raise unsupported("outputs of two inputs in one claim", place)
    trigger = scope.variables[str(first.image.trigger)]
    assert isinstance(trigger, TriggerVariable)
    count = first.model.output.size
    rows = tuple(tuple(_row(row, count, expression.span) for row in group) for group in groups)
    return OutputCondition(first.model, trigger.trigger, first.image.variable, rows, expression.span)


def _row(row: Row, count: int, place: Span) -> OutputRow:
    value, closed = row
    if not value.terms:
        raise SpecError(
            "VF1067",
            "this does not depend on an output, so it always holds or never does",
            place=place,
            expected=_FORMS,
        )
    value = value.scaled(Fraction(lcm(*(factor.denominator for factor in value.terms.values()))))
    if any(abs(factor) > LARGEST for factor in value.terms.values()):
        raise SpecError(
            "VF1038",
            "the factors of the outputs have too many digits",
            place=place,
            expected=f"factors that are whole numbers up to {LARGEST:,} times one common unit",
        )
    stamped, clean = (
        tuple(value.terms.get((with_trigger, number), Fraction(0)) for number in range(count))
        for with_trigger in (True, False)
    )
    return OutputRow(stamped, clean, value.constant, closed)


def _groups(expression: Expression, scope: Scope, negated: bool) -> Groups:
    """The alternatives: all rows of one of them are met where the condition (or its negation) holds."""
    match expression:
        case Not(operand=operand):
            return _groups(operand, scope, not negated)
        case Both(parts=parts) | Either(parts=parts):
            found = [_groups(part, scope, negated) for part in parts]
            return _any(found) if isinstance(expression, Either) != negated else _all(found, expression.span)
        case Comparison():
            return _comparison(expression, scope, negated)
        case InRange(value=value, low=low, high=high):
            ends = [
                Comparison(value, ">=", low, span=expression.span),
                Comparison(value, "<=", high, span=expression.span),
            ]
            return _groups(Both(tuple(ends), span=expression.span), scope, negated)
    raise SpecError("VF1067", "this is no condition on outputs", place=expression.span, expected=_FORMS)


def _any(found: list[Groups]) -> Groups:
    return tuple(group for groups in found for group in groups)


def _all(found: list[Groups], place: Span) -> Groups:
    count = 1
    for groups in found:
        count *= len(groups)
        if count > MAX_GROUPS:
            raise SpecError(
                "VF1038",
                "the condition has too many alternatives",
                place=place,
                expected=f"at most {MAX_GROUPS} ways to meet it",
                remedy="write several properties",
            )
    return tuple(tuple(row for group in chosen for row in group) for chosen in product(*found))


_NEGATED = {"<=": ">", ">=": "<", "<": ">=", ">": "<=", "==": "!=", "!=": "=="}
_FLIPPED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "==": "==", "!=": "!="}


def _comparison(expression: Comparison, scope: Scope, negated: bool) -> Groups:
    left, operator, right = expression.left, expression.operator, expression.right
    operator = _NEGATED[operator] if negated else operator
    if _absolute(right) is not None:
        left, operator, right = right, _FLIPPED[operator], left
    inner = _absolute(left)
    if inner is None:
        return _compared(linear(left, scope) - linear(right, scope), operator)
    if _absolute(right) is not None or not is_constant(right):
        raise unsupported("`abs` compared with what is no constant", expression.span, "write two claims without `abs`")
    return _bounded(linear(inner, scope), operator, linear(right, scope).constant)


def _absolute(expression: Expression) -> Expression | None:
    """What stands inside `abs(...)`."""
    if not isinstance(expression, Call) or expression.name.text != "abs":
        return None
    if len(expression.arguments) != 1:
        raise SpecError("VF1068", "`abs` takes one value", place=expression.span, expected="`abs(net(t(x)) - net(x))`")
    return expression.arguments[0]


def _compared(value: Linear, operator: str) -> Groups:
    """`value operator 0`."""
    below = value.scaled(Fraction(-1))
    match operator:
        case "<=" | "<":
            return (((below, operator == "<="),),)
        case ">=" | ">":
            return (((value, operator == ">="),),)
        case "==":
            return (((value, True), (below, True)),)
    return (((value, False),), ((below, False),))


def _bounded(value: Linear, operator: str, limit: Fraction) -> Groups:
    """`abs(value) operator limit`."""
    below = value.scaled(Fraction(-1))
    inside = tuple(side.scaled(Fraction(-1)).plus(limit) for side in (value, below))
    outside = tuple(side.plus(-limit) for side in (value, below))
    match operator:
        case "<=" | "<":
            return (tuple((side, operator == "<=") for side in inside),)
        case ">=" | ">":
            return tuple(((side, operator == ">="),) for side in outside)
        case "==":
            return tuple((*((side, True) for side in inside), (reached, True)) for reached in outside)
    return (*(((side, False),) for side in outside), tuple((side, False) for side in inside))
