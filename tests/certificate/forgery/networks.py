"""Tiny networks whose outputs are known exactly, with how far any allowed evaluation may be from them.

Nothing of `verifluxa` is used: what a network computes follows from its arrays. A value is a ball: its exact center in
real arithmetic, and a radius that holds every evaluation in the arithmetic in question. Sums whose terms are multiples
of one power of two, with magnitudes that the float type holds, are exact in whatever order they are taken: radius 0.
Any other sum of n products and a bias has the radius of Higham, Accuracy and Stability of Numerical Algorithms (2002),
section 3.1: `gamma_{n+2}` times the sum of the magnitudes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Number = int | Fraction
Array = NDArray[np.float64]
DIGITS = {"float32": 24, "float64": 53}
"""Of the significand."""
TINY = {"float32": Fraction(1, 2**126), "float64": Fraction(1, 2**1022)}
LARGEST = {"float32": 2**127, "float64": 2**1023}
HUGE = 10**400
"""The radius of what may overflow."""
TANH_ERROR = {"float32": Fraction(1, 2**20), "float64": Fraction(1, 2**20), "real": Fraction(1, 10**40)}
"""Of a deployed tanh (what the checker allows for), and of the one below in real arithmetic."""
TIE = {"float32": Fraction(1, 2**20), "float64": Fraction(1, 2**49), "real": Fraction(0)}
"""Logits that are no further apart may be equal behind a softmax."""


class Ball(NamedTuple):
    """An exact value in real arithmetic, and how far an evaluation may be from it."""

    center: Number
    radius: Number


class Row(NamedTuple):
    """A weighted sum of some values, by their places, plus a bias."""

    places: tuple[int, ...]
    weights: tuple[Number, ...]
    bias: Number


@dataclass(frozen=True, eq=False)
class Dense:
    weight: Array
    bias: Array
    function: str = "identity"

    def words(self) -> str:
        rest = "" if self.function == "identity" else f", {self.function}"
        return f"Dense({self.weight.shape[1]} => {self.weight.shape[0]}{rest})"

    def rows(self, shape: tuple[int, ...]) -> tuple[list[Row], tuple[int, ...]]:
        every = tuple(range(self.weight.shape[1]))
        pairs = zip(self.weight, self.bias, strict=True)
        return [Row(every, tuple(map(exact, row)), exact(bias)) for row, bias in pairs], self.bias.shape

    def arrays(self) -> dict[str, Array]:
        return {"weight": self.weight, "bias": self.bias}


@dataclass(frozen=True, eq=False)
class Conv:
    """A correlation of pictures (channels, height, width) with kernels (outputs, channels, height, width)."""

    weight: Array
    bias: Array
    function: str = "identity"

    def words(self) -> str:
        outputs, channels, height, width = self.weight.shape
        return f"Conv(({width}, {height}), {channels} => {outputs}, {self.function})"

    def rows(self, shape: tuple[int, ...]) -> tuple[list[Row], tuple[int, ...]]:
        place = np.arange(math.prod(shape)).reshape(shape)
        outputs, _, height, width = self.weight.shape
        after = (outputs, shape[1] - height + 1, shape[2] - width + 1)
        rows = []
        for number, row, column in np.ndindex(after):
            window = place[:, row : row + height, column : column + width].ravel().tolist()
            weights = tuple(map(exact, self.weight[number].ravel()))
            rows.append(Row(tuple(window), weights, exact(self.bias[number])))
        return rows, after

    def arrays(self) -> dict[str, Array]:
        """As Flux stores them: axes reversed, and the kernel turned round, since Flux's layer is a convolution."""
        return {"weight": self.weight[:, :, ::-1, ::-1].transpose(3, 2, 1, 0), "bias": self.bias}


