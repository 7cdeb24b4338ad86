"""Properties: the statements between `property name {` and `}`, in order, down to one provable statement."""

from __future__ import annotations

from textwrap import dedent

from verifluxa.errors import SpecError
from verifluxa.spec.assertions import statement, supported
from verifluxa.spec.meaning import Scope, World
from verifluxa.spec.names import uses
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.quantifiers import Bound, bind_forall, bind_let
from verifluxa.spec.spec import Property
from verifluxa.spec.syntax import Assertion, Doc, Forall, Let, Measure, PropertySyntax, Search


def check_property(syntax: PropertySyntax, world: World, problems: Problems) -> Property:
    """The property of a declaration.

    Raises:
        SpecError: VF1060 when it asserts nothing, VF1014 for what is not supported yet, VF1024 for a second
            doc text, and whatever its statements raise.
    """
    bound = Bound(Scope(world))
    for part in syntax.statements:
        match part:
            case Measure():
                raise unsupported("`measure`", part.span)
            case Search():
                raise unsupported("`search`", part.span)
            case Let():
                bound = bind_let(part, bound)
            case Forall():
                bound = bind_forall(part, bound, problems)
    assertion = _assertion(syntax)
    claim = statement(assertion.condition, bound, problems)
    _unused(syntax, bound, problems)
    return Property(syntax.name.text, _doc(syntax), claim, syntax.span)


def _assertion(syntax: PropertySyntax) -> Assertion:
    found = [part for part in syntax.statements if isinstance(part, Assertion)]
    if not found:
        raise SpecError(
            "VF1060",
            f"the property `{syntax.name.text}` asserts nothing, so there is nothing to prove",
            place=syntax.name.span,
            expected="`assert rate(...) <= 5 %` or `assert class(...) == label(x)`",
        )
    if len(found) > 1:
        raise unsupported("several assertions in one property", found[1].span, "write one property for each")
    supported(found[0].condition)
    if found[0].over:
        raise unsupported("`over` behind `assert`", found[0].span, "write `forall t in ...` before it")
    return found[0]


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
    for name, place in bound.places.items():
        if name not in used:
            what = "the selection" if name in bound.selections else "the variable"
            problems.warn("VF1101", f"{what} `{name}` is never used", place, "use or delete it")
