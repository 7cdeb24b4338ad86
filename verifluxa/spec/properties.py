"""Properties: the statements between `property name {` and `}`, in order, down to one provable statement.

An `assert` is about a rate, about each input, or compares the rates of two models.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from textwrap import dedent

from verifluxa.errors import Span, SpecError
from verifluxa.spec import terms
from verifluxa.spec.conditions import selection
from verifluxa.spec.meaning import (
    ClassOf,
    Constant,
    Declarations,
    LabelOf,
    Scope,
    Target,
    TriggerVariable,
    class_index,
    describe,
    meaning,
)
from verifluxa.spec.names import uses
from verifluxa.spec.numbers import measured, show
from verifluxa.spec.output_rows import Claim, class_claim, output_condition, speaks_of_outputs, trigger_on
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.quantifiers import Bound, bind_forall, bind_let, target_classes
from verifluxa.spec.rates import RateSide, bounded, budgets, counted, own_label, picked_for_outputs, searched
from verifluxa.spec.spec import Compare, ModelDecl, PerInput, Property, RateBound, Selection, Statement
from verifluxa.spec.spec import Measure as Measured
from verifluxa.spec.syntax import Assertion, Doc, Forall, Let, Measure, PropertySyntax, Search, walk
from verifluxa.spec.terms import Both, Comparison, Either, Expression, InSet, Name, Not, Rate, Strongest, StrongestOf

Goal = Assertion | Measure | Search


def check_property(syntax: PropertySyntax, declarations: Declarations, problems: Problems) -> Property:
    """The property of a declaration.

    Raises:
        SpecError: VF1060 when it claims nothing, VF1077 for goals that do not go together, VF1024 for a second
            doc text, VF1014 for what is not supported yet, and whatever its statements raise.
    """
    goals = _goals(syntax)
    bound = Bound(Scope(declarations))
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
    return searched(*rated, bound, problems)


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


# Comparing two models: `assert max rate of new <= max rate of old over t in patch`.

INPUT = "x"


def is_comparison(part: Assertion) -> bool:
    """Whether an `assert` compares two largest rates."""
    condition = part.condition
    return isinstance(condition, Comparison) and any(
        isinstance(side, Strongest | StrongestOf) for side in (condition.left, condition.right)
    )


def compared(part: Assertion, bound: Bound, problems: Problems) -> Compare:
    """The statement that the largest rate of one model is at most that of another.

    Raises:
        SpecError: VF1079 when two largest rates are not compared by `<=` or `>=`, or come from two families; VF1060
            when `max rate of` does not tell which inputs, and whatever its rates raise.
    """
    condition = part.condition
    assert isinstance(condition, Comparison)
    sides = {"<=": (condition.left, condition.right), ">=": (condition.right, condition.left)}.get(condition.operator)
    if sides is None or part.budgets or not all(isinstance(side, Strongest | StrongestOf) for side in sides):
        raise _no_comparison("this does not compare two largest rates", condition.span)
    new, old = (_rate(side, bound, problems) for side in sides)
    if new.trigger != old.trigger:
        raise _no_comparison("the two rates speak of two trigger families", condition.span)
    return Compare(new, old)


def _rate(side: Expression, bound: Bound, problems: Problems) -> RateBound:
    if isinstance(side, Strongest):
        return counted(side.rate, bound, problems)
    assert isinstance(side, StrongestOf)
    return counted(_untargeted(side, bound), bound, problems)


def _untargeted(side: StrongestOf, bound: Bound) -> terms.Rate:
    """`rate(x in DATA : class(MODEL(t(x))) != label(x))` for `max rate of MODEL`."""
    span = side.span
    triggers = [name for name, value in bound.scope.variables.items() if isinstance(value, TriggerVariable)]
    if not triggers:
        raise _no_comparison("no trigger is chosen", span)
    plain = terms.Reference(INPUT, span=span)
    stamped = terms.Call(Name(triggers[0], span=span), (plain,), span=span)
    answer = terms.Call(side.model, (stamped,), span=span)
    answered, labelled = (
        terms.Call(Name(word, span=span), (what,), span=span) for word, what in (("class", answer), ("label", plain))
    )
    source = terms.Selection(Name(_data(side, bound), span=span), None, span=span)
    wrong = Comparison(answered, "!=", labelled, span=span)
    return terms.Rate(terms.Binder(Name(INPUT, span=span), source, span=span), wrong, span=span)


def _data(side: StrongestOf, bound: Bound) -> str:
    """The one selection that a `let` names, else the one data set of the model's inputs."""
    model = bound.declarations.table.find(side.model, "model", bound.declarations.models)
    sets = [name for name, data in bound.declarations.data.items() if data is not None and data.space == model.space]
    found = list(bound.selections) or sets
    if len(found) != 1:
        raise SpecError(
            "VF1060",
            "`max rate of` does not tell which inputs count",
            place=side.span,
            expected="one data set, or one `let` in the property",
            remedy="write `max rate(x in data : class(model(t(x))) != label(x))` on both sides",
        )
    return found[0]


def _no_comparison(what: str, place: Span) -> SpecError:
    return SpecError(
        "VF1079",
        what,
        place=place,
        expected="`assert max rate of new <= max rate of old over t in patch`",
        remedy="a rate of one model is bounded by a number, as in `rate(...) <= 5 %`",
    )


# What is claimed: `assert rate(...) <= 5 %`, `assert class(...) == label(x)`, `assert net(t(x)) in 0..1`.

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
        return budgets(bounded(*rated, bound, problems), part.budgets, bound)
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
