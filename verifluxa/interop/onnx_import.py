"""ONNX to graph: the operators of a file, one after the other, as steps of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Shape
from verifluxa.interop.onnx_file import Array, OnnxNode, broken, read_onnx
from verifluxa.interop.onnx_functions import READ, Operator
from verifluxa.interop.onnx_walk import OperatorRow, Walk, allow, refused

# The operators of ONNX that are understood, one small function each; any other one is refused by name.
#
# Each is read as https://onnx.ai/onnx/operators/ defines it, in its own order of operations.

_SOFTMAX_BY_AXIS = 13
"""Before this version Softmax ran over all axes from `axis` on."""


def _gemm(walk: Walk, node: OnnxNode) -> int:
    allow(node, transB=(0, 1), transA=(0,), alpha=(1.0,), beta=(1.0,))
    weight = walk.needed(node, 1)
    weight = weight if walk.whole(node, "transB", 0) else weight.T
    bias = walk.floats(node, 2)
    if bias is not None and weight.ndim == 2 and bias.shape != weight.shape[:1]:
        if bias.size not in (1, len(weight)) or bias.ndim > 2:
            raise refused(node, f"its bias has the shape {bias.shape}", f"({len(weight)},)")
        bias = np.broadcast_to(bias.reshape(-1), weight.shape[:1])
    if len(walk.shapes[walk.value(node)]) != 1:
        raise refused(node, "it is given more than samples and features")
    return walk.add(node, ops.Affine(weight, bias), walk.value(node))


def _matmul(walk: Walk, node: OnnxNode) -> int:
    allow(node)
    if len(node.inputs) == 2 and node.inputs[1] not in walk.constants:
        return walk.add(node, ops.MatMul(), walk.value(node, 0), walk.value(node, 1))
    return walk.add(node, ops.Affine(walk.needed(node, 1).T), walk.value(node))


def _binary(walk: Walk, node: OnnxNode) -> int:
    """Add, Sub, Mul, Div of two values, or of a value and a constant on either side."""
    allow(node)
    first, second = (name in walk.constants for name in (*node.inputs, "", "")[:2])
    if not first and not second:
        return _of_two(walk, node, walk.value(node, 0), walk.value(node, 1))
    value = walk.value(node, 1 if first else 0)
    constant = _aligned(walk, node, 0 if first else 1, walk.shapes[value])
    minus = walk.scalar(-1.0)
    match node.kind:
        case "Add":
            return walk.add(node, ops.Shift(constant), value)
        case "Mul":
            return walk.add(node, ops.Scale(constant), value)
        case "Sub" if second:
            # In NumPy the negative of an array without axes is a number, and no array.
            return walk.add(node, ops.Shift(np.asarray(-constant)), value)
        case "Sub":
            # c - x is (-x) + c: changing the sign is exact.
            return walk.add(node, ops.Shift(constant), walk.add(node, ops.Scale(minus), value))
        case "Div" if second and np.all(constant != 0):
            return walk.add(node, ops.Divide(constant), value)
    raise refused(node, "it divides by what the network computes, or by zero", "a divisor that is nowhere zero")


def _of_two(walk: Walk, node: OnnxNode, first: int, second: int) -> int:
    match node.kind:
        case "Add":
            return walk.add(node, ops.Add(), first, second)
        case "Mul":
            return walk.add(node, ops.Multiply(), first, second)
        case "Sub":
            return walk.add(node, ops.Add(), first, walk.add(node, ops.Scale(walk.scalar(-1.0)), second))
    raise refused(node, "it divides by what the network computes", "a constant divisor")


def _aligned(
    walk: Walk, node: OnnxNode, position: int, shape: Shape
) -> np.ndarray[tuple[int, ...], np.dtype[np.floating]]:
    """A constant without the samples' axis, which it must not reach into."""
    constant = walk.needed(node, position)
    if constant.ndim == len(shape) + 1 and constant.shape[0] == 1:
        constant = constant.reshape(constant.shape[1:])
    if constant.ndim > len(shape):
        raise refused(node, f"a constant of shape {constant.shape} meets values of shape {shape}")
    return constant


def _negative(walk: Walk, node: OnnxNode) -> int:
    allow(node)
    return walk.add(node, ops.Scale(walk.scalar(-1.0)), walk.value(node))


