"""The network on the untouched inputs: every node's value and its error radius, once per problem.

What a trigger cannot reach is a constant of the input; all placements share these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array

from verifluxa.bounds.chain import Layer
from verifluxa.bounds.functions import FUNCTIONS, Function, Parameters, function_error, function_of
from verifluxa.bounds.joint_values import JOINT_VALUES, Ball, joint_width
from verifluxa.bounds.linear_map import LinearMap, concat_places, linear_map_of, pool_windows
from verifluxa.bounds.rounding import RADIUS_SAFETY, Rounding
from verifluxa.errors import UnsupportedError
from verifluxa.graph.graph import Graph, Node
from verifluxa.graph.ops import Add, Concat, MaxPool, MeanPool, Op, Shape

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
NONE: Integers = np.zeros(0, dtype=np.int64)


class _Step(NamedTuple):
    node: Node
    linear: LinearMap | None
    shapes: list[Shape]


@dataclass(frozen=True, eq=False)
class Constants:
    """Values of all nodes on the untouched inputs, flat, and how far a deployed evaluation may be off.

    Attributes:
        values: per node, shape (N, size).
        radii: per node, shape (N, size): |deployed - value| in every allowed evaluation.
        maps: per node its linear map, or None.
        rounding: the coefficients that were used.
        unsafe: shape (N,): inputs on which some node may overflow or is not finite.
        shared: layers that all placements share, by the node from which on they do; filled by `build_chain`.
    """

    values: tuple[Floats, ...]
    radii: tuple[Floats, ...]
    maps: tuple[LinearMap | None, ...]
    rounding: Rounding
    unsafe: NDArray[np.bool_]
    shared: dict[int, tuple[Layer, ...]] = field(default_factory=dict)


def propagate(graph: Graph, inputs: Floats, arithmetic: str, readout: int, spread: float = 0.0) -> Constants:
    """Evaluates nodes 0..readout in float64 with interval radii.

    Args:
        graph: the deployed network.
        inputs: shape (N, *graph.input_shape), in the user's units.
        arithmetic: `float32`, `float64` or `real`.
        readout: index of the last node that is needed.
        spread: how far each value of an input may be off: a radius of the input itself.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    nodes = graph.nodes[: readout + 1]
    maps = tuple(linear_map_of(n.op, nodes[n.inputs[0]].shape) if len(n.inputs) == 1 else None for n in nodes)
    rounding = Rounding(arithmetic, _width(nodes))
    values: list[Floats] = []
    radii: list[Floats] = []
    unsafe = np.zeros(len(inputs), dtype=bool)
    for node, linear in zip(nodes, maps, strict=True):
        step = _Step(node, linear, [nodes[source].shape for source in node.inputs])
        value, radius = _node(step, _operands(node, inputs, values, radii), rounding)
        radius = radius if node.inputs else _read(value, spread, rounding)
        unsafe |= ~np.isfinite(value).all(1) | ~(radius < rounding.largest_radius).all(1)
        if linear is not None and linear.folded is not None:
            read = np.abs(values[node.inputs[0]]) + radii[node.inputs[0]]
            unsafe |= ~(linear.folded.largest(read) < rounding.largest).all(1)
        values.append(value)
        radii.append(radius)
    return Constants(tuple(values), tuple(radii), maps, rounding, unsafe)


def _read(value: Floats, spread: float, rounding: Rounding) -> Floats:
    """How far inputs may be off when the network reads them; where they move, the sum is rounded."""
    moved = spread + (rounding.coefficient(1) * (np.abs(value) + spread) + rounding.tiny(1) if spread else 0.0)
    return np.maximum(rounding.flushed(value), moved)


def _width(nodes: Sequence[Node]) -> int:
    """More than any sum of the verifier's own has terms: all values, those that win a window with its players.

    A state holds a node's values, or what a max pool or an operation of `JOINT_VALUES` needs in between, and the
    branches carried past them. The checker counts alike.
    """
    total = 0
    for node in nodes:
        players = math.prod(node.op.window) if isinstance(node.op, MaxPool | MeanPool) else 1
        shapes = [nodes[source].shape for source in node.inputs]
        total += max(players * math.prod(node.shape), joint_width(node.op, shapes))
    return total


def _operands(node: Node, inputs: Floats, values: list[Floats], radii: list[Floats]) -> list[Ball]:
    if not node.inputs:
        flat = np.ascontiguousarray(inputs.reshape(len(inputs), -1))
        return [(flat, np.zeros_like(flat))]
    return [(values[source], radii[source]) for source in node.inputs]


def _node(step: _Step, operands: list[Ball], rounding: Rounding) -> Ball:
    op = step.node.op
    value, radius = operands[0]
    if op.kind in ("input", "reshape"):
        return value, radius
    with np.errstate(all="ignore"):
        if step.linear is not None:
            return _linear(step.linear, value, radius, rounding)
        walked = WALKED.get(op.kind)
        if walked is not None:
            return walked(op, step.shapes, operands, rounding)
        row = function_of(op)
        if row is not None:
            return _function(*row, value, radius, rounding)
    raise not_provable(op)


