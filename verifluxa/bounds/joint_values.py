"""Values and interval radii, on untouched inputs, of operations that are no function of one value; and their parts.

One row per operation in `JOINT_VALUES`: values in float64 and how far any allowed deployed evaluation may be off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from verifluxa.bounds.curves import Curve
from verifluxa.bounds.rounding import JOINT_TERMS, RADIUS_SAFETY, Rounding
from verifluxa.graph.ops import Embedding, LogSoftmax, Normalise, Op, Shape, Softmax

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Ball = tuple[Floats, Floats]
"""A value and its radius, shape (N, size) each."""

FLOOR = 1 - 2.0**-20
"""Share of epsilon that a rounded `variance + epsilon` cannot fall below."""


def groups_of(op: Normalise, shape: Shape) -> tuple[int, int]:
    """How many groups are normalised, and how many values each has."""
    size = math.prod(shape[len(shape) - op.axes :])
    return math.prod(shape) // size, size


def inverse(op: Normalise, rounding: Rounding) -> Curve:
    """`1 / sqrt(v)` of `v = variance + epsilon`, or `1 / (sqrt(v) + epsilon)` of the variance.

    An epsilon that the float type does not hold, or holds as a subnormal number, may be 0 in a deployed evaluation: the
    function is then infinite where the variance may be 0.
    """
    least = op.epsilon - float(rounding.flushed(np.array(op.epsilon)))
    if op.by_deviation:
        return Curve("inverse deviation", 0.0, least)
    return Curve("inverse root", least * FLOOR)


def lines_of(axis: int, shape: Shape) -> Integers:
    """Flat indices of the values along an axis, shape (lines, n)."""
    flat = np.arange(int(np.prod(shape))).reshape(shape)
    lines: Integers = np.moveaxis(flat, axis, -1).reshape(-1, shape[axis])
    return lines


def softmax_error(op: Softmax | LogSoftmax, shape: Shape, rounding: Rounding) -> tuple[float, float]:
    """Error of a deployed softmax: relative to its result, and absolute."""
    terms = JOINT_TERMS[op.kind](op, shape)
    relative = rounding.coefficient(terms)
    # The relative error of the sum is an absolute one of its logarithm.
    absolute = relative if isinstance(op, LogSoftmax) else rounding.coefficient(1)
    return relative, absolute + rounding.tiny(terms)


class Sums(NamedTuple):
    """A matrix product as a list: output `out` is the sum of `first[a] * second[b]` over its entries."""

    out: Integers
    a: Integers
    b: Integers

    def take(self, mask: NDArray[np.bool_]) -> Sums:
        """Some of the products."""
        return Sums(self.out[mask], self.a[mask], self.b[mask])


def products_of(first: Shape, second: Shape) -> Sums:
    """All products of (*batch, n, k) by (*batch, k, m), as flat indices."""
    *batch, rows, inner = first
    columns = second[-1]
    many = int(np.prod(batch))
    block, i, j, k = np.meshgrid(*(np.arange(n) for n in (many, rows, columns, inner)), indexing="ij")
    out, a = (block * rows + i) * columns + j, (block * rows + i) * inner + k
    return Sums(out.ravel(), a.ravel(), ((block * inner + k) * columns + j).ravel())


def _product(first: Ball, second: Ball, rounding: Rounding, terms: int) -> Ball:
    """`x * y`, elementwise."""
    (a, e), (b, f) = first, second
    size = (np.abs(a) + e) * (np.abs(b) + f)
    spread = (np.abs(a) + e) * f + e * np.abs(b)
    return a * b, RADIUS_SAFETY * spread + rounding.coefficient(terms) * size + rounding.tiny(terms)


def _multiply(op: Op, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    return _product(operands[0], operands[1], rounding, JOINT_TERMS["multiply"](op, shapes[0]))


def _matmul(op: Op, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    count = len(operands[0][0])
    (a, e), (b, f) = (
        tuple(part.reshape(count, *shape) for part in ball) for ball, shape in zip(operands, shapes, strict=True)
    )
    terms = JOINT_TERMS["matmul"](op, shapes[0])
    spread = (np.abs(a) + e) @ f + e @ np.abs(b)
    fresh = rounding.coefficient(terms) * ((np.abs(a) + e) @ (np.abs(b) + f))
    radius = RADIUS_SAFETY * spread + fresh + rounding.tiny(terms)
    return (a @ b).reshape(count, -1), radius.reshape(count, -1)


def _embedding(op: Embedding, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    """No number where a word is none: nothing is then proved about the input."""
    words, off = operands[0]
    rows = len(op.weight)
    known = (words == np.round(words)) & (words >= 0) & (words < rows) & (off == 0)
    features = op.weight.astype(np.float64)[np.where(known, words, 0).astype(np.int64)]
    value = np.where(known[..., None], features, np.nan).reshape(len(words), -1)
    return value, rounding.flushed(value)


def _normalise(op: Normalise, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    """The steps of `bounds.normal`, each with its own radius; infinite where a step may overflow."""
    groups, size = groups_of(op, shapes[0])
    x, e = (part.reshape(len(part), groups, size) for part in operands[0])
    terms = JOINT_TERMS["normalise"](op, shapes[0])
    scale, tiny = rounding.coefficient(terms), rounding.tiny(terms)

    def with_mean(part: Floats) -> Floats:
        return np.asarray(part + part.mean(2, keepdims=True))

    centred = x - x.mean(2, keepdims=True)
    off = RADIUS_SAFETY * with_mean(e) + scale * with_mean(np.abs(x) + e) + tiny
    square, spread = centred**2, 2 * np.abs(centred) * off + off**2
    epsilon = 0.0 if op.by_deviation else op.epsilon
    variance = square.mean(2, keepdims=True) + epsilon
    wide = RADIUS_SAFETY * spread.mean(2, keepdims=True)
    wide = wide + scale * ((square + spread).mean(2, keepdims=True) + epsilon) + tiny
    quotient = _curve(inverse(op, rounding), variance, wide)
    quotient_terms = JOINT_TERMS["quotient"](op, shapes[0])
    value, radius = _product((centred, off), quotient, rounding, quotient_terms)
    fits = (off < rounding.largest_radius).all(2, keepdims=True) & (wide < rounding.largest_radius)
    return value.reshape(len(x), -1), np.where(fits, radius, np.inf).reshape(len(x), -1)


def _curve(curve: Curve, at: Floats, off: Floats) -> Ball:
    """A curve's value, and how far it moves within a radius of its argument."""
    ends = [torch.from_numpy(np.ascontiguousarray(part)) for part in (at - off, at + off)]
    value = curve.value(torch.from_numpy(at)).numpy()
    least, most = (part.numpy() for part in curve.span(*ends))
    return value, RADIUS_SAFETY * np.maximum(most - value, value - least)


