"""The local network of a placement: everything that its trigger can reach, as a short chain of layers.

Locality: a patch reaches a window that grows layer by layer; what lies outside is a constant of the input.
The chain holds only reached neurons, as dense matrices, with one offset per input. Its state is `h_0 = tau`,
then per layer

    z = weight @ h + offset[input]    within   slope_radius @ |h| + radius[input]  of the deployed value,
    h' = function(z)                  (or z itself where `linear`).

Max pools become pairwise `a + relu(b - a)`. The last layer gives the outputs and has no function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds.constants import Constants, not_provable
from verifluxa.bounds.functions import Parameters, function_error, function_of
from verifluxa.bounds.linear_map import LinearMap, pool_windows
from verifluxa.bounds.rounding import SAFETY, Rounding
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import MaxPool, Shape
from verifluxa.question import Stamp

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a chain.

    Attributes:
        weight: shape (n, s).
        offset: shape (N, n), or (1, n) when it is the same for all inputs.
        slope_radius: shape (n, s), nonnegative.
        radius: shape (N, n) or (1, n), nonnegative.
        function: a row of `functions.FUNCTIONS`, or None: the outputs.
        parameters: of the function.
        linear: shape (n,): neurons that the function leaves alone, or None.
        overflow: shapes (s,) and (N,) or (1,): no sum on the way from the state to z can overflow where
            `overflow[0] @ |h| + overflow[1][input] < 1`; None where nothing is summed.
    """

    weight: Floats
    offset: Floats
    slope_radius: Floats
    radius: Floats
    function: str | None = None
    parameters: Parameters = ()
    linear: NDArray[np.bool_] | None = None
    overflow: tuple[Floats, Floats] | None = None


@dataclass(frozen=True, eq=False)
class Chain:
    """The layers of one placement; `unsafe` inputs (shape (N,)) may overflow and are never counted safe."""

    layers: tuple[Layer, ...]
    unsafe: NDArray[np.bool_]
    rounding: Rounding


@dataclass(frozen=True, eq=False)
class _Reached:
    """Reached elements of a node: flat indices, and their affine form in the chain's current state."""

    index: Integers
    form: Layer


def build_chain(graph: Graph, constants: Constants, stamp: Stamp) -> Chain:
    """Cuts out the part of the network that a stamp can reach.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    inputs = constants.values[0]
    reached = _stamped(stamp, inputs, constants.rounding)
    layers: list[Layer] = []
    sums = [reached.form]
    for number in range(1, len(constants.values)):
        before = len(layers)
        node = graph.nodes[number]
        source = node.inputs[0]
        linear = constants.maps[number]
        row = function_of(node.op)
        if linear is not None:
            reached = _linear(linear, reached, constants, source, number)
            sums.append(reached.form)
        elif isinstance(node.op, MaxPool):
            reached = _maxpool(node.op, graph.nodes[source].shape, reached, constants, (source, layers))
        elif row is not None:
            layers.append(replace(reached.form, function=row[0], parameters=row[1]))
            reached = _Reached(reached.index, _identity(len(reached.index), row[0], constants.rounding))
        else:
            raise not_provable(node.op)
        if len(layers) > before:
            layers[before] = replace(layers[before], overflow=_overflow(sums, constants.rounding))
            sums = []
    layers.append(replace(_outputs(reached, constants), overflow=_overflow(sums, constants.rounding)))
    return Chain(tuple(layers), constants.unsafe, constants.rounding)


def _overflow(sums: list[Layer], rounding: Rounding) -> tuple[Floats, Floats] | None:
    """`Layer.overflow` of the operations since the last function: a huge value may shrink again before z.

    The radius of an operation is at least u * (|W||x| + |b|), see `Rounding.largest_radius`; maxima over
    its outputs make one number of each.
    """
    if not sums:
        return None
    slope = np.max([form.slope_radius.max(axis=0, initial=0.0) for form in sums], axis=0)
    tops = [form.radius.max(axis=1, initial=0.0) for form in sums]
    radius = np.max(np.broadcast_arrays(*tops), axis=0)
    return slope / rounding.largest_radius, radius / rounding.largest_radius


def _stamped(stamp: Stamp, inputs: Floats, rounding: Rounding) -> _Reached:
    original = inputs[:, stamp.positions]
    offset = stamp.keep * original + stamp.offset
    if stamp.replaces:
        slope_radius, radius = np.zeros_like(stamp.gain), np.zeros((1, len(stamp.positions)))
        offset = np.zeros((1, len(stamp.positions)))
    else:
        scale = rounding.coefficient(stamp.gain.shape[1] + 3)
        slope_radius = scale * np.abs(stamp.gain)
        radius = scale * (np.abs(stamp.keep * original) + np.abs(stamp.offset)) + rounding.tiny(4)
    order = np.argsort(stamp.positions)
    form = Layer(stamp.gain[order], offset[:, order], slope_radius[order], radius[:, order])
    return _Reached(stamp.positions[order], form)


def _identity(size: int, function: str, rounding: Rounding) -> Layer:
    """The state right after a function: the function's own float error is the only radius."""
    error = function_error(function, rounding.arithmetic)
    radius = np.full((1, size), error + rounding.tiny(1))
    return Layer(np.eye(size), np.zeros((1, size)), error * np.eye(size), radius)


