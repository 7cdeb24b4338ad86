"""Small questions about parts of the tree, which the rules are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verifluxa.triage.review.tree import Part

CALLS = ("call_expression", "broadcast_call_expression")
WRITES = ("assignment", "compound_assignment_expression")
NUMBERS = ("integer_literal", "float_literal", "boolean_literal", "character_literal")
COMPARISONS = re.compile(r"\.?(===|==|!=|!==|≠|<|>|<=|>=|≤|≥|∈|∉|in|≈)")
_REACHING = ("index_expression", "field_expression", "parenthesized_expression", "adjoint_expression")
MOST_NAME = 200
LONGEST = 90


def quoted(part: Part) -> str:
    """Its code on one line, short."""
    words = " ".join(part.text[: 4 * LONGEST].split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def callee(part: Part) -> str:
    """What is called, as `Flux.train!`; macros as `@eval`, `BSON.@load`; empty where it is no name."""
    if part.kind == "macrocall_expression":
        names = [one.text for one in part.parts if one.kind in ("identifier", "field_expression", "scoped_identifier")]
        macro = next((one.text for one in part.parts if one.kind == "macro_identifier"), "")
        module = names[0] if names and part.parts[0].kind != "macro_identifier" else ""
        return f"{module}.{macro}" if module else macro
    if part.kind in CALLS and part.parts and part.parts[0].kind in ("identifier", "field_expression", "operator"):
        return dotted(part.parts[0])
    return ""


def dotted(part: Part) -> str:
    """A name with its modules; `Base.:+` as `Base.+`; empty where it is no plain name."""
    text = part.text.replace(":", "").replace("(", "").replace(")", "")
    plain = all(
        one.kind in ("identifier", "field_expression", "scoped_identifier", "quote_expression", "operator")
        or one.kind == "parenthesized_expression"
        for one in part.inside()
    )
    return text if plain and len(text) <= MOST_NAME else ""


def last_name(name: str) -> str:
    """`train!` of `Flux.train!`; of an operator all of it."""
    return name.rpartition(".")[2] or name


def arguments(call: Part) -> list[Part]:
    """What a call or macro is given, without the function itself."""
    listed = [one for one in call.parts if one.kind in ("argument_list", "macro_argument_list")]
    return listed[0].parts if listed else []


def target(write: Part) -> Part:
    """What an assignment writes to; `where` and `::T` around a definition are taken off."""
    part = write.parts[0] if write.parts else write
    while part.kind in ("where_expression", "typed_expression", "signature") and part.parts:
        part = part.parts[0]
    return part


def value(write: Part) -> Part:
    """What an assignment writes."""
    return write.parts[-1]


def operator(part: Part) -> str:
    """The operator of an assignment or of two operands; empty where there is none."""
    return next((one.text for one in part.parts if one.kind == "operator"), "")


def root(part: Part) -> str:
    """The variable that an expression reaches into: `x` of `view(x.a[1], 2)`; empty where there is none."""
    for _ in range(50):
        if part.kind == "identifier":
            return part.text
        name = last_name(callee(part))
        if part.kind in (*CALLS, "macrocall_expression"):
            given = arguments(part)
            if name not in ("view", "@view", "@views", "@inbounds", "selectdim", "vec", "parent") or not given:
                return ""
            part = given[0]
        elif part.kind in _REACHING and part.parts:
            part = part.parts[0]
        else:
            return ""
    return ""


def indices(part: Part) -> list[Part]:
    """The indices of `x[...]`, `view(x, ...)` or `@view(x[...])`; empty for anything else."""
    if part.kind == "index_expression" and len(part.parts) > 1:
        return part.parts[1].parts
    if part.kind == "macrocall_expression" and callee(part) in ("@view", "@views", "@inbounds"):
        given = arguments(part)
        return indices(given[0]) if given else []
    if part.kind == "call_expression" and last_name(callee(part)) == "view":
        return arguments(part)[1:]
    return []


def names_in(part: Part) -> Iterator[Part]:
    """The identifiers inside, without the names of fields."""
    for one in part.inside():
        if one.kind != "identifier":
            continue
        around = one.parent
        if around is not None and around.kind == "field_expression" and around.parts[0] is not one:
            continue
        yield one


def definition(part: Part) -> Part | None:
    """The call in the head of a function definition, `f(a, b)`; None where this defines none."""
    if part.kind == "function_definition":
        head = next((one for one in part.parts if one.kind == "signature"), None)
        head = target(head) if head is not None else None
    elif part.kind == "assignment":
        head = target(part)
    else:
        return None
    return head if head is not None and head.kind == "call_expression" else None


def condition(part: Part) -> Part | None:
    """What a branch asks; None where this is no branch."""
    kind = part.kind
    if kind in ("if_statement", "elseif_clause", "ternary_expression", "while_statement", "if_clause"):
        return part.parts[0] if part.parts else None
    if kind == "binary_expression" and operator(part) in ("&&", "||") and _stands_alone(part):
        return part.parts[0]
    if kind in CALLS and last_name(callee(part)) == "ifelse":
        given = arguments(part)
        return given[0] if given else None
    return None


def _stands_alone(part: Part) -> bool:
    """Whether `a && b` is a branch and not a part of a larger condition."""
    around = part.parent
    return (around is not None and around.kind in ("source_file", "block", "for_statement", "function_definition")) or (
        around is not None and around.kind.endswith(("_clause", "_statement")) and around.parts[0] is not part
    )
