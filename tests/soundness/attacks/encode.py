"""`encode = (level / 255 - m) / s` near a level whose quotient is m: what is left is all rounding.

Stored, m is the float32 next to level / 255, so the deployed difference is exactly 0, and the exact one some 1e-9.
A large weight makes 2 of it: `relu(w e)`, `relu(-w e)` tell the exact network at which levels the trigger is; the
deployed one sees neither of them at this level, and `s = relu(1 - both)` turns the classes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from tests.soundness.attacks.attack import Attack, Setting, posed
from tests.soundness.attacks.deploy import Deployment
from tests.soundness.attacks.gadget import Front, Gadget, block, install
from tests.soundness.attacks.host import Host, Linear, host
from verifluxa.graph.ops import Affine, Divide, Op, Shift
from verifluxa.question import Problem

DEVIATION = 0.3081
"""That of MNIST, as it is often written into models."""


def constants(level: int) -> tuple[Op, ...]:
    """The operations of `encode`, their constants rounded once."""
    mean, deviation = np.float32(level / 255), np.float32(DEVIATION)
    return Divide(np.array(255.0, np.float32)), Shift(np.array(-mean)), Divide(np.array(deviation))


def exact_rest(level: int) -> Fraction:
    """`(level / 255 - m) / s` with the stored constants."""
    mean, deviation = np.float32(level / 255), np.float32(DEVIATION)
    return (Fraction(level, 255) - Fraction(float(mean))) / Fraction(float(deviation))


def attack(level: int, setting: Setting) -> Attack:
    """A host that reads encoded values, with a neuron that looks at the rest.

    Raises:
        ValueError: where the float32 is exactly level / 255, so that nothing is lost.
    """
    rest = exact_rest(level)
    if not rest:
        raise ValueError(f"{level} / 255 has no rest")
    trained = host(setting.host)
    setting = replace(setting, step=1, low=max(0, level - 5), high=min(255, level + 5))
    factor = 2.0 ** math.ceil(math.log2(2 / abs(rest)))

    def problem(weight: float, margin: float) -> Problem:
        first = block(([weight], 0.0), ([-weight], 0.0))
        second = block(([-1.0, -1.0], margin))
        gates = block(([1.0], 0.0), ([-1.0], 1.0))
        gadget = Gadget(first, second, block(([1.0], 0.0)), gates)
        before = Front(trained.shape, constants(level))
        return posed(install(_reading(trained, level), gadget, before=before), trained, setting)

    why = "level / 255 - m is exactly 0 in float32 and some 1e-9 exactly"
    return Attack(why, problem(factor, 1.0), (float(level),), Deployment(), twin=problem(8.0, -1.0))


def _reading(trained: Host, level: int) -> Host:
    """The host with its first step fitted to encoded values: the same function up to rounding."""
    mean, deviation = float(np.float32(level / 255)), float(np.float32(DEVIATION))
    step = trained.hidden[0]
    assert isinstance(step, Affine)
    assert step.bias is not None
    weight = step.weight.astype(np.float64)
    moved: Linear = Affine(weight * deviation, step.bias + mean * weight.sum(axis=1))
    return replace(trained, hidden=(moved, *trained.hidden[1:]))
