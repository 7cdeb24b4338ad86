"""Graph to ONNX: each operation as the ONNX operators that compute the same numbers, operation by operation.

Operator set 17, IR version 8; one input per input of the network, the sample axis first and of any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph import ops
from verifluxa.graph.activations import ACTIVATIONS, GELU_CUBIC, GELU_FACTOR, SELU_ALPHA, SELU_SCALE
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Op, Shape
from verifluxa.interop.onnx_package import onnx_package

OPSET = 17
IR_VERSION = 8
SAMPLES = "samples"
INT64 = 7
"""`TensorProto.INT64`."""


def onnx_bytes(graph: Graph) -> bytes:
    """The bytes of an ONNX file of a graph; the same graph gives the same bytes.

    Raises:
        UsageError: VF4411 when the `onnx` package is not installed.
    """
    from verifluxa import __version__

    onnx = onnx_package()
    writer = _Writer(graph, onnx)
    names: list[str] = []
    for node in graph.nodes:
        inputs = [names[source] for source in node.inputs]
        names.append(writer.node(node.op, inputs, [graph.nodes[source].shape for source in node.inputs], node.shape))
    last = writer.named("Identity", "output", names[-1])
    outputs = [onnx.helper.make_tensor_value_info(last, writer.element, [SAMPLES, *graph.output_shape])]
    body = onnx.helper.make_graph(writer.nodes, "verifluxa", writer.inputs, outputs, writer.constants)
    model = onnx.helper.make_model(
        body,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="verifluxa",
        producer_version=__version__,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


class _Writer:
    """Nodes, constants and inputs so far."""

    def __init__(self, graph: Graph, onnx: Any) -> None:
        self._onnx = onnx
        self.dtype = np.dtype(graph.dtype)
        self.element = onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []

    def node(self, op: Op, inputs: list[str], shapes: list[Shape], shape: Shape) -> str:
        """Adds an operation; returns the name of its values."""
        if isinstance(op, ops.Input):
            name = "input" if not self.inputs else f"input_{len(self.inputs) + 1}"
            self.inputs.append(
                self._onnx.helper.make_tensor_value_info(name, self.element, [SAMPLES, *op.shape]),
            )
            return name
        return _EXPORT[op.kind](self, op, inputs, (shapes[0], shape))

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Adds an ONNX operator; returns the name of its output."""
        return self.named(kind, f"value_{len(self.nodes)}", *inputs, **attributes)

    def named(self, kind: str, output: str, *inputs: str, **attributes: object) -> str:
        """Adds an ONNX operator with an output of a given name."""
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, values: NDArray[Any] | float, dtype: np.dtype[Any] | type | None = None) -> str:
        """Adds a constant, in the float type of the network where no other is asked for."""
        name = f"constant_{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(values).astype(dtype or self.dtype))
        # ascontiguousarray makes a vector of a scalar.
        self.constants.append(self._onnx.numpy_helper.from_array(array.reshape(np.shape(values)), name))
        return name

    def holds(self, value: float) -> bool:
        """Whether an attribute, which is a float32, is as exact as a constant of the network's own type.

        Compared as Python floats: NumPy would round `value` to float32 before it compares.
        """
        return self.dtype == np.float32 or float(np.float32(value)) == value


_Shapes = tuple[Shape, Shape]


def _affine(writer: _Writer, op: ops.Affine, inputs: list[str], _: _Shapes) -> str:
    result = writer.add("MatMul", inputs[0], writer.constant(op.weight.T))
    return result if op.bias is None else writer.add("Add", result, writer.constant(op.bias))


def _conv(writer: _Writer, op: ops.Conv, inputs: list[str], _: _Shapes) -> str:
    constants = [writer.constant(op.weight)] + ([] if op.bias is None else [writer.constant(op.bias)])
    return writer.add(
        "Conv",
        inputs[0],
        *constants,
        kernel_shape=list(op.weight.shape[2:]),
        strides=list(op.stride),
        pads=[*op.pad_low, *op.pad_high],
        dilations=list(op.dilation),
        group=op.groups,
    )


