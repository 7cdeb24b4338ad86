"""Piecewise-linear functions as `f(z) = min(cap, max over lines of slope * z + intercept)`, nondecreasing.

One row per function of `bounds.functions.FUNCTIONS`; a function without a row has no exact encoding and stays
with bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from verifluxa.bounds import LayerBounds, Maxima, Net, NetLayer, Parameters
from verifluxa.errors import UnsupportedError
from verifluxa.graph.arithmetic import LARGEST

Line = tuple[Fraction, Fraction]
"""(slope, intercept)."""
ZERO, ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class Pieces:
    """A function by its lines, the flatter one first, and its cap (None: no cap).

    The two lines meet at `bend`; the steeper one, of slope 1 through 0, meets the cap at z = cap.
    """

    flat: Line
    bend: Fraction
    cap: Fraction | None = None

    def value(self, z: Fraction) -> Fraction:
        """f(z)."""
        top = max(self.flat[0] * z + self.flat[1], z)
        return top if self.cap is None else min(top, self.cap)

    def line(self, low: Fraction, high: Fraction) -> Line | None:
        """The line that f is on [low, high], or None where it bends in between."""
        if high <= self.bend:
            return self.flat
        if self.cap is not None and low >= self.cap:
            return ZERO, self.cap
        straight = low >= self.bend and (self.cap is None or high <= self.cap)
        return (ONE, ZERO) if straight else None


def _relu(parameters: Parameters) -> Pieces:
    return Pieces((ZERO, ZERO), ZERO)


def _leakyrelu(parameters: Parameters) -> Pieces:
    return Pieces((Fraction(parameters[0]), ZERO), ZERO)


def _clip(parameters: Parameters) -> Pieces:
    low, high = parameters
    # An end that is open lies where no value gets.
    bend = Fraction(max(low, -LARGEST["float64"]))
    return Pieces((ZERO, bend), bend, None if high == math.inf else Fraction(high))


PIECES: dict[str, Callable[[Parameters], Pieces]] = {"relu": _relu, "leakyrelu": _leakyrelu, "clip": _clip}


def pieces_of(layer: NetLayer) -> Pieces:
    """The pieces of a hidden layer's function; for the pairs of a max pool those of their difference's relu.

    Raises:
        UnsupportedError: VF7002 for a function that is not piecewise linear.
    """
    assert layer.function is not None
    row = PIECES.get("relu" if isinstance(layer.special, Maxima) else layer.function)
    if row is None:
        raise UnsupportedError(
            "VF7002",
            f"the activation {layer.function!r} has no exact encoding",
            expected="one of " + ", ".join(PIECES),
            remedy="let stages with bounds decide: crown, branch",
        )
    return row(layer.parameters)


def count_bends(net: Net, bounds: list[LayerBounds]) -> Tensor:
    """How many neurons bend within their bounds: the case splits of each pair, shape (B,).

    Raises:
        UnsupportedError: VF7002.
    """
    total = torch.zeros(len(bounds[0].lower), dtype=torch.long, device=bounds[0].lower.device)
    for layer, own in zip(net.hidden, bounds, strict=False):
        pieces = pieces_of(layer)
        bent = (own.lower < float(pieces.bend)) & (float(pieces.bend) < own.upper)
        if pieces.cap is not None:
            bent |= (own.lower < float(pieces.cap)) & (float(pieces.cap) < own.upper)
        if isinstance(layer.special, Maxima):
            bent &= layer.special.unstable(own.lower, own.upper)
        total += (bent if layer.linear is None else bent & ~layer.linear).sum(1)
    return total
