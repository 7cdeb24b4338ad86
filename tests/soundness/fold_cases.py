"""Small networks that show whether stored constants are combined or rounded before a proof begins.

One case for each operation of a graph, each layer of Flux and each operator of ONNX; beside the network stands what it
computes by its definition (`definitions`). Where a bias can cancel what it is added to, it does, so that what is left
is rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.flux.models import read, sizes, struct
from tests.flux.test_fixed import COLON, fixed, labels
from tests.soundness import definitions as d
from tests.soundness.definitions import Definition, Numbers, Values, nearest
from verifluxa.flux.builder import Builder
from verifluxa.flux.layers import emit
from verifluxa.flux.values import Function, Symbol, Tuple, Value
from verifluxa.graph import ops
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.graph.ops import BATCHNORM_ORDERS

try:
    import onnx
except ImportError:  # the operators of ONNX are then left out
    onnx = None  # type: ignore[assignment]

Version = tuple[int, ...]
NEWEST: Version = (0, 16, 12)
ONE, NONE = (1,), (0,)


@dataclass(frozen=True, eq=False)
class Case:
    """One network.

    Attributes:
        graph: reads an input of the shape of `x`.
        x: one input, without samples.
        defined: what it computes.
    """

    graph: Graph
    x: Any
    defined: Definition


class Draw:
    """Random numbers of a float type: some large, some small."""

    def __init__(self, dtype: str, seed: int) -> None:
        self.dtype, self.random = np.dtype(dtype), np.random.default_rng(seed)

    @property
    def type(self) -> type[np.floating]:
        """The scalar type."""
        return self.dtype.type

    def wild(self, *shape: int, spread: float = 2.0) -> Any:
        """Normal numbers times powers of ten."""
        return (self.random.normal(size=shape) * 10 ** self.random.uniform(-spread, spread, shape)).astype(self.dtype)

    def tame(self, *shape: int) -> Any:
        """Normal numbers."""
        return self.random.normal(size=shape).astype(self.dtype)

    def near(self, defined: Definition, x: Any, negative: bool = True) -> Any:
        """What cancels the exact values of a definition, or is them, as numbers of the type."""
        exact = d.exactly(defined, x)[0]
        sign = -1 if negative else 1
        numbers = [nearest(sign * value, self.type) for value in d.fractions(exact)]
        return np.array(numbers, self.dtype).reshape(exact.shape)

    def statistics(self, channels: int) -> tuple[Any, Any, float, Any, Any]:
        """Of a batch normalisation whose shift cancels its mean, as in the folded form: mean, variance, epsilon, ..."""
        large = 1e7 if self.dtype == np.float32 else 1e16
        mean = self.random.uniform(large, 3 * large, channels).astype(self.dtype)
        factor = self.random.uniform(0.5, 2, channels).astype(self.dtype)
        variance = self.random.uniform(1, 20, channels).astype(self.dtype)
        epsilon = self.type(1e-5)
        shift = factor / np.sqrt(variance + epsilon) * mean
        return mean, variance, float(epsilon), factor, shift


Make = Callable[[Draw], Case]


def moved(graph: Graph, x: Any) -> Definition:
    """Values in other places: which, the network itself says of the numbers from 0 on."""
    places = graph.run(np.arange(x.size).reshape(1, *x.shape))[0].astype(int)
    return lambda n, values: values.ravel()[places]


def flat(defined: Definition) -> Definition:
    """The same, in one row."""
    return lambda n, x: np.asarray(defined(n, x)).reshape(-1)


# Operations of a graph


def _op(draw: Draw, op: ops.Op, x: Any, defined: Definition) -> Case:
    return Case(chain(x.shape, [op], draw.dtype.name), x, defined)


def _moves(op: ops.Op, *shape: int) -> Make:
    def make(draw: Draw) -> Case:
        x = draw.wild(*shape)
        graph = chain(x.shape, [op], draw.dtype.name)
        return Case(graph, x, moved(graph, x))

    return make


def _two(op: ops.Op, defined: Callable[[Numbers, Values, Values], Values], *shape: int) -> Make:
    """An operation of a value and of its relu."""

    def make(draw: Draw) -> Case:
        x = draw.wild(*shape)
        steps: list[tuple[ops.Op, tuple[int, ...]]] = [(ops.Input(shape), ())]
        graph = build([*steps, (ops.Activation("relu"), (0,)), (op, (0, 1))], draw.dtype.name)
        relu = d.activation("relu")
        return Case(graph, x, lambda n, values: defined(n, values, relu(n, values)))

    return make


def _affine(draw: Draw) -> Case:
    weight, x = draw.wild(3, 5), draw.wild(5)
    bias = draw.near(d.affine(weight), x)
    return _op(draw, ops.Affine(weight, bias), x, d.affine(weight, bias))


def _conv(draw: Draw) -> Case:
    weight, x = draw.wild(2, 2, 3), draw.wild(2, 3)
    bias = draw.near(d.conv(weight), x).ravel()
    return _op(draw, ops.Conv(weight, bias, ONE, NONE, NONE, ONE), x, d.conv(weight, bias))


def _shift(draw: Draw) -> Case:
    x = draw.wild(4)
    value = draw.wild(4) - x
    return _op(draw, ops.Shift(value), x, d.shifted(value))


def _scale(draw: Draw) -> Case:
    factor, x = draw.wild(4), draw.wild(4)
    return _op(draw, ops.Scale(factor), x, d.scaled(factor))


def _divide(draw: Draw) -> Case:
    divisor, x = draw.wild(4), draw.wild(4)
    return _op(draw, ops.Divide(divisor), x, d.divided(divisor))


def _clip(draw: Draw) -> Case:
    x = draw.wild(6)
    return _op(draw, ops.Clip(-0.5, 3.0), x, d.each(lambda n, v: min(max(v, n.number(-0.5)), n.number(3.0))))


def _batchnorm(order: str) -> Make:
    def make(draw: Draw) -> Case:
        mean, variance, epsilon, factor, shift = draw.statistics(3)
        x = np.zeros((3, 2), draw.dtype)
        op = ops.BatchNorm(mean, variance, epsilon, factor, shift, order)
        return _op(draw, op, x, d.batch_norm(mean, variance, epsilon, factor, shift))

    return make


def _plain_batchnorm(draw: Draw) -> Case:
    mean, variance, epsilon, _, _ = draw.statistics(2)
    x = (mean + draw.tame(2)).astype(draw.dtype)
    op = ops.BatchNorm(mean, variance, epsilon, order="divide first")
    return _op(draw, op, x, d.batch_norm(mean, variance, epsilon))


def _normalise(form: str) -> Make:
    def make(draw: Draw) -> Case:
        x, epsilon = (draw.tame(2, 4) / 1000).astype(draw.dtype), float(draw.type(1e-5))
        op = ops.Normalise(1, epsilon, form == "beside")
        return _op(draw, op, x, d.standardised(lambda v: v, epsilon, form))

    return make


def _embedding(draw: Draw) -> Case:
    weight, x = draw.wild(4, 2), np.array([2.0, 0.0, 3.0])
    return _op(draw, ops.Embedding(weight), x, lambda n, v: n.of(weight)[[int(word) for word in v]])


def _matmul(n: Numbers, first: Values, second: Values) -> Values:
    return d.matmul(n, first, second)


OPERATIONS: dict[str, Make] = {
    "affine": _affine,
    "conv": _conv,
    "shift": _shift,
    "scale": _scale,
    "divide": _divide,
    "clip": _clip,
    "maxpool": lambda draw: _op(draw, ops.MaxPool((2,), (2,), NONE, NONE), draw.wild(2, 4), d.pooled(2, True)),
    "meanpool": lambda draw: _op(draw, ops.MeanPool((3,), (3,), NONE, NONE), draw.wild(2, 6), d.pooled(3, False)),
    "reshape": _moves(ops.Reshape((-1,)), 2, 3),
    "transpose": _moves(ops.Transpose((1, 0)), 2, 3),
    "take": lambda draw: _op(
        draw,
        ops.Take((2, 3), np.array([[5, -1, 2], [2, 0, 2]])),
        draw.wild(2, 3),
        lambda n, v: np.array([[v[1, 2], n.number(0), v[0, 2]], [v[0, 2], v[0, 0], v[0, 2]]], dtype=object),
    ),
    "softmax": lambda draw: _op(draw, ops.Softmax(1), draw.tame(2, 3), d.softmax()),
    "logsoftmax": lambda draw: _op(draw, ops.LogSoftmax(1), draw.tame(2, 3), d.softmax(True)),
    "add": _two(ops.Add(), lambda n, a, b: np.asarray(a + b), 4),
    "concat": _two(ops.Concat(0), lambda n, a, b: np.concatenate([a, b]), 4),
    "multiply": _two(ops.Multiply(), lambda n, a, b: np.asarray(a * b), 4),
    "matmul": _two(ops.MatMul(), _matmul, 3, 3),
    "embedding": _embedding,
    "normalise": _normalise("plain"),
    "normalise beside": _normalise("beside"),
    **{f"batchnorm, {order}": _batchnorm(order) for order in BATCHNORM_ORDERS},
    "batchnorm without affine": _plain_batchnorm,
}
PARAMETERS = {"leakyrelu": 0.3, "elu": 7.1, "celu": 1.7, "softshrink": 40.1, "trelu": 1.5}
"""Other parameters than the usual ones: float32 rounds all but the last."""


def _activation(name: str, parameter: float | None) -> Make:
    usual = ACTIVATIONS[name].parameter or 0.0

    def make(draw: Draw) -> Case:
        x = np.concatenate([draw.tame(5) * 3, draw.type([0.3, -0.3, 41.0, -41.0])]).astype(draw.dtype)
        defined = d.activation(name, usual if parameter is None else parameter)
        return _op(draw, ops.Activation(name, parameter), x, defined)

    return make


FUNCTIONS: dict[str, Make] = {
    **{name: _activation(name, None) for name in ACTIVATIONS},
    **{f"{name} {parameter}": _activation(name, parameter) for name, parameter in PARAMETERS.items()},
}

# Layers of Flux


def lifted(value: Value, x: Any, dtype: str, version: Version = NEWEST) -> Graph:
    """The graph of a layer."""
    layer, builder = read(value), Builder((x.shape,), dtype, version)
    (node,) = emit(layer, builder, builder.inputs)[:1]
    builder.finish(layer, node)
    return builder.graph()


Stored = tuple[Value, Any, Definition]
"""A layer as a file holds it, an input, and what it computes."""


def _flux(make: Callable[[Draw], Stored], version: Version = NEWEST) -> Make:
    def made(draw: Draw) -> Case:
        value, x, defined = make(draw)
        return Case(lifted(value, x, draw.dtype.name, version), x, defined)

    return made


def _still(value: Value, *shape: int) -> Make:
    """A layer that moves values."""

    def made(draw: Draw) -> Case:
        x = draw.wild(*shape)
        graph = lifted(value, x, draw.dtype.name)
        return Case(graph, x, moved(graph, x))

    return made


IDENTITY = Function("identity")


def _dense(draw: Draw) -> Stored:
    weight, x = draw.wild(3, 4), draw.wild(4)
    bias = draw.near(d.affine(weight), x)
    return struct("Dense", weight, bias, IDENTITY), x, d.affine(weight, bias)


def _scale_layer(old: bool) -> Callable[[Draw], Stored]:
    def make(draw: Draw) -> Stored:
        factor, x = draw.wild(4), draw.wild(4)
        bias = draw.near(d.scaled(factor), x)
        items = (factor, bias) if old else (factor, bias, IDENTITY)
        return struct("Diagonal" if old else "Scale", *items), x, d.scaled(factor, bias)

    return make


def _julia(weight: Any, flip: bool) -> Any:
    """(outputs, inputs, window) as Flux stores it: (window, inputs, outputs), reversed for a convolution."""
    return np.array((weight[..., ::-1] if flip else weight).transpose(2, 1, 0))


def _convolution(kind: str, groups: int = 1) -> Callable[[Draw], Stored]:
    def make(draw: Draw) -> Stored:
        weight, x = draw.wild(2, 2 // groups, 3), draw.wild(2, 3)
        bias = draw.near(d.conv(weight, None, groups), x).ravel()
        stored = _julia(weight, kind != "CrossCor")
        options: tuple[Value, ...] = (sizes(1), sizes(0, 0), sizes(1))
        options += () if kind == "CrossCor" else (groups,)
        return struct(kind, IDENTITY, stored, bias, *options), x, d.conv(weight, bias, groups)

    return make


def _depthwise(draw: Draw) -> Stored:
    weight, x = draw.wild(2, 1, 3), draw.wild(2, 3)
    bias = draw.near(d.conv(weight, None, 2), x).ravel()
    stored = np.array(weight[..., ::-1].transpose(2, 1, 0))
    return struct("DepthwiseConv", IDENTITY, stored, bias, sizes(1), sizes(0, 0), sizes(1)), x, d.conv(weight, bias, 2)


def _transposed(draw: Draw) -> Stored:
    weight, x, bias = draw.wild(2, 1, 3), draw.wild(2, 2), draw.wild(1)
    # Flux turns the kernel round.
    stored = np.array(weight[..., ::-1].transpose(2, 1, 0))
    value = struct("ConvTranspose", IDENTITY, stored, bias, sizes(2), sizes(0, 0), sizes(0), sizes(1), 1)
    return value, x, d.transposed(weight, bias, 2)


def _norm_items(draw: Draw, *, affine: bool = True, track: bool = True) -> tuple[dict[str, Value], Any]:
    mean, variance, epsilon, factor, shift = draw.statistics(2)
    fields: dict[str, Value] = {
        "λ": IDENTITY,
        "β": shift if affine else None,
        "γ": factor if affine else None,
        "μ": mean if track else None,
        "σ²": variance if track else None,
        "ϵ": np.float32(epsilon) if draw.dtype == np.float32 else np.float64(epsilon),
        "momentum": np.float32(0.1),
        "affine": affine,
        "track_stats": track,
        "active": None,
        "chs": 2,
    }
    return fields, (mean, variance, epsilon, factor if affine else None, shift if affine else None)


def _batch_norm(kind: str, affine: bool = True) -> Callable[[Draw], Stored]:
    def make(draw: Draw) -> Stored:
        fields, numbers = _norm_items(draw, affine=affine)
        x = np.zeros((2, 3), draw.dtype)
        if not affine:
            x = (x + numbers[0][:, None] + draw.tame(2, 3)).astype(draw.dtype)
        return struct(kind, *fields.values()), x, d.batch_norm(*numbers)

    return make


def _instance_norm(draw: Draw) -> Stored:
    fields, (_, _, epsilon, factor, shift) = _norm_items(draw, track=False)
    x = draw.tame(2, 4)
    fields |= {"β": (shift / 1e9).astype(draw.dtype)}
    plain = d.standardised(lambda v: v, epsilon, "plain")
    wide = [part.reshape(2, 1) for part in (factor, fields["β"])]  # type: ignore[union-attr]
    return struct("InstanceNorm", *fields.values()), x, d.then(plain, d.scaled(*wide))


def _group_norm(draw: Draw) -> Stored:
    fields, (_, _, epsilon, factor, shift) = _norm_items(draw, track=False)
    x = draw.tame(2, 4)
    fields |= {"β": (shift / 1e9).astype(draw.dtype)}
    plain = d.standardised(lambda v: v.reshape(1, -1), epsilon, "plain")
    wide = [part.reshape(2, 1) for part in (factor, fields["β"])]  # type: ignore[union-attr]
    return struct("GroupNorm", 1, *fields.values()), x, d.then(plain, d.scaled(*wide))


def _layer_norm(form: str) -> Callable[[Draw], Stored]:
    def make(draw: Draw) -> Stored:
        epsilon = draw.type(1e-3)
        x, factor, bias = (draw.tame(4) / 1000).astype(draw.dtype), draw.tame(4), draw.tame(4)
        scale = struct("Scale", factor, bias, IDENTITY)
        value = struct("LayerNorm", IDENTITY, scale, epsilon, sizes(4), True)
        plain = d.standardised(lambda v: v.reshape(1, -1), float(epsilon), form)
        return value, x, d.then(plain, d.scaled(factor, bias))

    return make


def _bilinear(draw: Draw) -> Stored:
    weight, bias, x = draw.wild(2, 3, 3), draw.wild(2), draw.tame(3)
    return struct("Bilinear", weight, bias, IDENTITY), x, d.bilinear(weight, bias)


def _embedding_layer(draw: Draw) -> Stored:
    weight, x = draw.wild(2, 4), np.array([2.0, 0.0, 3.0])
    return struct("Embedding", weight), x, lambda n, v: n.of(weight.T)[[int(word) for word in v]]


def _bag(draw: Draw) -> Stored:
    weight, x = draw.wild(2, 4), np.array([2.0, 0.0, 3.0])

    def mean(n: Numbers, words: Values) -> Values:
        rows = n.of(weight.T)[[int(word) for word in words]]
        return d.pooled(3, False)(n, rows.T).reshape(-1)

    return struct("EmbeddingBag", weight, Function("mean")), x, mean


def _one_hot(draw: Draw) -> Stored:
    return fixed("onehotbatch", labels(1, 3)), np.array([2.0, 0.0]), lambda n, v: n.of(np.eye(3))[[int(w) for w in v]]


def _recurrent(kind: str) -> Callable[[Draw], Stored]:
    count = {"RNN": 1, "LSTM": 4, "GRU": 3, "GRUv3": 3}[kind]

    def make(draw: Draw) -> Stored:
        items = (draw.tame(2 * count, 2), draw.tame(2 * count, 2), draw.tame(2 * count))
        more = (draw.tame(2, 2),) if kind == "GRUv3" else ()
        first = (Function("tanh"),) if kind == "RNN" else ()
        defined = {"RNN": d.rnn, "LSTM": d.lstm}.get(kind, d.gru)
        return struct(kind, struct(f"{kind}Cell", *first, *items, *more)), draw.tame(3, 2), defined(*items, *more)

    return make


def _attention(draw: Draw) -> Stored:
    weights = [draw.tame(6, 2), draw.tame(6, 2), draw.tame(4, 2), draw.tame(2, 4)]
    layers = [struct("Dense", weight, False, IDENTITY) for weight in weights]
    drop = struct("Dropout", np.float64(0.0), Tuple(()), None, Tuple(()))
    value = struct("MultiHeadAttention", 2, *layers[:3], drop, layers[3])
    return value, draw.tame(2, 2), d.attention(weights, 2)


def _joined(kind: str) -> Callable[[Draw], Stored]:
    """Two Dense layers side by side, or one beside the value itself."""

    def make(draw: Draw) -> Stored:
        weights, x = [draw.wild(3, 3), draw.wild(3, 3)], draw.wild(3)
        layers = [struct("Dense", weight, False, IDENTITY) for weight in weights]
        first, second = (d.affine(weight) for weight in weights)
        plus = Function("+")
        match kind:
            case "Chain":
                return struct("Chain", Tuple(tuple(layers))), x, d.then(first, second)
            case "SkipConnection":
                return struct(kind, layers[0], plus), x, lambda n, v: np.asarray(first(n, v) + v)
            case "Parallel":
                value = struct(kind, plus, Tuple(tuple(layers)))
                return value, x, lambda n, v: np.asarray(first(n, v) + second(n, v))
            case "Maxout":
                return struct(kind, Tuple(tuple(layers))), x, lambda n, v: np.maximum(first(n, v), second(n, v))
        # It gives both of its values, of which one is picked.
        fusion = struct("PairwiseFusion", plus, Tuple(tuple(layers)))
        value = struct("Chain", Tuple((fusion, Function("first" if kind == "first" else "last"))))
        return value, x, first if kind == "first" else lambda n, v: second(n, np.asarray(v + first(n, v)))

    return make


def _pool(kind: str, *items: Value) -> Callable[[Draw], Stored]:
    return lambda draw: (struct(kind, *items), draw.wild(2, 3), d.pooled(3, "Max" in kind))


def _function(name: str, defined: Definition) -> Callable[[Draw], Stored]:
    return lambda draw: (Function(name), draw.tame(3), defined)


WINDOW = (sizes(3), sizes(0, 0), sizes(3))
NEAREST = (Symbol("nearest"),)
LAYERS: dict[str, Make] = {
    "AdaptiveMaxPool": _flux(_pool("AdaptiveMaxPool", sizes(1))),
    "AdaptiveMeanPool": _flux(_pool("AdaptiveMeanPool", sizes(1))),
    "AlphaDropout": _still(struct("AlphaDropout", np.float64(0.5), None, Tuple(())), 3),
    "BatchNorm": _flux(_batch_norm("BatchNorm")),
    "BatchNorm of 0.13.4": _flux(_batch_norm("BatchNorm"), (0, 13, 4)),
    "BatchNorm of 0.12.1": _flux(_batch_norm("BatchNorm"), (0, 12, 1)),
    "BatchNorm without affine": _flux(_batch_norm("BatchNorm", affine=False)),
    "Bilinear": _flux(_bilinear),
    "Chain": _flux(_joined("Chain")),
    "Conv": _flux(_convolution("Conv")),
    "ConvTranspose": _flux(_transposed),
    "CrossCor": _flux(_convolution("CrossCor")),
    "Dense": _flux(_dense),
    "DepthwiseConv": _flux(_depthwise),
    "Diagonal": _flux(_scale_layer(old=True)),
    "Dropout": _still(struct("Dropout", np.float64(0.5), Tuple(()), None), 3),
    "Embedding": _flux(_embedding_layer),
    "EmbeddingBag": _flux(_bag),
    "GRU": _flux(_recurrent("GRU")),
    "GRUv3": _flux(_recurrent("GRUv3")),
    "GlobalMaxPool": _flux(_pool("GlobalMaxPool")),
    "GlobalMeanPool": _flux(_pool("GlobalMeanPool")),
    "GroupNorm": _flux(_group_norm),
    "InstanceNorm": _flux(_batch_norm("InstanceNorm")),
    "InstanceNorm of 0.12.1": _flux(_batch_norm("InstanceNorm"), (0, 12, 1)),
    "InstanceNorm of a sample": _flux(_instance_norm),
    "LSTM": _flux(_recurrent("LSTM")),
    "LayerNorm": _flux(_layer_norm("plain")),
    "LayerNorm of 0.16.7": _flux(_layer_norm("squared"), (0, 16, 7)),
    "LayerNorm of 0.14.0": _flux(_layer_norm("beside"), (0, 14, 0)),
    "MaxPool": _flux(_pool("MaxPool", *WINDOW)),
    "Maxout": _flux(_joined("Maxout")),
    "MeanPool": _flux(_pool("MeanPool", *WINDOW)),
    "MultiHeadAttention": _flux(_attention),
    "PairwiseFusion": _flux(_joined("PairwiseFusion")),
    "Parallel": _flux(_joined("Parallel")),
    "PixelShuffle": _still(struct("PixelShuffle", 2), 2, 3),
    "RNN": _flux(_recurrent("RNN")),
    "Scale": _flux(_scale_layer(old=False)),
    "SkipConnection": _flux(_joined("SkipConnection")),
    "Upsample": _still(struct("Upsample", 2, None, parameters=NEAREST), 2, 2),
    "first": _flux(_joined("first")),
    "flatten": _still(Function("flatten"), 2, 3),
    "last": _flux(_joined("last")),
    "logsoftmax": _flux(_function("logsoftmax", d.softmax(logarithm=True))),
    "onehotbatch": _flux(_one_hot),
    "permutedims": _still(fixed("permutedims", Tuple((2, 1, 3))), 2, 3),
    "reshape": _still(fixed("reshape", Tuple((3, 2, COLON))), 2, 3),
    "softmax": _flux(_function("softmax", d.softmax())),
}

# Operators of ONNX

Piece = tuple[dict[str, Any], Any, Definition]
"""Constants by name, an input, and what is computed; an empty name stands for what is left out."""


def _onnx(kind: str, make: Callable[[Draw], Piece], inputs: str = "x", *, version: int = 20, **attributes: Any) -> Make:
    """One operator. `inputs`: the names it reads, of the input `x`, of constants, or of `relu`, which is that of x."""

    def made(draw: Draw) -> Case:
        from verifluxa.interop.onnx_import import import_onnx

        constants, x, defined = make(draw)
        helper, names = onnx.helper, inputs.split()
        element = helper.np_dtype_to_tensor_dtype(draw.dtype)
        nodes = [helper.make_node("Relu", ["x"], ["relu"])] if "relu" in names else []
        if "words" in names:
            nodes = [helper.make_node("Cast", ["x"], ["words"], to=onnx.TensorProto.INT64)]
        outputs = ["y", "rest"] if kind == "Split" else ["y"]
        nodes.append(helper.make_node(kind, ["" if name == "-" else name for name in names], outputs, **attributes))
        body = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", element, ["N", *x.shape])],
            [helper.make_tensor_value_info("y", element, None)],
            [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        )
        model = helper.make_model(body, opset_imports=[helper.make_opsetid("", version)], ir_version=9)
        return Case(import_onnx(model.SerializeToString()).graph, x, defined)

    return made


def _of_x(defined: Definition, *shape: int) -> Callable[[Draw], Piece]:
    return lambda draw: ({}, draw.tame(*shape or (5,)), defined)


def _with_relu(defined: Callable[[Numbers, Values, Values], Values], *shape: int) -> Callable[[Draw], Piece]:
    relu = d.activation("relu")
    return lambda draw: ({}, draw.wild(*shape or (4,)), lambda n, v: defined(n, v, relu(n, v)))


def _with_shape(values: list[int], shape: tuple[int, ...], after: tuple[int, ...]) -> Callable[[Draw], Piece]:
    return lambda draw: ({"s": np.array(values)}, draw.wild(*shape), lambda n, v: v.reshape(after))


def _with_c(defined: Callable[[Any], Definition]) -> Callable[[Draw], Piece]:
    def make(draw: Draw) -> Piece:
        c = draw.wild(4)
        return {"c": c}, draw.wild(4), defined(c)

    return make


def _gemm(draw: Draw) -> Piece:
    weight, x = draw.wild(3, 4), draw.wild(4)
    bias = draw.near(d.affine(weight), x)
    return {"w": weight.T, "b": bias}, x, d.affine(weight, bias)


def _matmul_operator(draw: Draw) -> Piece:
    weight = draw.wild(3, 4)
    return {"w": weight.T}, draw.wild(4), d.affine(weight)


def _conv_operator(draw: Draw) -> Piece:
    weight, x = draw.wild(2, 2, 3), draw.wild(2, 3)
    bias = draw.near(d.conv(weight), x).ravel()
    return {"w": weight, "b": bias}, x, d.conv(weight, bias)


def _norm_operator(usual: bool) -> Callable[[Draw], Piece]:
    def make(draw: Draw) -> Piece:
        mean, variance, _, factor, shift = draw.statistics(2)
        # An attribute is a float32, its default as well.
        epsilon = float(np.float32(1e-5)) if usual else 0.0009765625
        found = d.batch_norm(mean, variance, epsilon, factor, shift)
        return {"g": factor, "b": shift, "m": mean, "v": variance}, np.zeros((2, 2), draw.dtype), found

    return make


def _layer_operator(draw: Draw) -> Piece:
    factor, bias, x = draw.tame(4), draw.tame(4), (draw.tame(2, 4) / 1000).astype(draw.dtype)
    plain = d.standardised(lambda v: v, float(np.float32(1e-5)), "plain")
    return {"g": factor, "b": bias}, x, d.then(plain, d.scaled(factor, bias))


def _hard_sigmoid(alpha: float, beta: float) -> Definition:
    return d.each(lambda n, v: min(max(n.fused(n.number(alpha), v, n.number(beta)), n.number(0)), n.number(1)))


def _named(name: str, parameter: float = 0.0) -> Callable[[Draw], Piece]:
    return _of_x(d.activation(name, float(np.float32(parameter))))


def _words(draw: Draw) -> Piece:
    weight = draw.wild(4, 2)
    return {"w": weight}, np.array([2.0, 0.0], draw.dtype), lambda n, v: n.of(weight)[[int(word) for word in v]]


def _means(count: int, axis: int) -> Definition:
    return lambda n, v: np.apply_along_axis(lambda row: n.divided(n.sum(list(row)), n.number(count)), axis, v)


def _sums(axis: int) -> Definition:
    return lambda n, v: np.apply_along_axis(lambda row: n.sum(list(row)), axis, v)


def _squared(n: Numbers, v: Values) -> Values:
    return np.asarray(v * v)


def _sloped(draw: Draw) -> Piece:
    slope = draw.tame(4)
    below = d.each(lambda n, v: min(v, n.number(0)))
    above = d.each(lambda n, v: max(v, n.number(0)))
    return {"c": slope}, draw.tame(4), lambda n, v: above(n, v) + d.scaled(slope)(n, below(n, v))


def _transposed_operator(draw: Draw) -> Piece:
    weight, bias = draw.wild(2, 3, 2), draw.wild(3)
    return {"w": weight, "b": bias}, draw.wild(2, 3), d.transposed(weight, bias, 2)


def _instance_operator(draw: Draw) -> Piece:
    factor, bias = draw.tame(2), draw.tame(2)
    plain = d.standardised(lambda v: v, float(np.float32(1e-5)), "plain")
    wide = (factor.reshape(2, 1), bias.reshape(2, 1))
    return {"g": factor, "b": bias}, (draw.tame(2, 4) / 1000).astype(draw.dtype), d.then(plain, d.scaled(*wide))


def _constants(defined: Definition, shape: tuple[int, ...], **constants: Any) -> Callable[[Draw], Piece]:
    return lambda draw: ({name: np.array(value) for name, value in constants.items()}, draw.wild(*shape), defined)


def _padded_operator(draw: Draw) -> Piece:
    fill = draw.type(0.3)

    def defined(n: Numbers, v: Values) -> Values:
        return np.array([[n.number(fill), *row] for row in v], dtype=object)

    return {"p": np.array([0, 0, 1, 0, 0, 0]), "v": fill}, draw.wild(2, 3), defined


def _gemm_in_steps(draw: Draw) -> Piece:
    weight, bias, x = draw.wild(3, 4), draw.wild(3), draw.wild(4)
    alpha, beta = float(np.float32(0.3)), float(np.float32(1.7))

    def defined(n: Numbers, v: Values) -> Values:
        product, other = d.scaled(draw.type(alpha))(n, d.affine(weight)(n, v)), n.of(bias) * n.number(draw.type(beta))
        return np.asarray(product + other)

    return {"w": weight, "b": bias}, x, defined


SAME: Definition = lambda n, v: v  # noqa: E731
OPERATORS: dict[str, Make] = {
    "Abs": _onnx("Abs", _of_x(d.each(lambda n, v: abs(v)))),
    "AveragePool, padding that does not count": _onnx(
        "AveragePool",
        _of_x(
            lambda n, v: np.array(
                [
                    [n.divided(n.sum([row[0], row[1]]), n.number(2)), n.divided(n.sum(list(row)), n.number(3))]
                    for row in v
                ],
                dtype=object,
            ),
            2,
            3,
        ),
        kernel_shape=[3],
        pads=[1, 0],
    ),
    "ConvTranspose": _onnx("ConvTranspose", _transposed_operator, "x w b", strides=[2]),
    "DepthToSpace": _onnx(
        "DepthToSpace",
        _of_x(lambda n, v: v.reshape(2, 2, 1, 1, 2).transpose(2, 3, 0, 4, 1).reshape(1, 2, 4), 4, 1, 2),
        blocksize=2,
    ),
    "Expand": _onnx("Expand", _constants(lambda n, v: np.array([v[0], v[0]]), (1, 3), s=[1, 2, 3]), "x s"),
    "Gemm, in steps": _onnx("Gemm", _gemm_in_steps, "x w b", alpha=0.3, beta=1.7, transB=1),
    "HardSwish": _onnx("HardSwish", _named("hardswish")),
    "InstanceNormalization": _onnx("InstanceNormalization", _instance_operator, "x g b"),
    "Max": _onnx("Max", _with_relu(lambda n, a, b: np.maximum(a, b)), "x relu"),
    "Mean": _onnx(
        "Mean",
        _with_relu(lambda n, a, b: np.array([n.divided(p + q, n.number(2)) for p, q in zip(a, b, strict=True)])),
        "x relu",
    ),
    "Min": _onnx("Min", _with_relu(lambda n, a, b: np.minimum(a, b)), "x relu"),
    "PRelu": _onnx("PRelu", _sloped, "x c"),
    "Pad": _onnx("Pad", _padded_operator, "x p v"),
    "Pow": _onnx("Pow", lambda draw: ({"c": draw.type(2)}, draw.wild(4), _squared), "x c"),
    "ReduceMax": _onnx("ReduceMax", _constants(lambda n, v: v.max(0), (2, 3), a=[1]), "x a", keepdims=0),
    "ReduceMean": _onnx("ReduceMean", _constants(_means(3, 1), (2, 3), a=[2]), "x a", keepdims=0),
    "ReduceMin": _onnx("ReduceMin", _constants(lambda n, v: v.min(0), (2, 3), a=[1]), "x a", keepdims=0),
    "ReduceSum": _onnx("ReduceSum", _constants(_sums(0), (2, 3), a=[1]), "x a", keepdims=0),
    "Resize": _onnx(
        "Resize",
        lambda draw: (
            {"f": np.float32([1, 1, 2])},
            draw.wild(2, 2),
            lambda n, v: np.repeat(v, 2, axis=1),
        ),
        "x - f",
    ),
    "Slice": _onnx("Slice", _constants(lambda n, v: v[:, 1:], (2, 3), s=[1], e=[9], a=[2]), "x s e a"),
    "SpaceToDepth": _onnx(
        "SpaceToDepth",
        _of_x(lambda n, v: v.reshape(1, 1, 2, 1, 2).transpose(2, 4, 0, 1, 3).reshape(4, 1, 1), 1, 2, 2),
        blocksize=2,
    ),
    "Split": _onnx("Split", _of_x(lambda n, v: v[:, :2], 2, 3), axis=2, num_outputs=2),
    "Tile": _onnx("Tile", _constants(lambda n, v: np.tile(v, (1, 2)), (2, 2), r=[1, 1, 2]), "x r"),
    "Upsample": _onnx(
        "Upsample",
        lambda draw: ({"f": np.float32([1, 1, 2])}, draw.wild(2, 2), lambda n, v: np.repeat(v, 2, axis=1)),
        "x f",
        version=9,
    ),
    "Where": _onnx(
        "Where",
        lambda draw: (
            {"m": np.array(False)},
            draw.wild(4),
            d.activation("relu"),
        ),
        "m x relu",
    ),
    "Add": _onnx("Add", _with_c(d.shifted), "x c"),
    "AveragePool": _onnx("AveragePool", _of_x(d.pooled(3, False), 2, 3), kernel_shape=[3]),
    "BatchNormalization": _onnx("BatchNormalization", _norm_operator(usual=True), "x g b m v"),
    "BatchNormalization, epsilon": _onnx(
        "BatchNormalization", _norm_operator(usual=False), "x g b m v", epsilon=0.0009765625
    ),
    "Cast": _onnx("Gather", _words, "w words"),
    "Celu": _onnx("Celu", _named("celu", 1.7), alpha=1.7),
    "Clip": _onnx(
        "Clip",
        lambda draw: (
            {"h": draw.type(0.25)},
            draw.tame(5),
            d.each(lambda n, v: min(v, n.number(0.25))),
        ),
        "x - h",
    ),
    "Concat": _onnx("Concat", _with_relu(lambda n, a, b: np.concatenate([a, b])), "x relu", axis=1),
    "Conv": _onnx("Conv", _conv_operator, "x w b"),
    "Div": _onnx("Div", _with_c(d.divided), "x c"),
    "Dropout": _onnx("Dropout", _of_x(SAME)),
    "Elu": _onnx("Elu", _named("elu", 0.7), alpha=0.7),
    "Elu, usual": _onnx("Elu", _named("elu", 1.0)),
    "Flatten": _onnx("Flatten", _of_x(SAME, 2, 3)),
    "Gather": _onnx("Gather", _words, "w words"),
    "Gelu": _onnx("Gelu", _named("gelu_erf")),
    "Gelu, tanh": _onnx("Gelu", _named("gelu"), approximate="tanh"),
    "Gemm": _onnx("Gemm", _gemm, "x w b"),
    "GlobalAveragePool": _onnx("GlobalAveragePool", _of_x(d.pooled(3, False), 2, 3)),
    "GlobalMaxPool": _onnx("GlobalMaxPool", _of_x(d.pooled(3, True), 2, 3)),
    "HardSigmoid": _onnx("HardSigmoid", _of_x(_hard_sigmoid(float(np.float32(0.3)), 0.5)), alpha=0.3, beta=0.5),
    "HardSigmoid, usual": _onnx("HardSigmoid", _of_x(_hard_sigmoid(float(np.float32(0.2)), 0.5))),
    "Identity": _onnx("Identity", _of_x(SAME)),
    "LayerNormalization": _onnx("LayerNormalization", _layer_operator, "x g b"),
    "LeakyRelu": _onnx("LeakyRelu", _named("leakyrelu", 0.3), alpha=0.3),
    "LeakyRelu, usual": _onnx("LeakyRelu", _named("leakyrelu", 0.01)),
    "LogSoftmax": _onnx("LogSoftmax", _of_x(d.softmax(logarithm=True), 3)),
    "MatMul": _onnx("MatMul", _matmul_operator, "x w"),
    "MaxPool": _onnx("MaxPool", _of_x(d.pooled(3, True), 2, 3), kernel_shape=[3]),
    "Mish": _onnx("Mish", _named("mish")),
    "Mul": _onnx("Mul", _with_c(d.scaled), "x c"),
    "Neg": _onnx("Neg", _of_x(d.each(lambda n, v: -v))),
    "Relu": _onnx("Relu", _named("relu")),
    "Reshape": _onnx("Reshape", _with_shape([0, 3, 2], (2, 3), (3, 2)), "x s"),
    "Round": _onnx("Round", _named("round")),
    "Selu": _onnx("Selu", _named("selu")),
    "Shrink": _onnx("Shrink", _named("softshrink", 0.3), lambd=0.3, bias=0.3),
    "Sigmoid": _onnx("Sigmoid", _named("sigmoid")),
    "Softmax": _onnx("Softmax", _of_x(d.softmax(), 3)),
    "Softplus": _onnx("Softplus", _named("softplus")),
    "Softsign": _onnx("Softsign", _named("softsign")),
    "Squeeze": _onnx("Squeeze", _with_shape([2], (2, 1), (2,)), "x s"),
    "Sub": _onnx("Sub", _with_c(lambda c: lambda n, v: np.asarray(v - n.of(c))), "x c"),
    "Sub from": _onnx("Sub", _with_c(lambda c: lambda n, v: np.asarray(n.of(c) - v)), "c x"),
    "Sum": _onnx("Sum", _with_relu(lambda n, a, b: np.asarray(a + b)), "x relu"),
    "Tanh": _onnx("Tanh", _named("tanh")),
    "ThresholdedRelu": _onnx("ThresholdedRelu", _named("trelu", 0.75), alpha=0.75),
    "Transpose": _onnx("Transpose", _of_x(lambda n, v: v.T, 2, 3), perm=[0, 2, 1]),
    "Unsqueeze": _onnx("Unsqueeze", _with_shape([1], (3,), (1, 3)), "x s"),
}

CASES: dict[str, Make] = {
    **{f"operation {name}": make for name, make in OPERATIONS.items()},
    **{f"function {name}": make for name, make in FUNCTIONS.items()},
    **{f"Flux {name}": make for name, make in LAYERS.items()},
    **({} if onnx is None else {f"ONNX {name}": make for name, make in OPERATORS.items()}),
}


def plain(name: str) -> str:
    """What a case is of, without what tells it from others of the same."""
    return name.partition(" ")[0].partition(",")[0]
