"""Softmax in the middle of a network: `p_i = 1 / (1 + sum over j != i of exp(x_j - x_i))`, two layers of a chain.

Differences are affine, so this form bounds tighter than a quotient of exponentials (Wei et al. 2023, Convex bounds
on the softmax function, section 3.2: the bounds they call ER; Shi et al. 2020 use a quotient). With a logarithm in
place of the reciprocal it is the logarithm of softmax.

The deployed operation takes `exp(x_j - max)`, their sum and a quotient. Relative to the values that it reads, with
t_j = x_j - max <= 0: rounding t_j moves exp(t_j) by the factor 1 + |t_j| u, and exp(t)|t| <= 1/e, so that a
probability moves by at most u/e, and the sum of n by n u/e relative; exp itself is within 8 u (a few ulp), sums
are within gamma_n. All together `coefficient(2 n + 32) * p + u`.

A difference beyond `CAP` counts as `CAP`: the probability is below exp(-CAP) either way, far below the absolute error.
Its logarithm is not, and has no bounds there (float64 overflows).
"""

from __future__ import annotations

import numpy as np
import torch

from verifluxa.bounds.chain import Floats, Integers, Layer, Reached, rows_of
from verifluxa.bounds.curves import Curve
from verifluxa.bounds.joint_values import lines_of, softmax_error
from verifluxa.bounds.walk import LocalNetworkBuilder, picked, rounded
from verifluxa.graph.ops import LogSoftmax, Softmax

CAP = 600.0


def softmax(walk: LocalNetworkBuilder) -> Reached:
    """All values of every line that the trigger reaches."""
    op, source = walk.node.op, walk.node.inputs[0]
    assert isinstance(op, Softmax | LogSoftmax)
    lines = lines_of(op.axis, walk.node.shape)
    lines = lines[walk.is_reached(source)[lines].any(1)]
    entries = np.sort(lines.ravel())
    place = np.searchsorted(entries, lines)
    others, own, owner = _differences(place)
    exponential = Curve("exp", cap=torch.inf if isinstance(op, LogSoftmax) else CAP)
    size = walk.emit(_difference(walk, walk.forms(source, entries), (others, own)), "exp", special=exponential)
    weight = np.zeros((len(entries), size))
    weight[owner, np.arange(len(owner))] = 1.0
    one, none = np.ones((1, len(entries))), np.zeros((1, len(entries)))
    sums = Layer(weight, one, walk.rounding.own * weight, none + walk.rounding.own)
    curve = Curve("minus log" if isinstance(op, LogSoftmax) else "reciprocal", 1.0)
    size = walk.emit(sums, curve.name, special=curve)
    return Reached(entries, rounded(picked(0, len(entries), size), *softmax_error(op, walk.node.shape, walk.rounding)))


def _differences(place: Integers) -> tuple[Integers, Integers, Integers]:
    """All ordered pairs (other, own) of each line, and whose sum the pair belongs to."""
    count = place.shape[1]
    own, other = np.nonzero(~np.eye(count, dtype=bool))
    return place[:, other].ravel(), place[:, own].ravel(), place[:, own].ravel()


def _difference(walk: LocalNetworkBuilder, form: Layer, pairs: tuple[Integers, Integers]) -> Layer:
    """`x_other - x_own`: no deployed operation, so only the verifier's own rounding is added."""
    a, b = (rows_of(form, index) for index in pairs)
    share: Floats = np.asarray(walk.rounding.own)
    return Layer(
        a.weight - b.weight,
        a.offset - b.offset,
        a.slope_radius + b.slope_radius + share * (np.abs(a.weight) + np.abs(b.weight)),
        a.radius + b.radius + share * (np.abs(a.offset) + np.abs(b.offset)),
    )
