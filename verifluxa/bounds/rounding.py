"""How far floating point can be from the real network: one row per operation.

Deployed value = real value of the operation at the deployed operands, plus an error of at most
`coefficient(terms) * (|W| |x| + |b|) + tiny(terms)` (Higham, Accuracy and Stability of Numerical Algorithms,
section 3.1: `gamma_k = k u / (1 - k u)`, any order of summation, with or without fused multiply-add).
The verifier's own float64 arithmetic is covered in the same place: every coefficient carries
`gamma_k(2^-53)` with a `k` far above the number of operations that touch one value (see `Rounding.own`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.arithmetic import LARGEST, check_known
from verifluxa.graph.ops import Affine, Conv, LogSoftmax, MeanPool, Normalise, Op, Shape, Softmax

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53, "real": 0.0}
"""Unit roundoff of the deployed arithmetic."""
SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-800, "real": 2.0**-800}
"""Subnormals may be flushed: at most this much is lost per operation.

For float64 that is 2**-1022; the larger number is as sound, and keeps the radii themselves out of the subnormals, with
which processors are slow."""
RADIUS_SAFETY = 1.0 + 2.0**-10
"""Radii are computed in float64 and inflated by this, far above the error of computing them."""


def gamma(terms: int, unit: float) -> float:
    """`k u / (1 - k u)`, infinite where the formula says nothing."""
    product = terms * unit
    return product / (1.0 - product) if product < 0.5 else math.inf


@dataclass(frozen=True)
class Rounding:
    """Error coefficients of one deployed arithmetic, with the verifier's own rounding on top.

    Attributes:
        arithmetic: `float32`, `float64` or `real`.
        width: the widest sum in the network; bounds the length of the verifier's own sums.
    """

    arithmetic: str
    width: int

    def __post_init__(self) -> None:
        check_known(self.arithmetic)

    @property
    def own(self) -> float:
        """The verifier's own relative error on a sum of products: forward, backward and constants."""
        return gamma(8 * self.width + 512, 2.0**-53)

    def coefficient(self, terms: int) -> float:
        """Relative error of an operation of `terms` roundings on a path, as a factor on `|W||x| + |b|`."""
        deployed = gamma(terms, UNIT[self.arithmetic]) if terms else 0.0
        return RADIUS_SAFETY * (deployed + self.own)

    def coefficients(self, terms: NDArray[np.int64]) -> NDArray[np.float64]:
        """`coefficient` of many counts above 0."""
        product = terms * UNIT[self.arithmetic]
        deployed = np.where(product < 0.5, product / (1.0 - np.minimum(product, 0.5)), np.inf)
        return np.asarray(RADIUS_SAFETY * (deployed + self.own))

    def tiny(self, terms: int) -> float:
        """Absolute error by flushed subnormals: products, partial sums, constants, and results when they are read."""
        return 4 * terms * SMALLEST[self.arithmetic]

    def flushed(self, stored: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far stored numbers may be off once they are read: a subnormal one may be flushed, and is then 0."""
        size: NDArray[np.float64] = np.abs(stored)
        least = 0.0 if self.arithmetic == "real" else SMALLEST[self.arithmetic]
        return np.where(size < least, size, 0.0)

    def magnitude(self, weight: NDArray[np.float64], terms: int) -> NDArray[np.float64]:
        """`|weight|` for radii of an operation of `terms` roundings.

        A subnormal weight may be flushed, and then loses all of itself rather than a rounding: it counts as
        `|weight| / coefficient`.
        """
        size: NDArray[np.float64] = np.abs(weight)
        flushed = (size > 0) & (size < SMALLEST[self.arithmetic])
        return np.where(flushed, size / self.coefficient(terms), size) if flushed.any() else size

    @property
    def largest(self) -> float:
        """No intermediate result may reach this."""
        return LARGEST[self.arithmetic]

    @property
    def largest_radius(self) -> float:
        """A radius at or above this means that a sum may overflow: radius >= u * (|W||x| + |b|)."""
        unit = UNIT[self.arithmetic]
        return self.largest * (unit if unit else self.own)


def _dot(count: int, biased: bool) -> int:
    return count + (2 if biased else 1)


def _affine(op: Affine) -> int:
    return _dot(op.weight.shape[1], True)


def _conv(op: Conv) -> int:
    return _dot(math.prod(op.weight.shape[1:]), True)


def _meanpool(op: MeanPool) -> int:
    return math.prod(op.window) + 2


def _exact(op: Op) -> int:
    return 0


def _one(op: Op) -> int:
    return 1


def _two(op: Op) -> int:
    """Division by a constant may be a product with its rounded reciprocal (torch does so on a GPU)."""
    return 2


def _batchnorm(op: Op) -> int:
    """A bound for every order, contraction and form of `factor * (x - mean) / sqrt(variance + epsilon) + shift`.

    Each step multiplies its exact result by `1 + d`, |d| <= u; a fused multiply-add leaves one such factor out. A
    product of n factors `(1 + d)^(+-1)` is `1 + t`, |t| <= gamma_n (Higham 2002, lemmas 3.1 and 3.3). By steps:

    - `variance + epsilon`: at most three factors, for epsilon as a number of the network's type, for the sum, and for a
      subnormal variance or epsilon that is flushed (less than a rounding of the sum, which is at least 2^-101 in
      float32; a smaller one has no bounds). The root halves the exponents: at most 2.
    - The root and a division by it: 2. The root, its reciprocal and a product: 3. The reciprocal root of CUDA, which is
      within 2 units in the last place (4 u), and a product: 5.

    So the computed `s = factor / sqrt(variance + epsilon)` has at most 7 factors. Every order and form, such as
    `s x + (shift - s mean)`, `s (x - mean) + shift` and `factor ((x - mean) / sqrt(...)) + shift`, adds three products,
    `s x`, `-s mean` and `shift`; each meets those 7, at most one factor for a product and two for sums: 10. The error
    is at most `gamma_10 (|s| |x| + |s| |mean| + |shift|)`: relative to the magnitudes that are added, not to the bias
    `shift - s mean` that comes of them. What flushed results lose is in `linear_map.Folded`.
    """
    return 10


TERMS: dict[str, Callable[..., int]] = {
    "affine": _affine,
    "conv": _conv,
    "shift": _one,
    "scale": _one,
    "divide": _two,
    "batchnorm": _batchnorm,
    "meanpool": _meanpool,
    "reshape": _exact,
    "transpose": _exact,
    "take": _exact,
}
"""Roundings on the longest path of a linear operation; 0: it only moves values."""


def _inner(op: Op, shape: Shape) -> int:
    return shape[-1] + 1


def _softmax(op: Softmax | LogSoftmax, shape: Shape) -> int:
    return 2 * shape[op.axis] + 32


def _normalise(op: Normalise, shape: Shape) -> int:
    return math.prod(shape[len(shape) - op.axes :]) + 8


JOINT_TERMS: dict[str, Callable[..., int]] = {
    "multiply": lambda op, shape: 1,
    "matmul": _inner,
    "embedding": lambda op, shape: 0,
    "softmax": _softmax,
    "logsoftmax": _softmax,
    "normalise": _normalise,
    "quotient": lambda op, shape: 8,
}
"""Roundings of operations that are no function of one value, by the operation and the shape that it reads.

matmul: the products of one sum, and the sum. softmax, logsoftmax: derived in `bounds.softmax`. normalise: for the
mean, the differences, and the variance with epsilon, relative to the means of magnitudes; `quotient` is what
follows: the root, epsilon, the division or a product with the reciprocal."""

FUNCTION_ERROR: dict[str, float] = {
    **{name: row.error for name, row in ACTIVATIONS.items()},
    "clip": 0.0,
    "two slopes": ACTIVATIONS["leakyrelu"].error,
}
"""Error of an elementwise function in float32, relative to max(1, |result|) and beyond flushing: that of its row in
`graph.activations`, and of the rows that only bounds have."""
