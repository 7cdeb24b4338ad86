"""Dense, Scale (Diagonal up to 0.12), Bilinear, Embedding and EmbeddingBag."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from verifluxa.flux.architecture import Name, Pair, Sequence, refuse
from verifluxa.flux.builder import Builder, EmitChild, Missing, Nodes, Row, printed_activation
from verifluxa.flux.layer import Facts, Floats, Layer, unsupported
from verifluxa.flux.stored import Stored, unfit, whole
from verifluxa.flux.values import Function, Value, describe
from verifluxa.flux.written import Arguments, Written, integer, unknown_name
from verifluxa.graph.ops import Affine, Embedding, MaxPool, MeanPool, Multiply, Reshape, Scale, Shift, Transpose

_REDUCTIONS = ("mean", "sum", "maximum")


def _dense_defaults(_: Facts) -> Facts:
    return {"activation": "identity", "parameter": None, "bias": True}


def _bias(array: Floats | None) -> dict[str, Floats]:
    return {} if array is None else {"bias": np.array(array)}


# Dense


def read_dense(stored: Stored) -> Layer:
    """A Dense; also those inside a MultiHeadAttention."""
    weight_name, bias_name = ("weight", "bias") if stored.has("weight") else ("W", "b")
    weight = stored.array(weight_name, 2)
    outputs, inputs = weight.shape
    bias = stored.bias(bias_name, outputs)
    facts: Facts = {"in": inputs, "out": outputs, **stored.function("σ"), "bias": bias is not None}
    # As it lies in the file's bytes where that can be: most of a large file is such matrices, and is not held twice.
    arrays = {"weight": np.require(weight, requirements="A"), **_bias(bias)}
    return Layer("Dense", stored.place, facts, arrays, parameters=weight.size + (0 if bias is None else outputs))


def _write_dense(arguments: Arguments) -> Written:
    facts: Facts = {}
    arguments.sizes_pair(facts)
    arguments.activation(facts)
    arguments.bias(facts)
    arguments.ignore("init", "initW", "initb")
    return Written(facts)


def _show_dense(layer: Layer) -> str:
    facts = layer.facts
    bias = "" if facts["bias"] else "; bias=false"
    return f"Dense({facts['in']} => {facts['out']}{printed_activation(facts)}{bias})"


def emit_dense(layer: Layer, builder: Builder, node: int) -> int:
    """Adds the product and the activation."""
    node = builder.add(layer, Affine(layer.arrays["weight"], layer.arrays.get("bias")), node)
    return builder.activate(layer, node, fast=True)


# Scale


def _read_scale(stored: Stored) -> Layer:
    if stored.has("α"):
        return _read_diagonal(stored)
    scale = stored.array("scale")
    bias = None if stored.value("bias") is False else stored.array("bias", scale.ndim)
    facts: Facts = {"sizes": scale.shape, **stored.function("σ"), "bias": bias is not None}
    return _scale_layer(stored, facts, scale, bias)


def _read_diagonal(stored: Stored) -> Layer:
    scale = stored.array("α")
    facts: Facts = {"sizes": scale.shape, "activation": "identity", "parameter": None, "bias": True}
    return _scale_layer(stored, facts, scale, stored.array("β", scale.ndim))


def _scale_layer(stored: Stored, facts: Facts, scale: Floats, bias: Floats | None) -> Layer:
    if bias is not None and bias.shape != scale.shape:
        raise unfit(f"the bias has the size {bias.shape}", stored.place, f"{scale.shape}, that of the scale")
    # Julia lines arrays up at their first axes, the graph at its last: all axes are turned round.
    arrays = {"scale": np.array(scale.transpose())} | ({} if bias is None else {"bias": np.array(bias.transpose())})
    return Layer("Scale", stored.place, facts, arrays, parameters=scale.size * (1 if bias is None else 2))


def _write_scale(arguments: Arguments) -> Written:
    facts: Facts = {}
    sizes: list[int] = []
    while (value := arguments.peek()) is not None and not isinstance(value, Name):
        sizes.append(integer(arguments.take("a size")))
    if not sizes:
        raise refuse(arguments.call.span, f"{arguments.layer} needs a size")
    facts["sizes"] = tuple(sizes)
    arguments.activation(facts)
    arguments.bias(facts)
    arguments.ignore("init", "initα", "initβ")
    return Written(facts)


def _show_scale(layer: Layer) -> str:
    facts = layer.facts
    assert isinstance(facts["sizes"], tuple)  # _read_scale puts one there
    bias = "" if facts["bias"] else "; bias=false"
    return f"Scale({', '.join(map(str, facts['sizes']))}{printed_activation(facts)}{bias})"


def emit_scale(layer: Layer, builder: Builder, node: int) -> int:
    """Adds scale, bias and activation; also for the Scale inside a LayerNorm."""
    node = builder.add(layer, Scale(layer.arrays["scale"]), node)
    if "bias" in layer.arrays:
        node = builder.add(layer, Shift(layer.arrays["bias"]), node)
    # The LayerNorm of 0.12 applies its activation itself, without the faster variants.
    return builder.activate(layer, node, fast=not layer.facts.get("old", False))


# Bilinear


def _read_bilinear(stored: Stored) -> Layer:
    weight = stored.array("weight", 3)
    outputs, first, second = weight.shape
    bias = stored.bias("bias", outputs)
    facts: Facts = {"in": (first, second), "out": outputs, **stored.function("σ"), "bias": bias is not None}
    arrays = {"weight": np.array(weight, order="C"), **_bias(bias)}
    return Layer("Bilinear", stored.place, facts, arrays, parameters=weight.size + (0 if bias is None else outputs))


def _write_bilinear(arguments: Arguments) -> Written:
    facts: Facts = {}
    pair = arguments.take("`(in1, in2) => out`")
    if not isinstance(pair, Pair):
        raise refuse(pair.span, "sizes belong here", "`(in1, in2) => out`")
    if isinstance(pair.left, Sequence) and len(pair.left.items) == 2:
        facts["in"] = (integer(pair.left.items[0]), integer(pair.left.items[1]))
    else:
        facts["in"] = (integer(pair.left),) * 2
    facts["out"] = integer(pair.right)
    arguments.activation(facts)
    arguments.bias(facts)
    arguments.ignore("init")
    return Written(facts)


def _show_bilinear(layer: Layer) -> str:
    facts = layer.facts
    bias = "" if facts["bias"] else "; bias=false"
    assert isinstance(facts["in"], tuple)  # _read_bilinear puts one there
    first, second = facts["in"]
    sizes = first if first == second else f"({first}, {second})"
    return f"Bilinear({sizes} => {facts['out']}{printed_activation(facts)}{bias})"


def _emit_bilinear(layer: Layer, builder: Builder, nodes: Nodes, _: EmitChild) -> Nodes:
    """`z[o] = sum over i of x[i] * (sum over j of W[o, i, j] y[j]) + b[o]`, in Flux's order: first over j."""
    if len(nodes) > 2:
        raise unsupported("Bilinear", layer.place, f"it is given {len(nodes)} inputs instead of 1 or 2")
    weight = layer.arrays["weight"]
    outputs, rows, columns = weight.shape
    inner = builder.add(layer, Affine(weight.reshape(outputs * rows, columns)), nodes[-1])
    inner = builder.add(layer, Reshape((outputs, rows)), inner)
    # Each output meets the whole of x: x is repeated by a matrix of ones and zeros, which is exact.
    repeat = np.tile(np.eye(rows, dtype=builder.dtype), (outputs, 1))
    wide = builder.add(layer, Reshape((outputs, rows)), builder.add(layer, Affine(repeat), nodes[0]))
    product = builder.add(layer, Multiply(), inner, wide)
    total = builder.add(layer, Affine(np.ones((1, rows), dtype=builder.dtype)), product)
    node = builder.add(layer, Reshape((outputs,)), total)
    if "bias" in layer.arrays:
        node = builder.add(layer, Shift(layer.arrays["bias"]), node)
    return (builder.activate(layer, node, fast=True),)