def _sum(walk: Walk, node: OnnxNode) -> int:
    allow(node)
    values = [walk.value(node, position) for position in range(len(node.inputs))]
    return values[0] if len(values) == 1 else walk.add(node, ops.Add(), *values)


def _pads(walk: Walk, node: OnnxNode, axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if node.attributes.get("auto_pad", "NOTSET") == "VALID":
        return (0,) * axes, (0,) * axes
    pads = walk.sizes(node, "pads", 2 * axes, 0)
    return pads[:axes], pads[axes:]


def _conv(walk: Walk, node: OnnxNode) -> int:
    allow(node, auto_pad=("NOTSET", "VALID"), dilations=None, group=None, kernel_shape=None, pads=None, strides=None)
    weight = walk.needed(node, 1)
    axes = weight.ndim - 2
    if axes < 1 or walk.sizes(node, "kernel_shape", axes, 0) not in ((0,) * axes, weight.shape[2:]):
        raise refused(node, f"its weight has the shape {weight.shape}", "(outputs, inputs / group, *kernel_shape)")
    low, high = _pads(walk, node, axes)
    stride, dilation = walk.sizes(node, "strides", axes, 1), walk.sizes(node, "dilations", axes, 1)
    group = walk.whole(node, "group", 1)
    return walk.add(node, ops.Conv(weight, walk.floats(node, 2), stride, low, high, dilation, group), walk.value(node))


def _pool(walk: Walk, node: OnnxNode) -> int:
    allow(
        node,
        auto_pad=("NOTSET", "VALID"),
        ceil_mode=(0,),
        count_include_pad=(0, 1),
        dilations=None,
        kernel_shape=None,
        pads=None,
        storage_order=None,
        strides=None,
    )
    window = node.attributes.get("kernel_shape")
    if not isinstance(window, tuple):
        raise refused(node, "it has no kernel_shape")
    axes = len(window)
    low, high = _pads(walk, node, axes)
    if walk.sizes(node, "dilations", axes, 1) != (1,) * axes:
        raise refused(node, "its window is dilated")
    average = node.kind == "AveragePool"
    if average and (any(low) or any(high)) and not walk.whole(node, "count_include_pad", 0):
        raise refused(node, "its padding does not count", "count_include_pad = 1, or no padding")
    kind = ops.MeanPool if average else ops.MaxPool
    sizes = walk.sizes(node, "kernel_shape", axes, 1)
    return walk.add(node, kind(sizes, walk.sizes(node, "strides", axes, 1), low, high), walk.value(node))


def _global_pool(walk: Walk, node: OnnxNode) -> int:
    allow(node)
    value = walk.value(node)
    window = walk.shapes[value][1:]
    none = (0,) * len(window)
    kind = ops.MeanPool if node.kind == "GlobalAveragePool" else ops.MaxPool
    return walk.add(node, kind(window, window, none, none), value)


def _batch_normalization(walk: Walk, node: OnnxNode) -> int:
    """`(x - mean) / sqrt(variance + epsilon) * scale + shift`."""
    allow(node, epsilon=None, momentum=None, training_mode=(0,), spatial=(1,))
    factor, shift, mean, variance = (walk.needed(node, position).reshape(-1) for position in (1, 2, 3, 4))
    epsilon = walk.scalar(walk.number(node, "epsilon", 1e-5))
    if epsilon < 0 or not np.all(variance >= 0) or not np.all(variance + epsilon > 0):
        raise refused(node, "a variance is not positive, or the epsilon is below 0")
    op = ops.BatchNorm(mean, variance, float(epsilon), factor, shift, "divide first")
    return walk.add(node, op, walk.value(node))


def _layer_normalization(walk: Walk, node: OnnxNode) -> int:
    """`(x - mean) / sqrt(variance + epsilon) * scale + shift`, of the axes from `axis` on, each sample by itself."""
    allow(node, axis=None, epsilon=None, stash_type=(1,))
    value = walk.value(node)
    axes = len(walk.shapes[value]) - _axis(walk, node, -1)
    epsilon = float(walk.scalar(walk.number(node, "epsilon", 1e-5)))
    if epsilon < 0:
        raise refused(node, f"its epsilon is {epsilon}")
    result = walk.add(node, ops.Normalise(axes, epsilon), value)
    scale, shift = _aligned(walk, node, 1, walk.shapes[value]), walk.floats(node, 2)
    if not np.all(scale == 1):
        result = walk.add(node, ops.Scale(scale), result)
    return result if shift is None else walk.add(node, ops.Shift(shift), result)


def _flatten(walk: Walk, node: OnnxNode) -> int:
    allow(node, axis=(1,))
    return walk.add(node, ops.Reshape((-1,)), walk.value(node))


def _reshape(walk: Walk, node: OnnxNode) -> int:
    """The first size is the samples'; a 0 keeps what stands there."""
    allow(node, allowzero=(0,))
    value, sizes = walk.value(node), walk.integers(node, 1, "shape")
    if not sizes or sizes[0] not in (0, 1, -1):
        raise refused(node, f"the new shape is {sizes}", "0, 1 or -1 first, for the samples, and then fixed sizes")
    before = walk.shapes[value]
    rest = [before[axis] if size == 0 and axis < len(before) else size for axis, size in enumerate(sizes[1:])]
    if sizes[0] == -1 and -1 in rest:
        raise refused(node, "two sizes are open")
    return walk.add(node, ops.Reshape(tuple(rest)), value)


def _squeezed(walk: Walk, node: OnnxNode) -> int:
    """Squeeze and Unsqueeze: axes of size 1 go or come, never the samples'."""
    allow(node, axes=None)
    value, axes = walk.value(node), walk.integers(node, 1, "axes")
    if axes is None:
        raise refused(node, "its axes are left out")
    shape = [0, *walk.shapes[value]]
    more = node.kind == "Unsqueeze"
    rank = len(shape) + (len(axes) if more else 0)
    places = {axis % rank for axis in axes}
    if 0 in places or len(places) != len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise refused(node, f"its axes are {axes}", "other axes than the samples'")
    if more:
        waiting = iter(shape)
        after = [1 if axis in places else next(waiting) for axis in range(rank)]
    else:
        after = [size for axis, size in enumerate(shape) if axis not in places]
    return walk.add(node, ops.Reshape(tuple(after[1:])), value)


def _transpose(walk: Walk, node: OnnxNode) -> int:
    allow(node, perm=None)
    order = walk.sizes(node, "perm", len(walk.shapes[walk.value(node)]) + 1, 0)
    if order[0] != 0 or 0 in order[1:]:
        raise refused(node, f"its order is {order}", "the samples' axis first")
    return walk.add(node, ops.Transpose(tuple(axis - 1 for axis in order[1:])), walk.value(node))


def _axis(walk: Walk, node: OnnxNode, default: int) -> int:
    rank = len(walk.shapes[walk.value(node)]) + 1
    axis = walk.whole(node, "axis", default)
    if not -rank <= axis < rank or axis % rank == 0:
        raise refused(node, f"its axis is {axis}", "another axis than the samples'")
    return axis % rank - 1


def _concat(walk: Walk, node: OnnxNode) -> int:
    allow(node, axis=None)
    values = [walk.value(node, position) for position in range(len(node.inputs))]
    axis = _axis(walk, node, 0)
    return values[0] if len(values) == 1 else walk.add(node, ops.Concat(axis), *values)


def _softmax(walk: Walk, node: OnnxNode) -> int:
    allow(node, axis=None)
    by_axis = walk.file.opset >= _SOFTMAX_BY_AXIS
    axis = _axis(walk, node, -1 if by_axis else 1)
    if not by_axis and axis != len(walk.shapes[walk.value(node)]) - 1:
        raise refused(node, "before version 13 it runs over several axes at once")
    return walk.add(node, ops.Softmax(axis) if node.kind == "Softmax" else ops.LogSoftmax(axis), walk.value(node))


def _clip(walk: Walk, node: OnnxNode) -> int:
    allow(node, min=None, max=None)
    ends = []
    for position, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), start=1):
        given = walk.floats(node, position)
        if given is not None and given.size != 1:
            raise refused(node, f"its end has the shape {given.shape}", "one number")
        ends.append(walk.number(node, name, default) if given is None else float(given.reshape(())))
    return walk.add(node, ops.Clip(*ends), walk.value(node))


