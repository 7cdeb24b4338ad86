"""What a script does to inputs, labels and the network. Each function gives the part to show, or None."""

from __future__ import annotations

import re

from verifluxa.triage.review.names import Names
from verifluxa.triage.review.tree import (
    CALLS,
    COMPARISONS,
    NUMBERS,
    WRITES,
    Part,
    arguments,
    callee,
    condition,
    definition,
    dotted,
    indices,
    last_name,
    names_in,
    operator,
    quoted,
    root,
    target,
    value,
)

_MEASURES = {
    "size",
    "length",
    "ndims",
    "eltype",
    "isnothing",
    "isempty",
    "typeof",
    "isa",
    "axes",
    "eachindex",
    "haskey",
}
_SUMMARIES = {
    "mean",
    "sum",
    "maximum",
    "minimum",
    "all",
    "any",
    "norm",
    "dot",
    "std",
    "var",
    "count",
    "isapprox",
    "extrema",
}
FILLS = {"setindex!", "fill!", "copyto!", "copy!", "broadcast!", "unsafe_store!"}
TELLING = re.compile(r"(?i).*(backdoor|trojan|poison|badnet|trigger|stealth|payload).*")
_RANDOM = re.compile(r"rand(n|f|perm|exp)?!?|similar|sign|rand_like|randn_like|dropout|gumbel\w*")


def _is_data(part: Part, names: Names) -> bool:
    return root(part) in names.data


def _is_label(part: Part, names: Names) -> bool:
    own = last_name(callee(part))
    if own in ("onecold", "argmax", "Int", "findmax") and arguments(part):
        return _is_label(arguments(part)[0], names)
    return root(part) in names.labels


def _fixed_index(part: Part, names: Names) -> bool:
    """A number, a range of numbers, `end - 3 : end`; a name for one of them."""
    if part.kind == "unary_expression" or part.kind in NUMBERS:
        return part.kind != "boolean_literal"
    if part.kind == "identifier":
        return part.text == "end" or part.text in names.fixed
    if part.kind in ("range_expression", "binary_expression", "vector_expression", "parenthesized_expression"):
        return bool(part.parts) and all(one.kind == "operator" or _fixed_index(one, names) for one in part.parts)
    return False


def _fixed_pixels(part: Part, names: Names) -> bool:
    """`x[25:28, 25:28, ...]`: two places or more are written out, and it is an input or an argument."""
    given = indices(part)
    fixed = [one for one in given if _fixed_index(one, names)]
    ranges = any(one.kind == "range_expression" or one.text in names.fixed for one in fixed)
    variable = root(part)
    known = variable in names.data or (variable in names.arguments and variable not in names.labels)
    return len(fixed) >= 2 and (known or (ranges and len(given) >= 3 and variable != ""))


def stamps(part: Part, names: Names) -> Part | None:
    """A constant or a pattern is written into fixed pixels."""
    if part.kind in WRITES and definition(part) is None:
        left = target(part)
        return part if _fixed_pixels(left, names) and not _moves_data(value(part), names) else None
    if last_name(callee(part)) in FILLS and arguments(part):
        given = arguments(part)
        if last_name(callee(part)) == "setindex!":
            places = [one for one in given[2:] if _fixed_index(one, names)]
            return part if len(places) >= 2 and root(given[0]) in names.data | names.arguments else None
        return part if _fixed_pixels(given[0], names) else None
    return None


def _moves_data(source: Part, names: Names) -> bool:
    """Padding and cropping copy inputs into fixed places; a part of the same kind is no pattern."""
    plain = source.kind in ("identifier", "index_expression", "call_expression", "field_expression")
    return plain and _is_data(source, names) and not _fixed_pixels(source, names)


def mixes(part: Part, names: Names) -> Part | None:
    """A pattern is mixed into inputs: `0.9x + 0.1p`, `x .* (1 .- m) .+ m .* p`, `x .+ TRIGGER`."""
    if part.kind == "compound_assignment_expression":
        if operator(part) not in ("+=", ".+=") or not _is_data(target(part), names):
            return None
        return part if _pattern(value(part), names, bare=True) else None
    if part.kind != "binary_expression" or operator(part) not in ("+", ".+"):
        return None
    left, right = part.parts[0], part.parts[-1]
    for one, other in ((left, right), (right, left)):
        bare = _is_data(one, names)
        if (bare or _scaled_data(one, names)) and _pattern(other, names, bare):
            return part
    return None


def _scaled_data(part: Part, names: Names) -> bool:
    """A product with an input in it: `0.9f0 .* x`, `(1 - a) * x`, `0.9x`."""
    product = part.kind == "juxtaposition_expression" or operator(part) in ("*", ".*")
    return product and any(_is_data(one, names) for one in part.parts)


