"""What each layer computes, written once from its definition: in exact numbers, and in floats in every order.

Nothing of the engine is used. Values are object arrays, of `Decimal` with 100 digits or of NumPy floats; arrays are in
the order of the graph (channels first), without samples. `Numbers` says how a sum of products, a constant or a root is
computed: exactly, or in one of the orders and contractions that a deployment may choose, drawn at random.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.object_]
DIGITS = 100


def _pi() -> Decimal:
    """Machin's formula."""

    def arctan(inverse: int) -> Decimal:
        total, power = Decimal(0), Decimal(1) / inverse
        for n in range(1, 400, 2):
            total += power / n if n % 4 == 1 else -power / n
            power /= inverse * inverse
        return total

    return 4 * (4 * arctan(5) - arctan(239))


with localcontext() as _context:
    _context.prec = DIGITS
    CONSTANTS = {
        "selu scale": Decimal("1.0507009873554804934193349852946"),
        "selu alpha": Decimal("1.6732632423543772848170429916717"),
        "gelu cubic": Decimal("0.044715"),
        "gelu factor": (8 / _pi()).sqrt(),
        "log 2": Decimal(2).ln(),
    }


def nearest(value: Fraction, dtype: type[np.floating]) -> np.floating:
    """The float closest to a rational, ties to even: rounded once."""
    guess = dtype(float(value))
    around = [np.nextafter(guess, dtype(-np.inf)), guess, np.nextafter(guess, dtype(np.inf))]
    word = np.int32 if dtype is np.float32 else np.int64
    return min(around, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(word)) & 1))


class Numbers:
    """How numbers are computed. This one: exactly; `variant` 1 takes constants as float32 rounds them."""

    def __init__(self, variant: int = 0) -> None:
        self.variant = variant

    def number(self, value: object) -> Any:
        """A stored number."""
        return Decimal(float(value))  # type: ignore[arg-type]

    def of(self, values: object) -> Values:
        """Stored numbers."""
        array = np.asarray(values)
        found = np.empty(array.size, dtype=object)
        found[:] = [self.number(value) for value in array.ravel()]
        return found.reshape(array.shape)

    def constant(self, name: str) -> Any:
        """A constant of the definition."""
        value = CONSTANTS[name]
        return Decimal(float(np.float32(float(value)))) if self.variant else value

    def parameter(self, value: float) -> Any:
        """A parameter of an activation."""
        return Decimal(float(np.float32(value)) if self.variant else value)

    def choose(self, count: int) -> int:
        """One of several ways to compute the same."""
        return 0

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """`a * b + c`, perhaps with one rounding."""
        return a * b + c

    def dot(self, left: Sequence[Any], right: Sequence[Any], bias: Any = None) -> Any:
        """A sum of products, in any order."""
        total = sum(a * b for a, b in zip(left, right, strict=True))
        return total if bias is None else total + bias

    def divided(self, a: Any, b: Any) -> Any:
        """A quotient, or the product with a reciprocal."""
        return a / b

    def root(self, value: Any) -> Any:
        return value.sqrt()

    def inverse(self, value: Any) -> Any:
        """A reciprocal that may be wrong by more than a rounding, as a reciprocal root of hardware."""
        return 1 / value

    def exp(self, value: Any) -> Any:
        return value.exp()

    def log1p(self, value: Any) -> Any:
        return (1 + value).ln()

    def tanh(self, value: Any) -> Any:
        small = (-2 * abs(value)).exp()
        size = (1 - small) / (1 + small)
        return size if value >= 0 else -size

    def erf(self, value: Any) -> Any:
        if abs(value) > 15:  # 1 to within 10^-99
            return Decimal(1).copy_sign(value)
        total = term = value
        for n in range(1, 1500):
            term = -term * value * value / n
            total += term / (2 * n + 1)
        return 2 * total / _pi().sqrt()

    def sum(self, terms: Sequence[Any]) -> Any:
        """A sum in any order."""
        return self.dot([self.number(1)] * len(terms), terms)


