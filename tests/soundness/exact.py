"""Exact values of a network: integers over one common denominator per tensor, so nothing is ever rounded.

Written apart from the engine (no torch, no code of `verifluxa.graph.run`), so that a mistake there shows
here. Values carry a sample axis in front, as in `Graph.run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.graph import Graph, Node
from verifluxa.graph.ops import Activation, BatchNorm, Clip, Concat, Conv, MaxPool, MeanPool, Sizes, Take, Transpose

Integers = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Exact:
    """`numerators / denominator`: Python integers in an object array, and one positive integer."""

    numerators: Integers
    denominator: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.numerators.shape

    def fractions(self) -> NDArray[np.object_]:
        """The same values as an object array of `Fraction`."""
        flat = [Fraction(value, self.denominator) for value in self.numerators.ravel().tolist()]
        return objects(flat, self.shape)

    def reshape(self, *shape: int) -> Exact:
        """The same values in C order under another shape."""
        return Exact(self.numerators.reshape(shape), self.denominator)


def objects(values: Sequence[object], shape: tuple[int, ...]) -> NDArray[np.object_]:
    """An object array of the given shape (NumPy must not guess a number type)."""
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result.reshape(shape)


def exact(values: Any) -> Exact:
    """Floats, integers or Fractions (an array or nested lists), taken exactly."""
    array = np.asarray(values)
    fractions = [Fraction(value) for value in array.ravel().tolist()]
    denominator = math.lcm(1, *(fraction.denominator for fraction in fractions))
    numerators = [f.numerator * (denominator // f.denominator) for f in fractions]
    return Exact(objects(numerators, array.shape), denominator)


def align(first: Exact, second: Exact) -> tuple[Integers, Integers, int]:
    """Both numerators over one denominator, and that denominator."""
    common = math.lcm(first.denominator, second.denominator)
    left = first.numerators * (common // first.denominator)
    return left, second.numerators * (common // second.denominator), common


def add(first: Exact, second: Exact) -> Exact:
    """The sum, with broadcasting."""
    left, right, common = align(first, second)
    return Exact(left + right, common)


def multiply(first: Exact, second: Exact) -> Exact:
    """The elementwise product, with broadcasting."""
    return Exact(first.numerators * second.numerators, first.denominator * second.denominator)


def linear(values: Exact, weight: Exact) -> Exact:
    """`values @ weight.T` over the last axis: weight (out, in)."""
    product = np.dot(values.numerators, weight.numerators.T)
    return Exact(product, values.denominator * weight.denominator)


def larger(first: Exact, second: Exact) -> Exact:
    """The elementwise maximum, with broadcasting."""
    left, right, common = align(first, second)
    return Exact(np.where(left > right, left, right), common)


def smaller(first: Exact, second: Exact) -> Exact:
    """The elementwise minimum, with broadcasting."""
    left, right, common = align(first, second)
    return Exact(np.where(left < right, left, right), common)


Constants = dict[str, Exact]


class ExactNetwork:
    """A graph with its stored constants taken exactly."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._constants = [_constants(node) for node in graph.nodes]

    def trace(self, inputs: Exact) -> list[Exact]:
        """The value of every node; inputs (S, *input_shape) or (S, values)."""
        samples = inputs.shape[0]
        values = [inputs.reshape(samples, *self.graph.input_shape)]
        for node, constants in zip(self.graph.nodes[1:], self._constants[1:], strict=True):
            sources = [values[source] for source in node.inputs]
            values.append(_ROWS[node.op.kind](node, constants, *sources))
        return values

    def run(self, inputs: Exact) -> Exact:
        """The network's output, shape (S, *output_shape)."""
        return self.trace(inputs)[-1]


def _constants(node: Node) -> Constants:
    named = ((field.name, getattr(node.op, field.name)) for field in fields(node.op))
    return {name: exact(value) for name, value in named if isinstance(value, np.ndarray)}


def _affine(node: Node, constants: Constants, x: Exact) -> Exact:
    product = linear(x, constants["weight"])
    return add(product, constants["bias"]) if "bias" in constants else product


def _conv(node: Node, constants: Constants, x: Exact) -> Exact:
    op = node.op
    assert isinstance(op, Conv)
    weight = constants["weight"].numerators
    padded = _pad(x.numerators, op.pad_low, op.pad_high, 0)
    total = objects([0] * (x.shape[0] * math.prod(node.shape)), (x.shape[0], *node.shape))
    outputs, inputs = weight.shape[0] // op.groups, weight.shape[1]
    for offset in np.ndindex(*weight.shape[2:]):
        view = _window(
            padded, node.shape[1:], op.stride, tuple(o * d for o, d in zip(offset, op.dilation, strict=True))
        )
        for group in range(op.groups):
            rows = slice(group * outputs, (group + 1) * outputs)
            kernel = weight[(rows, slice(None), *offset)]
            product = np.tensordot(kernel, view[:, group * inputs : (group + 1) * inputs], axes=(1, 1))
            total[:, rows] = total[:, rows] + np.moveaxis(product, 0, 1)
    result = Exact(total, x.denominator * constants["weight"].denominator)
    if "bias" not in constants:
        return result
    bias = constants["bias"]
    return add(result, bias.reshape(*bias.shape, *(1,) * (len(node.shape) - 1)))


