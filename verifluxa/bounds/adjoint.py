"""How far rows over the outputs on an untouched input may be off, the errors of all operations carried back to them.

`constants.propagate` carries radii forward, where an error can only grow: after some layers they are many times what
any evaluation is off by. Carried backward they cancel. With `d = deployed - value` of each node, `e` the error that an
operation adds at the deployed operands, and some slope `s` of it between both operands (mean value theorem),

    d = s d(operands) + e,    so    row . d(outputs) = sum over nodes of (coefficients at the node) . e,

and the coefficients are those of reverse differentiation, known up to the range of the slopes (an interval adjoint;
Griewank and Walther, Evaluating Derivatives, 2008, section 3.2; for rounding errors section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from verifluxa.bounds.constants import Constants, Floats, added_error
from verifluxa.bounds.functions import FUNCTIONS, function_of
from verifluxa.bounds.linear_map import LinearMap, concat_places, pool_windows
from verifluxa.bounds.rounding import RADIUS_SAFETY
from verifluxa.bounds.smooth import with_parameter
from verifluxa.graph.graph import Graph, Node
from verifluxa.graph.ops import Concat, MaxPool, Shape

MOST_VALUES = 1 << 24
"""Coefficients of one node that are held at once."""
CURVATURE = {"sigmoid": 0.1, "sigmoid_fast": 0.1, "tanh": 0.78, "tanh_fast": 0.78}
"""Bounds of |f''|: 1 / (6 sqrt 3) and 4 / (3 sqrt 3)."""
SLOPE_ERROR = 1e-9
"""Far above the error of differentiating a function in float64."""


class Coefficients(NamedTuple):
    """Of rows on a node's values: `value - spread <= coefficient <= value + spread`, shape (N, rows, size)."""

    value: Floats
    spread: Floats


