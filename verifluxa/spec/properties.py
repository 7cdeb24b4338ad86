"""Properties: the statements between `property name {` and `}`, in order, down to one provable statement."""

from __future__ import annotations

from fractions import Fraction
from textwrap import dedent

from verifluxa.errors import SpecError
from verifluxa.spec.assertions import assertion, joined, rate_side
from verifluxa.spec.comparisons import compared, is_comparison
from verifluxa.spec.meaning import Scope, World
from verifluxa.spec.names import uses
from verifluxa.spec.numbers import show
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.quantifiers import Bound, bind_forall, bind_let
from verifluxa.spec.rates import counted, searched
from verifluxa.spec.spec import Measure as Measured
from verifluxa.spec.spec import PerInput, Property, RateBound, Statement
from verifluxa.spec.syntax import Assertion, Doc, Forall, Let, Measure, PropertySyntax, Search, walk
from verifluxa.spec.terms import Strongest, StrongestOf
from verifluxa.spec.units import measured

Goal = Assertion | Measure | Search


def check_property(syntax: PropertySyntax, world: World, problems: Problems) -> Property:
    """The property of a declaration.

    Raises:
        SpecError: VF1060 when it claims nothing, VF1077 for goals that do not go together, VF1024 for a second
            doc text, VF1014 for what is not supported yet, and whatever its statements raise.
    """
    goals = _goals(syntax)
    bound = Bound(Scope(world))
    # A `let` may speak of the target that `over` or `exists` binds below it.
    for goal in goals:
        binders = goal.binders if isinstance(goal, Search) else goal.over
        bound = bind_forall(binders, bound, problems) if binders else bound
    for part in syntax.statements:
        match part:
            case Let():
                bound = bind_let(part, bound)
            case Forall():
                bound = bind_forall(part.binders, bound, problems)
    claim = _claim(goals, bound, problems)
    _unused(syntax, bound, problems)
    return Property(syntax.name.text, _doc(syntax), claim, syntax.span)


def _goals(syntax: PropertySyntax) -> list[Goal]:
    found = [part for part in syntax.statements if isinstance(part, Goal)]
    if not found:
        raise SpecError(
            "VF1060",
            f"the property `{syntax.name.text}` asserts nothing, so there is nothing to prove",
            place=syntax.name.span,
            expected="`assert rate(...) <= 5 %` or `assert class(...) == label(x)`",
        )
    if len(found) > 1 and not all(isinstance(part, Assertion) for part in found):
        raise SpecError(
            "VF1077",
            "a property has one goal: to assert, to measure or to search",
            place=found[1].span,
            expected="one `measure` or one `search`, or `assert`",
            remedy="write one property for each",
        )
    return found


def _claim(goals: list[Goal], bound: Bound, problems: Problems) -> Statement:
    match goals:
        case [Measure() as only]:
            return _measure(only, bound, problems)
        case [Search() as only]:
            return _search(only, bound, problems)
    asserted = [part for part in goals if isinstance(part, Assertion)]
    if len(asserted) == 1 and is_comparison(asserted[0]):
        return compared(asserted[0], bound, problems)
    claims = [assertion(part, bound, problems) for part in asserted]
    if len(claims) == 1:
        return claims[0]
    single = [claim for claim in claims if isinstance(claim, PerInput)]
    if len(single) < len(claims):
        raise unsupported("several assertions in one property", asserted[1].span, "write one property for each")
    return joined(single, asserted[1])


def _measure(part: Measure, bound: Bound, problems: Problems) -> Measured:
    if not isinstance(part.quantity, Strongest):
        raise SpecError(
            "VF1067",
            "this cannot be measured",
            place=part.quantity.span,
            expected="`measure max rate(x in data : class(model(t(x))) == target) over t in ...`",
        )
    counts = counted(part.quantity.rate, bound, problems)
    gap = Fraction(0) if part.gap is None else measured(part.gap, "%", "the gap of a measurement") / 100
    if part.gap is not None and not 0 <= gap < 1:
        raise SpecError(
            "VF1034",
            f"a gap between rates cannot be {show(100 * gap)} %",
            place=part.gap.span,
            expected="from 0 % to below 100 %, such as `2 %`",
        )
    return Measured(counts, gap, part.everywhere)


def _search(part: Search, bound: Bound, problems: Problems) -> RateBound:
    rated = rate_side(part.condition)
    if rated is None:
        raise unsupported(
            "a search for what is no rate", part.condition.span, "write `search exists t in ... : rate(...) >= 50 %`"
        )
    return searched(rated, bound, problems)


def _doc(syntax: PropertySyntax) -> str | None:
    found = [part for part in syntax.statements if isinstance(part, Doc)]
    if len(found) > 1:
        raise SpecError(
            "VF1024", "the doc text is given twice", place=found[1].span, remedy="join the two, or make one a comment"
        )
    if not found:
        return None
    first, _, rest = found[0].text.partition("\n")
    return f"{first.strip()}\n{dedent(rest)}".strip()


def _unused(syntax: PropertySyntax, bound: Bound, problems: Problems) -> None:
    used = {name for part in syntax.statements for name in uses(part)}
    if any(isinstance(node, StrongestOf) for part in syntax.statements for node, _ in walk(part)):
        return  # `max rate of` speaks of the trigger, and of the only `let`, without naming them
    for name, place in bound.places.items():
        if name not in used:
            what = "the selection" if name in bound.selections else "the variable"
            problems.warn("VF1101", f"{what} `{name}` is never used", place, "use or delete it")
