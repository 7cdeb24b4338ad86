"""Comparing two models: `assert max rate of new <= max rate of old over t in patch`."""

from __future__ import annotations

from verifluxa.errors import Span, SpecError
from verifluxa.spec import terms
from verifluxa.spec.meaning import TriggerVariable
from verifluxa.spec.problems import Problems
from verifluxa.spec.quantifiers import Bound
from verifluxa.spec.rates import counted
from verifluxa.spec.spec import Compare, RateBound
from verifluxa.spec.syntax import Assertion
from verifluxa.spec.terms import Comparison, Expression, Name, Strongest, StrongestOf

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
    model = bound.world.table.find(side.model, "model", bound.world.models)
    sets = [name for name, data in bound.world.data.items() if data is not None and data.space == model.space]
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
