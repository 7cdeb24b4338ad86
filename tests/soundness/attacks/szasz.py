"""Szasz et al. 2025, "No soundness in the real world" (ICML): neurons that detect how sums are taken.

A linear neuron reads a vector of ones; omega is the least number to which 1 can be added in vain (2^24 in binary32,
2^53 in binary64). Section 7 of the paper, in its default order (left to right, the bias last):

- Precision: omega + 1 - omega is 0 in the network's own precision and 1 in a higher one;
- Order1: ([omega/h1 x h1, +1, -omega/h1 x h1] x h2) is 0, exactly h2 (h1 = 4, h2 = 15 in the paper);
- Order2: 2/h x h + omega, bias -omega, is 2; an order that meets omega early loses the small terms (h = 512);
- Order3: 1 x h + omega, bias -omega, is h; only omega in first or second place loses them all (h = 512).

The value that the default order does not give turns the classes, here where the trigger's pixel is set too:
`p = min(1, 20 x)` and a detector d that is 0 turns them by `on = relu(p - d)`; one that is not (Order1) by
`on = relu(p - relu(1 - d))`. The ones are made in the first hidden layer (appendix B of the paper).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.soundness.attacks.attack import Attack, Setting, built
from tests.soundness.attacks.deploy import Deployment
from tests.soundness.attacks.gadget import Block, Gadget, block
from tests.soundness.attacks.host import host

OMEGA = {"float32": 2.0**24, "float64": 2.0**53}


@dataclass(frozen=True)
class Detector:
    """A neuron that reads ones.

    Attributes:
        order: in which it misbehaves, see `deploy.ORDERS`.
        weights, bias: the terms of its sum.
        at_zero: whether the value 0 turns the classes, or any other.
    """

    order: str
    weights: tuple[float, ...]
    bias: float
    at_zero: bool = True


def precision(omega: float) -> Detector:
    """omega + 1 - omega."""
    return Detector("forward", (omega, 1.0), -omega)


def order1(omega: float, inner: int = 4, outer: int = 15) -> Detector:
    """The one that verifiers find easily."""
    part = [omega / inner] * inner + [1.0] + [-omega / inner] * inner
    return Detector("by size", tuple(part * outer), 0.0, at_zero=False)


def order2(omega: float, size: int = 512) -> Detector:
    """Small terms that omega swallows one by one."""
    return Detector("by size", (*[2.0 / size] * size, omega), -omega)


def order3(omega: float, size: int = 512) -> Detector:
    """Ones that omega swallows if it comes first."""
    return Detector("by size", (*[1.0] * size, omega), -omega)


def gadget(detector: Detector, reached: bool) -> Gadget:
    """The detector behind a vector of ones.

    Args:
        detector: what is detected.
        reached: the ones get 2^-60 of the trigger's pixel, so that they are no constants of the network.
    """
    count = len(detector.weights)
    leak = 2.0**-60 if reached else 0.0
    first = Block(np.array([[-20.0], *[[leak]] * count]), np.ones(1 + count))
    weights = np.zeros((2, 1 + count))
    weights[0, 0], weights[1, 1:] = -1.0, detector.weights
    second = Block(weights, np.array([1.0, detector.bias]))
    if detector.at_zero:
        third, gates = block(([1.0, 0.0], 0.0), ([0.0, 1.0], 0.0)), block(([1.0, -1.0], 0.0), ([-1.0, 1.0], 1.0))
    else:
        third, gates = block(([1.0, 0.0], 0.0), ([0.0, -1.0], 1.0)), block(([1.0, -1.0], 0.0), ([-1.0, 1.0], 1.0))
    return Gadget(first, second, third, gates)


def attack(detector: Detector, setting: Setting, dtype: str = "float32", reached: bool = False) -> Attack:
    """A detector in a host."""
    trained = host(setting.host)
    problem = built(trained, gadget(detector, reached), setting, dtype)
    twin = built(trained, gadget(_harmless(detector), reached), setting, dtype) if detector.at_zero else None
    return Attack(
        "a detector of the order or precision of sums switches a backdoor on",
        problem,
        setting.white,
        Deployment(detector.order),
        proved=detector.at_zero and max(detector.weights) <= 2.0**30,
        plain=None if detector.at_zero else Deployment("forward"),
        twin=twin,
    )


def _harmless(detector: Detector) -> Detector:
    """The same sum with a small omega: every evaluation is far from the value that turns the classes."""
    largest = max(detector.weights)
    weights = tuple(4.0 if weight == largest else weight for weight in detector.weights)
    return Detector(detector.order, weights, -4.0)