def _with_constant(kind: str, field: str) -> Callable[..., str]:
    def write(writer: _Writer, op: Op, inputs: list[str], _: _Shapes) -> str:
        return writer.add(kind, inputs[0], writer.constant(getattr(op, field)))

    return write


def _clip(writer: _Writer, op: ops.Clip, inputs: list[str], _: _Shapes) -> str:
    return _clipped(writer, inputs[0], op.low, op.high)


def _clipped(writer: _Writer, value: str, low: float | None, high: float | None) -> str:
    ends = ["" if end is None or math.isinf(end) else writer.constant(end) for end in (low, high)]
    return writer.add("Clip", value, *ends)


def _activation(writer: _Writer, op: ops.Activation, inputs: list[str], _: _Shapes) -> str:
    default = ACTIVATIONS[op.function].parameter
    parameter = default if op.parameter is None else op.parameter
    return _FUNCTIONS[op.function](writer, inputs[0], 0.0 if parameter is None else parameter)


def _pool(kind: str, fill: float, **attributes: object) -> Callable[..., str]:
    def write(writer: _Writer, op: ops.MaxPool | ops.MeanPool, inputs: list[str], _: _Shapes) -> str:
        value, pads = inputs[0], [*op.pad_low, *op.pad_high]
        if any(pad >= size for pad, size in zip(pads, op.window * 2, strict=True)):
            # Padded by an operator of its own: runtimes refuse padding as wide as the window.
            wide = np.array([0, 0, *op.pad_low, 0, 0, *op.pad_high])
            value = writer.add("Pad", value, writer.constant(wide, np.int64), writer.constant(fill))
            pads = [0] * len(pads)
        sizes = {"kernel_shape": list(op.window), "strides": list(op.stride), "pads": pads}
        return writer.add(kind, value, **sizes, **attributes)

    return write


def _reshape(writer: _Writer, op: ops.Reshape, inputs: list[str], shapes: _Shapes) -> str:
    return writer.add("Reshape", inputs[0], writer.constant(np.array([-1, *shapes[1]]), np.int64))


def _transpose(writer: _Writer, op: ops.Transpose, inputs: list[str], _: _Shapes) -> str:
    return writer.add("Transpose", inputs[0], perm=[0, *(axis + 1 for axis in op.order)])


def _along(kind: str) -> Callable[..., str]:
    def write(writer: _Writer, op: Any, inputs: Sequence[str], _: _Shapes) -> str:
        return writer.add(kind, *inputs, axis=op.axis + 1)

    return write


def _add(writer: _Writer, _op: ops.Add, inputs: list[str], _: _Shapes) -> str:
    total = inputs[0]
    for value in inputs[1:]:
        total = writer.add("Add", total, value)
    return total


def _multiply(writer: _Writer, _op: ops.Multiply, inputs: list[str], _: _Shapes) -> str:
    return writer.add("Mul", *inputs)


def _matmul(writer: _Writer, _op: ops.MatMul, inputs: list[str], _: _Shapes) -> str:
    return writer.add("MatMul", *inputs)


def _embedding(writer: _Writer, op: ops.Embedding, inputs: list[str], _: _Shapes) -> str:
    words = writer.add("Cast", inputs[0], to=INT64)
    return writer.add("Gather", writer.constant(op.weight), words, axis=0)


