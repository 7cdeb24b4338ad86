"""What is claimed: `assert rate(...) <= 5 %`, `assert class(...) == label(x)`, `assert net(t(x)) in 0..1`."""

from __future__ import annotations

from dataclasses import replace

from verifluxa.errors import SpecError
from verifluxa.spec.claims import Claim, class_claim, trigger_on
from verifluxa.spec.conditions import selection
from verifluxa.spec.meaning import ClassOf, Constant, LabelOf, Target, class_index, describe, meaning
from verifluxa.spec.output_rows import output_condition, speaks_of_outputs
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.quantifiers import Bound, target_classes
from verifluxa.spec.rates import RateSide, bounded, budgets, own_label, picked_for_outputs
from verifluxa.spec.spec import ModelDecl, PerInput, RateBound, Selection
from verifluxa.spec.syntax import Assertion
from verifluxa.spec.terms import Both, Comparison, Either, Expression, InSet, Not, Rate, Strongest, StrongestOf

_FORMS = "`rate(x in data : class(model(t(x))) == target) <= 5 %`, or `class(model(t(x))) == label(x)`"
FLIPPED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "==": "==", "!=": "!="}


def assertion(part: Assertion, bound: Bound, problems: Problems) -> RateBound | PerInput:
    """The statement of an `assert`.

    Raises:
        SpecError: VF1014 for forms that are not supported yet, VF1067 when it is no form that can be proved,
            VF1034 and VF1061 for the limit of a rate, VF1069 for the wrong direction, VF1070 and VF1072 for
            variables, VF1076 for budgets, and whatever its parts raise.
    """
    rated = rate_side(part.condition)
    if rated is not None:
        return budgets(bounded(rated, bound, problems), part.budgets, bound)
    if part.budgets:
        raise SpecError(
            "VF1076",
            "a limit for some targets stands here, and there is no rate",
            place=part.budgets[0].span,
            expected="`assert rate(...) <= 5 %, 1 % for {3}`",
        )
    return _per_input(part.condition, bound, problems)


def rate_side(expression: Expression) -> RateSide | None:
    """The rate of a comparison, the operator as seen from it, and the other side."""
    if not isinstance(expression, Comparison):
        return None
    for side, other, operator in (
        (expression.left, expression.right, expression.operator),
        (expression.right, expression.left, FLIPPED[expression.operator]),
    ):
        if isinstance(side, Rate):
            return side, operator, other
        if isinstance(side, Strongest | StrongestOf):
            raise unsupported("`max rate` beside other claims", side.span, "write a property for it alone")
    return None


def joined(claims: list[PerInput], place: Assertion | Both) -> PerInput:
    """Several claims about outputs of one model, or about classes that must not be reached, as one.

    It is violated where any of them is.

    Raises:
        SpecError: VF1014 when they are not of one of these kinds, or speak of other inputs or triggers.
    """
    first = claims[0]
    if all(claim.targets and replace(claim, targets=first.targets) == first for claim in claims):
        return replace(first, targets=tuple(sorted({target for claim in claims for target in claim.targets})))
    if any(not claim.rows or replace(claim, rows=first.rows) != first for claim in claims):
        raise unsupported(
            "several claims that are not all about outputs, or all about classes not to be reached",
            place.span,
            "write one property for each",
        )
    return replace(first, rows=tuple(group for claim in claims for group in claim.rows))


def _per_input(expression: Expression, bound: Bound, problems: Problems) -> PerInput:
    if speaks_of_outputs(expression, bound.scope):
        return _of_outputs(expression, bound)
    match expression:
        case Both(parts=parts):
            return joined([_per_input(part, bound, problems) for part in parts], expression)
        case Either() | Not():
            raise unsupported("`or` and `not` in a claim about classes", expression.span)
        case InSet():
            return _allowed(expression, bound)
        case Comparison():
            return _of_class(expression, bound, problems)
    raise SpecError("VF1067", "this is not a statement that can be proved", place=expression.span, expected=_FORMS)


def _of_outputs(expression: Expression, bound: Bound) -> PerInput:
    violated = output_condition(expression, bound.scope, negated=True)
    picked = picked_for_outputs(violated, bound.inputs[violated.variable])
    return PerInput(violated.model.name, violated.trigger, picked, rows=violated.rows)


def _of_class(expression: Comparison, bound: Bound, problems: Problems) -> PerInput:
    claim = class_claim(expression, bound.scope)
    picked = _selection(claim, claim.model, claim.variable, bound)
    expected: int | None = None
    targets: tuple[int, ...] = ()
    match claim.operator, claim.other:
        case "==", LabelOf():
            pass
        case "==", Constant() as named:
            expected = class_index(named, claim.model.output, claim.model.name)
        case "!=", Constant() as named:
            targets = (class_index(named, claim.model.output, claim.model.name),)
        case "!=", Target(name=name):
            targets = target_classes(bound.targets[name], claim.model)
        case _:
            raise SpecError(
                "VF1069",
                "this asks that every trigger succeeds",
                place=claim.span,
                expected="`class(...) == label(x)`, or `class(...) != target`",
                remedy="say what must hold whatever the trigger",
            )
    own_label(targets, picked, claim.span, problems)
    return PerInput(claim.model.name, claim.trigger, picked, expected, targets)


def _allowed(expression: InSet, bound: Bound) -> PerInput:
    """`class(...) in {a, b}`: every other class must not be reached."""
    answer = meaning(expression.value, bound.scope)
    if not isinstance(answer, ClassOf):
        raise SpecError(
            "VF1063",
            f"{describe(answer)} stands in front of a list of classes",
            place=expression.value.span,
            expected="`class(model(t(x))) in {3, 7}`",
        )
    trigger = trigger_on(answer, expression.span, bound.scope)
    allowed = set()
    for item in expression.members.items:
        named = meaning(item, bound.scope)
        if not isinstance(named, Constant):
            raise SpecError(
                "VF1063", f"{describe(named)} in a list of classes", place=item.span, expected="numbers or names"
            )
        allowed.add(class_index(named, answer.model.output, answer.model.name))
    forbidden = tuple(index for index in range(answer.model.output.count) if index not in allowed)
    if not allowed or not forbidden:
        raise SpecError(
            "VF1067",
            "no class is allowed" if not allowed else "every class is allowed, so there is nothing to prove",
            place=expression.members.span,
            expected="some of the classes",
        )
    picked = _selection(expression, answer.model, answer.image.variable, bound)
    return PerInput(answer.model.name, trigger, picked, None, forbidden)


def _selection(claim: Claim | InSet, model: ModelDecl, variable: str, bound: Bound) -> Selection:
    chosen = bound.inputs[variable]
    picked = selection(chosen, model)
    if picked.label_is_not_target and not (isinstance(claim, Claim) and isinstance(claim.other, Target)):
        raise unsupported(
            "inputs chosen by the target in a claim that does not speak of it",
            claim.span,
            "compare the class with the target, or drop the target from `where`",
        )
    if picked.label_is_not_target:
        raise unsupported("`label(x) != target` without `rate`", chosen.span, "write `class(...) == label(x)`")
    return picked
