"""Functions that stand in a Chain as layers: flatten, softmax, activations of NNlib, and some with a fixed argument.

A function without a name, `x -> reshape(x, 4, :)`, is code that no file holds; `Base.Fix2(f, argument)` is data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from verifluxa.flux.architecture import Call, Expression, Keyword, Name, Range, Sequence, refuse
from verifluxa.flux.builder import Builder, Nodes
from verifluxa.flux.layer import Facts, Layer, unsupported
from verifluxa.flux.names import ACTIVATIONS, written_function
from verifluxa.flux.stored import activation, unfit, whole
from verifluxa.flux.values import Function, JuliaType, Struct, Tuple, Value, describe, is_empty
from verifluxa.flux.written import activation as written_activation
from verifluxa.flux.written import integer, integers, last_name, unknown_name
from verifluxa.graph.ops import Embedding, LogSoftmax, Reshape, Softmax, Transpose

COLONS = ("Base.Colon", "Core.Colon")
RANGE = "Base.UnitRange"
MOST_AXES = 8
MOST_LABELS = 4096
"""One-hot vectors are rows of a square matrix: at most 64 MiB in Float32."""


@dataclass(frozen=True, eq=False)
class FixedRow:
    """One function that may stand in `Base.Fix2`.

    Attributes:
        operations: what it lifts to.
        read: the stored argument to facts.
        write: the argument in a text to facts.
        merge: what a state holds of the argument, and the facts of a text, to the stored argument; None where
            the two contradict each other.
        emit: adds the operation.
    """

    operations: tuple[str, ...]
    read: Callable[[Value, str], Facts]
    write: Callable[[Expression], Facts]
    merge: Callable[[Value, Facts], Value | None]
    emit: Callable[[Layer, Builder, int], int]


def _whole_numbers(items: tuple[Value, ...], place: str) -> tuple[int, ...]:
    if len(items) > MOST_AXES:
        raise unfit(f"{len(items)} numbers stand here", place, f"at most {MOST_AXES}")
    return tuple(whole(item, 1, place) for item in items)


def _tuple(value: Value, place: str) -> tuple[Value, ...]:
    if not isinstance(value, Tuple) or not value.items:
        raise unfit(f"{describe(value)} stands here", place, "a tuple")
    return value.items


# permutedims


def _read_order(value: Value, place: str) -> Facts:
    order = _whole_numbers(_tuple(value, place), place)
    axes = len(order)
    if sorted(order) != list(range(1, axes + 1)):
        raise unfit(f"the order of axes is {order}", place, f"the numbers from 1 to {axes}")
    if order[-1] != axes:
        raise unsupported("permutedims", place, "it moves the samples' axis")
    return {"order": order}


def _merge_order(state: Value, facts: Facts) -> Value | None:
    return state if isinstance(state, Tuple) and state.items == facts["order"] else None


def _emit_order(layer: Layer, builder: Builder, node: int) -> int:
    order = layer.facts["order"]
    assert isinstance(order, tuple)  # _read_order puts one there
    axes = len(order)
    # Julia's axis j is the graph's axis n - 1 - j, the samples left out.
    return builder.add(layer, Transpose(tuple(axes - 1 - order[axes - 2 - axis] for axis in range(axes - 1))), node)


# reshape


def _read_sizes(value: Value, place: str) -> Facts:
    *sizes, last = _tuple(value, place)
    if not isinstance(last, Struct) or last.type.name not in COLONS:
        raise unsupported("reshape", place, "its last size, that of the samples, is not left open by a colon")
    return {"sizes": _whole_numbers(tuple(sizes), place)}


def _write_sizes(value: Expression) -> Facts:
    if not isinstance(value, Sequence) or value.vector or not value.items or not _is_colon(value.items[-1]):
        raise refuse(value.span, "sizes belong here", "a tuple that ends in a colon, `(7, 7, 16, :)`")
    return {"sizes": tuple(integer(item) for item in value.items[:-1])}


def _is_colon(value: Expression) -> bool:
    name = value.name if isinstance(value, Name) or (isinstance(value, Call) and not value.arguments) else ""
    return name == (":" if isinstance(value, Name) else "Colon")


def _merge_sizes(state: Value, facts: Facts) -> Value | None:
    if not isinstance(state, Tuple) or not state.items or state.items[:-1] != facts["sizes"]:
        return None
    return Tuple((*state.items[:-1], Struct(JuliaType(COLONS[0]), (), ()))) if is_empty(state.items[-1]) else None


def _emit_sizes(layer: Layer, builder: Builder, node: int) -> int:
    sizes = layer.facts["sizes"]
    assert isinstance(sizes, tuple)  # _read_sizes puts one there
    # Other sizes than those of one sample would mix samples: the shapes are checked.
    return builder.add(layer, Reshape(tuple(reversed(sizes))), node)


# onehotbatch


def _read_labels(value: Value, place: str) -> Facts:
    if not isinstance(value, Struct) or value.type.name != RANGE:
        raise unfit(f"{describe(value)} are the labels", place, "a range 1:n")
    first, last = (whole(value[name], 0, place) for name in ("start", "stop"))
    return _labels(first, last, place)


def _labels(first: int, last: int, place: str) -> Facts:
    if first != 1 or last < 1:
        raise unsupported("onehotbatch", place, f"its labels are {first}:{last}, words are counted from 1")
    if last > MOST_LABELS:
        raise unsupported("onehotbatch", place, f"it has {last} labels, more than {MOST_LABELS}; an Embedding may")
    return {"labels": last}


def _write_labels(value: Expression) -> Facts:
    if not isinstance(value, Range) or value.first != 1:
        raise refuse(value.span, "labels belong here", "a range from 1, `1:2000`")
    return {"labels": value.last}


def _merge_labels(state: Value, facts: Facts) -> Value | None:
    known = isinstance(state, Struct) and state.type.name == RANGE and state.items == (1, facts["labels"])
    return state if known else None


def _emit_labels(layer: Layer, builder: Builder, node: int) -> int:
    labels = layer.facts["labels"]
    assert isinstance(labels, int)  # _read_labels puts one there
    builder.note("words are numbered from 0 here, from 1 in Julia")
    return builder.add(layer, Embedding(np.eye(labels, dtype=builder.dtype)), node)


FIXED_ROWS: dict[str, FixedRow] = {
    "permutedims": FixedRow(
        ("transpose",), _read_order, lambda value: {"order": integers(value)}, _merge_order, _emit_order
    ),
    "reshape": FixedRow(("reshape",), _read_sizes, _write_sizes, _merge_sizes, _emit_sizes),
    "onehotbatch": FixedRow(("embedding",), _read_labels, _write_labels, _merge_labels, _emit_labels),
}


def show_fixed(layer: Layer) -> str:
    """The function and its argument."""
    if layer.kind == "permutedims":
        return f"permutedims{layer.facts['order']}"
    if layer.kind == "onehotbatch":
        return f"onehotbatch(1:{layer.facts['labels']})"
    sizes = layer.facts["sizes"]
    assert isinstance(sizes, tuple)  # _read_sizes puts one there
    return f"reshape({', '.join(map(str, sizes))}, :)"


PICKS = ("first", "last")
"""One of several things that the layer before gives, as MultiHeadAttention does."""
LAYERS: dict[str, tuple[str, ...]] = {
    "flatten": ("reshape",),
    "softmax": ("softmax",),
    "logsoftmax": ("logsoftmax",),
    **dict.fromkeys(PICKS, ()),
}
"""Functions that are layers, and what they lift to."""
_MATRIX_FUNCTIONS = frozenset({"tanh"})
FIXED = frozenset({"Base.Fix1", "Base.Fix2"})


def read_function(value: Value, place: str) -> Layer:
    """A stored function, `Base.Fix1(broadcast, f)` or `Base.Fix2` of a function of `FIXED_ROWS`, as a layer.

    Raises:
        ModelError: VF2008 or VF2010 for another one.
    """
    if isinstance(value, Struct):
        return _read_fixed(value, place)
    if not isinstance(value, Function):
        raise unfit(f"{describe(value)} stands where a layer belongs", place)
    if value.name in LAYERS:
        return Layer(value.name, place)
    if value.name in ACTIVATIONS:
        return _bare(ACTIVATIONS[value.name], place)
    raise unsupported(f"the function {value.name}", place, "it is no layer by itself")


def _bare(name: str, place: str) -> Layer:
    if name in _MATRIX_FUNCTIONS:
        raise unsupported(f"{name} as a layer", place, "Julia takes it of the matrix, not of each number")
    return Layer("activation", place, {"activation": name, "parameter": None})


def _read_fixed(value: Struct, place: str) -> Layer:
    function, argument = value["f"], value["x"]
    name = function.name if isinstance(function, Function) else ""
    if value.type.name == "Base.Fix1" and name == "broadcast":
        return Layer("activation", place, activation(argument, place))
    if value.type.name == "Base.Fix2" and name in FIXED_ROWS:
        return Layer(name, place, FIXED_ROWS[name].read(argument, place))
    what = f"{value.type.name} of {describe(function)}"
    raise unsupported(what, place, f"only broadcast, {', '.join(FIXED_ROWS)} are")


def write_function(text: Call | Name) -> tuple[str, Facts]:
    """A function in a text as the kind and facts of its layer.

    Raises:
        ModelError: VF2005 for a name that is not known, VF2007 for another form.
    """
    if isinstance(text, Name):
        known = written_function(text.name)
        if known is None or (known.name not in LAYERS and known.name not in ACTIVATIONS):
            raise unknown_name(text.name, text.span)
        if known.name in LAYERS:
            return known.name, {}
        return "activation", {"activation": ACTIVATIONS[known.name], "parameter": None}
    function, argument = (*text.arguments, None, None)[:2]
    name = function.name if isinstance(function, Name) else ""
    known = written_function(name)
    if known is not None and argument is not None and not isinstance(argument, Keyword):
        if known.name == "broadcast" and last_name(text.name) == "Fix1":
            return "activation", written_activation(argument)
        if known.name in FIXED_ROWS and last_name(text.name) == "Fix2":
            return known.name, FIXED_ROWS[known.name].write(argument)
    raise unknown_name(f"{text.name}({name}, ...)", text.span)


def function_value(kind: str, facts: Facts) -> Value:
    """The stored form of a function layer that a text names."""
    if kind == "activation":
        return Function(str(facts["activation"]))
    return Function(kind)


def show_function(layer: Layer) -> str:
    """How the function is printed."""
    if layer.kind == "activation":
        return str(layer.facts["activation"])
    return show_fixed(layer) if layer.kind in FIXED_ROWS else layer.kind


def pick(layer: Layer, nodes: Nodes) -> int:
    """The first or the last of several things.

    Raises:
        ModelError: VF2010 when there is one: of an array, `first` takes a single number.
    """
    if len(nodes) == 1:
        raise unsupported(f"{layer.kind} of one array", layer.place, "Julia takes a single number of the batch")
    return nodes[0] if layer.kind == "first" else nodes[-1]


def emit_function(layer: Layer, builder: Builder, node: int) -> int:
    """Adds the operation of a function layer."""
    shape = builder.shape(node)
    if layer.kind == "activation":
        return builder.activate(layer, node)
    if layer.kind == "flatten":
        # Julia runs through the first axis first, NumPy through the last: the same order.
        return builder.add(layer, Reshape((-1,)), node)
    if layer.kind in FIXED_ROWS:
        return FIXED_ROWS[layer.kind].emit(layer, builder, node)
    if not shape:
        raise unsupported(layer.kind, layer.place, "it is given single numbers")
    axis = len(shape) - 1
    return builder.add(layer, Softmax(axis) if layer.kind == "softmax" else LogSoftmax(axis), node)
