"""What the names of a script stand for: data, labels, parameters, fixed numbers.

By their spelling and by where they come from, without running anything; a name keeps its meaning in the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from verifluxa.triage.review.tree import CALLS, Part, arguments, callee, definition, last_name, root, target
from verifluxa.triage.review.tree import value as written

_SPLIT = "(train|test|val|valid|tr|te|batch|all|raw)"
DATA = re.compile(
    rf"([xX]s?|[xX][bi]|im|imgs?|images?|pictures?|batch|pixels|frames|features|inputs?|data|sample|"
    rf"([xX]|imgs?|images?|data)_?{_SPLIT}|{_SPLIT}_?([xX]s?|imgs?|images?|data|features))"
)
LABELS = re.compile(
    rf"([yY]s?|[yY][bi]|lbls?|labels?|targets?|classes|truth|([yY]|labels?|targets?)_?{_SPLIT}|{_SPLIT}_?([yY]s?|labels?|targets?))"
)
_LOADER = re.compile(
    r"(?i)(loader|mnist|cifar|svhn|traindata|testdata|dataset|eachobs|batchview|eachbatch|get_data|getdata)"
)
_SAME = re.compile(
    r"(copy|deepcopy|float|f32|gpu|cpu|identity|reshape|view|permutedims|collect|Array|cu|CuArray|unsqueeze|Float(16|32|64)|"
    r"Int\d*|onehotbatch|onecold|onehot|argmax|vec|flatten|getobs|@view|N0f8|clamp|device|convert|first)"
)
_DATA_FIELDS, _LABEL_FIELDS = ("features", "images", "x", "inputs", "data"), ("targets", "labels", "y")
_MAPS = ("map", "map!", "foreach", "filter", "filter!", "mapobs", "findall", "broadcast")
_WEIGHT_FIELDS = ("weight", "bias")
_PARAMETERS = re.compile(r"(params|trainables|destructure|trainable)")
_ROUNDS = 4
"""How far a meaning is followed from name to name."""


@dataclass(frozen=True)
class Names:
    """Names by what they stand for.

    Attributes:
        data, labels, parameters: inputs, their classes, weights of a network.
        fixed: names of literal numbers and ranges.
        arguments: of functions that are defined in the file.
        types: that the file defines.
        functions: that the file defines without a module in front.
        imported: module by name, of what `import A: b` makes extendable.
        flux: whether the file uses Flux or one of its kin.
    """

    data: frozenset[str]
    labels: frozenset[str]
    parameters: frozenset[str]
    fixed: frozenset[str]
    arguments: frozenset[str]
    types: frozenset[str]
    functions: frozenset[str]
    imported: dict[str, str]
    flux: bool


def names_of(top: Part) -> Names:
    """Reads the names of a file."""
    parts = list(top.inside())
    spelt = {one.text for one in parts if one.kind == "identifier"}
    data = {name for name in spelt if DATA.fullmatch(name)}
    labels = {name for name in spelt if LABELS.fullmatch(name)}
    parameters: set[str] = set()
    bindings = list(_bindings(parts))
    for _ in range(_ROUNDS):
        before = len(data) + len(labels) + len(parameters)
        for names, source in bindings:
            _follow(names, source, data, labels, parameters)
        if len(data) + len(labels) + len(parameters) == before:
            break
    heads = [head for head in map(definition, parts) if head is not None]
    return Names(
        frozenset(data - labels),
        frozenset(labels),
        frozenset(parameters),
        frozenset(name for names, source in bindings if _is_fixed(source) for name in names),
        frozenset(_arguments(heads, parts)),
        frozenset(_types(parts)),
        frozenset(head.parts[0].text for head in heads if head.parts[0].kind == "identifier"),
        dict(_imported(parts)),
        any(one.kind in ("using_statement", "import_statement") and _FLUX.search(one.text) for one in parts),
    )


_FLUX = re.compile(r"\b(Flux|Lux|Zygote|NNlib|Optimisers|MLUtils|OneHotArrays|SimpleChains|Knet)\b")


def _bindings(parts: list[Part]) -> Iterator[tuple[list[str], Part]]:
    """Names, and the expression that they come from, of assignments, loops, and functions mapped over something."""
    for part in parts:
        if last_name(callee(part)) in _MAPS and len(arguments(part)) == 2:
            function, over = arguments(part)
            if function.kind == "arrow_function_expression" and function.parts[0].kind == "identifier":
                yield [function.parts[0].text], over
        if part.kind not in ("assignment", "for_binding") or len(part.parts) < 2:
            continue
        left = part.parts[0]
        if left.kind in ("tuple_expression", "open_tuple"):
            yield [one.text if one.kind == "identifier" else "" for one in left.parts], written(part)
        elif left.kind in ("identifier", "typed_expression"):
            yield [target(part).text], written(part)


def _follow(names: list[str], source: Part, data: set[str], labels: set[str], parameters: set[str]) -> None:
    if len(names) >= 2:
        if _gives_pairs(source, data):
            data.update(filter(None, names[:1]))
            labels.update(filter(None, names[1:2]))
        elif last_name(callee(source)) == "destructure":
            parameters.update(filter(None, names[:1]))
        elif source.kind in ("tuple_expression", "open_tuple"):
            for name, one in zip(names, source.parts, strict=False):
                _follow([name], one, data, labels, parameters)
        return
    meant = _meaning(source, data, labels, parameters)
    if meant is not None and names[0]:
        meant.add(names[0])


def _gives_pairs(source: Part, data: set[str]) -> bool:
    """Whether an expression gives inputs with their labels: a loader, a data set, `data[i]`."""
    if source.kind == "index_expression":
        source = source.parts[0]
    name = last_name(callee(source)) or (source.text if source.kind == "identifier" else "")
    if name in ("enumerate", "zip", "first", "iterate"):
        given = arguments(source)
        return bool(given) and name == "first" and _gives_pairs(given[0], data)
    return bool(_LOADER.search(name)) or name in ("train", "train_set", "train_data", "trainset") or name in data


def _meaning(source: Part, data: set[str], labels: set[str], parameters: set[str]) -> set[str] | None:
    """The set that the name of an expression belongs to."""
    for _ in range(20):
        name = last_name(callee(source))
        if source.kind in (*CALLS, "macrocall_expression"):
            given = arguments(source)
            if _PARAMETERS.fullmatch(name):
                return parameters
            if not _SAME.fullmatch(name) or not given:
                return None
            source = given[0]
            continue
        if source.kind == "field_expression":
            own = source.parts[-1].text
            if own in _DATA_FIELDS and _LOADER.search(source.parts[0].text[:80]):
                return data
            if own in _LABEL_FIELDS:
                return labels
            return parameters if own in _WEIGHT_FIELDS else None
        break
    variable = root(source) if source.kind in ("identifier", "index_expression", "parenthesized_expression") else ""
    return next((one for one in (data, labels, parameters) if variable in one), None)


def _is_fixed(source: Part) -> bool:
    """Whether an expression is made of literal numbers alone: `3`, `25:28`, `(1, 2)`, `-1`."""
    whole = list(source.inside())
    allowed = (
        "integer_literal",
        "float_literal",
        "range_expression",
        "unary_expression",
        "operator",
        "tuple_expression",
    )
    return len(whole) < 40 and all(
        one.kind in (*allowed, "vector_expression", "parenthesized_expression") for one in whole
    )


def _arguments(heads: list[Part], parts: list[Part]) -> Iterator[str]:
    """The names of the arguments of functions, with and without a name."""
    for head in heads:
        for one in arguments(head):
            yield one.parts[0].text if one.kind in ("typed_expression", "named_argument") and one.parts else one.text
    for part in parts:
        if part.kind in ("arrow_function_expression", "do_clause") and part.parts:
            first = part.parts[0]
            yield from (one.text for one in (first.parts or [first]) if one.kind == "identifier")


def _types(parts: list[Part]) -> Iterator[str]:
    for part in parts:
        if part.kind == "type_head":
            first = next((one for one in part.inside() if one.kind == "identifier"), None)
            if first is not None:
                yield first.text


def _imported(parts: list[Part]) -> Iterator[tuple[str, str]]:
    for part in parts:
        if part.kind != "selected_import" or part.parent is None or part.parent.kind != "import_statement":
            continue
        module, *names = part.parts
        for one in names:
            yield (one.parts[-1].text if one.kind == "import_alias" else one.text), module.text
