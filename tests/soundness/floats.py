"""One IEEE binary32 evaluation of a network among all those that the arithmetic `float32` allows.

Sums are taken in a random order by a random scheme (in sequence, in sequence with fused multiply-add,
in lanes, as a balanced tree, as a random tree); the bias starts the sum or ends it; subnormal results
are kept or flushed. Every single operation is rounded to nearest, so each run is one that hardware may do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.graph import Graph, Node
from verifluxa.graph.ops import (
    Activation,
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    Divide,
    Embedding,
    LogSoftmax,
    MaxPool,
    MeanPool,
    Normalise,
    Scale,
    Shift,
    Sizes,
    Softmax,
    Take,
    Transpose,
)
from verifluxa.question import AffineInputMap

Floats = NDArray[np.float32]
Generator = np.random.Generator
TINY = np.float32(2.0**-126)


@dataclass(frozen=True, eq=False)
class Order:
    """How sums are taken in one evaluation."""

    random: Generator
    flush: bool

    def settle(self, values: Floats) -> Floats:
        """The values as stored: subnormals are zero where the hardware flushes them."""
        return np.where(np.abs(values) < TINY, np.float32(0), values) if self.flush else values


def evaluate(graph: Graph, inputs: NDArray[Any], random: Generator) -> Floats:
    """The outputs of one allowed evaluation, shape (S, *output_shape); inputs (S, *input_shape)."""
    return trace(graph, inputs, random)[-1]


def trace(graph: Graph, inputs: NDArray[Any], random: Generator) -> list[Floats]:
    """The values of all nodes in one allowed evaluation, samples first."""
    order = Order(random, bool(random.integers(2)))
    start = np.asarray(inputs, np.float32).reshape(-1, *graph.input_shape)
    values = [start]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for node in graph.nodes[1:]:
            row = _ROWS[node.op.kind]
            values.append(order.settle(row(node, order, *(values[source] for source in node.inputs))))
    return values


def stamped(stamp: AffineInputMap, inputs: NDArray[Any], trigger: NDArray[Any]) -> Floats:
    """Inputs (S, values) with a replacing trigger in them; exact in floats."""
    if not stamp.replaces:
        raise ValueError("only a stamp without arithmetic is exact in floats")
    whole = np.array(inputs, np.float32).reshape(len(inputs), -1)
    whole[:, stamp.positions] = np.asarray(trigger, np.float32)
    return whole


def fused(total: Floats, left: Floats, right: Floats) -> Floats:
    """`left * right + total` rounded once: float64 rounded to odd, then to nearest (Boldo and Melquiond 2008)."""
    product = left.astype(np.float64) * right.astype(np.float64)  # exact: 24 + 24 bits
    addend = total.astype(np.float64)
    near = product + addend
    shifted = near - product
    rest = (product - (near - shifted)) + (addend - shifted)
    even = (np.ascontiguousarray(near).view(np.int64) & 1) == 0
    odd = np.where((rest != 0) & even, np.nextafter(near, np.copysign(np.inf, rest)), near)
    return odd.astype(np.float32)


def _sequence(left: Floats, right: Floats, start: Floats, order: Order) -> Floats:
    total = start
    for k in range(left.shape[-1]):
        total = order.settle(total + order.settle(left[..., k] * right[..., k]))
    return total


def _sequence_fused(left: Floats, right: Floats, start: Floats, order: Order) -> Floats:
    total = start
    for k in range(left.shape[-1]):
        total = order.settle(fused(total, left[..., k], right[..., k]))
    return total


def _lanes(left: Floats, right: Floats, start: Floats, order: Order) -> Floats:
    width = int(order.random.choice([2, 4, 8]))
    scheme = _sequence if order.random.integers(2) else _sequence_fused
    zero = np.zeros_like(start)
    parts = [scheme(left[..., k::width], right[..., k::width], zero, order) for k in range(width)]
    return _tree([start, *parts], order, shuffle=False)


def _balanced(left: Floats, right: Floats, start: Floats, order: Order) -> Floats:
    return _tree([start, *_products(left, right, order)], order, shuffle=False)


def _random_tree(left: Floats, right: Floats, start: Floats, order: Order) -> Floats:
    return _tree([start, *_products(left, right, order)], order, shuffle=True)


def _products(left: Floats, right: Floats, order: Order) -> list[Floats]:
    return [order.settle(left[..., k] * right[..., k]) for k in range(left.shape[-1])]


def _tree(terms: list[Floats], order: Order, shuffle: bool) -> Floats:
    while len(terms) > 1:
        first = int(order.random.integers(len(terms) - 1)) if shuffle else 0
        pair = order.settle(terms[first] + terms[first + 1])
        terms = [*terms[:first], pair, *terms[first + 2 :]] if shuffle else [*terms[2:], pair]
    return terms[0]


_SCHEMES = (_sequence, _sequence_fused, _lanes, _balanced, _random_tree)


def _dot(left: Floats, right: Floats, bias: Floats | None, order: Order) -> Floats:
    """Inner products over the last axis (broadcast), with the bias as first or as last term."""
    shuffled = order.random.permutation(left.shape[-1])
    scheme: Callable[..., Floats] = _SCHEMES[int(order.random.integers(len(_SCHEMES)))]
    zero = np.zeros(np.broadcast_shapes(left.shape[:-1], right.shape[:-1]), np.float32)
    if bias is None:
        return scheme(left[..., shuffled], right[..., shuffled], zero, order)
    if order.random.integers(2):
        return scheme(left[..., shuffled], right[..., shuffled], zero + bias, order)
    return scheme(left[..., shuffled], right[..., shuffled], zero, order) + bias


def _affine(node: Node, order: Order, x: Floats) -> Floats:
    assert isinstance(node.op, Affine)
    weight, bias = node.op.weight.astype(np.float32), node.op.bias
    return _dot(weight, x[..., None, :], None if bias is None else bias.astype(np.float32), order)


def _conv(node: Node, order: Order, x: Floats) -> Floats:
    op = node.op
    assert isinstance(op, Conv)
    padded = _pad(x, op.pad_low, op.pad_high, 0.0)
    window = op.weight.shape[2:]
    offsets = [tuple(o * d for o, d in zip(offset, op.dilation, strict=True)) for offset in np.ndindex(*window)]
    views = np.stack([_window(padded, node.shape[1:], op.stride, offset) for offset in offsets], axis=-1)
    grouped = views.reshape(len(x), op.groups, -1, *views.shape[2:])  # (S, groups, inputs, *sizes, offsets)
    columns = np.moveaxis(grouped, 2, -2)
    columns = columns.reshape(*columns.shape[:-2], -1)  # (S, groups, *sizes, inputs * offsets)
    weight = op.weight.astype(np.float32).reshape(op.groups, -1, math.prod(op.weight.shape[1:]))
    kernel = weight[:, :, *(None,) * len(window), :]
    result = _dot(kernel, columns[:, :, None], _column(op.bias, op.groups, len(window)), order)
    return result.reshape(len(x), *node.shape)


def _column(bias: NDArray[Any] | None, groups: int, axes: int) -> Floats | None:
    return None if bias is None else bias.astype(np.float32).reshape(groups, -1, *(1,) * axes)


def _pad(values: Floats, low: Sizes, high: Sizes, fill: float) -> Floats:
    return np.pad(values, [(0, 0), (0, 0), *zip(low, high, strict=True)], constant_values=fill)


def _window(padded: Floats, sizes: Sizes, stride: Sizes, offset: Sizes) -> Floats:
    steps = zip(sizes, stride, offset, strict=True)
    return padded[(slice(None), slice(None), *(slice(o, o + (n - 1) * s + 1, s) for n, s, o in steps))]


def _pool(node: Node, order: Order, x: Floats) -> Floats:
    op = node.op
    assert isinstance(op, (MaxPool, MeanPool))
    padded = _pad(x, op.pad_low, op.pad_high, 0.0 if isinstance(op, MeanPool) else -np.inf)
    views = np.stack([_window(padded, node.shape[1:], op.stride, offset) for offset in np.ndindex(*op.window)], axis=-1)
    if isinstance(op, MaxPool):
        return np.asarray(views.max(axis=-1), np.float32)
    total = _dot(np.ones(views.shape[-1], np.float32), views, None, order)
    size = np.float32(views.shape[-1])
    return total / size if order.random.integers(2) else total * (np.float32(1) / size)


def _activation(node: Node, order: Order, x: Floats) -> Floats:
    op = node.op
    assert isinstance(op, Activation)
    if op.function == "identity":
        return x
    if op.function == "relu":
        return np.maximum(x, np.float32(0))
    if op.function == "leakyrelu" and op.parameter is not None:
        return np.asarray(np.where(x > 0, x, np.float32(op.parameter) * x), np.float32)
    if op.function == "round":
        return np.asarray(np.rint(x), np.float32)
    if op.function == "trelu":
        return np.asarray(np.where(x > np.float32(1 if op.parameter is None else op.parameter), x, 0), np.float32)
    if op.function in ("tanh", "tanh_fast"):
        return np.asarray(np.tanh(x), np.float32)
    if op.function.startswith("sigmoid"):
        return np.asarray(np.float32(1) / (np.float32(1) + np.exp(-x)), np.float32)
    raise ValueError(f"no float evaluation of {op.function}")


def _clip(node: Node, order: Order, x: Floats) -> Floats:
    assert isinstance(node.op, Clip)
    return np.clip(x, np.float32(node.op.low), np.float32(node.op.high))


def _shift(node: Node, order: Order, x: Floats) -> Floats:
    assert isinstance(node.op, Shift)
    return x + node.op.value.astype(np.float32)


def _scale(node: Node, order: Order, x: Floats) -> Floats:
    assert isinstance(node.op, Scale)
    return x * order.settle(node.op.factor.astype(np.float32))


def _divide(node: Node, order: Order, x: Floats) -> Floats:
    """Hardware that flushes may also multiply by the reciprocal."""
    assert isinstance(node.op, Divide)
    divisor = node.op.divisor.astype(np.float32)
    if order.flush:
        return x * order.settle(np.asarray(np.float32(1) / order.settle(divisor), np.float32))
    return np.asarray(x / divisor, np.float32)


def _batchnorm(node: Node, order: Order, x: Floats) -> Floats:
    """In one of its forms; every result on the way may be flushed, constants too."""
    op = node.op
    assert isinstance(op, BatchNorm)
    wide = (-1, *(1,) * (x.ndim - 2))
    mean, variance = (order.settle(part.astype(np.float32)).reshape(wide) for part in (op.mean, op.variance))
    one, zero = np.ones_like(mean), np.zeros_like(mean)
    factor, shift = (
        usual if part is None else order.settle(part.astype(np.float32)).reshape(wide)
        for part, usual in ((op.factor, one), (op.shift, zero))
    )
    deviation = np.sqrt(order.settle(variance + order.settle(np.float32([op.epsilon]))))
    scale = order.settle(factor / deviation if order.random.integers(2) else factor * order.settle(one / deviation))
    x = order.settle(x)
    apart = order.settle(x - mean)
    forms: list[Callable[[], Floats]] = [
        lambda: order.settle(x * scale) + order.settle(shift - order.settle(scale * mean)),
        lambda: fused(*np.broadcast_arrays(order.settle(fused(shift, -scale, mean)), x, scale)),
        lambda: order.settle(apart * scale) + shift,
        lambda: order.settle(factor * order.settle(apart / deviation)) + shift,
        lambda: order.settle(order.settle(factor * apart) / deviation) + shift,
    ]
    return np.asarray(forms[int(order.random.integers(len(forms)))](), np.float32)


def _reshape(node: Node, order: Order, x: Floats) -> Floats:
    return x.reshape(len(x), *node.shape)


def _transpose(node: Node, order: Order, x: Floats) -> Floats:
    assert isinstance(node.op, Transpose)
    return x.transpose(0, *(axis + 1 for axis in node.op.order))


def _take(node: Node, order: Order, x: Floats) -> Floats:
    assert isinstance(node.op, Take)
    taken = x.reshape(len(x), -1)[:, node.op.index]
    return np.asarray(np.where(node.op.index < 0, np.float32(0), taken), np.float32)


def _sum(node: Node, order: Order, *branches: Floats) -> Floats:
    total = branches[0]
    for branch in branches[1:]:
        total = total + branch
    return total


def _concat(node: Node, order: Order, *branches: Floats) -> Floats:
    assert isinstance(node.op, Concat)
    return np.concatenate(branches, axis=node.op.axis + 1)


def _multiply(node: Node, order: Order, first: Floats, second: Floats) -> Floats:
    return np.asarray(first * second, np.float32)


def _matmul(node: Node, order: Order, first: Floats, second: Floats) -> Floats:
    return _dot(first[..., :, None, :], np.swapaxes(second, -1, -2)[..., None, :, :], None, order)


def _embedding(node: Node, order: Order, x: Floats) -> Floats:
    assert isinstance(node.op, Embedding)
    return np.asarray(node.op.weight.astype(np.float32)[x.astype(np.int64)], np.float32)


def _mean(x: Floats, order: Order) -> Floats:
    total = _dot(np.ones(x.shape[-1], np.float32), x, None, order)[..., None]
    size = np.float32(x.shape[-1])
    return np.asarray(total / size if order.random.integers(2) else total * (np.float32(1) / size), np.float32)


def _normalise(node: Node, order: Order, x: Floats) -> Floats:
    op = node.op
    assert isinstance(op, Normalise)
    flat = x.reshape(*x.shape[: x.ndim - op.axes], -1)
    centred = order.settle(flat - _mean(flat, order))
    variance = order.settle(_mean(order.settle(centred * centred), order))
    epsilon = np.float32(op.epsilon)
    deviation = np.sqrt(variance) + epsilon if op.by_deviation else np.sqrt(variance + epsilon)
    divided = centred / deviation if order.random.integers(2) else centred * (np.float32(1) / deviation)
    return np.asarray(divided.reshape(x.shape), np.float32)


def _softmax(node: Node, order: Order, x: Floats) -> Floats:
    op = node.op
    assert isinstance(op, Softmax | LogSoftmax)
    moved = np.moveaxis(x, op.axis + 1, -1)
    shifted = moved - moved.max(-1, keepdims=True)
    powers = order.settle(np.exp(shifted).astype(np.float32))
    total = _dot(np.ones(moved.shape[-1], np.float32), powers, None, order)[..., None]
    if isinstance(op, LogSoftmax):
        result = shifted - np.log(total)
    else:
        result = powers / total if order.random.integers(2) else powers * (np.float32(1) / total)
    return np.asarray(np.moveaxis(result, -1, op.axis + 1), np.float32)


_ROWS: dict[str, Callable[..., Floats]] = {
    "affine": _affine,
    "conv": _conv,
    "shift": _shift,
    "scale": _scale,
    "divide": _divide,
    "batchnorm": _batchnorm,
    "clip": _clip,
    "activation": _activation,
    "maxpool": _pool,
    "meanpool": _pool,
    "reshape": _reshape,
    "transpose": _transpose,
    "take": _take,
    "add": _sum,
    "concat": _concat,
    "multiply": _multiply,
    "matmul": _matmul,
    "embedding": _embedding,
    "normalise": _normalise,
    "softmax": _softmax,
    "logsoftmax": _softmax,
}