def _same(walk: Walk, node: OnnxNode) -> int:
    """Identity, and Dropout as it is in test mode."""
    allow(node, ratio=None, seed=None)
    mode = node.inputs[2] if len(node.inputs) > 2 else ""
    if mode:
        raise refused(node, "it may be in training mode", "no third input")
    return walk.value(node)


def _cast(walk: Walk, node: OnnxNode) -> int:
    """A cast to whole numbers goes with the Gather that reads words; another one must change nothing."""
    allow(node, to=None)
    value, target = walk.value(node), walk.whole(node, "to", 0)
    same = {"float32": 1, "float64": 11}[walk.file.dtype]
    if target in (6, 7) and isinstance(walk.steps[value][0], ops.Input):
        walk.words.add(node.output)
    elif target != same:
        raise refused(node, "it changes the type of values", "the input as whole numbers, for a Gather")
    return value


def _gather(walk: Walk, node: OnnxNode) -> int:
    allow(node, axis=(0,))
    if len(node.inputs) != 2 or node.inputs[1] not in walk.words:
        raise refused(node, "it does not read words", "rows of a constant, by the input cast to whole numbers")
    return walk.add(node, ops.Embedding(walk.needed(node, 0)), walk.values[node.inputs[1]])


def _hard_sigmoid(walk: Walk, node: OnnxNode) -> int:
    """`clip(alpha x + beta, 0, 1)`, in this order."""
    allow(node, alpha=None, beta=None)
    value = walk.add(node, ops.Scale(walk.scalar(walk.number(node, "alpha", 0.2))), walk.value(node))
    value = walk.add(node, ops.Shift(walk.scalar(walk.number(node, "beta", 0.5))), value)
    return walk.add(node, ops.Clip(0.0, 1.0), value)