@dataclass(frozen=True)
class MaxPool:
    size: int

    def words(self) -> str:
        return f"MaxPool(({self.size}, {self.size}), stride={self.size})"

    def windows(self, shape: tuple[int, ...]) -> tuple[list[list[int]], tuple[int, ...]]:
        place, after = np.arange(math.prod(shape)).reshape(shape), (shape[0], *(s // self.size for s in shape[1:]))
        corners = ((c, self.size * i, self.size * j) for c, i, j in np.ndindex(after))
        cut = [place[c, i : i + self.size, j : j + self.size].ravel().tolist() for c, i, j in corners]
        return cut, after


@dataclass(frozen=True, eq=False)
class Embedding:
    """A look-up, table (words, features); what stands behind it counts word by word."""

    table: Array

    def words(self) -> str:
        return f"Embedding({len(self.table)} => {self.table.shape[1]})"

    def arrays(self) -> dict[str, Array]:
        return {"weight": self.table.T}


Layer = Dense | Conv | MaxPool | Embedding | str
"""A text stands for a layer without arrays: `Flux.flatten`, `softmax`."""


@dataclass(frozen=True, eq=False)
class Net:
    """Layers one after the other.

    Attributes:
        layers: in order.
        shape: of an input, (channels, height, width) of a picture.
        dtype: of the stored arrays.
        divisor: what each value of an input is divided by first (`encode = level / divisor`).
    """

    layers: tuple[Layer, ...]
    shape: tuple[int, ...]
    dtype: str = "float32"
    divisor: int = 1

    def save(self, folder: Path, name: str) -> None:
        """`NAME.npz` and `NAME.txt`, as a spec names them."""
        arrays = {
            f"layers.{number}.{key}": np.ascontiguousarray(value, dtype=self.dtype)
            for number, layer in enumerate(self.layers, 1)
            if not isinstance(layer, str | MaxPool)
            for key, value in layer.arrays().items()
        }
        np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        words = (layer if isinstance(layer, str) else layer.words() for layer in self.layers)
        (folder / f"{name}.txt").write_text(f"Chain({', '.join(words)})", encoding="utf-8")

    @property
    def ends_in_softmax(self) -> bool:
        return self.layers[-1] == "softmax"

    @cached_property
    def steps(self) -> tuple[tuple[object, str], ...]:
        """Rows, windows or a table of each layer that computes something, with the function behind it."""
        steps: list[tuple[object, str]] = []
        shape = self.shape
        for layer in self.layers:
            if isinstance(layer, Embedding):
                steps.append((layer, "look up"))
                shape = (shape[0] * layer.table.shape[1],)
            elif isinstance(layer, MaxPool):
                windows, shape = layer.windows(shape)
                steps.append((windows, "maximum"))
            elif isinstance(layer, Dense | Conv):
                rows, shape = layer.rows(shape)
                steps.append((rows, layer.function))
        return tuple(steps)

    def trace(
        self, values: Sequence[Number], arithmetic: str, careful: bool = False
    ) -> tuple[list[list[Ball]], list[Ball]]:
        """What stands before the function of each layer that has one, and the outputs (logits, without a softmax).

        Args:
            values: of an input, flat.
            arithmetic: `float32`, `float64` or `real`.
            careful: Higham's radius also where sums are exact.
        """
        before: list[list[Ball]] = []
        balls = [Ball(value, 0) for value in values]
        if self.divisor != 1:
            balls = [divided(ball, self.divisor, arithmetic) for ball in balls]
        for what, function in self.steps:
            if isinstance(what, Embedding):
                rows = (what.table[int(ball.center)] for ball in balls)
                balls = [Ball(exact(value), 0) for row in rows for value in row]
            elif function == "maximum":
                assert isinstance(what, list)
                balls = [largest([balls[at] for at in window]) for window in what]
            else:
                assert isinstance(what, list)
                balls = [summed(row, balls, arithmetic, careful) for row in what]
                if function != "identity":
                    before.append(balls)
                    balls = [bent(ball, function, arithmetic) for ball in balls]
        return before, balls

    def outputs(self, values: Sequence[Number], arithmetic: str, careful: bool = False) -> list[Ball]:
        return self.trace(values, arithmetic, careful)[1]

    def sampled(self, values: Sequence[Number], random: np.random.Generator) -> list[float]:
        """The outputs of one evaluation in the network's own float type, with sums in a random order."""
        kind = np.dtype(self.dtype).type
        state = [kind(float(value)) for value in values]
        for what, function in self.steps:
            assert isinstance(what, list)
            if function == "maximum":
                state = [max(state[at] for at in window) for window in what]
                continue
            state = [_sum_somehow(row, state, kind, random) for row in what]
            if function == "relu":
                state = [max(value, kind(0)) for value in state]
            elif function != "identity":
                raise ValueError(f"no sampled evaluation of {function}")
        return [float(value) for value in state]


def _sum_somehow(row: Row, state: Sequence[np.floating], kind: type, random: np.random.Generator) -> np.floating:
    """A sum along a random tree; adjacent terms are added first as often as not."""
    parts = [kind(float(w)) * state[at] for at, w in zip(row.places, row.weights, strict=True) if w]
    parts.append(kind(float(row.bias)))
    parts = [parts[int(at)] for at in random.permutation(len(parts))]
    while len(parts) > 1:
        at = int(random.integers(len(parts) - 1)) if random.random() < 0.5 else 0
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0]


def exact(value: float) -> Number:
    """A stored number as it is; whole ones as integers, which compute fast."""
    return int(value) if float(value).is_integer() else Fraction(float(value))


def summed(row: Row, balls: Sequence[Ball], arithmetic: str, careful: bool) -> Ball:
    """A row's sum."""
    pairs = [(weight, balls[at]) for at, weight in zip(row.places, row.weights, strict=True) if weight]
    center = row.bias + sum(weight * ball.center for weight, ball in pairs)
    moved = sum(abs(weight) * ball.radius for weight, ball in pairs)
    if arithmetic == "real":
        return Ball(center, moved)
    size = abs(row.bias) + moved + sum(abs(weight * ball.center) for weight, ball in pairs)
    if size >= LARGEST[arithmetic]:
        return Ball(center, HUGE)
    if not (moved or careful) and _is_exact(row.bias, pairs, size, arithmetic):
        return Ball(center, 0)
    terms = len(pairs) + 2
    gamma = Fraction(terms, 2 ** DIGITS[arithmetic] - terms)
    return Ball(center, moved * (1 + gamma) + gamma * size + terms * TINY[arithmetic])


def _is_exact(bias: Number, pairs: Sequence[tuple[Number, Ball]], size: Number, arithmetic: str) -> bool:
    """Whether all terms are multiples of one power of two, in units of which all partial sums fit the significand."""
    terms = [bias, *(weight * ball.center for weight, ball in pairs)]
    unit = math.lcm(*(term.denominator for term in terms))
    return unit & (unit - 1) == 0 and unit < 2**60 and size * unit <= 2 ** DIGITS[arithmetic]


def divided(ball: Ball, divisor: int, arithmetic: str) -> Ball:
    """A quotient; a product with the rounded reciprocal may be deployed, which makes two roundings."""
    center = Fraction(ball.center) / divisor
    if arithmetic == "real" or divisor & (divisor - 1) == 0:
        return Ball(exact(center) if center.denominator == 1 else center, Fraction(ball.radius) / divisor)
    return Ball(center, abs(center) * Fraction(3, 2 ** DIGITS[arithmetic]) + TINY[arithmetic])


def largest(balls: Sequence[Ball]) -> Ball:
    return Ball(max(ball.center for ball in balls), max(ball.radius for ball in balls))


def bent(ball: Ball, function: str, arithmetic: str) -> Ball:
    """Behind a function that moves values no further apart."""
    if function == "relu":
        return Ball(max(ball.center, 0), ball.radius)
    if function == "trelu":  # jumps at 1
        if ball.radius and abs(ball.center - 1) <= ball.radius:
            return Ball(ball.center, abs(ball.center) + ball.radius)
        return Ball(ball.center if ball.center > 1 else 0, ball.radius if ball.center > 1 else 0)
    if function == "tanh":
        return Ball(tanh(ball.center), ball.radius + TANH_ERROR[arithmetic])
    raise ValueError(f"no value of {function}")


_FINE = Context(prec=80)


def tanh(value: Number) -> Fraction:
    """`tanh` to fifty digits."""
    twice = _FINE.divide(Decimal(2 * Fraction(value).numerator), Decimal(Fraction(value).denominator))
    growth = _FINE.exp(min(twice, Decimal(200)))
    return Fraction(_FINE.divide(growth - 1, growth + 1)).limit_denominator(10**60)