def row_radii(graph: Graph, constants: Constants, rows: Floats) -> Floats:
    """Radii of linear rows over the last node on some inputs, never larger than by those that were carried forward.

    Args:
        graph: up to the last node of `constants`.
        constants: of these inputs.
        rows: of each input, shape (N, R, outputs).

    Returns:
        Shape (N, R).
    """
    count, number, _ = rows.shape
    size = max(1, MOST_VALUES // (number * max(part.shape[1] for part in constants.values)))
    cuts = (slice(at, at + size) for at in range(0, count, size))
    parts = [_some(graph, _of(constants, cut), rows[cut]) for cut in cuts]
    forward = RADIUS_SAFETY * (np.abs(rows) @ constants.radii[-1][..., None])[..., 0]
    found: Floats = np.minimum(forward, np.concatenate([np.zeros((0, number)), *parts]))
    return found


def _of(constants: Constants, some: slice) -> Constants:
    values, radii = (tuple(part[some] for part in parts) for parts in (constants.values, constants.radii))
    return replace(constants, values=values, radii=radii, unsafe=constants.unsafe[some], shared={})


@np.errstate(all="ignore")
def _some(graph: Graph, constants: Constants, rows: Floats) -> Floats:
    waiting = {len(constants.values) - 1: Coefficients(rows, np.zeros_like(rows))}
    total = np.zeros(rows.shape[:2])
    for number in range(len(constants.values) - 1, -1, -1):
        own = waiting.pop(number, None)
        if own is None:
            continue
        node = graph.nodes[number]
        handled, parts = _back(node, number, graph, constants, own)
        error = np.where(handled, added_error(graph, number, constants), constants.radii[number])
        total += ((np.abs(own.value) + own.spread) @ error[..., None])[..., 0]
        for source, part in zip(node.inputs, parts, strict=False):
            before = waiting.get(source)
            waiting[source] = (
                part if before is None else Coefficients(*(a + b for a, b in zip(before, part, strict=True)))
            )
    return np.asarray(RADIUS_SAFETY * total)


def _back(
    node: Node, number: int, graph: Graph, constants: Constants, own: Coefficients
) -> tuple[NDArray[np.bool_], Sequence[Coefficients]]:
    """Which of a node's values are traced further, shape (N, size), and the coefficients on what they read."""
    every = np.ones(constants.values[number].shape, dtype=bool)
    shapes = [graph.nodes[source].shape for source in node.inputs]
    linear = constants.maps[number]
    if linear is not None:
        return every, [_linear(linear, own, constants.rounding.own)]
    if node.op.kind in ("reshape", "add"):
        return every, [own] * len(node.inputs)
    if isinstance(node.op, Concat):
        return every, [Coefficients(*(part[..., place] for part in own)) for place in concat_places(node.op, shapes)]
    if isinstance(node.op, MaxPool):
        return _pool(node.op, shapes[0], constants, node.inputs[0], own)
    slopes = _slopes(node, constants.values[node.inputs[0]], constants.radii[node.inputs[0]]) if node.inputs else None
    return (~every, []) if slopes is None else _elementwise(slopes, own)


def _elementwise(slopes: tuple[Floats, Floats], own: Coefficients) -> tuple[NDArray[np.bool_], Sequence[Coefficients]]:
    """Behind a function whose slopes lie in a range; where that is not finite nothing is traced further."""
    middle, half = ((slopes[1] + slopes[0]) / 2, (slopes[1] - slopes[0]) / 2)
    known = np.isfinite(middle) & np.isfinite(half)
    middle, half = (np.where(known, part, 0.0)[:, None] for part in (middle, half))
    spread = own.spread * (np.abs(middle) + half) + np.abs(own.value) * half
    return known, [Coefficients(own.value * middle, spread)]


def _linear(linear: LinearMap, own: Coefficients, rounding: float) -> Coefficients:
    """What this arithmetic itself rounds counts as spread."""
    matrix = linear.stored
    size = abs(matrix)

    def times(part: Floats, by: object) -> Floats:
        flat = part.reshape(-1, part.shape[-1])
        found = flat @ by if isinstance(by, np.ndarray) else (by.T @ flat.T).T  # type: ignore[attr-defined]
        return np.asarray(found).reshape(*part.shape[:-1], linear.shape[1])

    return Coefficients(times(own.value, matrix), times(own.spread + rounding * np.abs(own.value), size))


def _pool(
    op: MaxPool, shape: Shape, constants: Constants, source: int, own: Coefficients
) -> tuple[NDArray[np.bool_], Sequence[Coefficients]]:
    """A window's value is that of its winner, where no other can win."""
    index, inside = pool_windows(op, shape)
    index = np.where(inside, index, 0)
    value, radius = (part[source][:, index] for part in (constants.values, constants.radii))
    lower, upper = (np.where(inside, end, -np.inf) for end in (value - radius, value + radius))
    winner = lower.argmax(axis=2)[..., None]
    others = np.where(np.arange(index.shape[1]) == winner, -np.inf, upper)
    decided = np.take_along_axis(lower, winner, 2)[..., 0] >= others.max(axis=2)
    reads = np.take_along_axis(np.broadcast_to(index, value.shape), winner, 2)[..., 0]
    parts = []
    for part in own:
        moved = np.zeros((*part.shape[:2], constants.values[source].shape[1]))
        for n in range(len(part)):
            np.add.at(moved[n].T, reads[n], np.where(decided[n], part[n], 0.0).T)
        parts.append(moved)
    return decided, [Coefficients(*parts)]


def _slopes(node: Node, value: Floats, radius: Floats) -> tuple[Floats, Floats] | None:
    """Least and largest slope between two points within a radius; None for an operation that is not traced."""
    row = function_of(node.op)
    if row is None or FUNCTIONS[row[0]].lipschitz(row[1]) == np.inf:
        return None
    name, parameters = row
    low, high = value - radius, value + radius
    if name in ("relu", "leakyrelu"):
        left = np.full(value.shape, 0.0 if name == "relu" else parameters[0])
        return np.where(low > 0, 1.0, left), np.where(high < 0, left, 1.0)
    if name == "clip":
        inside, reached = (low > parameters[0]) & (high < parameters[1]), (high > parameters[0]) & (low < parameters[1])
        return inside.astype(np.float64), reached.astype(np.float64)
    smooth = None if name in CURVATURE else with_parameter(name, *parameters)
    kinks, curvature = ((), CURVATURE[name]) if smooth is None else (smooth.kinks, smooth.curvature)
    steepest = FUNCTIONS[name].lipschitz(parameters)
    at = torch.from_numpy(value.copy()).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(FUNCTIONS[name].value(at, parameters).sum(), at)
    room = curvature * radius + SLOPE_ERROR
    kinked = np.zeros(value.shape, dtype=bool)
    for kink in kinks:
        kinked |= (low <= kink) & (kink <= high)
    lower, upper = (np.where(kinked, sign * steepest, gradient.numpy() + sign * room) for sign in (-1.0, 1.0))
    return lower, upper