class Rounded(Numbers):
    """Floats, every operation rounded to nearest; order and contraction are drawn."""

    def __init__(self, dtype: type[np.floating], seed: int) -> None:
        super().__init__(seed % 2)
        self.dtype, self.random = dtype, random.Random(seed)

    def number(self, value: object) -> Any:
        return self.dtype(value)  # type: ignore[arg-type]

    def constant(self, name: str) -> Any:
        near = self.dtype(float(CONSTANTS[name]))
        # ONNX keeps the constants of selu as float32, in float64 too.
        return self.dtype(np.float32(near)) if name.startswith("selu") and self.variant else near

    def parameter(self, value: float) -> Any:
        return self.dtype(value)

    def choose(self, count: int) -> int:
        return self.random.randrange(count)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        if self.choose(2):
            return self.dtype(self.dtype(a * b) + c)
        return nearest(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)), self.dtype)

    def dot(self, left: Sequence[Any], right: Sequence[Any], bias: Any = None) -> Any:
        pairs = list(zip(left, right, strict=True))
        self.random.shuffle(pairs)
        zero = self.dtype(0)
        start = bias if bias is not None and self.choose(2) else zero
        if self.choose(2):
            total = start
            for a, b in pairs:
                total = self.fused(a, b, total)
        else:
            terms = [start, *(a * b for a, b in pairs)]
            while len(terms) > 1:
                at = self.choose(len(terms) - 1)
                terms[at : at + 2] = [terms[at] + terms[at + 1]]
            total = terms[0]
        return total if bias is None or start is bias else total + bias

    def divided(self, a: Any, b: Any) -> Any:
        return a * (self.dtype(1) / b) if self.choose(2) else a / b

    def root(self, value: Any) -> Any:
        return np.sqrt(value)

    def inverse(self, value: Any) -> Any:
        found = self.dtype(1) / value
        for _ in range(self.choose(2)):
            found = np.nextafter(found, self.dtype(np.inf if self.variant else 0))
        return found

    def exp(self, value: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.exp(value)

    def log1p(self, value: Any) -> Any:
        return np.log1p(value)

    def tanh(self, value: Any) -> Any:
        return np.tanh(value)

    def erf(self, value: Any) -> Any:
        return self.dtype(math.erf(float(value)))


Definition = Callable[[Numbers, Values], Values]


def each(function: Callable[[Numbers, Any], Any]) -> Definition:
    """A function of each value alone."""

    def defined(n: Numbers, x: Values) -> Values:
        found = np.empty(x.size, dtype=object)
        found[:] = [function(n, value) for value in x.ravel()]
        return found.reshape(x.shape)

    return defined


# Sums


def affine(weight: Any, bias: Any = None) -> Definition:
    """`weight @ x + bias` on the last axis."""

    def defined(n: Numbers, x: Values) -> Values:
        rows, added = n.of(weight), None if bias is None else n.of(bias)
        found = np.empty((*x.shape[:-1], len(rows)), dtype=object)
        for place in np.ndindex(*x.shape[:-1]):
            for at, row in enumerate(rows):
                found[(*place, at)] = n.dot(row, x[place], None if added is None else added[at])
        return found

    return defined


def conv(weight: Any, bias: Any = None, groups: int = 1) -> Definition:
    """Cross-correlation along one axis: x (channels, length), weight (outputs, channels / groups, window)."""

    def defined(n: Numbers, x: Values) -> Values:
        kernel, added = n.of(weight), None if bias is None else n.of(bias)
        outputs, per_group, window = kernel.shape
        found = np.empty((outputs, x.shape[1] - window + 1), dtype=object)
        for out, at in np.ndindex(*found.shape):
            first = out // (outputs // groups) * per_group
            read = x[first : first + per_group, at : at + window]
            found[out, at] = n.dot(kernel[out].ravel(), read.ravel(), None if added is None else added[out])
        return found

    return defined


def transposed(weight: Any, bias: Any, stride: int) -> Definition:
    """Transposed convolution: weight (inputs, outputs, window); value i adds to the outputs from `stride * i` on."""

    def defined(n: Numbers, x: Values) -> Values:
        kernel, added = n.of(weight), n.of(bias)
        inputs, outputs, window = kernel.shape
        length = (x.shape[1] - 1) * stride + window
        found = np.empty((outputs, length), dtype=object)
        for out, at in np.ndindex(outputs, length):
            pairs = [
                (kernel[c, out, at - stride * i], x[c, i])
                for c in range(inputs)
                for i in range(x.shape[1])
                if 0 <= at - stride * i < window
            ]
            found[out, at] = n.dot([a for a, _ in pairs], [b for _, b in pairs], added[out])
        return found

    return defined


def pooled(window: int, largest: bool) -> Definition:
    """Maximum or mean over windows along the last axis, as long as they are apart."""

    def defined(n: Numbers, x: Values) -> Values:
        blocks = x.reshape(*x.shape[:-1], -1, window)
        found = np.empty(blocks.shape[:-1], dtype=object)
        for place in np.ndindex(*found.shape):
            block = list(blocks[place])
            found[place] = max(block) if largest else n.divided(n.sum(block), n.number(window))
        return found

    return defined


def bilinear(weight: Any, bias: Any) -> Definition:
    """`sum over i, j of W[o, i, j] x[i] x[j] + b[o]`, first over j."""

    def defined(n: Numbers, x: Values) -> Values:
        inner = [[n.dot(row, x) for row in matrix] for matrix in n.of(weight)]
        return np.array([n.dot(row, x) + b for row, b in zip(inner, n.of(bias), strict=True)], dtype=object)

    return defined


# Elementwise with constants


def scaled(factor: Any, bias: Any = None) -> Definition:
    """`x * factor + bias`, elementwise."""

    def defined(n: Numbers, x: Values) -> Values:
        factors = np.broadcast_to(n.of(factor), x.shape)
        if bias is None:
            return np.asarray(x * factors)
        added, found = np.broadcast_to(n.of(bias), x.shape), np.empty(x.shape, dtype=object)
        for at in np.ndindex(*x.shape):
            found[at] = n.fused(x[at], factors[at], added[at])
        return found

    return defined


def shifted(value: Any) -> Definition:
    """`x + value`."""
    return lambda n, x: np.asarray(x + n.of(value))


def divided(divisor: Any) -> Definition:
    """`x / divisor`."""

    def defined(n: Numbers, x: Values) -> Values:
        divisors, found = np.broadcast_to(n.of(divisor), x.shape), np.empty(x.shape, dtype=object)
        for at in np.ndindex(*x.shape):
            found[at] = n.divided(x[at], divisors[at])
        return found

    return defined


def batch_norm(mean: Any, variance: Any, epsilon: float, factor: Any = None, shift: Any = None) -> Definition:
    """`factor * (x - mean) / sqrt(variance + epsilon) + shift` of each channel, in every form."""

    def one(n: Numbers, x: Any, channel: int) -> Any:
        g = n.number(1) if factor is None else n.of(factor)[channel]
        b = n.number(0) if shift is None else n.of(shift)[channel]
        m, v = n.of(mean)[channel], n.of(variance)[channel]
        deviation = n.root(v + n.number(epsilon))
        scales = [lambda: g / deviation, lambda: g * (n.number(1) / deviation), lambda: g * n.inverse(deviation)]
        s = scales[n.choose(3)]()
        forms: list[Callable[[], Any]] = [
            lambda: n.fused(s, x, n.fused(-s, m, b)),
            lambda: n.fused(s, x, b) - s * m,
            lambda: n.fused(s, x - m, b),
            lambda: n.fused(g, n.divided(x - m, deviation), b),
            lambda: n.divided(g * (x - m), deviation) + b,
            lambda: n.fused(s, x, -s * m) + b,
            lambda: s * x + (b - s * m),
        ]
        return forms[n.choose(len(forms))]()

    def defined(n: Numbers, x: Values) -> Values:
        found = np.empty(x.shape, dtype=object)
        for at in np.ndindex(*x.shape):
            found[at] = one(n, x[at], at[0])
        return found

    return defined


# Of a sample


def standardised(groups: Callable[[Values], Values], epsilon: float, form: str) -> Definition:
    """`(x - mean) / sqrt(variance + epsilon)` of each group (the rows of `groups(x)`).

    `form`: `plain`; `squared`: epsilon * epsilon beside the variance; `beside`: epsilon beside the deviation.
    """

    def defined(n: Numbers, x: Values) -> Values:
        rows = groups(x)
        found = np.empty(rows.shape, dtype=object)
        e = n.number(epsilon)
        for at, row in enumerate(rows):
            size = n.number(len(row))
            middle = n.divided(n.sum(list(row)), size)
            apart = [value - middle for value in row]
            variance = n.divided(n.dot(apart, apart), size)
            if form == "beside":
                deviation = n.root(variance) + e
            else:
                deviation = n.root(variance + (e * e if form == "squared" else e))
            found[at] = [n.divided(value, deviation) for value in apart]
        return found.reshape(x.shape)

    return defined


def softmax(logarithm: bool = False) -> Definition:
    """Along the last axis."""

    def defined(n: Numbers, x: Values) -> Values:
        found = np.empty(x.shape, dtype=object)
        for place in np.ndindex(*x.shape[:-1]):
            top = max(x[place])
            powers = [n.exp(value - top) for value in x[place]]
            total = n.sum(powers)
            if logarithm:
                found[place] = [value - top - n.log1p(total - 1) for value in x[place]]
            else:
                found[place] = [n.divided(power, total) for power in powers]
        return found

    return defined


def matmul(n: Numbers, first: Values, second: Values) -> Values:
    """Of two matrices that are computed."""
    found = np.empty((len(first), second.shape[1]), dtype=object)
    for i, j in np.ndindex(*found.shape):
        found[i, j] = n.dot(first[i], second[:, j])
    return found


# Activations: each of a number and the parameter, NNlib 0.9 `src/activations.jl`


def _sigmoid(n: Numbers, x: Any, _: float = 0.0) -> Any:
    return n.number(1) / (n.number(1) + n.exp(-x))


def _below(n: Numbers, x: Any, factor: Any, inner: Any) -> Any:
    """`factor * (exp(inner) - 1)` left of 0."""
    return x if x >= 0 else factor * (n.exp(inner) - n.number(1))


def _softplus(n: Numbers, x: Any) -> Any:
    return n.log1p(n.exp(-abs(x))) + max(x, n.number(0))


def _hardsigmoid(n: Numbers, x: Any, _: float = 0.0) -> Any:
    return min(max((x + n.number(3)) / n.number(6), n.number(0)), n.number(1))


def _gelu(n: Numbers, x: Any, _: float) -> Any:
    return x * _sigmoid(n, n.constant("gelu factor") * x * (n.number(1) + n.constant("gelu cubic") * x * x))


def _softshrink(n: Numbers, x: Any, threshold: float) -> Any:
    t = n.parameter(threshold)
    return min(max(n.number(0), x - t), x + t)


ACTIVATIONS: dict[str, Callable[[Numbers, Any, float], Any]] = {
    "relu": lambda n, x, _: max(x, n.number(0)),
    "leakyrelu": lambda n, x, p: x if x > 0 else n.parameter(p) * x,
    "elu": lambda n, x, p: _below(n, x, n.parameter(p), x),
    "selu": lambda n, x, _: n.constant("selu scale") * _below(n, x, n.constant("selu alpha"), x),
    "celu": lambda n, x, p: _below(n, x, n.parameter(p), x / n.parameter(p)),
    "relu6": lambda n, x, _: min(max(x, n.number(0)), n.number(6)),
    "hardtanh": lambda n, x, _: min(max(x, n.number(-1)), n.number(1)),
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda n, x, _: x * _hardsigmoid(n, x),
    "sigmoid": _sigmoid,
    "sigmoid_fast": _sigmoid,
    "tanh": lambda n, x, _: n.tanh(x),
    "tanh_fast": lambda n, x, _: n.tanh(x),
    "softplus": lambda n, x, _: _softplus(n, x),
    "logsigmoid": lambda n, x, _: -_softplus(n, -x),
    "softsign": lambda n, x, _: x / (n.number(1) + abs(x)),
    "softshrink": _softshrink,
    "tanhshrink": lambda n, x, _: x - n.tanh(x),
    "gelu": _gelu,
    "gelu_erf": lambda n, x, _: x / n.number(2) * (n.number(1) + n.erf(x / n.root(n.number(2)))),
    "swish": lambda n, x, _: x * _sigmoid(n, x),
    "mish": lambda n, x, _: x * n.tanh(_softplus(n, x)),
    "lisht": lambda n, x, _: x * n.tanh(x),
    "logcosh": lambda n, x, _: x + _softplus(n, n.number(-2) * x) - n.constant("log 2"),
    "trelu": lambda n, x, p: x if x > n.parameter(p) else n.number(0),
    "round": lambda n, x, _: n.number(round(float(x))),
}


def activation(name: str, parameter: float = 0.0) -> Definition:
    """An activation of each value."""
    return each(lambda n, x: ACTIVATIONS[name](n, x, parameter))


def then(*parts: Definition) -> Definition:
    """One after the other."""

    def defined(n: Numbers, x: Values) -> Values:
        for part in parts:
            x = part(n, x)
        return x

    return defined


# Recurrent: x (steps, features)

Step = Callable[[Numbers, Values, Values, Values], tuple[Values, Values]]


def recurrent(step: Step, outputs: int) -> Definition:
    """All states, from zeros on."""

    def defined(n: Numbers, x: Values) -> Values:
        hidden = memory = n.of(np.zeros(outputs))
        found = []
        for value in x:
            hidden, memory = step(n, value, hidden, memory)
            found.append(hidden)
        return np.array(found, dtype=object)

    return defined


def gates(n: Numbers, parts: tuple[Any, Any, Any], x: Values, hidden: Values) -> list[Values]:
    """`Wi x + Wh h + b`, of each gate a part of it."""
    inner, outer, bias = parts
    total = affine(inner)(n, x) + affine(outer)(n, hidden) + n.of(bias)
    return np.split(total, len(total) // len(hidden))


def rnn(inner: Any, outer: Any, bias: Any) -> Definition:
    def step(n: Numbers, x: Values, hidden: Values, memory: Values) -> tuple[Values, Values]:
        (total,) = gates(n, (inner, outer, bias), x, hidden)
        return activation("tanh")(n, total), memory

    return recurrent(step, len(outer[0]))


def lstm(inner: Any, outer: Any, bias: Any) -> Definition:
    def step(n: Numbers, x: Values, hidden: Values, memory: Values) -> tuple[Values, Values]:
        given, kept, new, out = gates(n, (inner, outer, bias), x, hidden)
        sigmoid, tanh = activation("sigmoid"), activation("tanh")
        memory = sigmoid(n, kept) * memory + sigmoid(n, given) * tanh(n, new)
        return sigmoid(n, out) * tanh(n, memory), memory

    return recurrent(step, len(outer[0]))


def gru(inner: Any, outer: Any, bias: Any, candidate: Any = None) -> Definition:
    """GRU; with a matrix for the candidate GRUv3, which multiplies the state by the reset gate first."""

    def step(n: Numbers, x: Values, hidden: Values, memory: Values) -> tuple[Values, Values]:
        size, sigmoid = len(hidden), activation("sigmoid")
        read, bias_ = np.split(affine(inner)(n, x), 3), np.split(n.of(bias), 3)
        known = np.split(affine(outer)(n, hidden), 3)
        reset, update = (sigmoid(n, read[k] + known[k] + bias_[k]) for k in range(2))
        recalled = reset * known[2] if candidate is None else affine(candidate)(n, reset * hidden)
        new = activation("tanh")(n, read[2] + recalled + bias_[2])
        one = n.of(np.ones(size))
        return (one - update) * new + update * hidden, memory

    return recurrent(step, len(outer[0]))


def attention(weights: Sequence[Any], heads: int) -> Definition:
    """`out(join(softmax(q k' / sqrt(d)) v))` of x as query, key and value; x (length, features)."""

    def defined(n: Numbers, x: Values) -> Values:
        query, key, value = (affine(weight)(n, x) for weight in weights[:3])
        root = n.root(n.number(query.shape[1] // heads))
        parts = []
        for q, k, v in zip(*(np.split(part, heads, axis=1) for part in (query, key, value)), strict=True):
            over = each(lambda n, item: n.divided(item, root))
            parts.append(matmul(n, softmax()(n, matmul(n, over(n, q), k.T)), v))
        return affine(weights[3])(n, np.concatenate(parts, axis=1))

    return defined


def exactly(defined: Definition, x: Any) -> list[Values]:
    """The exact values, with constants as they are written and as float32 rounds them."""
    with localcontext() as context:
        context.prec = DIGITS
        return [defined(n, n.of(x)) for n in (Numbers(0), Numbers(1))]


def fractions(values: Values) -> list[Fraction]:
    """Values as rationals."""
    return [Fraction(v) if isinstance(v, Decimal) else Fraction(float(v)) for v in values.ravel()]


assert getcontext().prec != DIGITS, "only `exactly` works with so many digits"