# Embedding


def _read_embedding(stored: Stored) -> Layer:
    weight = stored.array("weight", 2)
    dimension, words = weight.shape
    table = np.array(weight.transpose(), order="C")
    padding = None
    if stored.has("padding_idx") and not stored.is_none("padding_idx"):
        padding = whole(stored.value("padding_idx"), 1, stored.at("padding_idx"))
        if padding > words:
            raise unfit(f"the padding index is {padding}", stored.at("padding_idx"), f"1 to {words}")
        table[padding - 1] = 0
    facts: Facts = {"in": words, "out": dimension, "padding": padding}
    return Layer("Embedding", stored.place, facts, {"weight": table}, parameters=weight.size)


def _write_embedding(arguments: Arguments) -> Written:
    facts: Facts = {}
    arguments.sizes_pair(facts)
    padding = arguments.keyword("padding_idx")
    if padding is not None:
        facts["padding"] = integer(padding)
    arguments.ignore("init")
    return Written(facts)


def _show_embedding(layer: Layer) -> str:
    padding = "" if layer.facts["padding"] is None else f", padding_idx={layer.facts['padding']}"
    return f"Embedding({layer.facts['in']} => {layer.facts['out']}{padding})"


def _emit_embedding(layer: Layer, builder: Builder, node: int) -> int:
    builder.note("words are numbered from 0 here, from 1 in Julia")
    return builder.add(layer, Embedding(layer.arrays["weight"]), node)


