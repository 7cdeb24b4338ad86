"""Builds the chain of a placement: walks the graph once, pushing affine forms of what the trigger reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds.chain import Chain, Layer, Reached, rows_of, spread_out, stacked
from verifluxa.bounds.constants import Constants, not_provable
from verifluxa.bounds.functions import Parameters, function_error, function_of
from verifluxa.bounds.linear_map import LinearMap, concat_places, pool_windows
from verifluxa.bounds.rounding import SAFETY, Rounding
from verifluxa.bounds.tournament import draw, next_players, winners_of
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Add, Concat, MaxPool
from verifluxa.question import Stamp

Floats = NDArray[np.float64]


def build_chain(graph: Graph, constants: Constants, stamp: Stamp) -> Chain:
    """Cuts out the part of the network that a stamp can reach.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    builder = _Builder(graph, constants, _stamped(stamp, constants.values[0], constants.rounding))
    # A divisor that may be flushed counts as infinite: Inf and NaN go on into the bounds, where they close nothing.
    with np.errstate(all="ignore"):
        return builder.chain()


class _Builder:
    """The walk: layers so far, and the forms of all nodes that later nodes still read."""

    def __init__(self, graph: Graph, constants: Constants, stamped: Reached) -> None:
        self.graph, self.constants = graph, constants
        self.layers: list[Layer] = []
        self.sums = [stamped.form]
        self.live = {0: stamped}
        self.number = 0
        self.last_use = {
            source: number for number, node in enumerate(graph.nodes[: len(constants.values)]) for source in node.inputs
        }

    def chain(self) -> Chain:
        """Walks all nodes up to the readout."""
        last = len(self.constants.values) - 1
        self.last_use[last] = last + 1
        for self.number in range(1, last + 1):
            self.live[self.number] = self._step()
            self.live = {n: r for n, r in self.live.items() if self.last_use.get(n, 0) > self.number}
        rounding = self.constants.rounding
        outputs = replace(_outputs(self.live[last], self.constants), overflow=_overflow(self.sums, rounding))
        return Chain((*self.layers, outputs), self.constants.unsafe, rounding)

    def _step(self) -> Reached:
        node = self.graph.nodes[self.number]
        linear, row = self.constants.maps[self.number], function_of(node.op)
        if isinstance(node.op, Add | Concat):
            reached = self._sum() if isinstance(node.op, Add) else self._concat(node.op)
        elif linear is not None:
            reached = _linear(linear, self.live[node.inputs[0]], self.constants, (node.inputs[0], self.number))
        elif isinstance(node.op, MaxPool):
            return self._maxpool(node.op, node.inputs[0])
        elif row is not None:
            return self._function(self.live[node.inputs[0]], *row)
        else:
            raise not_provable(node.op)
        self.sums.append(reached.form)
        return reached

    def _emit(
        self, rows: Layer, function: str, parameters: Parameters = (), linear: NDArray[np.bool_] | None = None
    ) -> int:
        """Adds a layer of some rows and of everything that is carried past it; returns the new state's size.

        The rows come first in the new state; carried nodes then stand for their own deployed values.
        """
        carried = sorted(n for n in self.live if self.last_use.get(n, 0) > self.number)
        own = len(rows.weight)
        layer = stacked([rows, *(self.live[n].form for n in carried)])
        size = len(layer.weight)
        if carried:
            alone = np.zeros(own, dtype=bool) if linear is None else linear
            linear = np.concatenate([alone, np.ones(size - own, dtype=bool)])
        overflow = _overflow(self.sums, self.constants.rounding) if self.sums else None
        layer = replace(layer, function=function, parameters=parameters, linear=linear, overflow=overflow)
        self.layers.append(layer)
        self.sums = []
        start = own
        for node in carried:
            index = self.live[node].index
            self.live[node] = Reached(index, _picked(start, len(index), size))
            start += len(index)
        return size

    def _function(self, source: Reached, name: str, parameters: Parameters) -> Reached:
        """The state after a function: its own float error is the only radius of the form."""
        size = self._emit(source.form, name, parameters)
        rounding = self.constants.rounding
        error = function_error(name, rounding.arithmetic)
        form = _picked(0, len(source.index), size)
        radius = np.full_like(form.radius, error + rounding.tiny(1))
        return Reached(source.index, replace(form, slope_radius=error * form.weight, radius=radius))

    def _maxpool(self, op: MaxPool, source: int) -> Reached:
        """Max over windows by a tournament: per round the pairs (a, b) become `a + relu(b - a)`, which is exact."""
        reached, values = self.live[source], self.constants.values[source]
        index, inside = pool_windows(op, self.graph.nodes[source].shape)
        is_reached = np.zeros(values.shape[1], dtype=bool)
        is_reached[reached.index] = True
        rows = np.flatnonzero((is_reached[np.where(inside, index, 0)] & inside).any(1))
        groups = [[int(i) for i in index[row][inside[row]]] for row in rows]
        entries = np.array(sorted({i for group in groups for i in group}), dtype=np.int64)
        form = spread_out(entries, reached, values, self.constants.radii[source])
        players = [list(np.searchsorted(entries, group)) for group in groups]
        while max((len(group) for group in players), default=1) > 1:
            form, players = self._round(form, players)
        return Reached(rows, rows_of(form, np.array([group[0] for group in players], dtype=np.int64)))

    def _round(self, form: Layer, players: list[list[int]]) -> tuple[Layer, list[list[int]]]:
        """One round: a layer of kept elements (linear) and differences (relu), then the winners as sums."""
        keep, pairs, winners = draw(players)
        a, b = (rows_of(form, np.array([pair[side] for pair in pairs])) for side in (0, 1))
        # The verifier's own subtraction is covered; the deployed maximum rounds nothing.
        own = self.constants.rounding.own
        difference = Layer(
            b.weight - a.weight,
            b.offset - a.offset,
            a.slope_radius + b.slope_radius + own * (np.abs(a.weight) + np.abs(b.weight)),
            a.radius + b.radius + own * (np.abs(a.offset) + np.abs(b.offset)),
        )
        linear = np.concatenate([np.ones(len(keep), dtype=bool), np.zeros(len(pairs), dtype=bool)])
        size = self._emit(stacked([rows_of(form, np.array(keep)), difference]), "relu", (), linear)
        weight = winners_of(winners, len(keep), size)
        nothing, tiny = np.zeros((1, len(winners))), np.full((1, len(winners)), self.constants.rounding.tiny(1))
        return Layer(weight, nothing, own * weight, tiny), next_players(players)

    def _sum(self) -> Reached:
        """Sum of branches; a branch that is not reached somewhere is a constant there."""
        sources = self.graph.nodes[self.number].inputs
        rounding, constants = self.constants.rounding, self.constants
        index = np.unique(np.concatenate([self.live[s].index for s in sources]))
        parts = [spread_out(index, self.live[s], constants.values[s], constants.radii[s]) for s in sources]
        scale = rounding.coefficient(len(sources) - 1)
        return Reached(
            index,
            Layer(
                _total(part.weight for part in parts),
                _total(part.offset for part in parts),
                _total(SAFETY * p.slope_radius + scale * (np.abs(p.weight) + p.slope_radius) for p in parts),
                _total(SAFETY * p.radius + scale * (np.abs(p.offset) + p.radius) for p in parts)
                + rounding.tiny(len(sources)),
            ),
        )

    def _concat(self, op: Concat) -> Reached:
        """Branches put end to end: only places move."""
        sources = self.graph.nodes[self.number].inputs
        places = concat_places(op, [self.graph.nodes[s].shape for s in sources])
        index = np.concatenate([place[self.live[s].index] for s, place in zip(sources, places, strict=True)])
        form = stacked([self.live[s].form for s in sources])
        order = np.argsort(index)
        return Reached(index[order], rows_of(form, order))