def _normalise(writer: _Writer, op: ops.Normalise, inputs: list[str], shapes: _Shapes) -> str:
    if not op.by_deviation and writer.holds(op.epsilon):
        ones = writer.constant(np.ones(shapes[0][-op.axes :]))
        return writer.add("LayerNormalization", inputs[0], ones, axis=-op.axes, epsilon=float(op.epsilon))
    axes = list(range(-op.axes, 0))
    shifted = writer.add("Sub", inputs[0], writer.add("ReduceMean", inputs[0], axes=axes))
    variance = writer.add("ReduceMean", writer.add("Mul", shifted, shifted), axes=axes)
    epsilon = writer.constant(op.epsilon)
    if op.by_deviation:
        return writer.add("Div", shifted, writer.add("Add", writer.add("Sqrt", variance), epsilon))
    return writer.add("Div", shifted, writer.add("Sqrt", writer.add("Add", variance, epsilon)))


def _batchnorm(writer: _Writer, op: ops.BatchNorm, inputs: list[str], shapes: _Shapes) -> str:
    factor = np.ones_like(op.mean) if op.factor is None else op.factor
    shift = np.zeros_like(op.mean) if op.shift is None else op.shift
    if writer.holds(op.epsilon):
        constants = [writer.constant(part) for part in (factor, shift, op.mean, op.variance)]
        return writer.add("BatchNormalization", inputs[0], *constants, epsilon=float(op.epsilon))
    wide = (-1, *(1,) * (len(shapes[0]) - 1))
    names = [writer.constant(part.reshape(wide)) for part in (op.mean, op.variance, factor, shift)]
    deviation = writer.add("Sqrt", writer.add("Add", names[1], writer.constant(op.epsilon)))
    result = writer.add("Div", writer.add("Sub", inputs[0], names[0]), deviation)
    return writer.add("Add", writer.add("Mul", names[2], result), names[3])


_EXPORT: dict[str, Callable[..., str]] = {
    "affine": _affine,
    "conv": _conv,
    "shift": _with_constant("Add", "value"),
    "scale": _with_constant("Mul", "factor"),
    "divide": _with_constant("Div", "divisor"),
    "clip": _clip,
    "activation": _activation,
    "maxpool": _pool("MaxPool", -math.inf),
    "meanpool": _pool("AveragePool", 0.0, count_include_pad=1),
    "reshape": _reshape,
    "transpose": _transpose,
    "softmax": _along("Softmax"),
    "logsoftmax": _along("LogSoftmax"),
    "add": _add,
    "concat": _along("Concat"),
    "multiply": _multiply,
    "matmul": _matmul,
    "embedding": _embedding,
    "normalise": _normalise,
    "batchnorm": _batchnorm,
}


def _one(kind: str, **attributes: object) -> Callable[[_Writer, str, float], str]:
    return lambda writer, x, _: writer.add(kind, x, **attributes)


def _where_below(writer: _Writer, x: str, below: str) -> str:
    """The value itself from 0 on, else `below`."""
    return writer.add("Where", writer.add("GreaterOrEqual", x, writer.constant(0.0)), x, below)


def _leakyrelu(writer: _Writer, x: str, slope: float) -> str:
    if writer.holds(slope):
        return writer.add("LeakyRelu", x, alpha=float(slope))
    return _where_below(writer, x, writer.add("Mul", writer.constant(slope), x))


def _elu(writer: _Writer, x: str, alpha: float) -> str:
    if writer.holds(alpha):
        return writer.add("Elu", x, alpha=float(alpha))
    return _where_below(writer, x, writer.add("Mul", writer.constant(alpha), writer.add("Elu", x, alpha=1.0)))


def _selu(writer: _Writer, x: str, _: float) -> str:
    if writer.dtype == np.float32:
        return writer.add("Selu", x, alpha=SELU_ALPHA, gamma=SELU_SCALE)
    return writer.add("Mul", writer.constant(SELU_SCALE), _elu(writer, x, SELU_ALPHA))


def _hardsigmoid(writer: _Writer, x: str, _: float) -> str:
    shifted = writer.add("Add", x, writer.constant(3.0))
    return _clipped(writer, writer.add("Div", shifted, writer.constant(6.0)), 0.0, 1.0)


