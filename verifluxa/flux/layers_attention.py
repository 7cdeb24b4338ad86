"""MultiHeadAttention, as Flux has it since 0.13.15: `NNlib.dot_product_attention` between four Dense layers.

Values are (length, features) without the sample axis; Julia has (features, length, samples). It gives two
things: the transformed sequence, and the attention scores (heads, query length, key length). Masks and a bias
of the scores are arguments of a call, which no layer of a model passes on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from verifluxa.flux.architecture import Expression, Pair, Sequence, refuse
from verifluxa.flux.builder import Builder, EmitChild, Nodes, Row
from verifluxa.flux.layer import Facts, Floats, Layer, unsupported
from verifluxa.flux.layers_dense import emit_dense, read_dense
from verifluxa.flux.layers_norm import read_dropout
from verifluxa.flux.stored import Stored, unfit
from verifluxa.flux.values import Function, JuliaType, NamedTuple, Struct, Value, describe, is_empty
from verifluxa.flux.written import Arguments, Written, integer, integers, number, spread
from verifluxa.graph.ops import BatchNorm, MatMul, Reshape, Softmax, Transpose

KIND = "MultiHeadAttention"
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_DENSE = ("weight", "bias", "σ")
_MOST_INPUTS = 3
_ASSUMED = (
    f"a state does not hold what {KIND} applies after its four Dense layers: nothing, as where Flux made them, "
    "is what is proved about"
)


def _read(stored: Stored) -> Layer:
    arrays: dict[str, Floats] = {}
    facts: Facts = {"nheads": stored.integer("nheads")}
    for name in _PROJECTIONS:
        dense = read_dense(_inner(stored, name, "Flux.Dense"))
        arrays |= {f"{name}.{key}": array for key, array in dense.arrays.items()}
        facts |= {f"{name}.{key}": dense.facts[key] for key in ("activation", "parameter")}
    drop = _inner(stored, "attn_drop", "Flux.Dropout")
    read_dropout(drop)
    facts["dropout"] = drop.number("p")
    facts["bias"] = "q_proj.bias" in arrays
    facts["sizes"] = _sizes(stored, arrays)
    facts["assumed"] = not _inner(stored, "q_proj", "Flux.Dense").struct.type.parameters
    return Layer(KIND, stored.place, facts, arrays, parameters=sum(array.size for array in arrays.values()))


def _inner(stored: Stored, name: str, kind: str) -> Stored:
    value = stored.value(name)
    if not isinstance(value, Struct) or value.type.name != kind:
        raise unfit(f"{describe(value)} stands here", stored.at(name), f"a {kind}")
    return Stored(value, stored.at(name))


def _sizes(stored: Stored, arrays: Mapping[str, Floats]) -> tuple[int, ...]:
    """Inputs of query, key and value, features of query and value, outputs; checked against each other."""
    (query, query_in), (key, key_in), (value, value_in), (out, joined) = (
        arrays[f"{name}.weight"].shape for name in _PROJECTIONS
    )
    heads = stored.integer("nheads")
    if key != query:
        raise unfit(f"k_proj gives {key} features", stored.at("k_proj"), f"{query}, as q_proj does")
    if joined != value:
        raise unfit(f"out_proj takes {joined} features", stored.at("out_proj"), f"{value}, which v_proj gives")
    if query % heads or value % heads:
        raise unfit(f"{query} and {value} features stand before {heads} heads", stored.at("nheads"), "a divisor")
    return (query_in, key_in, value_in, query, value, out)


def _write(arguments: Arguments) -> Written:
    facts: Facts = {"sizes": _written_sizes(arguments.take("sizes such as 64 => 64 => 64"))}
    heads = arguments.keyword("nheads")
    if heads is not None:
        facts["nheads"] = integer(heads)
    dropout = arguments.keyword("dropout_prob")
    if dropout is not None:
        facts["dropout"] = number(dropout)
    arguments.bias(facts)
    arguments.ignore("init")
    return Written(facts)


def _written_sizes(value: Expression) -> tuple[int, ...]:
    """`dims`, `in => features => out`, each of the first two one number or a tuple."""
    if not isinstance(value, Pair):
        return (integer(value),) * 6
    if not isinstance(value.right, Pair):
        raise refuse(value.span, "three sizes belong here", "`in => features => out`")
    inputs, features, out = value.left, value.right.left, value.right.right
    inner = features.span if isinstance(features, Sequence) else value.span
    return (*spread(integers(inputs), 3, value.span), *spread(integers(features), 2, inner), integer(out))


def _show(layer: Layer) -> str:
    sizes = layer.facts["sizes"]
    assert isinstance(sizes, tuple)  # _read puts one there
    inputs, features, out = sizes[:3], sizes[3:5], sizes[5]
    if len(set(sizes)) == 1:
        dims = str(out)
    else:
        first, second = (str(group[0]) if len(set(group)) == 1 else str(group) for group in (inputs, features))
        dims = f"{first} => {second} => {out}"
    return f"{KIND}({dims}; nheads={layer.facts['nheads']}{', bias=true' if layer.facts['bias'] else ''})"


def _merge(state: NamedTuple, _: Facts) -> Mapping[str, Value]:
    """The Dense layers and the Dropout inside; a state has lost their types and activations."""
    merged: dict[str, Value] = {}
    for name in (*_PROJECTIONS, "attn_drop"):
        inner = state[name]
        if not isinstance(inner, NamedTuple):
            continue
        if name == "attn_drop":
            merged[name] = Struct(JuliaType("Flux.Dropout"), inner.names, inner.items)
        elif inner.names == _DENSE and is_empty(inner["σ"]):
            items = (inner["weight"], inner["bias"], Function("identity"))
            merged[name] = Struct(JuliaType("Flux.Dense"), _DENSE, items)
    return merged


# y = out_proj(join(softmax(K' (Q / sqrt(d))) V)), head by head


def _emit(layer: Layer, builder: Builder, nodes: Nodes, _: EmitChild) -> Nodes:
    if not 1 <= len(nodes) <= _MOST_INPUTS or (len(nodes) > 1 and nodes != builder.inputs):
        raise unsupported(KIND, layer.place, f"it is given {len(nodes)} inputs inside a model")
    query, key, value = (nodes[0], nodes[-1] if len(nodes) < _MOST_INPUTS else nodes[1], nodes[-1])
    lengths = _lengths(layer, builder, (query, key, value))
    queries = _projected(layer, builder, "q_proj", query)
    heads, width = _heads(layer), builder.shape(queries)[-1] // _heads(layer)
    # Flux divides the queries by the root, which it rounds, before the product: a normalisation with the variance d.
    zeros, square = np.zeros(heads, dtype=builder.dtype), np.full(heads, width, dtype=builder.dtype)
    divided = BatchNorm(zeros, square, 0.0, order="divide first")
    queries = builder.add(layer, divided, _split(layer, builder, queries))
    keys = _split(layer, builder, _projected(layer, builder, "k_proj", key))
    values = _split(layer, builder, _projected(layer, builder, "v_proj", value))
    turned = builder.add(layer, Transpose((0, 2, 1)), keys)
    scores = builder.add(layer, Softmax(2), builder.add(layer, MatMul(), queries, turned))
    mixed = builder.add(layer, Transpose((1, 0, 2)), builder.add(layer, MatMul(), scores, values))
    joined = builder.add(layer, Reshape((lengths[0], heads * builder.shape(values)[-1])), mixed)
    if layer.facts["dropout"]:
        builder.leave_out("Dropout does nothing in test mode; nothing is proved about training mode")
    if layer.facts["assumed"]:
        builder.leave_out(_ASSUMED)
    builder.scores |= {scores}
    return (_projected(layer, builder, "out_proj", joined), scores)


def _lengths(layer: Layer, builder: Builder, nodes: Nodes) -> tuple[int, ...]:
    sizes = layer.facts["sizes"]
    assert isinstance(sizes, tuple)  # _read puts one there
    shapes = [builder.shape(node) for node in nodes]
    for shape, features in zip(shapes, sizes, strict=False):
        if len(shape) != 2 or shape[1] != features:
            raise unfit(f"{KIND} is given values of shape {shape}", layer.place, f"steps of {features}")
    if shapes[1][0] != shapes[2][0]:
        raise unfit(f"there are {shapes[1][0]} keys and {shapes[2][0]} values", layer.place, "as many of each")
    return tuple(shape[0] for shape in shapes)


def _heads(layer: Layer) -> int:
    heads = layer.facts["nheads"]
    assert isinstance(heads, int)  # _read puts one there
    return heads


def _projected(layer: Layer, builder: Builder, name: str, node: int) -> int:
    prefix = f"{name}."
    arrays = {key.removeprefix(prefix): array for key, array in layer.arrays.items() if key.startswith(prefix)}
    facts = {key.removeprefix(prefix): fact for key, fact in layer.facts.items() if key.startswith(prefix)}
    return emit_dense(Layer("Dense", f"{layer.place}.{name}", facts, arrays), builder, node)


def _split(layer: Layer, builder: Builder, node: int) -> int:
    """(length, heads * width) to (heads, length, width): the features of a head lie side by side."""
    length, features = builder.shape(node)
    heads = _heads(layer)
    apart = builder.add(layer, Reshape((length, heads, features // heads)), node)
    return builder.add(layer, Transpose((1, 0, 2)), apart)


ATTENTION_ROWS: tuple[Row, ...] = (
    Row(
        name=KIND,
        stored=(f"Flux.{KIND}",),
        operations=("affine", "batchnorm", "matmul", "reshape", "softmax", "transpose"),
        write=_write,
        show=_show,
        read=_read,
        emit_children=_emit,
        defaults=lambda _: {"nheads": 8},
        merge=_merge,
    ),
)
