"""A small sound spec, and fragments put into it: what the fragment declares takes the place of the sample's."""

from __future__ import annotations

import re

from verifluxa.errors import ManyErrors, VerifluxaError
from verifluxa.spec.check import Checked, parse_spec
from verifluxa.spec.spec import Statement

FILE = "sample.vfx"

DECLARATIONS = {
    "digit": "input digit : image(28 px, 28 px, 1 ch) of 0..255 level",
    "digits": "model digits : digit -> class(10) { encode = level / 255 }",
    "eval": "data eval : digit { take = 100 }",
    "patch": "trigger patch : digit { replace 3 px x 3 px at any with 0..255 level }",
}
PROPERTY = """\
property no_trigger {
  forall t in patch, target in classes(digits)
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= 5 %
}"""

_DECLARED = re.compile(r"^\s*(?:input|model|data|trigger|param)\s+(\w+)", re.M)


def complete(fragment: str) -> str:
    """The fragment as a whole spec; one with a `spec` line is one already."""
    if re.search(r"^spec ", fragment, re.M):
        return fragment
    own = set(_DECLARED.findall(fragment))
    before = [text for name, text in DECLARATIONS.items() if name not in own]
    after = [] if "property" in fragment else [PROPERTY]
    return "\n".join(["spec 1", *before, fragment, *after]) + "\n"


def check(fragment: str, **params: str) -> Checked:
    """Checks a fragment inside the sample."""
    return parse_spec(complete(fragment), FILE, params)


def errors(text: str, **params: str) -> list[VerifluxaError]:
    """The errors of a fragment; none when it is sound."""
    try:
        check(text, **params)
    except ManyErrors as found:
        return list(found.errors)
    except VerifluxaError as found:
        return [found]
    return []


def codes(text: str, **params: str) -> list[str]:
    """The codes of the errors of a fragment, in order."""
    return [error.code for error in errors(text, **params)]


def warnings(text: str) -> list[str]:
    """The codes of the warnings of a sound fragment."""
    return [warning.code for warning in check(text).warnings]


def rate(
    condition: str = "class(digits(t(x))) == target", limit: str = "5 %", where: str = "label(x) != target"
) -> str:
    """A property that bounds a rate."""
    selection = f"eval where {where}" if where else "eval"
    forall = "forall t in patch, target in classes(digits)"
    return f"property p {{ {forall} let v = {selection} assert rate(x in v : {condition}) <= {limit} }}"


def per_input(condition: str, where: str = "", trigger: str = "patch") -> str:
    """A property about each input."""
    selection = f"(eval where {where})" if where else "eval"
    return f"property p {{ forall x in {selection}, t in {trigger} assert {condition} }}"


def statement(text: str, **params: str) -> Statement:
    """The statement of the first property of a fragment."""
    return check(text, **params).spec.properties[0].statement
