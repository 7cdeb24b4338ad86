"""Exact rational evaluation of small networks: settles a falsification in `real` arithmetic.

What is no rational, or is kept as the nearest double alone, is enclosed between two rationals: the root in a batch
normalisation is irrational, and a stamp keeps the nearest double of an opacity of a third. A margin is then its lower
end, and whether an input may violate is asked of the upper end. Interval arithmetic: Moore, Kearfott and Cloud (2009),
Introduction to Interval Analysis, chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds import LinearMap, concat_places, linear_map_of, pool_windows
from verifluxa.graph.ops import Activation, BatchNorm, Clip, Concat, Divide, Embedding, MaxPool, MeanPool, Op, Shape
from verifluxa.question import Floats, Integers, Problem, Question

ROOT_BITS = 128
"""Significant bits of a root."""
NEAREST = Fraction(1, 2**50)
"""How far, relative to its size, a constant of a stamp may be from the double that is kept of it: products of three."""


@dataclass(frozen=True)
class Enclosure:
    """Some number from `low` to `high`; sums and products with Fractions and Enclosures are Enclosures."""

    low: Fraction
    high: Fraction

    def __add__(self, other: Fraction | Enclosure) -> Enclosure:
        return Enclosure(self.low + low(other), self.high + high(other))

    __radd__ = __add__

    def __mul__(self, other: Fraction | Enclosure) -> Enclosure:
        ends = [own * end for own in (self.low, self.high) for end in (low(other), high(other))]
        return Enclosure(min(ends), max(ends))

    __rmul__ = __mul__

    def __truediv__(self, other: Fraction) -> Enclosure:
        return self * (1 / other)


Number = Fraction | Enclosure


def low(value: Number) -> Fraction:
    """The lower end."""
    return value.low if isinstance(value, Enclosure) else value


def high(value: Number) -> Fraction:
    """The upper end."""
    return value.high if isinstance(value, Enclosure) else value


def mapped(function: Callable[[Fraction], Fraction], value: Number) -> Number:
    """A nondecreasing function of a number."""
    if isinstance(value, Enclosure):
        return Enclosure(function(value.low), function(value.high))
    return function(value)


def largest(values: Iterable[Number]) -> Number:
    """The maximum."""
    numbers = list(values)
    ends = max(map(low, numbers)), max(map(high, numbers))
    return ends[0] if ends[0] == ends[1] else Enclosure(*ends)


def inverse_root(square: Fraction) -> Number:
    """`1 / sqrt(square)` of a positive rational: exact where that is a rational, else within 2^-127 of its size.

    >>> inverse_root(Fraction(9, 4))
    Fraction(2, 3)
    >>> found = inverse_root(Fraction(2))
    >>> found.low ** 2 * 2 < 1 < found.high ** 2 * 2
    True
    """
    numerator, denominator = square.numerator, square.denominator
    top, bottom = math.isqrt(denominator), math.isqrt(numerator)
    if top * top == denominator and bottom * bottom == numerator:
        return Fraction(top, bottom)
    # floor(sqrt(denominator * 4^shift / numerator)) with at least ROOT_BITS bits, and the next whole number.
    shift = max(0, ROOT_BITS + (numerator.bit_length() - denominator.bit_length()) // 2 + 1)
    root = math.isqrt((denominator << (2 * shift)) // numerator)
    return Enclosure(Fraction(root, 1 << shift), Fraction(root + 1, 1 << shift))


def about(value: Fraction, error: Fraction) -> Enclosure:
    """A number that is within `error` of a value."""
    return Enclosure(value - error, value + error)


Row = NDArray[np.object_]
"""Of `Number`."""


def exact_margins(problem: Problem, question: Question, trigger: Floats, inputs: Integers) -> list[Fraction]:
    """Violation margins of inputs under a trigger, or rationals below them; -1 where an operation has no exact form."""
    by_label = problem.violations[question.violation].by_label
    margins = []
    for i in inputs:
        outputs = _evaluate(problem, question.placement, trigger, int(i))
        if outputs is None:
            margins.append(Fraction(-1))
            continue
        values = [low(_row(problem, r, outputs)) for r in range(len(problem.constraints.constants))]
        margins.append(max(min(values[r] for r in rows) for rows in by_label[int(problem.labels[i])]))
    return margins


def may_violate(problem: Problem, question: Question, trigger: Floats, inputs: Integers) -> list[bool]:
    """Whether inputs violate under a trigger in `real` arithmetic, a tie of a closed row included.

    True where an operation has no exact form, and where each input stands for others beside it.
    """
    if problem.spread:
        return [True] * len(inputs)
    by_label = problem.violations[question.violation].by_label
    answers = []
    for i in inputs:
        outputs = _evaluate(problem, question.placement, trigger, int(i))
        alternatives = by_label[int(problem.labels[i])]
        answers.append(outputs is None or any(all(_met(problem, r, outputs) for r in rows) for rows in alternatives))
    return answers


def _met(problem: Problem, row: int, outputs: Row) -> bool:
    terms = zip(problem.constraints.coefficients[row], outputs, strict=True)
    value = high(
        sum((Fraction(float(c)) * y for c, y in terms if c), Fraction(float(problem.constraints.constants[row])))
    )
    return bool(value > 0 or (value == 0 and problem.constraints.closed[row]))


def _row(problem: Problem, row: int, outputs: Row) -> Number:
    coefficients = problem.constraints.coefficients[row]
    used = np.flatnonzero(coefficients)
    total = Fraction(float(problem.replayed[row]))
    return sum((Fraction(float(coefficients[k])) * outputs[k] for k in used), total)


def _evaluate(problem: Problem, placement: int, trigger: Floats, index: int) -> Row | None:
    ((stamp, _),) = problem.placements[placement].groups(np.array([index]))
    state = np.array([Fraction(float(v)) for v in problem.inputs[index].ravel()], dtype=object)
    original = state.copy()
    for row, (position, source) in enumerate(zip(stamp.positions, stamp.sources, strict=True)):
        gains = np.flatnonzero(stamp.gain[row])
        terms = [Fraction(float(stamp.keep[row])) * original[source], Fraction(float(stamp.offset[row]))]
        terms += [Fraction(float(stamp.gain[row, k])) * Fraction(float(trigger[k])) for k in gains]
        value = sum(terms, Fraction(0))
        state[position] = value if stamp.stored else about(value, NEAREST * sum(map(abs, terms)))
    nodes = problem.graph.nodes
    states = [state]
    for node in nodes[1 : problem.readout % len(nodes) + 1]:
        after = _step(node.op, [states[source] for source in node.inputs], [nodes[s].shape for s in node.inputs])
        if after is None:
            return None
        states.append(after)
    return states[-1]


def _step(op: Op, states: list[Row], shapes: list[Shape]) -> Row | None:
    joined = _JOINED.get(op.kind)
    return _unary(op, states[0], shapes[0]) if joined is None else joined(op, states, shapes)


def _sum(op: Op, states: list[Row], shapes: list[Shape]) -> Row:
    return sum(states[1:], states[0])


def _concat(op: Concat, states: list[Row], shapes: list[Shape]) -> Row:
    places = concat_places(op, shapes)
    result = np.empty(sum(map(len, places)), dtype=object)
    for place, state in zip(places, states, strict=True):
        result[place] = state
    return result


def _multiply(op: Op, states: list[Row], shapes: list[Shape]) -> Row:
    product: Row = states[0] * states[1]
    return product


def _matmul(op: Op, states: list[Row], shapes: list[Shape]) -> Row:
    first, second = (state.reshape(shape) for state, shape in zip(states, shapes, strict=True))
    products: Row = (first[..., :, None, :] * np.swapaxes(second, -1, -2)[..., None, :, :]).sum(-1)
    return products.ravel()


def _embedding(op: Embedding, states: list[Row], shapes: list[Shape]) -> Row:
    rows = op.weight[[int(word) for word in states[0]]]
    return np.array([Fraction(float(value)) for value in rows.ravel()], dtype=object)


_JOINED: dict[str, Callable[..., Row]] = {
    "add": _sum,
    "concat": _concat,
    "multiply": _multiply,
    "matmul": _matmul,
    "embedding": _embedding,
}


_RISING: dict[str, Callable[[Fraction], Fraction]] = {
    "round": lambda v: Fraction(round(v)),
    "relu": lambda v: max(v, Fraction(0)),
}
"""Activations with rational values, which do not fall."""


def _unary(op: Op, state: Row, shape: Shape) -> Row | None:
    if isinstance(op, Divide):
        divisors = np.broadcast_to(op.divisor, shape).ravel()
        return np.array([v / Fraction(float(d)) for v, d in zip(state, divisors, strict=True)], dtype=object)
    if isinstance(op, BatchNorm):
        return _batchnorm(op, state, shape)
    if isinstance(op, MaxPool | MeanPool):
        return _pool(op, state, shape)
    if isinstance(op, Clip):
        return _each(_clip(op), state)
    if isinstance(op, Activation) and op.function in _RISING:
        return _each(_RISING[op.function], state)
    linear = linear_map_of(op, shape)
    return None if linear is None else _affine(linear, state)


def _clip(op: Clip) -> Callable[[Fraction], Fraction]:
    """An open end is infinite, which no Fraction is."""
    low, high = (Fraction(end) if math.isfinite(end) else None for end in (op.low, op.high))

    def clipped(value: Fraction) -> Fraction:
        value = value if low is None else max(value, low)
        return value if high is None else min(value, high)

    return clipped


def _each(function: Callable[[Fraction], Fraction], state: Row) -> Row:
    """A nondecreasing function of each value."""
    return np.array([mapped(function, value) for value in state], dtype=object)


def _batchnorm(op: BatchNorm, state: Row, shape: Shape) -> Row:
    """`factor * (x - mean) / sqrt(variance + epsilon) + shift` of the stored numbers, the root enclosed."""
    values = state.reshape(len(op.mean), -1).copy()
    for channel in range(len(values)):
        inverse = inverse_root(Fraction(float(op.variance[channel])) + Fraction(op.epsilon))
        factor, shift = (
            Fraction(usual) if part is None else Fraction(float(part[channel]))
            for part, usual in ((op.factor, 1), (op.shift, 0))
        )
        mean = Fraction(float(op.mean[channel]))
        values[channel] = [(value + -mean) * inverse * factor + shift for value in values[channel]]
    return values.ravel()


def _affine(linear: LinearMap, state: Row) -> Row:
    matrix = linear.matrix.tocsr()
    result = []
    for row in range(matrix.shape[0]):
        start, end = matrix.indptr[row], matrix.indptr[row + 1]
        terms = (Fraction(float(matrix.data[k])) * state[matrix.indices[k]] for k in range(start, end))
        result.append(sum(terms, Fraction(float(linear.bias[row]))))
    return np.array(result, dtype=object)


def _pool(op: MaxPool | MeanPool, state: Row, shape: tuple[int, ...]) -> Row:
    index, inside = pool_windows(op, shape)
    count = index.shape[1]
    result = []
    for row, valid in zip(index, inside, strict=True):
        values = [state[k] for k in row[valid]]
        result.append(largest(values) if isinstance(op, MaxPool) else sum(values, Fraction(0)) / count)
    return np.array(result, dtype=object)
