"""A property in mathematics, with `f` for the model, `T` for the triggers and `D` for the inputs that count."""

from __future__ import annotations

from verifluxa.spec.numbers import show
from verifluxa.spec.spec import (
    Compare,
    Measure,
    PerInput,
    Property,
    RateBound,
    Selection,
    Spec,
    Statement,
    claims_of,
    named,
)
from verifluxa.spec.words import conditions

SHOWN = 8


def formula(spec: Spec, prop: Property) -> tuple[str, ...]:
    """The statement, a line each.

    Args:
        spec: the checked spec that it is part of.
        prop: the property.
    """
    claim = prop.statement
    rate = claims_of(claim)[0]
    inputs = _inputs(spec, rate.selection)
    targets = [f"C = {_set(rate.targets)}"] if _chooses(rate) else []
    return (_statement(spec, claim), f"where {', '.join([inputs, *targets])}")


def _statement(spec: Spec, claim: Statement) -> str:
    match claim:
        case PerInput():
            return f"for all x in D, t in T: {_holds(spec, claim)}"
        case Compare(new=new, old=old):
            shares = (f"{_count(spec, side)} / #{_list(side)}" for side in (new, old))
            first, second = (
                f"max over {_chosen(side)} of {share}" for side, share in zip((new, old), shares, strict=True)
            )
            return f"{first} <= {second.replace('f(t(x))', 'g(t(x))')}, with g for `{old.model}`"
        case Measure():
            return f"max over {_chosen(claim.rate)} of {_count(spec, claim.rate)} / #{_list(claim.rate)}"
    chosen = _chosen(claim)
    sign = "<" if claim.below else "<="
    limit = show(claim.limit) if not claim.limits else "rho(c)"
    own = "".join(f", rho({target}) = {show(value)}" for target, value in claim.limits)
    rest = f", with rho(c) = {show(claim.limit)} else{own}" if claim.limits else ""
    body = f"{_count(spec, claim)} {sign} {limit} * #{_list(claim)}{rest}"
    if claim.searched:
        return f"exists {chosen} with {_count(spec, claim)} {'>=' if claim.below else '>'} {limit} * #{_list(claim)}?"
    return f"for all {chosen}: {body}"


def _chosen(claim: RateBound) -> str:
    return "t in T, c in C" if _chooses(claim) else "t in T"


def _chooses(claim: RateBound | PerInput) -> bool:
    """Whether the target has a name of its own."""
    return len(claim.targets) > 1 or claim.selection.label_is_not_target


def _count(spec: Spec, claim: RateBound) -> str:
    if claim.rows:
        return f"#{{x in D : {conditions(claim.rows, named(spec.models, claim.model))}}}"
    if not claim.targets:
        return "#{x in D : class(f(t(x))) != label(x)}"
    target = "c" if _chooses(claim) else str(claim.targets[0])
    return f"#{{x in {_list(claim)} : class(f(t(x))) = {target}}}"


def _list(claim: RateBound) -> str:
    return "D_c" if claim.selection.label_is_not_target else "D"


def _holds(spec: Spec, claim: PerInput) -> str:
    if claim.rows:
        return f"not ({conditions(claim.rows, named(spec.models, claim.model))})"
    if claim.targets:
        return f"class(f(t(x))) not in {_set(claim.targets)}"
    return f"class(f(t(x))) = {'label(x)' if claim.expected is None else claim.expected}"


def _inputs(spec: Spec, selection: Selection) -> str:
    taken = named(spec.data, selection.data).take
    first = f"the first {taken:,} of `{selection.data}`" if taken is not None else f"`{selection.data}`"
    kept = []
    if selection.correct is not None:
        kept.append("class(f(x)) = label(x)")
    if selection.labels is not None:
        kept.append(f"label(x) in {_set(selection.labels)}")
    if selection.radius:
        kept.append(f"each for all x' with |x' - x| <= {show(selection.radius)} in every pixel")
    found = f"D = {{x in {first}{' : ' + ' and '.join(kept) if kept else ''}}}"
    if selection.label_is_not_target:
        found += ", D_c = {x in D : label(x) != c}"
    return found


def _set(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(str(number) for number in numbers[:SHOWN])
    return f"{{{shown}{', ...' if len(numbers) > SHOWN else ''}}}"