def _pad(values: Integers, low: Sizes, high: Sizes, fill: int) -> Integers:
    sizes = [size + a + b for size, a, b in zip(values.shape[2:], low, high, strict=True)]
    padded = np.full((*values.shape[:2], *sizes), fill, dtype=object)
    inner = tuple(slice(a, a + size) for a, size in zip(low, values.shape[2:], strict=True))
    padded[(slice(None), slice(None), *inner)] = values
    return padded


def _window(padded: Integers, sizes: Sizes, stride: Sizes, offset: Sizes) -> Integers:
    """The values that every window has at one offset: shape (S, channels, *sizes)."""
    steps = zip(sizes, stride, offset, strict=True)
    return padded[(slice(None), slice(None), *(slice(o, o + (n - 1) * s + 1, s) for n, s, o in steps))]


def windows(node: Node, x: Exact) -> list[Integers]:
    """For a pool: the numerators at each offset of the window; padding is below everything (max) or zero (mean)."""
    op = node.op
    assert isinstance(op, (MaxPool, MeanPool))
    fill = 0 if isinstance(op, MeanPool) else int(x.numerators.min()) - 1
    padded = _pad(x.numerators, op.pad_low, op.pad_high, fill)
    return [_window(padded, node.shape[1:], op.stride, offset) for offset in np.ndindex(*op.window)]


def _maxpool(node: Node, constants: Constants, x: Exact) -> Exact:
    return Exact(np.max(np.stack(windows(node, x)), axis=0), x.denominator)


def _meanpool(node: Node, constants: Constants, x: Exact) -> Exact:
    views = windows(node, x)
    return Exact(np.sum(np.stack(views), axis=0), x.denominator * len(views))


def _activation(node: Node, constants: Constants, x: Exact) -> Exact:
    op = node.op
    assert isinstance(op, Activation)
    if op.function == "identity":
        return x
    if op.function == "relu":
        return larger(x, exact(0))
    if op.function == "leakyrelu":
        return larger(x, multiply(x, exact(slope(op))))
    raise ValueError(f"no exact value of {op.function}")


def slope(op: Activation) -> float:
    """The slope of leakyrelu below 0; one that every float type holds, so that its value is beyond doubt."""
    value = op.parameter
    if value is None or not 0 <= value <= 1 or float(np.float32(value)) != value:
        raise ValueError("only slopes in 0..1 that float32 holds exactly")
    return value


def _clip(node: Node, constants: Constants, x: Exact) -> Exact:
    assert isinstance(node.op, Clip)
    return smaller(larger(x, exact(node.op.low)), exact(node.op.high))


def _divide(node: Node, constants: Constants, x: Exact) -> Exact:
    inverse = [1 / fraction for fraction in constants["divisor"].fractions().ravel().tolist()]
    return multiply(x, exact(objects(inverse, constants["divisor"].shape)))


def _batchnorm(node: Node, constants: Constants, x: Exact) -> Exact:
    """Only where the root is a rational number."""
    op = node.op
    assert isinstance(op, BatchNorm)
    wide = (-1, *(1,) * (len(node.shape) - 1))
    inverse = []
    for variance in constants["variance"].fractions().tolist():
        square = variance + Fraction(op.epsilon)
        root = Fraction(math.isqrt(square.numerator), math.isqrt(square.denominator))
        if root * root != square:
            raise ValueError("only deviations that are rational numbers")
        inverse.append(1 / root)
    minus = multiply(constants["mean"].reshape(*wide), exact(-1))
    result = multiply(add(x, minus), exact(objects(inverse, (len(inverse),)).reshape(wide)))
    result = multiply(result, constants["factor"].reshape(*wide)) if "factor" in constants else result
    return add(result, constants["shift"].reshape(*wide)) if "shift" in constants else result


def _sum(node: Node, constants: Constants, *branches: Exact) -> Exact:
    total = branches[0]
    for branch in branches[1:]:
        total = add(total, branch)
    return total


def _concat(node: Node, constants: Constants, *branches: Exact) -> Exact:
    assert isinstance(node.op, Concat)
    common = math.lcm(*(branch.denominator for branch in branches))
    parts = [branch.numerators * (common // branch.denominator) for branch in branches]
    return Exact(np.concatenate(parts, axis=node.op.axis + 1), common)


def _transpose(node: Node, constants: Constants, x: Exact) -> Exact:
    assert isinstance(node.op, Transpose)
    return Exact(x.numerators.transpose(0, *(axis + 1 for axis in node.op.order)), x.denominator)


def _take(node: Node, constants: Constants, x: Exact) -> Exact:
    assert isinstance(node.op, Take)
    taken = x.numerators.reshape(len(x.numerators), -1)[:, node.op.index]
    return Exact(np.where(node.op.index < 0, 0, taken), x.denominator)


_ROWS: dict[str, Callable[..., Exact]] = {
    "affine": _affine,
    "conv": _conv,
    "shift": lambda node, constants, x: add(x, constants["value"]),
    "scale": lambda node, constants, x: multiply(x, constants["factor"]),
    "divide": _divide,
    "batchnorm": _batchnorm,
    "clip": _clip,
    "activation": _activation,
    "maxpool": _maxpool,
    "meanpool": _meanpool,
    "reshape": lambda node, constants, x: x.reshape(x.shape[0], *node.shape),
    "transpose": _transpose,
    "take": _take,
    "add": _sum,
    "concat": _concat,
}