def _linear(linear: LinearMap, reached: _Reached, constants: Constants, source: int, number: int) -> _Reached:
    """Pushes the affine form through a linear operation; what is not reached comes in as a constant."""
    columns = linear.matrix[:, reached.index]
    rows = np.unique(columns.indices)
    everything = len(reached.index) == linear.matrix.shape[1]
    if everything:
        rows = np.arange(linear.matrix.shape[0])
    local = columns[rows].toarray()
    form = reached.form
    weight = local @ form.weight
    if linear.terms == 0:
        moved = Layer(weight, form.offset @ local.T, local @ form.slope_radius, form.radius @ local.T)
        return _Reached(rows, moved)
    size = constants.rounding.magnitude(local, linear.terms)
    scale = constants.rounding.coefficient(linear.terms)
    slope_radius = SAFETY * (size @ form.slope_radius) + scale * (size @ (np.abs(form.weight) + form.slope_radius))
    inner = SAFETY * form.radius + scale * (np.abs(form.offset) + form.radius)
    if everything:
        offset = form.offset @ local.T + linear.bias
        base = scale * np.abs(linear.bias)[None] + constants.rounding.tiny(linear.terms)
    else:
        # The original values of the reached elements are taken out again; their radius stays in (sound, cheap).
        original = constants.values[source][:, reached.index]
        offset = constants.values[number][:, rows] + (form.offset - original) @ local.T
        base = SAFETY * constants.radii[number][:, rows] + constants.rounding.own * (np.abs(original) @ size.T)
    return _Reached(rows, Layer(weight, offset, slope_radius, inner @ size.T + base))


def _outputs(reached: _Reached, constants: Constants) -> Layer:
    """All outputs: unreached ones are constants with zero weight."""
    values, radii = constants.values[-1], constants.radii[-1]
    if len(reached.index) == values.shape[1]:
        return reached.form
    form = reached.form
    states = form.weight.shape[1]
    weight, slope_radius = np.zeros((values.shape[1], states)), np.zeros((values.shape[1], states))
    weight[reached.index], slope_radius[reached.index] = form.weight, form.slope_radius
    offset, radius = values.copy(), radii.copy()
    offset[:, reached.index], radius[:, reached.index] = form.offset, form.radius
    return Layer(weight, offset, slope_radius, radius)


def _maxpool(
    op: MaxPool, shape: Shape, reached: _Reached, constants: Constants, chain: tuple[int, list[Layer]]
) -> _Reached:
    """Max over windows by a tournament: per round the pairs (a, b) become `a + relu(b - a)`, which is exact."""
    source, layers = chain
    index, inside = pool_windows(op, shape)
    is_reached = np.zeros(constants.values[source].shape[1], dtype=bool)
    is_reached[reached.index] = True
    rows = np.flatnonzero((is_reached[np.where(inside, index, 0)] & inside).any(1))
    groups = [[int(i) for i in index[row][inside[row]]] for row in rows]
    entries = sorted({i for group in groups for i in group})
    form = _with_constants(entries, reached, constants, source)
    place = {entry: position for position, entry in enumerate(entries)}
    players = [[place[i] for i in group] for group in groups]
    while max((len(group) for group in players), default=1) > 1:
        form, players = _round(form, players, constants.rounding, layers)
    order = np.array([group[0] for group in players], dtype=np.int64)
    return _Reached(rows, _rows(form, order))


