"""Rates: what is counted, over which inputs and targets, and the limits: `rate(...) <= 5 %, 1 % for {3, 7}`."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.conditions import Chosen, selection
from verifluxa.spec.meaning import Constant, LabelOf, Target, class_index
from verifluxa.spec.numbers import constant, show
from verifluxa.spec.output_rows import Claim, OutputCondition, class_claim, output_condition, speaks_of_outputs
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.quantifiers import Bound, introduce_input, target_classes, target_members
from verifluxa.spec.spec import RateBound, Selection
from verifluxa.spec.syntax import Budget
from verifluxa.spec.terms import Expression, Rate

ALL = Fraction(1)

RateSide = tuple[Rate, str, Expression]
"""A rate, the operator as seen from it, and the other side."""


def counted(rate: Rate, bound: Bound, problems: Problems) -> RateBound:
    """What a rate counts, under the limit 100 %.

    Raises:
        SpecError: VF1070 for an input that is bound outside, VF1069 when it counts what should happen, VF1014 for
            forms that are not supported yet, and whatever its parts raise.
    """
    if bound.inputs:
        name = next(iter(bound.inputs))
        raise SpecError(
            "VF1070",
            f"`{name}` is bound by `forall` and not used: `rate` chooses its own inputs",
            place=bound.places[name],
            expected="`forall` with the trigger, and the target if there is one",
            remedy=f"delete `{name} in ...`; a rate speaks of ONE trigger for all of its inputs",
        )
    inner = introduce_input(rate.binder, bound)
    chosen = inner.inputs[rate.binder.name.text]
    if speaks_of_outputs(rate.condition, inner.scope):
        return _of_outputs(output_condition(rate.condition, inner.scope, negated=False), chosen)
    claim = class_claim(rate.condition, inner.scope)
    picked = _selection(chosen, claim)
    targets = _rate_targets(claim, picked, bound)
    targets = _attackable(targets, picked, chosen, problems)
    own_label(targets, picked, rate.span, problems)
    return RateBound(claim.model.name, claim.trigger, picked, targets, ALL)


def bounded(rate: Rate, operator: str, limit: Expression, bound: Bound, problems: Problems) -> RateBound:
    """`rate <= limit` or `rate < limit`.

    Raises:
        SpecError: VF1069 for another operator, VF1034 or VF1061 for the limit, and what `counted` raises.
    """
    if operator not in ("<=", "<"):
        raise SpecError(
            "VF1069",
            f"a rate with `{operator}` is not a bound that can be proved",
            place=rate.span,
            expected="`rate(...) <= 5 %`",
            remedy="let the rate count what must not happen, and bound it from above; "
            "to look for a trigger write `search exists t in ... : rate(...) >= 50 %`",
        )
    counts = counted(rate, bound, problems)
    return replace(counts, limit=_limit(limit, bound, operator == "<"), below=operator == "<")


def searched(rate: Rate, operator: str, limit: Expression, bound: Bound, problems: Problems) -> RateBound:
    """`search exists ... : rate >= limit` or `> limit`: whether the rate can be kept below.

    Raises:
        SpecError: VF1069 for another operator, VF1034 or VF1061 for the limit, and what `counted` raises.
    """
    if operator not in (">=", ">"):
        raise SpecError(
            "VF1069",
            f"a search for a trigger with a rate `{operator}` a limit finds weak ones",
            place=rate.span,
            expected="`search exists t in ... : rate(...) >= 50 %`",
        )
    value = _limit(limit, bound, operator == ">=")
    counts = counted(rate, bound, problems)
    return replace(counts, limit=value, below=operator == ">=", searched=True)


def budgets(counts: RateBound, listed: tuple[Budget, ...], bound: Bound) -> RateBound:
    """With limits of their own for some targets.

    Raises:
        SpecError: VF1076 where there are no such targets, or one is listed twice; VF1034 or VF1061 for a limit.
    """
    limits: dict[int, Fraction] = {}
    for budget in listed:
        value = _limit(budget.limit, bound, counts.below)
        members = target_members(budget.targets, bound)
        for target in target_classes(members, bound.declarations.models_named(counts.model)):
            if target not in counts.targets or target in limits:
                again = "has two limits" if target in limits else "is no target of this rate"
                raise SpecError(
                    "VF1076",
                    f"the class {target} {again}",
                    place=budget.targets.span,
                    expected="each target at most once, with `forall target in ...` or `== class` in the rate",
                )
            limits[target] = value
    return replace(counts, limits=tuple(sorted(limits.items())))


def own_label(targets: tuple[int, ...], picked: Selection, place: Span, problems: Problems) -> None:
    """VF1105 where inputs whose label is a target count."""
    own = [target for target in targets if picked.labels is None or target in picked.labels]
    if own and not picked.label_is_not_target:
        problems.warn(
            "VF1105",
            f"inputs whose label is already the target ({own[0]}) count against the property",
            place,
            "leave them out, with `where label(x) != ...`",
        )


def picked_for_outputs(condition: OutputCondition, chosen: Chosen) -> Selection:
    """The selection of a claim about outputs.

    Raises:
        SpecError: VF1014 when it is chosen by the target, and what `selection` raises.
    """
    picked = selection(chosen, condition.model)
    if picked.label_is_not_target:
        raise _by_target(condition.span)
    return picked


def _of_outputs(condition: OutputCondition, chosen: Chosen) -> RateBound:
    picked = picked_for_outputs(condition, chosen)
    return RateBound(condition.model.name, condition.trigger, picked, (), ALL, condition.rows)


def _limit(expression: Expression, bound: Bound, strict: bool) -> Fraction:
    """A limit that says something: below 100 %, or with `<` above 0 %."""
    value = constant(expression, bound.declarations.params, "the limit of a rate")
    if not 0 <= value <= 1:
        raise SpecError(
            "VF1034",
            f"a rate cannot be {show(value)}",
            place=expression.span,
            expected="a fraction from 0 to 1, such as `5 %`, `0.05` or `1/20`",
            remedy=f"did you mean `{show(value)} %`?" if 1 < value <= 100 else None,
        )
    if value == (0 if strict else 1):
        raise SpecError(
            "VF1061",
            "every rate is at least 0 %, so there is nothing to find or to prove"
            if strict
            else "every rate is at most 100 %, so there is nothing to prove",
            place=expression.span,
            expected="a limit above 0 %" if strict else "a limit below 100 %",
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


def _selection(chosen: Chosen, claim: Claim) -> Selection:
    picked = selection(chosen, claim.model)
    if picked.label_is_not_target and not isinstance(claim.other, Target):
        raise _by_target(claim.span)
    return picked


def _by_target(place: Span) -> SpecError:
    return unsupported(
        "inputs chosen by the target in a claim that does not speak of it",
        place,
        "compare the class with the target, or drop the target from `where`",
    )


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
