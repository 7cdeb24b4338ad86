"""Linear expressions over what a model returns: `2 * net(t(x))[0] - net(x)[1] + 3`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.meaning import Answer, Scope, describe, meaning
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.problems import unsupported
from verifluxa.spec.spec import ModelDecl, RealOutput
from verifluxa.spec.syntax import walk
from verifluxa.spec.terms import Arithmetic, Call, Expression, Index, Minus, Text
from verifluxa.spec.units import constant

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
        return Linear({}, constant(expression, scope.world.params, "a value"))
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
    factor = constant(fixed, scope.world.params, "a factor")
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
    value = constant(index, scope.world.params, "the number of an output")
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