def _softmax(op: Softmax | LogSoftmax, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    """Values that move by at most e move a probability by at most the factor exp(2 e), its logarithm by 2 e."""
    value, off = operands[0]
    lines = lines_of(op.axis, shapes[0])
    x, e = value[:, lines], off[:, lines].max(2, keepdims=True)
    shifted = x - x.max(2, keepdims=True)
    logarithm = shifted - np.log(np.exp(shifted).sum(2, keepdims=True))
    relative, absolute = softmax_error(op, shapes[0], rounding)
    if isinstance(op, LogSoftmax):
        result, moved = logarithm, RADIUS_SAFETY * 2 * e + np.zeros_like(x)
    else:
        result = np.exp(logarithm)
        moved = np.minimum(RADIUS_SAFETY * result * np.expm1(2 * e), 1.0)
    flat, radius = np.empty_like(value), np.empty_like(value)
    flat[:, lines], radius[:, lines] = result, moved + relative * (np.abs(result) + moved) + absolute
    return flat, radius


def joint_width(op: Op, shapes: list[Shape]) -> int:
    """The widest state that an operation of `JOINT_VALUES` needs; 0 for others."""
    sizes = [math.prod(shape) for shape in shapes]
    if isinstance(op, Softmax | LogSoftmax):
        return sizes[0] * shapes[0][op.axis]
    if op.kind == "matmul":
        return sizes[0] * shapes[1][-1] + sizes[1]
    return 3 * max(sizes, default=0) if op.kind in JOINT_VALUES else 0


JOINT_VALUES: dict[str, Callable[..., Ball]] = {
    "multiply": _multiply,
    "matmul": _matmul,
    "embedding": _embedding,
    "normalise": _normalise,
    "softmax": _softmax,
    "logsoftmax": _softmax,
}
