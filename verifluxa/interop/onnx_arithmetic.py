"""Sums, products, reductions and maxima of ONNX, as operations of the graph.

No constant is multiplied or added to another one before the arithmetic of a proof begins: what an operator does in two
steps, as `alpha` and `beta` of Gemm, are two operations.
"""

from __future__ import annotations

import math

import numpy as np

from verifluxa.graph import ops
from verifluxa.graph.ops import MATRIX_AXES, Shape
from verifluxa.interop.onnx_file import Array, OnnxNode
from verifluxa.interop.onnx_moves import axes_of
from verifluxa.interop.onnx_walk import Operator, Result, Walk, allow, refused


def _by_right(walk: Walk, node: OnnxNode, value: int, weight: Array) -> int:
    """`value @ weight`, the values' batches by those of the weight."""
    if not weight.ndim or not walk.shapes[value]:
        raise refused(node, f"a weight of shape {weight.shape} meets values of shape {walk.shapes[value]}")
    if weight.ndim == 1:
        found = walk.add(node, ops.Affine(weight[None]), value)
        return walk.add(node, ops.Reshape(walk.shapes[found][:-1]), found)
    if math.prod(weight.shape[:-2]) == 1:
        result = walk.add(node, ops.Affine(weight.reshape(weight.shape[-2:]).T), value)
        return _led(walk, node, result, weight.ndim)
    turned = _turned(walk, node, value)
    return _turned(walk, node, _by_left(walk, node, turned, np.swapaxes(weight, -1, -2)))


def _by_left(walk: Walk, node: OnnxNode, value: int, weight: Array) -> int:
    """`weight @ value`."""
    shape = walk.shapes[value]
    if not weight.ndim or not shape:
        raise refused(node, f"a weight of shape {weight.shape} meets values of shape {shape}")
    if len(shape) == 1:
        if walk.samples is not None:
            raise refused(node, "its constant left operand sums over the samples")
        return _by_right(walk, node, value, np.swapaxes(weight, -1, -2) if weight.ndim > 1 else weight)
    if weight.ndim == 1:
        found = _by_left(walk, node, value, weight[None])
        after = walk.shapes[found]
        return walk.add(node, ops.Reshape((*after[:-2], after[-1])), found)
    if math.prod(weight.shape[:-2]) == 1:
        result = _turned(
            walk, node, _by_right(walk, node, _turned(walk, node, value), weight.reshape(weight.shape[-2:]).T)
        )
        return _led(walk, node, result, weight.ndim)
    # Each matrix of the batch is a group of a convolution over the columns.
    rank = len(shape) + (walk.samples is not None)
    if walk.samples is not None and weight.ndim == rank:
        if len(weight) != 1:
            raise refused(node, f"a weight of shape {weight.shape} reaches into the samples")
        weight = weight[0]
    if walk.samples is not None and weight.ndim >= rank:
        raise refused(node, f"a weight of shape {weight.shape} reaches into the samples")
    batch = walk.together(node, weight.shape[:-2], shape[:-2])
    rows, inner = weight.shape[-2:]
    walk.room(node, math.prod(batch) * rows * inner)
    weight = np.broadcast_to(weight, (*batch, rows, inner))
    value = walk.spread(node, value, (*batch, *shape[-2:]))
    count, columns = math.prod(batch), shape[-1]
    if shape[-2] != inner:
        raise refused(node, f"a weight of shape {weight.shape} meets values of shape {shape}")
    flat = walk.add(node, ops.Reshape((count * inner, columns)), value)
    kernel = weight.reshape(count * rows, inner, 1)
    found = walk.add(node, ops.Conv(kernel, None, (1,), (0,), (0,), (1,), count), flat)
    return walk.add(node, ops.Reshape((*batch, rows, columns)), found)


def _led(walk: Walk, node: OnnxNode, value: int, axes: int) -> int:
    """A result with axes of size 1 in front, where a constant has more axes than values."""
    shape = walk.shapes[value]
    if walk.samples is None and len(shape) < axes:
        return walk.add(node, ops.Reshape((*(1,) * (axes - len(shape)), *shape)), value)
    if walk.samples is not None and axes > len(shape) + 1:
        raise refused(node, f"a constant of {axes} axes reaches into the samples")
    return value


def _turned(walk: Walk, node: OnnxNode, value: int) -> int:
    """The last two axes, one for the other."""
    axes = len(walk.shapes[value])
    if axes < MATRIX_AXES:
        raise refused(node, f"values of shape {walk.shapes[value]} are no matrices")
    return walk.add(node, ops.Transpose((*range(axes - 2), axes - 1, axes - 2)), value)