def _total(arrays: Iterable[Floats]) -> Floats:
    first, *rest = arrays
    for array in rest:
        first = first + array
    return first


def _picked(start: int, count: int, size: int) -> Layer:
    """The form of `count` neurons of a state of `size`, from `start` on: their own values, exactly."""
    weight = np.zeros((count, size))
    weight[np.arange(count), start + np.arange(count)] = 1.0
    return Layer(weight, np.zeros((1, count)), np.zeros((count, size)), np.zeros((1, count)))


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


def _stamped(stamp: Stamp, inputs: Floats, rounding: Rounding) -> Reached:
    original = inputs[:, stamp.sources]
    offset = stamp.keep * original + stamp.offset
    if stamp.replaces:
        slope_radius, radius = np.zeros_like(stamp.gain), np.zeros((1, len(stamp.positions)))
        offset = np.zeros((1, len(stamp.positions)))
    else:
        scale = rounding.coefficient(stamp.gain.shape[1] + 3)
        slope_radius = scale * np.abs(stamp.gain)
        radius = scale * (np.abs(stamp.keep * original) + np.abs(stamp.offset)) + rounding.tiny(4)
        slope_radius[stamp.exact] = 0.0
        radius[:, stamp.exact] = 0.0
    order = np.argsort(stamp.positions)
    form = Layer(stamp.gain[order], offset[:, order], slope_radius[order], radius[:, order])
    return Reached(stamp.positions[order], form)


def _linear(linear: LinearMap, reached: Reached, constants: Constants, at: tuple[int, int]) -> Reached:
    """Pushes the affine form through a linear operation; what is not reached comes in as a constant.

    Args:
        at: the node that is read, and the operation's own.
    """
    source, number = at
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
        return Reached(rows, moved)
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
    return Reached(rows, Layer(weight, offset, slope_radius, inner @ size.T + base))


def _outputs(reached: Reached, constants: Constants) -> Layer:
    """All outputs: unreached ones are constants with zero weight."""
    values, radii = constants.values[-1], constants.radii[-1]
    if len(reached.index) == values.shape[1]:
        return reached.form
    return spread_out(np.arange(values.shape[1]), reached, values, radii)