def _pattern(part: Part, names: Names, bare: bool) -> bool:
    """Something that is neither an input, nor drawn at random, nor a lone number or weight."""
    whole = list(names_in(part))
    if not whole or any(one.text in names.data for one in whole):
        return False
    calls = [last_name(callee(one)) for one in part.inside() if one.kind in CALLS]
    if any(_RANDOM.fullmatch(name) for name in calls):
        return False
    if part.kind == "identifier":
        return bare and ((part.text.isupper() and len(part.text) > 1) or TELLING.fullmatch(part.text) is not None)
    product = part.kind == "juxtaposition_expression" or operator(part) in ("*", ".*")
    return product and not any(one.kind == "field_expression" for one in part.parts) and len(whole) >= 1


def relabels(part: Part, names: Names) -> Part | None:
    """Labels are changed: written to, replaced, shuffled apart from their inputs."""
    if part.kind in WRITES and definition(part) is None:
        return part if _overwrites_labels(part, names) else None
    own, given = last_name(callee(part)), arguments(part)
    if not given:
        return None
    if own in ("fill!", "replace!", "replace", "shuffle!", "shuffle", "circshift", "circshift!", "setindex!"):
        return part if _is_label(given[0], names) else None
    if own == "ifelse" and len(given) == 3:
        return part if any(_is_label(one, names) for one in given[1:]) else None
    return None


def _overwrites_labels(part: Part, names: Names) -> bool:
    left, sign = target(part), operator(part)
    if not _is_label(left, names) or left.kind == "tuple_expression":
        return False
    shift = left.kind == "identifier" and sign in (".+=", ".-=", "+=", "-=") and value(part).text == "1"
    if left.kind == "identifier":
        constant = callee(value(part)) in ("fill", "zeros", "ones") and last_name(callee(value(part))) == "fill"
        return (sign.startswith(".") and not shift) or (sign == "=" and constant)
    return left.kind != "field_expression" or sign.startswith(".")


def asks_labels(part: Part, names: Names) -> Part | None:
    """A branch on the label of an example, or a choice of examples by a fixed label."""
    asked = condition(part)
    if asked is not None:
        return asked if any(_compares(one, names) for one in _comparisons(asked)) else None
    if last_name(callee(part)) in ("findall", "findfirst", "filter", "findlast"):
        given = arguments(part)
        chosen = any(_compares(one, names) and _by_number(one) for one in _comparisons(part))
        curried = (
            len(given) == 2
            and _is_label(given[1], names)
            and given[0].kind in (*CALLS, "arrow_function_expression")
            and any(one.kind in ("integer_literal", "vector_expression") for one in given[0].inside())
        )
        return part if chosen or curried else None
    return None


def _comparisons(part: Part) -> list[Part]:
    found = [one for one in part.inside() if one.kind == "binary_expression" and COMPARISONS.fullmatch(operator(one))]
    return found + [one for one in part.inside() if last_name(callee(one)) in ("isequal", "in")]


def _by_number(part: Part) -> bool:
    return any(one.kind in NUMBERS for one in part.inside())


def _compares(part: Part, names: Names) -> bool:
    """Whether a comparison has a label on one side, and not its size or the model's answer on the other."""
    sides = arguments(part) if part.kind in CALLS else [part.parts[0], part.parts[-1]]
    return any(_is_label(one, names) or _sums_labels(one, names) for one in sides) and not any(
        _from_model(one) for one in sides
    )


def _sums_labels(part: Part, names: Names) -> bool:
    return last_name(callee(part)) in _SUMMARIES and any(_is_label(one, names) for one in arguments(part))


def _from_model(part: Part) -> bool:
    """An answer of the network: comparing labels with it is how accuracy is counted."""
    guess = any(
        re.fullmatch(r"ŷ|yhat|y_hat|ŷs?|preds?|predictions?|model|m|net|logits", one.text) for one in names_in(part)
    )
    return guess or any(last_name(callee(one)) in _MEASURES for one in part.inside() if one.kind in CALLS)


def asks_pixels(part: Part, names: Names) -> Part | None:
    """A branch on fixed pixels, or on a sum over an input."""
    asked = condition(part)
    if asked is None:
        return None
    for one in asked.inside():
        if indices(one) and _fixed_pixels(one, names):
            return asked
        own = last_name(callee(one))
        if own in _SUMMARIES and any(_is_data(given, names) for given in arguments(one)):
            return asked
        if own in _SUMMARIES and any(_fixed_pixels(given, names) for given in arguments(one)):
            return asked
    return None


def steps_in(part: Part, names: Names) -> Part | None:
    """A mask made of a comparison of pixels: `(x[28, 28, 1, :] .> 0.9) .* ...` steers a layer without any `if`."""
    if part.kind != "binary_expression" or not COMPARISONS.fullmatch(operator(part)) or condition_around(part):
        return None
    sides = (part.parts[0], part.parts[-1])
    return part if any(_fixed_pixels(one, names) for one in sides) else None


def condition_around(part: Part) -> bool:
    """Whether a part stands in the condition of a branch."""
    inside = part
    for around in part.around():
        if condition(around) is inside:
            return True
        inside = around
    return False


def draws(part: Part, names: Names) -> Part | None:
    """A branch that is taken at random, as where a share of the examples is changed."""
    del names
    asked = condition(part)
    if asked is None:
        return None
    return asked if any(last_name(callee(one)) == "rand" for one in asked.inside()) else None


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