def _two_factors(walk: Walk, node: OnnxNode, first: int, second: int) -> int:
    shapes = walk.shapes[first], walk.shapes[second]
    vectors = [len(shape) == 1 for shape in shapes]
    if (walk.samples is not None and any(vectors)) or not all(shapes):
        # The graph's own refusal says what fits.
        return walk.add(node, ops.MatMul(), first, second)
    if any(vectors):
        first = walk.add(node, ops.Reshape((1, *shapes[0])), first) if vectors[0] else first
        second = walk.add(node, ops.Reshape((*shapes[1], 1)), second) if vectors[1] else second
        found = _two_factors(walk, node, first, second)
        after = walk.shapes[found][:-2]
        kept = [size for size, vector in zip(walk.shapes[found][-2:], vectors, strict=True) if not vector]
        return walk.add(node, ops.Reshape((*after, *kept)), found)
    batch = walk.together(node, shapes[0][:-2], shapes[1][:-2])
    values = (
        walk.spread(node, value, (*batch, *shape[-2:])) for value, shape in zip((first, second), shapes, strict=True)
    )
    return walk.add(node, ops.MatMul(), *values)


def _matmul(walk: Walk, node: OnnxNode) -> Result:
    allow(node)
    first, second = (name in walk.constants for name in (*node.inputs, "", "")[:2])
    if second and not first:
        return _by_right(walk, node, walk.value(node), walk.needed(node, 1))
    if first and not second:
        return _by_left(walk, node, walk.value(node, 1), walk.needed(node, 0))
    return _two_factors(walk, node, walk.value(node, 0), walk.value(node, 1))


def _gemm(walk: Walk, node: OnnxNode) -> Result:
    """`alpha A B + beta C`."""
    allow(node, transA=(0, 1), transB=(0, 1), alpha=None, beta=None)
    turned = [walk.whole(node, name, 0) for name in ("transA", "transB")]
    alpha, beta = walk.number(node, "alpha", 1.0), walk.number(node, "beta", 1.0)
    constant = [name in walk.constants for name in (*node.inputs, "", "")[:2]]
    if constant[1] and not constant[0]:
        weight = walk.needed(node, 1)
        weight = weight if turned[1] else weight.T
        value = walk.value(node)
        _check_matrix(walk, node, value)
        value = _turned(walk, node, value) if turned[0] else value
        bias = _row(walk, node, weight) if alpha == beta == 1 else None
        result = walk.add(node, ops.Affine(weight, bias), value)
        if bias is not None:
            return result
    else:
        result = _gemm_by(walk, node, turned, constant[0])
    result = result if alpha == 1 else walk.add(node, ops.Scale(walk.scalar(alpha)), result)
    return _added(walk, node, result, beta) if len(node.inputs) > 2 and node.inputs[2] and beta else result


def _check_matrix(walk: Walk, node: OnnxNode, value: int) -> None:
    if len(walk.shape(value)) != MATRIX_AXES:
        raise refused(node, f"it is given values of shape {walk.shape(value)}", "samples and features")


def _gemm_by(walk: Walk, node: OnnxNode, turned: list[int], left: bool) -> int:
    """A product with something computed on the right, and a constant or something computed on the left."""
    if walk.samples is not None:
        raise refused(node, "its second factor is computed by the network, one for each sample", "a constant")
    second = walk.value(node, 1)
    _check_matrix(walk, node, second)
    second = _turned(walk, node, second) if turned[1] else second
    if left:
        weight = walk.needed(node, 0)
        return _by_left(walk, node, second, weight.T if turned[0] else weight)
    first = walk.value(node)
    _check_matrix(walk, node, first)
    return _two_factors(walk, node, _turned(walk, node, first) if turned[0] else first, second)


def _row(walk: Walk, node: OnnxNode, weight: Array) -> Array | None:
    """The bias as one number for each output, where it is that."""
    if len(node.inputs) < 3 or not node.inputs[2] or node.inputs[2] not in walk.constants:
        return None
    bias = walk.needed(node, 2)
    flat = bias.ndim < MATRIX_AXES or len(bias) == 1
    if weight.ndim != MATRIX_AXES or not flat or bias.size not in (1, len(weight)):
        return None
    return np.broadcast_to(bias.reshape(-1), weight.shape[:1])


