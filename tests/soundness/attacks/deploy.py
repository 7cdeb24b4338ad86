"""Named evaluations of a network in floating point: one fixed order of every sum, in NumPy, apart from the engine.

Each is one that the arithmetic `float32` (or `float64`) allows: `forward` is what the attack papers call the default
expression tree, left to right with the bias last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.soundness.floats import fused
from verifluxa.graph.graph import Graph, Node
from verifluxa.graph.ops import Activation, Affine, Conv, Divide, LogSoftmax, Scale, Shift, Softmax

Floats = NDArray[Any]
ORDERS = ("forward", "bias first", "backward", "backward, bias first", "pairwise", "lanes", "by size", "small first")


@dataclass(frozen=True)
class Deployment:
    """How sums are taken.

    Attributes:
        order: one of `ORDERS`.
        fused: in `forward` order, with fused multiply-add.
        flush: subnormal operands, weights and results count as zero.
    """

    order: str = "forward"
    fused: bool = False
    flush: bool = False

    def settle(self, values: Floats) -> Floats:
        """The values as they are read and stored."""
        return np.where(np.abs(values) < np.finfo(values.dtype).tiny, values * 0, values) if self.flush else values


EVERY = (*(Deployment(order) for order in ORDERS), Deployment(fused=True), Deployment(flush=True))
"""Evaluations to look through for one that misbehaves."""


def run(graph: Graph, inputs: NDArray[Any], how: Deployment) -> Floats:
    """The outputs in the graph's own float type, shape (S, *output_shape); overflow gives Inf and NaN, as deployed."""
    values = [how.settle(np.asarray(inputs, graph.dtype).reshape(-1, *graph.input_shape))]
    with np.errstate(all="ignore"):
        for node in graph.nodes[1:]:
            result = _ROWS[node.op.kind](node, how, *(values[source] for source in node.inputs))
            values.append(how.settle(result.reshape(len(result), *node.shape)))
    return values[-1]


def dot(left: Floats, right: Floats, bias: Floats | None, how: Deployment) -> Floats:
    """Inner products over the last axis of two arrays that broadcast."""
    left, right = np.broadcast_arrays(how.settle(left), how.settle(right))
    if how.fused:
        total = np.zeros(left.shape[:-1], left.dtype)
        for k in range(left.shape[-1]):
            total = how.settle(fused(total, left[..., k], right[..., k]))
        return total if bias is None else total + how.settle(bias)
    terms = how.settle(left * right)
    if bias is not None:
        last = np.broadcast_to(how.settle(bias)[..., None], (*terms.shape[:-1], 1))
        terms = np.concatenate([last, terms] if how.order.endswith("bias first") else [terms, last], axis=-1)
    return _SUMS[how.order.removesuffix(", bias first")](terms, bias is not None, how)


def _sequence(terms: Floats, biased: bool, how: Deployment) -> Floats:
    total = terms[..., 0]
    for k in range(1, terms.shape[-1]):
        total = how.settle(total + terms[..., k])
    return total


def _backward(terms: Floats, biased: bool, how: Deployment) -> Floats:
    """Right to left, but the bias stays at its end."""
    if not biased:
        return _sequence(terms[..., ::-1], False, how)
    if how.order.endswith("bias first"):
        return _sequence(np.concatenate([terms[..., :1], terms[..., :0:-1]], axis=-1), True, how)
    return _sequence(np.concatenate([terms[..., -2::-1], terms[..., -1:]], axis=-1), True, how)