# EmbeddingBag


def _read_bag(stored: Stored) -> Layer:
    weight = stored.array("weight", 2)
    reduction = stored.value("reduction")
    if not isinstance(reduction, Function) or reduction.name not in _REDUCTIONS:
        raise unfit(f"{describe(reduction)} reduces the bag", stored.at("reduction"), "mean, sum or maximum")
    dimension, words = weight.shape
    facts: Facts = {"in": words, "out": dimension, "reduction": reduction.name}
    table = np.array(weight.transpose(), order="C")
    return Layer("EmbeddingBag", stored.place, facts, {"weight": table}, parameters=weight.size)


def _write_bag(arguments: Arguments) -> Written:
    facts: Facts = {}
    arguments.sizes_pair(facts)
    value = arguments.peek()
    if value is not None:
        name = arguments.take("mean, sum or maximum")
        if not isinstance(name, Name) or name.name.rpartition(".")[2] not in _REDUCTIONS:
            raise unknown_name(getattr(name, "name", "this"), value.span)
        facts["reduction"] = name.name.rpartition(".")[2]
    arguments.ignore("init")
    return Written(facts)


def _emit_bag(layer: Layer, builder: Builder, node: int) -> int:
    shape = builder.shape(node)
    if len(shape) != 1:
        raise unsupported(
            "EmbeddingBag", layer.place, f"it is given values of shape {shape} instead of one bag of words"
        )
    builder.note("words are numbered from 0 here, from 1 in Julia")
    rows = builder.add(layer, Embedding(layer.arrays["weight"]), node)
    turned = builder.add(layer, Transpose((1, 0)), rows)
    window, zero = shape, (0,)
    if layer.facts["reduction"] == "mean":
        reduced = builder.add(layer, MeanPool(window, window, zero, zero), turned)
    elif layer.facts["reduction"] == "maximum":
        reduced = builder.add(layer, MaxPool(window, window, zero, zero), turned)
    else:
        reduced = builder.add(layer, Affine(np.ones((1, shape[0]), dtype=builder.dtype)), turned)
    return builder.add(layer, Reshape((-1,)), reduced)


def _blank(array: str) -> Callable[[Facts], dict[str, Value | Missing]]:
    return lambda facts: {array: Missing(), "bias": Missing() if facts["bias"] else False}


DENSE_ROWS: tuple[Row, ...] = (
    Row(
        name="Dense",
        stored=("Flux.Dense",),
        operations=("affine",),
        write=_write_dense,
        show=_show_dense,
        read=read_dense,
        emit=emit_dense,
        defaults=_dense_defaults,
        functions={"σ": "activation"},
        blank=_blank("weight"),
    ),
    Row(
        name="Scale",
        stored=("Flux.Scale", "Flux.Diagonal"),
        operations=("scale", "shift"),
        write=_write_scale,
        show=_show_scale,
        read=_read_scale,
        emit=emit_scale,
        defaults=_dense_defaults,
        functions={"σ": "activation"},
        blank=_blank("scale"),
    ),
    Row(
        name="Bilinear",
        stored=("Flux.Bilinear",),
        operations=("affine", "multiply", "reshape", "shift"),
        write=_write_bilinear,
        show=_show_bilinear,
        read=_read_bilinear,
        emit_children=_emit_bilinear,
        defaults=_dense_defaults,
        functions={"σ": "activation"},
        blank=_blank("weight"),
    ),
    Row(
        name="Embedding",
        stored=("Flux.Embedding",),
        operations=("embedding",),
        write=_write_embedding,
        show=_show_embedding,
        read=_read_embedding,
        emit=_emit_embedding,
        defaults=lambda _: {"padding": None},
        blank=lambda _: {"weight": Missing()},
    ),
    Row(
        name="EmbeddingBag",
        stored=("Flux.EmbeddingBag",),
        operations=("affine", "embedding", "maxpool", "meanpool", "reshape", "transpose"),
        write=_write_bag,
        show=lambda layer: f"EmbeddingBag({layer.facts['in']} => {layer.facts['out']}, {layer.facts['reduction']})",
        read=_read_bag,
        emit=_emit_bag,
        functions={"reduction": "reduction"},
        blank=lambda _: {"weight": Missing()},
    ),
)
