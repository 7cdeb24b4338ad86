"""Functions that stand in a Chain as layers: flatten, softmax, activations of NNlib, and those of `layers_fixed`."""

from __future__ import annotations

from verifluxa.flux.architecture import Call, Keyword, Name
from verifluxa.flux.builder import Builder, Nodes
from verifluxa.flux.layer import Facts, Layer, unsupported
from verifluxa.flux.layers_fixed import FIXED_ROWS, show_fixed
from verifluxa.flux.names import ACTIVATIONS, written_function
from verifluxa.flux.stored import activation, unfit
from verifluxa.flux.values import Function, Struct, Value, describe
from verifluxa.flux.written import activation as written_activation
from verifluxa.flux.written import last_name, unknown_name
from verifluxa.graph.ops import LogSoftmax, Reshape, Softmax

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
    """A stored function, `Base.Fix1(broadcast, f)` or `Base.Fix2` of a function of `layers_fixed`, as a layer.

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