def _pairwise(terms: Floats, biased: bool, how: Deployment) -> Floats:
    """Halves, their halves and so on; the bias last."""
    if biased:
        return how.settle(_pairwise(terms[..., :-1], False, how) + terms[..., -1])
    size = terms.shape[-1]
    if size == 1:
        return terms[..., 0]
    halves = (terms[..., : size // 2], terms[..., size // 2 :])
    return how.settle(_pairwise(halves[0], False, how) + _pairwise(halves[1], False, how))


def _lanes(terms: Floats, biased: bool, how: Deployment) -> Floats:
    """Eight running sums, as in SIMD registers, then those in sequence; the bias last."""
    products = terms[..., :-1] if biased else terms
    parts = [_sequence(products[..., k::8], False, how) for k in range(min(8, products.shape[-1]))]
    return _sequence(np.stack([*parts, *([terms[..., -1]] if biased else [])], axis=-1), False, how)


def _sorted(terms: Floats, biased: bool, how: Deployment, sign: int) -> Floats:
    """Products by their size, the bias last."""
    products, bias = (terms[..., :-1], terms[..., -1:]) if biased else (terms, terms[..., :0])
    order = np.argsort(sign * np.abs(products), axis=-1, kind="stable")
    return _sequence(np.concatenate([np.take_along_axis(products, order, axis=-1), bias], axis=-1), False, how)


_SUMS: dict[str, Callable[..., Floats]] = {
    "forward": _sequence,
    "bias first": _sequence,
    "backward": _backward,
    "pairwise": _pairwise,
    "lanes": _lanes,
    "by size": partial(_sorted, sign=-1),
    "small first": partial(_sorted, sign=1),
}


def _typed(constant: NDArray[Any], like: Floats, how: Deployment) -> Floats:
    return how.settle(constant.astype(like.dtype))


def _affine(node: Node, how: Deployment, x: Floats) -> Floats:
    assert isinstance(node.op, Affine)
    bias = None if node.op.bias is None else _typed(node.op.bias, x, how)
    return dot(x[..., None, :], _typed(node.op.weight, x, how), bias, how)


def _conv(node: Node, how: Deployment, x: Floats) -> Floats:
    """Each window is one sum over all its values, zeros of the padding included."""
    op = node.op
    assert isinstance(op, Conv)
    assert (op.groups, op.dilation) == (1, (1, 1))
    padded = np.pad(x, [(0, 0), (0, 0), *zip(op.pad_low, op.pad_high, strict=True)])
    views = np.lib.stride_tricks.sliding_window_view(padded, op.weight.shape[2:], axis=(2, 3))
    views = views[:, :, :: op.stride[0], :: op.stride[1]]
    columns = np.moveaxis(views, 1, 3).reshape(len(x), 1, -1, math.prod(op.weight.shape[1:]))
    kernel = _typed(op.weight, x, how).reshape(op.weight.shape[0], 1, -1)
    bias = None if op.bias is None else _typed(op.bias, x, how)[:, None]
    return dot(columns, kernel, bias, how)


def _activation(node: Node, how: Deployment, x: Floats) -> Floats:
    assert isinstance(node.op, Activation)
    assert node.op.function == "relu"
    return np.maximum(x, 0)


def _shift(node: Node, how: Deployment, x: Floats) -> Floats:
    assert isinstance(node.op, Shift)
    return x + _typed(node.op.value, x, how)


def _scale(node: Node, how: Deployment, x: Floats) -> Floats:
    assert isinstance(node.op, Scale)
    return x * _typed(node.op.factor, x, how)


def _divide(node: Node, how: Deployment, x: Floats) -> Floats:
    assert isinstance(node.op, Divide)
    return x / _typed(node.op.divisor, x, how)


def _add(node: Node, how: Deployment, *branches: Floats) -> Floats:
    return _sequence(np.stack(branches, axis=-1), False, how)


def _exponentials(axis: int, x: Floats) -> tuple[Floats, Floats]:
    below = x - x.max(axis=axis + 1, keepdims=True)
    return below, np.exp(below)


def _softmax(node: Node, how: Deployment, x: Floats) -> Floats:
    assert isinstance(node.op, Softmax)
    _, raised = _exponentials(node.op.axis, x)
    result: Floats = raised / raised.sum(axis=node.op.axis + 1, keepdims=True)
    return result


def _logsoftmax(node: Node, how: Deployment, x: Floats) -> Floats:
    assert isinstance(node.op, LogSoftmax)
    below, raised = _exponentials(node.op.axis, x)
    result: Floats = below - np.log(raised.sum(axis=node.op.axis + 1, keepdims=True))
    return result


_ROWS: dict[str, Callable[..., Floats]] = {
    "affine": _affine,
    "conv": _conv,
    "activation": _activation,
    "shift": _shift,
    "scale": _scale,
    "divide": _divide,
    "add": _add,
    "reshape": lambda node, how, x: x,
    "softmax": _softmax,
    "logsoftmax": _logsoftmax,
}