def _with_constants(entries: list[int], reached: _Reached, constants: Constants, source: int) -> Layer:
    """Affine forms of all window elements; unreached ones are constants of the input."""
    form, states = reached.form, reached.form.weight.shape[1]
    place = {int(i): position for position, i in enumerate(reached.index)}
    count = len(constants.values[source])
    weight, slope_radius = np.zeros((len(entries), states)), np.zeros((len(entries), states))
    offset, radius = constants.values[source][:, entries].copy(), constants.radii[source][:, entries].copy()
    for position, entry in enumerate(entries):
        if entry in place:
            at = place[entry]
            weight[position], slope_radius[position] = form.weight[at], form.slope_radius[at]
            offset[:, position] = np.broadcast_to(form.offset[:, at], (count,))
            radius[:, position] = np.broadcast_to(form.radius[:, at], (count,))
    return Layer(weight, offset, slope_radius, radius)


def _rows(form: Layer, order: Integers) -> Layer:
    return Layer(form.weight[order], form.offset[:, order], form.slope_radius[order], form.radius[:, order])


def _round(
    form: Layer, players: list[list[int]], rounding: Rounding, layers: list[Layer]
) -> tuple[Layer, list[list[int]]]:
    """One round: a layer of kept elements (linear) and differences (relu), then the winners as sums."""
    keep, pairs, winners = _draw(players)
    first = np.array([a for a, _ in pairs])
    second = np.array([b for _, b in pairs])
    kept = _rows(form, np.array(keep))
    a, b = _rows(form, first), _rows(form, second)
    # The verifier's own subtraction is covered; the deployed maximum rounds nothing.
    own = rounding.own
    difference = Layer(
        b.weight - a.weight,
        b.offset - a.offset,
        a.slope_radius + b.slope_radius + own * (np.abs(a.weight) + np.abs(b.weight)),
        a.radius + b.radius + own * (np.abs(a.offset) + np.abs(b.offset)),
    )
    linear = np.concatenate([np.ones(len(keep), dtype=bool), np.zeros(len(pairs), dtype=bool)])
    layers.append(replace(_stacked(kept, difference), function="relu", linear=linear))
    states = len(keep) + len(pairs)
    weight = np.zeros((len(winners), states))
    for row, (kept_at, pair_at) in enumerate(winners):
        weight[row, kept_at] = 1.0
        if pair_at is not None:
            weight[row, len(keep) + pair_at] = 1.0
    form = Layer(
        weight, np.zeros((1, len(winners))), own * np.abs(weight), np.full((1, len(winners)), rounding.tiny(1))
    )
    return form, _next_players(players)


def _draw(players: list[list[int]]) -> tuple[list[int], list[tuple[int, int]], list[tuple[int, int | None]]]:
    """Who is kept, who meets whom, and each winner as (kept element, pair or None)."""
    keep: list[int] = []
    pairs: list[tuple[int, int]] = []
    winners: list[tuple[int, int | None]] = []
    for group in players:
        for start in range(0, len(group), 2):
            keep.append(group[start])
            if start + 1 < len(group):
                pairs.append((group[start], group[start + 1]))
                winners.append((len(keep) - 1, len(pairs) - 1))
            else:
                winners.append((len(keep) - 1, None))
    return keep, pairs, winners


def _next_players(players: list[list[int]]) -> list[list[int]]:
    following, start = [], 0
    for group in players:
        size = (len(group) + 1) // 2
        following.append(list(range(start, start + size)))
        start += size
    return following


def _stacked(first: Layer, second: Layer) -> Layer:
    count = max(len(first.offset), len(second.offset))

    def grow(array: Floats) -> Floats:
        return np.broadcast_to(array, (count, array.shape[1]))

    return Layer(
        np.concatenate([first.weight, second.weight]),
        np.concatenate([grow(first.offset), grow(second.offset)], axis=1),
        np.concatenate([first.slope_radius, second.slope_radius]),
        np.concatenate([grow(first.radius), grow(second.radius)], axis=1),
    )
