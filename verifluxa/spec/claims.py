"""A claim about the class under a trigger: `class(model(t(x))) == target`."""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.errors import Span, SpecError
from verifluxa.spec.meaning import (
    Answer,
    ClassOf,
    Constant,
    LabelOf,
    Meaning,
    Scope,
    Target,
    TriggerVariable,
    describe,
    meaning,
)
from verifluxa.spec.problems import unsupported
from verifluxa.spec.spec import ModelDecl, Trigger
from verifluxa.spec.terms import Comparison, Expression


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