def _sum(op: Add, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    scale = rounding.coefficient(len(operands) - 1)
    value = np.sum([v for v, _ in operands], axis=0)
    radius = np.sum([RADIUS_SAFETY * e + scale * (np.abs(v) + e) for v, e in operands], axis=0)
    return value, radius + rounding.tiny(len(operands))


def _concat(op: Concat, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    places = concat_places(op, shapes)
    size = sum(len(place) for place in places)
    value, radius = np.empty((len(operands[0][0]), size)), np.empty((len(operands[0][0]), size))
    for place, (v, e) in zip(places, operands, strict=True):
        value[:, place], radius[:, place] = v, e
    return value, radius


def not_provable(op: Op) -> UnsupportedError:
    """The error for an operation that has no bounds."""
    name = getattr(op, "function", op.kind)
    return UnsupportedError(
        "VF7001",
        f"there are no bounds for the operation {name!r}",
        remedy="`verifluxa supports` lists what can be proved",
    )


def _linear(linear: LinearMap, value: Floats, radius: Floats, rounding: Rounding) -> Ball:
    single, matrix = linear.single, linear.stored
    if single is not None:
        # Each output reads one input: a sparse product takes many times as long.
        source, matrix = single
        value, radius = value[:, source], radius[:, source]

    def times(matrix: csc_array | Floats, x: Floats) -> Floats:
        found: Floats = (matrix @ x.T).T if single is None else matrix * x
        return found

    # Images start without radii, and what encodes them without a bias: passes over zeros would take half of the time.
    uncertain, biased = bool(radius.any()), bool(linear.bias_size.any())
    result = times(matrix, value)
    if biased:
        result += linear.bias
    if linear.terms == 0:
        return result, times(matrix, radius)
    if isinstance(matrix, np.ndarray):
        size = rounding.magnitude(matrix, linear.fewest)
    else:
        size = matrix.copy()
        size.data = rounding.magnitude(size.data, linear.fewest)
    scale = relative(linear, rounding, value, radius)
    error = np.abs(value)
    error *= scale
    if uncertain:
        error += (RADIUS_SAFETY + scale) * radius
    moved = times(size, error)
    moved += scale * linear.bias_size + linear.tiny(rounding) if biased else linear.tiny(rounding)
    if single is not None:
        still = value == 0  # a multiple of 0 is 0, exactly
        still = still & (radius == 0) if uncertain else still
        moved[still & (linear.bias_size == 0) if biased else still] = 0.0
    return result, moved


def relative(linear: LinearMap, rounding: Rounding, value: Floats, radius: Floats, reached: Integers = NONE) -> Floats:
    """Relative error of a linear operation on each input, shape (N, 1).

    A dense layer's sum has as many roundings as terms that need not be 0: products with an exact zero are exact, and
    adding them rounds nothing, in any order. Other operations count all.

    Args:
        value, radius: of what it reads, shape (N, size).
        reached: which of them a trigger may change; they count as if they were not 0.
    """
    if linear.fewest == linear.terms or rounding.arithmetic == "real":
        return np.full((len(value), 1), linear.coefficient(rounding))
    counted = (value != 0) | (radius != 0)
    counted[:, reached] = True
    return rounding.coefficients(np.minimum(counted.sum(1) + 2, linear.terms))[:, None]


def _function(name: str, parameters: Parameters, value: Floats, radius: Floats, rounding: Rounding) -> Ball:
    function = FUNCTIONS[name]
    result = function.value(torch.from_numpy(value), parameters).numpy()
    steepness = function.lipschitz(parameters)
    moved = RADIUS_SAFETY * steepness * radius if steepness < np.inf else _jump(function, parameters, value, radius)
    relative = function_error(name, rounding.arithmetic, parameters)
    error = relative * np.maximum(1.0, np.abs(result) + moved) + rounding.tiny(1)
    return result, moved + error


def _jump(function: Function, parameters: Parameters, value: Floats, radius: Floats) -> Floats:
    """How far a nondecreasing function moves within a radius, jumps included."""
    ends = (
        function.value(torch.from_numpy(end), parameters).numpy() for end in (value - radius, value, value + radius)
    )
    low, middle, high = ends
    return np.asarray(RADIUS_SAFETY * np.maximum(high - middle, middle - low))


def _maxpool(op: MaxPool, shapes: list[Shape], operands: list[Ball], rounding: Rounding) -> Ball:
    value, radius = operands[0]
    index, inside = pool_windows(op, shapes[0])
    index = np.where(inside, index, 0)
    gathered = np.where(inside[None], value[:, index], -np.inf)
    spread = np.where(inside[None], radius[:, index], 0.0)
    return gathered.max(2), spread.max(2) + rounding.tiny(1)


@np.errstate(all="ignore")
def added_error(graph: Graph, number: int, constants: Constants) -> Floats:
    """How far an operation itself may be off at the deployed operands, without what those are off, shape (N, size).

    Only of operations that are linear, elementwise, or move values; others have all of their radius.
    """
    node, rounding = graph.nodes[number], constants.rounding
    value, radius = constants.values[number], constants.radii[number]
    row = function_of(node.op)
    if not node.inputs:
        return radius
    if row is not None:
        off = constants.radii[node.inputs[0]] * FUNCTIONS[row[0]].lipschitz(row[1])
        relative_error = function_error(row[0], rounding.arithmetic, row[1])
        return np.asarray(relative_error * np.maximum(1.0, np.abs(value) + RADIUS_SAFETY * off) + rounding.tiny(1))
    if constants.maps[number] is None and node.op.kind not in ("add", "concat", "maxpool", "reshape"):
        return radius
    # At operands as large as any deployed one, and exact.
    largest = [np.abs(constants.values[at]) + constants.radii[at] for at in node.inputs]
    step = _Step(node, constants.maps[number], [graph.nodes[source].shape for source in node.inputs])
    return _node(step, [(size, np.zeros_like(size)) for size in largest], rounding)[1]


WALKED: dict[str, Callable[..., Ball]] = {**JOINT_VALUES, "add": _sum, "concat": _concat, "maxpool": _maxpool}
"""Operations that are neither linear in one value nor elementwise."""
