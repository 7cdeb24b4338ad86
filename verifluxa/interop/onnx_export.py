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
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Op, Shape
from verifluxa.interop.onnx_file import onnx_package
from verifluxa.interop.onnx_functions import WRITTEN, clipped

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
    writer = Writer(graph, onnx)
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


class Writer:
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


def _affine(writer: Writer, op: ops.Affine, inputs: list[str], _: _Shapes) -> str:
    result = writer.add("MatMul", inputs[0], writer.constant(op.weight.T))
    return result if op.bias is None else writer.add("Add", result, writer.constant(op.bias))


def _conv(writer: Writer, op: ops.Conv, inputs: list[str], _: _Shapes) -> str:
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
    def write(writer: Writer, op: Op, inputs: list[str], _: _Shapes) -> str:
        return writer.add(kind, inputs[0], writer.constant(getattr(op, field)))

    return write


def _clip(writer: Writer, op: ops.Clip, inputs: list[str], _: _Shapes) -> str:
    return clipped(writer, inputs[0], op.low, op.high)


def _activation(writer: Writer, op: ops.Activation, inputs: list[str], _: _Shapes) -> str:
    default = ACTIVATIONS[op.function].parameter
    parameter = default if op.parameter is None else op.parameter
    return WRITTEN[op.function](writer, inputs[0], 0.0 if parameter is None else parameter)


def _pool(kind: str, fill: float, **attributes: object) -> Callable[..., str]:
    def write(writer: Writer, op: ops.MaxPool | ops.MeanPool, inputs: list[str], _: _Shapes) -> str:
        value, pads = inputs[0], [*op.pad_low, *op.pad_high]
        if any(pad >= size for pad, size in zip(pads, op.window * 2, strict=True)):
            # Padded by an operator of its own: runtimes refuse padding as wide as the window.
            wide = np.array([0, 0, *op.pad_low, 0, 0, *op.pad_high])
            value = writer.add("Pad", value, writer.constant(wide, np.int64), writer.constant(fill))
            pads = [0] * len(pads)
        sizes = {"kernel_shape": list(op.window), "strides": list(op.stride), "pads": pads}
        return writer.add(kind, value, **sizes, **attributes)

    return write


def _reshape(writer: Writer, op: ops.Reshape, inputs: list[str], shapes: _Shapes) -> str:
    return writer.add("Reshape", inputs[0], writer.constant(np.array([-1, *shapes[1]]), np.int64))


def _transpose(writer: Writer, op: ops.Transpose, inputs: list[str], _: _Shapes) -> str:
    return writer.add("Transpose", inputs[0], perm=[0, *(axis + 1 for axis in op.order)])


def _take(writer: Writer, op: ops.Take, inputs: list[str], _: _Shapes) -> str:
    value = writer.add("Reshape", inputs[0], writer.constant(np.array([-1, math.prod(op.shape)]), np.int64))
    index = op.index
    if (index < 0).any():
        # One 0 more, behind the values.
        value = writer.add("Pad", value, writer.constant(np.array([0, 0, 0, 1]), np.int64), writer.constant(0.0))
        index = np.where(index < 0, math.prod(op.shape), index)
    return writer.add("Gather", value, writer.constant(index, np.int64), axis=1)


def _along(kind: str) -> Callable[..., str]:
    def write(writer: Writer, op: Any, inputs: Sequence[str], _: _Shapes) -> str:
        return writer.add(kind, *inputs, axis=op.axis + 1)

    return write


def _add(writer: Writer, _op: ops.Add, inputs: list[str], _: _Shapes) -> str:
    total = inputs[0]
    for value in inputs[1:]:
        total = writer.add("Add", total, value)
    return total


def _multiply(writer: Writer, _op: ops.Multiply, inputs: list[str], _: _Shapes) -> str:
    return writer.add("Mul", *inputs)


def _matmul(writer: Writer, _op: ops.MatMul, inputs: list[str], _: _Shapes) -> str:
    return writer.add("MatMul", *inputs)


def _embedding(writer: Writer, op: ops.Embedding, inputs: list[str], _: _Shapes) -> str:
    words = writer.add("Cast", inputs[0], to=INT64)
    return writer.add("Gather", writer.constant(op.weight), words, axis=0)


def _normalise(writer: Writer, op: ops.Normalise, inputs: list[str], shapes: _Shapes) -> str:
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


def _batchnorm(writer: Writer, op: ops.BatchNorm, inputs: list[str], shapes: _Shapes) -> str:
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
    "take": _take,
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
