"""What a script does to the network: layers, losses and data sets of its own, weights.

Each function gives the part to show, or None.
"""

from __future__ import annotations

import re

from verifluxa.triage.review.data_rules import FILLS, TELLING
from verifluxa.triage.review.look import (
    WRITES,
    arguments,
    callee,
    definition,
    dotted,
    last_name,
    names_in,
    operator,
    quoted,
    root,
    target,
    value,
)
from verifluxa.triage.review.names import Names
from verifluxa.triage.review.tree import Part

_WEIGHTS = re.compile(r"(weight|bias|W|b|Wi|Wh|Wx|layers|λ|μ|σ²|γ|β|scale|kernel)")
_PARAMETERS_OF = re.compile(r"(Flux\.)?(params|trainables)\([^()]*\)\[")


def own_layer(part: Part, names: Names) -> Part | None:
    """A callable type: `(m::Layer)(x) = ...`."""
    del names
    head = definition(part)
    if head is None or head.parts[0].kind != "parenthesized_expression":
        return None
    inner = head.parts[0].parts
    return head if inner and inner[0].kind == "typed_expression" else None


def own_loss(part: Part, names: Names) -> Part | None:
    """A function whose name says that it is a loss."""
    del names
    head = definition(part)
    name = dotted(head.parts[0]) if head is not None else ""
    if not name and part.kind == "assignment" and value(part).kind == "arrow_function_expression":
        head, name = part, target(part).text
    return head if re.search(r"(?i)loss|cost|objective|penalty", name) else None


def own_data(part: Part, names: Names) -> Part | None:
    """How a data set of one's own gives its examples, or what is done to each of them on the way."""
    head = definition(part)
    if head is not None:
        own = last_name(dotted(head.parts[0]))
        mine = any(one.text in names.types for one in names_in(head))
        return head if own in ("getobs", "getindex", "iterate", "getobs!", "numobs") and mine else None
    if last_name(callee(part)) in ("mapobs", "DataLoader", "filterobs", "joinobs", "ObsView"):
        given = arguments(part)
        functions = ("arrow_function_expression", "do_clause")
        hooked = any(one.kind in functions or one.text.startswith("collate") for one in [*given, *part.parts])
        return part if last_name(callee(part)) != "DataLoader" or hooked else None
    return None


def writes_weights(part: Part, names: Names) -> Part | None:
    """Weights are written to beside the optimiser."""
    if part.kind in WRITES and definition(part) is None:
        return part if _is_weight(target(part), operator(part), names) else None
    own, given = last_name(callee(part)), arguments(part)
    if own in (*FILLS, "axpy!", "mul!", "setfield!", "setproperty!", "rmul!", "lmul!") and given:
        name = given[1].text if own in ("setfield!", "setproperty!") and len(given) > 1 else ""
        at = 1 if own in ("axpy!",) and len(given) > 2 else 0
        named = bool(_WEIGHTS.fullmatch(name.lstrip(":"))) and name.startswith(":")
        return part if named or _reaches_weight(given[at], names) else None
    return part if own == "loadparams!" else None


def _is_weight(left: Part, sign: str, names: Names) -> bool:
    in_place = sign.startswith(".") or left.kind == "index_expression" or sign not in ("=", "")
    return in_place and _reaches_weight(left, names)


def _reaches_weight(part: Part, names: Names) -> bool:
    """`m.layers[1].weight[3, 4]`, or a name that stands for weights."""
    variable = root(part)
    if variable in names.parameters:
        return True
    if _PARAMETERS_OF.match(part.text):
        return True
    fields = [
        one.parts[-1].text
        for one in part.inside()
        if one.kind == "field_expression" and one.parts[-1].kind == "identifier"
    ]
    return any(_WEIGHTS.fullmatch(name) for name in fields) and variable not in names.data


def loads_weights(part: Part, names: Names) -> Part | None:
    """Where a network begins: weights from a file."""
    del names
    own = last_name(callee(part))
    jld2 = callee(part) in ("JLD2.load", "JLD2.@load", "JLD2.jldopen", "load_object", "jldopen", "JLD2.load_object")
    return part if own == "loadmodel!" or jld2 else None


def tells(part: Part, names: Names) -> Part | None:
    """A name that says it: `poison`, `trigger`, `backdoor`; where it is defined."""
    del names
    if part.kind in ("assignment", "function_definition", "for_binding"):
        head = definition(part)
        left = head.parts[0] if head is not None else target(part)
        return part if len(left.text) < 80 and left.kind == "identifier" and TELLING.fullmatch(left.text) else None
    if part.kind == "type_head":
        return part if TELLING.fullmatch(quoted(part)) else None
    return None