def _added(walk: Walk, node: OnnxNode, result: int, beta: float) -> int:
    """A result plus `beta C`."""
    shape = walk.shapes[result]
    if node.inputs[2] not in walk.constants:
        value = walk.spread(node, walk.value(node, 2), shape)
        value = value if beta == 1 else walk.add(node, ops.Scale(walk.scalar(beta)), value)
        return walk.add(node, ops.Add(), result, value)
    constant = walk.aligned(node, 2, shape)
    if beta == 1:
        return walk.add(node, ops.Shift(constant), result)
    if walk.together(node, constant.shape, shape) != shape:
        raise refused(node, f"a bias of shape {constant.shape} meets values of shape {shape}")
    # Zeros that read nothing, plus the constant: rounded where the product with beta is, and nowhere else.
    zeros = walk.add(node, ops.Take(walk.shapes[0], np.full(shape or (1,), -1)), 0)
    shifted = walk.add(node, ops.Shift(np.broadcast_to(constant, walk.shapes[zeros])), zeros)
    scaled = walk.add(node, ops.Scale(walk.scalar(beta)), shifted)
    return walk.add(node, ops.Add(), result, scaled)


def _binary(walk: Walk, node: OnnxNode) -> Result:
    """Add, Sub, Mul, Div of two values, or of a value and a constant on either side."""
    allow(node)
    first, second = (name in walk.constants for name in (*node.inputs, "", "")[:2])
    if not first and not second:
        return _of_two(walk, node)
    first = first and not second  # Two constants whose result is rounded: the first is computed by the network.
    value = walk.value(node, 1 if first else 0)
    constant = walk.aligned(node, 0 if first else 1, walk.shapes[value])
    value = walk.spread(node, value, walk.together(node, walk.shapes[value], constant.shape))
    match node.kind:
        case "Add":
            return walk.add(node, ops.Shift(constant), value)
        case "Mul":
            return walk.add(node, ops.Scale(constant), value)
        case "Sub" if not first:
            # In NumPy the negative of an array without axes is a number, and no array.
            return walk.add(node, ops.Shift(np.asarray(-constant)), value)
        case "Sub":
            # c - x is (-x) + c: changing the sign is exact.
            return walk.add(node, ops.Shift(constant), _minus(walk, node, value))
        case "Div" if not first and np.all(constant != 0):
            return walk.add(node, ops.Divide(constant), value)
    raise refused(node, "it divides by what the network computes, or by zero", "a divisor that is nowhere zero")


def _minus(walk: Walk, node: OnnxNode, value: int) -> int:
    return walk.add(node, ops.Scale(walk.scalar(-1.0)), value)


def _of_two(walk: Walk, node: OnnxNode) -> int:
    if node.kind == "Div":
        raise refused(node, "it divides by what the network computes", "a constant divisor")
    values = [walk.value(node, position) for position in (0, 1)]
    shape = walk.together(node, *(walk.shapes[value] for value in values))
    first, second = (walk.spread(node, value, shape) for value in values)
    if node.kind == "Mul":
        return walk.add(node, ops.Multiply(), first, second)
    return walk.add(node, ops.Add(), first, _minus(walk, node, second) if node.kind == "Sub" else second)


def _negative(walk: Walk, node: OnnxNode) -> Result:
    allow(node)
    return _minus(walk, node, walk.value(node))


def _several(walk: Walk, node: OnnxNode) -> list[int]:
    values = [walk.value(node, position) for position in range(len(node.inputs))]
    shape = walk.together(node, *(walk.shapes[value] for value in values))
    return [walk.spread(node, value, shape) for value in values]


def _sum(walk: Walk, node: OnnxNode) -> Result:
    allow(node)
    values = _several(walk, node)
    return values[0] if len(values) == 1 else walk.add(node, ops.Add(), *values)


def _mean(walk: Walk, node: OnnxNode) -> Result:
    total = _sum(walk, node)
    assert isinstance(total, int)
    return total if len(node.inputs) == 1 else walk.add(node, ops.Divide(walk.scalar(float(len(node.inputs)))), total)


def _extreme(walk: Walk, node: OnnxNode) -> Result:
    """Max and Min of several: a bound by a number clips, else a window slides over them, put side by side."""
    allow(node)
    least = node.kind == "Min"
    ends = [walk.constants[name] for name in node.inputs if name in walk.constants]
    if len(node.inputs) == 2 and len(ends) == 1 and ends[0].size == 1 and ends[0].dtype.name == walk.file.dtype:
        value = walk.value(node, 1 if node.inputs[0] in walk.constants else 0)
        walk.aligned(node, 0 if node.inputs[0] in walk.constants else 1, walk.shapes[value])
        end = float(ends[0].reshape(()))
        clip = ops.Clip(-math.inf, end) if least else ops.Clip(end, math.inf)
        if walk.samples is None:
            value = walk.spread(node, value, walk.together(node, walk.shapes[value], ends[0].shape))
        return walk.add(node, clip, value)
    values = _several(walk, node)
    if len(values) == 1:
        return values[0]
    shape = walk.shapes[values[0]]
    columns = [walk.add(node, ops.Reshape((math.prod(shape), 1)), value) for value in values]
    found = _largest(walk, node, walk.add(node, ops.Concat(1), *columns), least)
    return walk.add(node, ops.Reshape(shape), found)


