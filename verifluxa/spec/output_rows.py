"""Conditions on outputs (comparisons, ranges, `and`, `or`, `not`, claims about a class), down to rows above zero.

A row is a linear expression in the outputs of one model with and without the trigger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm

from verifluxa.errors import Span, SpecError
from verifluxa.spec.meaning import (
    Answer,
    ClassOf,
    Constant,
    LabelOf,
    Meaning,
    Scope,
    Target,
    TargetVariable,
    TriggerVariable,
    describe,
    meaning,
)
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import constant
from verifluxa.spec.problems import unsupported
from verifluxa.spec.spec import ModelDecl, OutputRow, RealOutput, Rows, Trigger
from verifluxa.spec.syntax import children, walk
from verifluxa.spec.terms import (
    Arithmetic,
    Both,
    Call,
    Comparison,
    Either,
    Expression,
    Index,
    InRange,
    Minus,
    Name,
    Node,
    Not,
    Reference,
    Text,
)

# Linear expressions over what a model returns: `2 * net(t(x))[0] - net(x)[1] + 3`.

Term = tuple[bool, int]
"""Whether the input carries the trigger, and which output."""

_FORM = "numbers times outputs, added up, such as `net(t(x))[0] - net(x)[0] + 3`"


@dataclass(frozen=True)
class Linear:
    """`sum of coefficient * output, + constant`.

    Attributes:
        terms: coefficients; none of them is zero.
        constant: what is added.
        answers: the answers that were read, each with its place.
    """

    terms: Mapping[Term, Fraction]
    constant: Fraction
    answers: tuple[tuple[Answer, Span], ...] = ()

    def __add__(self, other: Linear) -> Linear:
        both = dict(self.terms)
        for term, value in other.terms.items():
            both[term] = both.get(term, Fraction(0)) + value
        kept = {term: value for term, value in both.items() if value}
        return Linear(kept, self.constant + other.constant, self.answers + other.answers)

    def scaled(self, factor: Fraction) -> Linear:
        """The expression times a constant."""
        terms = {term: value * factor for term, value in self.terms.items() if factor}
        return Linear(terms, self.constant * factor, self.answers)

    def __sub__(self, other: Linear) -> Linear:
        return self + other.scaled(Fraction(-1))

    def plus(self, value: Fraction) -> Linear:
        """The expression plus a constant."""
        return Linear(self.terms, self.constant + value, self.answers)


def linear(expression: Expression, scope: Scope) -> Linear:
    """The meaning of a linear expression.

    Raises:
        SpecError: VF1074 when it is not linear, VF1075 for an output that the model does not have, VF1037 when it
            divides by zero, VF1014 for `abs` inside an expression, and whatever its parts raise.
    """
    if is_constant(expression):
        return Linear({}, constant(expression, scope.declarations.params, "a value"))
    match expression:
        case Minus(operand=operand):
            return linear(operand, scope).scaled(Fraction(-1))
        case Arithmetic():
            return _arithmetic(expression, scope)
        case Index(value=value, index=index):
            answer = _answer(value, scope)
            return _output(answer, _number(index, answer.model, scope), expression.span)
        case Call(name=name) if name.text == "abs":
            raise unsupported(
                "`abs` inside an expression", expression.span, "let it stand alone on its side, as in `abs(...) <= 10`"
            )
        case Call():
            answer = _answer(expression, scope)
            count = answer.model.output.size
            if count != 1:
                raise _no_output(
                    f"`{answer.model.name}` returns {count} numbers", expression.span, answer.model, "say which one"
                )
            return _output(answer, 0, expression.span)
    raise _not_linear(expression.span)


def is_constant(expression: Expression) -> bool:
    """Whether an expression reads no answer of a model and no other function."""
    return not any(isinstance(node, Call) for node, _ in walk(expression))


def _output(answer: Answer, number: int, place: Span) -> Linear:
    return Linear({(answer.image.trigger is not None, number): Fraction(1)}, Fraction(0), ((answer, place),))


def _answer(expression: Expression, scope: Scope) -> Answer:
    value = meaning(expression, scope)
    if not isinstance(value, Answer):
        raise SpecError(
            "VF1074",
            f"{describe(value)} stands here, which is no number",
            place=expression.span,
            expected="an output of a model, such as `net(t(x))` or `net(t(x))[0]`",
        )
    return value


def _arithmetic(expression: Arithmetic, scope: Scope) -> Linear:
    if expression.operator in ("+", "-"):
        left, right = linear(expression.left, scope), linear(expression.right, scope)
        return left + right if expression.operator == "+" else left - right
    left_fixed, right_fixed = is_constant(expression.left), is_constant(expression.right)
    if not right_fixed and not (left_fixed and expression.operator == "*"):
        raise _not_linear(expression.span)
    fixed, rest = (expression.right, expression.left) if right_fixed else (expression.left, expression.right)
    factor = constant(fixed, scope.declarations.params, "a factor")
    if expression.operator == "/":
        if factor == 0:
            raise SpecError("VF1037", "this divides by zero", place=fixed.span)
        factor = 1 / factor
    return linear(rest, scope).scaled(factor)


def _number(index: Expression, model: ModelDecl, scope: Scope) -> int:
    """Which output an index names."""
    labels, count = model.output.labels if isinstance(model.output, RealOutput) else (), model.output.size
    if isinstance(index, Text):
        if index.value in labels:
            return labels.index(index.value)
        raise _no_output(
            f'`{model.name}` has no output "{index.value}"', index.span, model, did_you_mean(index.value, labels)
        )
    value = constant(index, scope.declarations.params, "the number of an output")
    if value.denominator != 1 or not 0 <= value < count:
        raise _no_output("this is not one of the outputs", index.span, model, "outputs are counted from 0")
    return int(value)


def _no_output(message: str, place: Span, model: ModelDecl, remedy: str | None) -> SpecError:
    count = model.output.size
    labels = model.output.labels if isinstance(model.output, RealOutput) else ()
    names = ", ".join(f'`["{label}"]`' for label in labels[:8])
    return SpecError(
        "VF1075",
        message,
        place=place,
        expected=f"`[0]` to `[{count - 1}]`" + f", or {names}" * bool(names),
        remedy=remedy,
    )


def _not_linear(place: Span) -> SpecError:
    return SpecError(
        "VF1074",
        "this is not linear in the outputs",
        place=place,
        expected=_FORM,
        remedy="outputs may be added, subtracted, and multiplied or divided by constants",
    )


# Rows

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
            if node.name.text == "abs" or node.name.text in scope.declarations.models:
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


@dataclass(frozen=True)
class Claim:
    """`class(model(t(x))) operator other`."""

    model: ModelDecl
    trigger: Trigger
    variable: str
    operator: str
    other: LabelOf | Target | Constant
    span: Span


def class_claim(expression: Expression, scope: Scope) -> Claim:
    """A claim about the class.

    Raises:
        SpecError: VF1067 when it is none, VF1063 when it compares what cannot be compared, VF1072 when no trigger is
            on the input, VF1014 for a comparison of two answers.
    """
    if not isinstance(expression, Comparison):
        raise SpecError(
            "VF1067", "this is not a claim about a class", place=expression.span, expected="`class(...) == target`"
        )
    left, right = meaning(expression.left, scope), meaning(expression.right, scope)
    if isinstance(right, ClassOf) and not isinstance(left, ClassOf):
        left, right = right, left
    if not isinstance(left, ClassOf):
        raise _no_class(left, right, expression)
    if isinstance(right, ClassOf):
        raise unsupported("a comparison of two answers", expression.span, "compare with `label(x)`")
    if not isinstance(right, LabelOf | Target | Constant) or expression.operator not in ("==", "!="):
        raise SpecError(
            "VF1063",
            f"a class cannot be compared with {describe(right)} by `{expression.operator}`",
            place=expression.span,
            expected="`==` or `!=`, with `label(x)`, a target or a class",
        )
    trigger = trigger_on(left, expression.span, scope)
    return Claim(left.model, trigger, left.image.variable, expression.operator, right, expression.span)


def trigger_on(answer: ClassOf, place: Span, scope: Scope) -> Trigger:
    """The family of the trigger on the input of an answer.

    Raises:
        SpecError: VF1072 when there is none.
    """
    name = answer.image.trigger
    variable = None if name is None else scope.variables.get(name)
    if not isinstance(variable, TriggerVariable):
        raise SpecError(
            "VF1072",
            "the input carries no trigger here, so this says nothing about triggers",
            place=place,
            expected=f"`class({answer.model.name}(t({answer.image.variable})))` with `forall t in ...`",
        )
    return variable.trigger


def _no_class(left: Meaning, right: Meaning, expression: Comparison) -> SpecError:
    answer = isinstance(left, Answer) or isinstance(right, Answer)
    return SpecError(
        "VF1063",
        f"{describe(left)} is compared with {describe(right)}",
        place=expression.span,
        expected="`class(model(t(x)))` on one side",
        remedy="write `class(...)` around the model" if answer else None,
    )
