"""What is claimed: `assert rate(...) <= 5 %` or `assert class(digits(t(x))) == label(x)`, down to a statement."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.conditions import Chosen, selection
from verifluxa.spec.meaning import (
    Answer,
    ClassOf,
    Constant,
    LabelOf,
    Meaning,
    Scope,
    Target,
    TriggerVariable,
    class_index,
    describe,
    meaning,
)
from verifluxa.spec.numbers import show
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.quantifiers import Bound, introduce_input, target_classes
from verifluxa.spec.spec import ModelDecl, PatchTrigger, PerInput, RateBound, Selection, Statement
from verifluxa.spec.terms import (
    Both,
    Call,
    Comparison,
    Either,
    Expression,
    InRange,
    InSet,
    Not,
    Rate,
    Strongest,
    StrongestOf,
)
from verifluxa.spec.units import constant

_FORMS = "`rate(x in data : class(model(t(x))) == target) <= 5 %`, or `class(model(t(x))) == label(x)`"
_FLIPPED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Claim:
    """`class(model(t(x))) operator other`."""

    model: ModelDecl
    trigger: PatchTrigger
    variable: str
    operator: str
    other: LabelOf | Target | Constant
    span: Span


def statement(expression: Expression, bound: Bound, problems: Problems) -> Statement:
    """The statement that an assertion makes.

    Raises:
        SpecError: VF1014 for forms that are not supported yet, VF1067 when it is no form that can be proved,
            VF1034 and VF1061 for the limit of a rate, VF1069 for the wrong direction, VF1070 and VF1072 for
            variables, and whatever its parts raise.
    """
    supported(expression)
    if isinstance(expression, Comparison):
        for side, other, operator in (
            (expression.left, expression.right, expression.operator),
            (expression.right, expression.left, _FLIPPED[expression.operator]),
        ):
            if isinstance(side, Rate):
                return _rate_bound(side, operator, other, bound, problems)
        return _per_input(expression, bound, problems)
    raise SpecError(
        "VF1067",
        "this is not a statement that can be proved",
        place=expression.span,
        expected=_FORMS,
    )


def supported(expression: Expression) -> None:
    """Checks that an assertion has a form that is supported.

    Raises:
        SpecError: VF1014 when it is one of the later ones.
    """
    match expression:
        case Both():
            raise unsupported("several claims in one `assert`", expression.span, "write one property for each")
        case Either() | Not():
            raise unsupported("`or` and `not` in `assert`", expression.span)
        case InRange():
            raise unsupported("an output range", expression.span)
        case InSet():
            raise unsupported("a list of allowed classes", expression.span)
        case Comparison(left=left, right=right):
            for side in (left, right):
                if isinstance(side, Strongest | StrongestOf):
                    raise unsupported("`max rate` (measuring, comparing models)", side.span)
                if isinstance(side, Call) and side.name.text == "abs":
                    raise unsupported("`abs` (bounded deviation)", side.span)


def _rate_bound(rate: Rate, operator: str, limit: Expression, bound: Bound, problems: Problems) -> RateBound:
    if bound.inputs:
        name = next(iter(bound.inputs))
        raise SpecError(
            "VF1070",
            f"`{name}` is bound by `forall` and not used: `rate` chooses its own inputs",
            place=bound.places[name],
            expected="`forall` with the trigger, and the target if there is one",
            remedy=f"delete `{name} in ...`; a rate speaks of ONE trigger for all of its inputs",
        )
    _direction(operator, rate)
    inner = introduce_input(rate.binder, bound)
    name = rate.binder.name.text
    claim = _claim(rate.condition, inner.scope)
    chosen = inner.inputs[name]
    picked = _selection(chosen, claim)
    targets = _rate_targets(claim, picked, bound)
    targets = _attackable(targets, picked, chosen, problems)
    _own_label(targets, picked, rate.span, problems)
    return RateBound(claim.model.name, claim.trigger, picked, targets, _limit(limit, bound))


def _direction(operator: str, rate: Rate) -> None:
    if operator != "<=":
        raise SpecError(
            "VF1069",
            f"a rate with `{operator}` is not a bound that can be proved",
            place=rate.span,
            expected="`rate(...) <= 5 %`",
            remedy="let the rate count what must not happen, and bound it from above",
        )


def _limit(expression: Expression, bound: Bound) -> Fraction:
    value = constant(expression, bound.world.params, "the limit of a rate")
    if not 0 <= value <= 1:
        raise SpecError(
            "VF1034",
            f"a rate cannot be {show(value)}",
            place=expression.span,
            expected="a fraction from 0 to 1, such as `5 %`, `0.05` or `1/20`",
            remedy=f"did you mean `{show(value)} %`?" if 1 < value <= 100 else None,
        )
    if value == 1:
        raise SpecError(
            "VF1061",
            "every rate is at most 100 %, so there is nothing to prove",
            place=expression.span,
            expected="a limit below 100 %",
        )
    return value


def _rate_targets(claim: Claim, picked: Selection, bound: Bound) -> tuple[int, ...]:
    match claim.operator, claim.other:
        case "==", Target(name=name):
            return target_classes(bound.targets[name], claim.model)
        case "==", Constant() as named:
            return (class_index(named, claim.model.output, claim.model.name),)
        case "!=", LabelOf():
            return ()
        case "!=", Constant() as named:
            index = class_index(named, claim.model.output, claim.model.name)
            if picked.labels == (index,):
                return ()
            raise unsupported(
                "a rate of leaving one class", claim.span, "select that label: `data where label(x) == ...`"
            )
    raise SpecError(
        "VF1069",
        "this counts what should happen, and a rate is bounded from above",
        place=claim.span,
        expected="`class(...) == target` or `class(...) != label(x)`",
        remedy="let the rate count what must not happen",
    )


def _per_input(expression: Comparison, bound: Bound, problems: Problems) -> PerInput:
    claim = _claim(expression, bound.scope)
    chosen = bound.inputs[claim.variable]
    picked = _selection(chosen, claim)
    if picked.label_is_not_target:
        raise unsupported("`label(x) != target` without `rate`", chosen.span, "write `class(...) == label(x)`")
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
    _own_label(targets, picked, claim.span, problems)
    return PerInput(claim.model.name, claim.trigger, picked, expected, targets)


def _claim(expression: Expression, scope: Scope) -> Claim:
    if not isinstance(expression, Comparison):
        supported(expression)
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
    return _stamped(left, right, expression, scope)


def _stamped(answer: ClassOf, other: LabelOf | Target | Constant, expression: Comparison, scope: Scope) -> Claim:
    name = answer.image.trigger
    variable = None if name is None else scope.variables.get(name)
    if not isinstance(variable, TriggerVariable):
        raise SpecError(
            "VF1072",
            "the input carries no trigger here, so this says nothing about triggers",
            place=expression.span,
            expected=f"`class({answer.model.name}(t({answer.image.variable})))` with `forall t in ...`",
        )
    return Claim(answer.model, variable.trigger, answer.image.variable, expression.operator, other, expression.span)


def _no_class(left: Meaning, right: Meaning, expression: Comparison) -> SpecError:
    answer = isinstance(left, Answer) or isinstance(right, Answer)
    return SpecError(
        "VF1063",
        f"{describe(left)} is compared with {describe(right)}",
        place=expression.span,
        expected="`class(model(t(x)))` on one side",
        remedy="write `class(...)` around the model" if answer else None,
    )


def _selection(chosen: Chosen, claim: Claim) -> Selection:
    picked = selection(chosen, claim.model)
    if picked.label_is_not_target and not isinstance(claim.other, Target):
        raise unsupported(
            "inputs chosen by the target in a claim that does not speak of it",
            claim.span,
            "compare the class with the target, or drop the target from `where`",
        )
    return picked


def _attackable(targets: tuple[int, ...], picked: Selection, chosen: Chosen, problems: Problems) -> tuple[int, ...]:
    """Without the targets for which no input can be left, since all have that label."""
    labels = picked.labels
    if not picked.label_is_not_target or labels is None or len(labels) > 1:
        return targets
    kept = tuple(target for target in targets if target not in labels)
    if targets and not kept:
        raise SpecError(
            "VF1065",
            f"no input is left for target {labels[0]}: all have this label",
            place=chosen.span,
            remedy="choose other targets, or other labels",
        )
    if kept != targets:
        problems.warn(
            "VF1104",
            f"target {labels[0]} is left out: every selected input has this label",
            chosen.span,
            "list the targets that are meant, as in `target in {3, 7}`",
        )
    return kept


def _own_label(targets: tuple[int, ...], picked: Selection, place: Span, problems: Problems) -> None:
    own = [target for target in targets if picked.labels is None or target in picked.labels]
    if own and not picked.label_is_not_target:
        problems.warn(
            "VF1105",
            f"inputs whose label is already the target ({own[0]}) count against the property",
            place,
            "leave them out, with `where label(x) != ...`",
        )