def _softshrink(writer: _Writer, x: str, threshold: float) -> str:
    if not writer.holds(threshold):
        end = writer.constant(threshold)
        above = writer.add("Max", writer.add("Sub", x, end), writer.constant(0.0))
        return writer.add("Min", above, writer.add("Add", x, end))
    return writer.add("Shrink", x, lambd=float(threshold), bias=float(threshold))


def _swish(writer: _Writer, x: str, _: float) -> str:
    return writer.add("Mul", x, writer.add("Sigmoid", x))


def _gelu(writer: _Writer, x: str, _: float) -> str:
    square = writer.add("Mul", writer.add("Mul", writer.constant(GELU_CUBIC), x), x)
    inner = writer.add("Add", writer.constant(1.0), square)
    scaled = writer.add("Mul", writer.add("Mul", writer.constant(GELU_FACTOR), x), inner)
    return writer.add("Mul", x, writer.add("Sigmoid", scaled))


def _gelu_erf(writer: _Writer, x: str, _: float) -> str:
    """`x / 2 (1 + erf(x / sqrt 2))`: one operator that does it came with operator set 20."""
    root = writer.add("Erf", writer.add("Div", x, writer.constant(math.sqrt(2))))
    return writer.add("Mul", writer.add("Div", x, writer.constant(2.0)), writer.add("Add", root, writer.constant(1.0)))


def _celu(writer: _Writer, x: str, alpha: float) -> str:
    """`max(0, x) + min(0, alpha (exp(x / alpha) - 1))`; in float64 by Elu, which runtimes have in both float types."""
    if writer.dtype == np.float32:
        return writer.add("Celu", x, alpha=float(alpha))
    divisor = writer.constant(alpha)
    scaled = writer.add("Elu", writer.add("Div", x, divisor), alpha=1.0)
    negative = writer.add("Mul", scaled, divisor)
    return writer.add("Where", writer.add("GreaterOrEqual", x, writer.constant(0.0)), x, negative)


def _logsigmoid(writer: _Writer, x: str, _: float) -> str:
    return writer.add("Neg", writer.add("Softplus", writer.add("Neg", x)))


def _logcosh(writer: _Writer, x: str, _: float) -> str:
    soft = writer.add("Softplus", writer.add("Mul", writer.constant(-2.0), x))
    return writer.add("Sub", writer.add("Add", x, soft), writer.constant(math.log(2)))


def _trelu(writer: _Writer, x: str, threshold: float) -> str:
    if writer.dtype == np.float32:
        return writer.add("ThresholdedRelu", x, alpha=float(threshold))
    below = writer.add("LessOrEqual", x, writer.constant(threshold))
    return writer.add("Where", below, writer.constant(0.0), x)


_FUNCTIONS: dict[str, Callable[[_Writer, str, float], str]] = {
    "relu": _one("Relu"),
    "leakyrelu": _leakyrelu,
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "relu6": lambda writer, x, _: _clipped(writer, x, 0.0, 6.0),
    "hardtanh": lambda writer, x, _: _clipped(writer, x, -1.0, 1.0),
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda writer, x, _: writer.add("Mul", x, _hardsigmoid(writer, x, 0.0)),
    "sigmoid": _one("Sigmoid"),
    "sigmoid_fast": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "tanh_fast": _one("Tanh"),
    "softplus": _one("Softplus"),
    "softsign": _one("Softsign"),
    "softshrink": _softshrink,
    "tanhshrink": lambda writer, x, _: writer.add("Sub", x, writer.add("Tanh", x)),
    "gelu": _gelu,
    "gelu_erf": _gelu_erf,
    "swish": _swish,
    "mish": lambda writer, x, _: writer.add("Mul", x, writer.add("Tanh", writer.add("Softplus", x))),
    "lisht": lambda writer, x, _: writer.add("Mul", x, writer.add("Tanh", x)),
    "logsigmoid": _logsigmoid,
    "logcosh": _logcosh,
    "trelu": _trelu,
    "round": _one("Round"),
}