def _largest(walk: Walk, node: OnnxNode, value: int, least: bool) -> int:
    """The largest, or least, of each row; changing the sign is exact."""
    count = walk.shapes[value][1]
    value = _minus(walk, node, value) if least else value
    value = walk.add(node, ops.MaxPool((count,), (count,), (0,), (0,)), value)
    return _minus(walk, node, value) if least else value


def _reduced(walk: Walk, node: OnnxNode) -> Result:
    """ReduceSum, ReduceMean, ReduceMax and ReduceMin: what is put together becomes the last axis."""
    allow(node, axes=None, keepdims=(0, 1), noop_with_empty_axes=(0, 1))
    value, axes = walk.value(node), walk.integers(node, 1, "axes")
    shape = walk.shape(value)
    if not axes:
        if walk.whole(node, "noop_with_empty_axes", 0):
            return value
        axes = tuple(range(len(shape)))
    places = sorted(walk.axis(node, value, axis) for axis in axes_of(node, axes, len(shape)))
    inner = walk.shapes[value]
    kept = [axis for axis in range(len(inner)) if axis not in places]
    after: Shape = tuple(inner[axis] for axis in kept)
    count = math.prod(inner[axis] for axis in places)
    order = (*kept, *places)
    value = value if order == tuple(range(len(inner))) else walk.add(node, ops.Transpose(order), value)
    value = walk.add(node, ops.Reshape((math.prod(after), count)), value)
    if node.kind in ("ReduceSum", "ReduceMean"):
        value = walk.add(node, ops.Affine(np.ones((1, count), dtype=walk.file.dtype)), value)
        value = walk.add(node, ops.Divide(walk.scalar(float(count))), value) if node.kind == "ReduceMean" else value
    else:
        value = _largest(walk, node, value, node.kind == "ReduceMin")
    if walk.whole(node, "keepdims", 1):
        after = tuple(1 if axis in places else size for axis, size in enumerate(inner))
    return walk.add(node, ops.Reshape(after), value)


def _power(walk: Walk, node: OnnxNode) -> Result:
    """A square is a product of a value with itself, and the power 1 the value."""
    allow(node)
    exponent = walk.constant(node, 1)
    found = set() if exponent is None else {float(value) for value in exponent.reshape(-1)}
    if exponent is None or found not in ({1.0}, {2.0}):
        raise refused(node, f"its exponents are {sorted(found)[:5]}", "the constant 1 or 2")
    value = walk.value(node)
    shape = walk.shapes[value]
    if exponent.ndim > len(shape) or walk.together(node, exponent.shape, shape) != shape:
        raise refused(node, f"exponents of shape {exponent.shape} meet values of shape {shape}")
    return value if found == {1.0} else walk.add(node, ops.Multiply(), value, value)


def _magnitude(walk: Walk, node: OnnxNode) -> Result:
    """`max(x, 0) + max(-x, 0)`, one of which is 0."""
    allow(node)
    value = walk.value(node)
    sides = [walk.add(node, ops.Activation("relu"), side) for side in (value, _minus(walk, node, value))]
    return walk.add(node, ops.Add(), *sides)


def _prelu(walk: Walk, node: OnnxNode) -> Result:
    """`max(x, 0) + slope min(x, 0)`, one of which is 0."""
    allow(node)
    value = walk.value(node)
    slope = walk.aligned(node, 1, walk.shapes[value])
    if walk.together(node, slope.shape, walk.shapes[value]) != walk.shapes[value]:
        raise refused(node, f"slopes of shape {slope.shape} meet values of shape {walk.shapes[value]}")
    if slope.size and (slope == slope.reshape(-1)[0]).all():
        return walk.add(node, ops.Activation("leakyrelu", float(slope.reshape(-1)[0])), value)
    above = walk.add(node, ops.Activation("relu"), value)
    below = walk.add(node, ops.Clip(-math.inf, 0.0), value)
    return walk.add(node, ops.Add(), above, walk.add(node, ops.Scale(slope), below))


ARITHMETIC: dict[str, Operator] = {
    "Abs": _magnitude,
    "Add": _binary,
    "Div": _binary,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Max": _extreme,
    "Mean": _mean,
    "Min": _extreme,
    "Mul": _binary,
    "Neg": _negative,
    "PRelu": _prelu,
    "Pow": _power,
    "ReduceMax": _reduced,
    "ReduceMean": _reduced,
    "ReduceMin": _reduced,
    "ReduceSum": _reduced,
    "Sub": _binary,
    "Sum": _sum,
}
"""Operators by their ONNX names."""