OPERATORS: dict[str, Operator] = {
    **READ,
    "Add": _binary,
    "AveragePool": _pool,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _binary,
    "Dropout": _same,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "HardSigmoid": _hard_sigmoid,
    "Identity": _same,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mul": _binary,
    "Neg": _negative,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Squeeze": _squeezed,
    "Sub": _binary,
    "Sum": _sum,
    "Transpose": _transpose,
    "Unsqueeze": _squeezed,
}


# The walk over a file


@dataclass(frozen=True, eq=False)
class Imported:
    """An ONNX file, understood.

    Attributes:
        graph: the network.
        rows: one for each operator.
        format: `ONNX 17`.
        producer: what wrote the file, as it says itself.
    """

    graph: Graph
    rows: tuple[OperatorRow, ...]
    format: str
    producer: str


def import_onnx(data: bytes | memoryview, input_shape: tuple[Shape, ...] | None = None) -> Imported:
    """Reads an ONNX file as a graph.

    Args:
        data: the file's bytes.
        input_shape: of each input without the sample axis; where the file has fixed sizes, as many numbers.

    Raises:
        ModelError: VF2017 for a file that is malformed or refused as a whole, VF2018 for an operator,
            VF2101 when shapes do not fit, VF2004 past a limit, VF2013 when the input's shape is open.
        UsageError: VF4411 when the `onnx` package is not installed.
    """
    file = read_onnx(data, input_shape)
    walk = Walk(file)
    rows = []
    for node in file.nodes:
        if node.output in walk.values or node.output in walk.constants:
            raise broken("two operators give one name", node.place)
        if node.kind == "Constant":
            walk.constants[node.output] = _constant(node)
            continue
        rows.append(_operator(walk, node))
    return Imported(walk.finish(file.output), tuple(rows), f"ONNX {file.opset}", file.producer)


def _operator(walk: Walk, node: OnnxNode) -> OperatorRow:
    operator = OPERATORS.get(node.kind)
    if operator is None:
        close = get_close_matches(node.kind, OPERATORS, 1, 0.8)
        raise refused(node, "this operator is not supported", f"`{close[0]}`?" if close else None)
    before = tuple(walk.shapes[walk.values[name]] for name in node.inputs if name in walk.values)
    parameters = sum(walk.constants[name].size for name in node.inputs if name in walk.constants)
    walk.values[node.output] = operator(walk, node)
    return OperatorRow(node.place, node.kind, before, walk.shapes[walk.values[node.output]], parameters)


def _constant(node: OnnxNode) -> Array:
    value = node.attributes.get("value")
    if len(node.attributes) != 1 or isinstance(value, int | float | str | tuple) or value is None:
        raise ModelError("VF2018", "a Constant is not given by its `value`", place=node.place, expected="one array")
    return value
