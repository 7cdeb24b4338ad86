"""Ground truth at extreme scales: huge weights that cancel, tiny ones, encode on a level. Floats may differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.soundness.build import dense, levels, mlp
from tests.soundness.cases import CERTIFIED, FALSIFIED, TIE, Case, case, hat, one_pixel, only_in_real
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Divide, Op, Reshape, Shift


def cases() -> list[Case]:
    """All cases at extreme scales."""
    return [*_cancelling(), *_scaled(), *_encoded(), *_double()]


def cancelling(weight: float, lead: float) -> Graph:
    """Class 1 leads by `weight * relu(t) - weight * relu(t) + lead`, over two neurons."""
    return mlp((1, 1, 1), ([[1.0], [1.0]], None), ([[0.0, 0.0], [weight, -weight]], [0.0, lead]))


def _cancelling() -> list[Case]:
    found = []
    for weight, decidable in ((1e8, True), (1e17, False)):
        for lead, verdict in ((2.0**-10, FALSIFIED), (0.0, TIE), (-(2.0**-10), CERTIFIED)):
            for low in (0, -4):
                problem = one_pixel(cancelling(weight, lead), levels(1, low, 4))
                found.append(
                    case(f"{weight:g} cancels, lead {lead:+}, from {low}", problem, verdict, decidable=decidable)
                )
    return [only_in_real(c) if c.verdict is CERTIFIED else c for c in found]


def _scaled() -> list[Case]:
    """A hat whose logits are all scaled by a power of two: an absolute tolerance would decide wrongly."""
    found = []
    for power in (40, -30, -60, -100):
        for threshold, verdict in ((2.5, FALSIFIED), (3.0, TIE), (3.5, CERTIFIED)):
            problem = one_pixel(hat(4, 3, threshold, 2.0**power), levels(1, 0, 8))
            found.append(case(f"hat scaled by 2^{power} over {threshold}", problem, verdict))
    # Logits below 2^-126 may be flushed to zero, which makes a tie of a certified lead.
    flushed = one_pixel(hat(4, 3, 3.5, 2.0**-130), levels(1, 0, 8))
    return [*found, only_in_real(case("hat scaled by 2^-130", flushed, CERTIFIED))]


def _encoded() -> list[Case]:
    """`t / 255` rounds to the stored mean: the lead is some 1e-9 in real arithmetic and a tie in float32."""
    found = []
    for level in (51, 85, 153, 204, 254):
        shift = -np.float32(level / 255)
        exactly_above = -float(shift) * 255 > level  # the product of 24 and 8 bits is exact in float64
        sign = 1.0 if exactly_above else -1.0
        ends = (0, level) if exactly_above else (level, 255)
        ops: list[Op] = [Divide(np.array(255.0, np.float32)), Shift(np.array(shift, np.float32)), Reshape((-1,))]
        for factor, verdict in ((sign, CERTIFIED), (-sign, FALSIFIED)):
            graph = chain((1, 1, 1), [*ops, dense([[0.0], [factor]])])
            domain = levels(1, *(ends if verdict is CERTIFIED else (level, level)))
            problem = one_pixel(graph, domain)
            # The lead at level 254 is 2e-10, less than the slack of an engine that computes in float64 may be.
            found.append(
                only_in_real(case(f"encode on level {level}, {verdict}", problem, verdict, decidable=level < 254))
            )
        graph = chain((1, 1, 1), [*ops, dense([[0.0], [sign]])])
        short = (0, level - 1) if exactly_above else (level + 1, 255)
        found.append(case(f"encode beside level {level}", one_pixel(graph, levels(1, *short)), CERTIFIED))
    return found


def _double() -> list[Case]:
    """A float64 network: weights that float32 would round to a tie."""
    found = []
    for lead, verdict in ((2.0**-40, FALSIFIED), (0.0, TIE), (-(2.0**-40), CERTIFIED)):
        first, second = ([[1.0]], [-4.0]), ([[1.0], [1.0]], [1.0, 1.0 + lead])
        graph = mlp((1, 1, 1), first, second, dtype="float64")
        found.append(
            replace(
                case(f"float64 weights, lead {lead:+}", one_pixel(graph, levels(1, 0, 8)), verdict),
                float32=frozenset({TIE}),
            )
        )
    return found
