"""A network that begins with a look-up of words, cut behind it: what follows reads rows of the embedding.

The tail is evaluated for many words at once at a few places of the input. What those places do not reach is a
constant of each input. As long as the operations are linear, a value is (what the input gives) + (what the
words give), so that the two are computed apart; functions then see their sums. The error radius of a value
holds for all words at once: it takes the largest magnitudes that any of them gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from verifluxa.bounds import (
    FUNCTIONS,
    JOINT_VALUES,
    RADIUS_SAFETY,
    Constants,
    LinearMap,
    concat_places,
    function_error,
    function_of,
    not_provable,
    pool_windows,
)
from verifluxa.graph.graph import Graph, Node, build
from verifluxa.graph.ops import Add, Concat, Embedding, Input, MaxPool, Reshape

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """A network that looks its inputs up, or a whole one.

    Attributes:
        table: the rows of the embedding, shape (words, features); None: inputs are read as they are.
        tail: what follows; reads the rows of all places, place after place.
        readout: index of the tail's node that is read.
    """

    table: Floats | None
    tail: Graph
    readout: int

    @property
    def features(self) -> int:
        """Numbers of one word."""
        return 1 if self.table is None else int(self.table.shape[1])

    def rows(self, inputs: Floats) -> Floats:
        """What the tail reads of flat inputs (n, size); a word of -1 gives zeros. Shape (n, *tail's input)."""
        if self.table is None:
            return inputs.reshape(len(inputs), *self.tail.input_shape)
        words = inputs.astype(np.int64)
        found = np.where((words >= 0)[..., None], self.table[np.maximum(words, 0)], 0.0)
        return found.reshape(len(words), *self.tail.input_shape)

    def put(self, places: Integers, triggers: Floats) -> tuple[Integers, Floats]:
        """Flat places in the tail's input (c,), and what triggers (T, d) put there, shape (T, c)."""
        if self.table is None:
            return places, triggers
        columns = (places[:, None] * self.features + np.arange(self.features)).ravel()
        return columns, self.table[triggers.astype(np.int64)].reshape(len(triggers), -1)


def split_network(graph: Graph, readout: int) -> Split | None:
    """Cuts a network behind its first look-up; None where it does not begin with one that all else reads."""
    at = 1
    while at < len(graph.nodes) and isinstance(graph.nodes[at].op, Reshape):
        at += 1
    if at >= len(graph.nodes) or not isinstance(graph.nodes[at].op, Embedding):
        return None
    look, behind = graph.nodes[at], graph.nodes[at + 1 :]
    earlier = [n for n in range(at) if any(n in node.inputs for node in (look, *behind)) and n != look.inputs[0]]
    if earlier or any(source < at for node in behind for source in node.inputs) or look.inputs != (at - 1,):
        return None
    read = readout % len(graph.nodes) - at
    if read < 1:
        return None
    steps = [(Input(look.shape), ()), *((node.op, tuple(s - at for s in node.inputs)) for node in behind)]
    assert isinstance(look.op, Embedding)
    return Split(np.ascontiguousarray(look.op.weight, dtype=np.float64), build(steps, graph.dtype), read)


def any_order(cut: Split, maps: tuple[LinearMap | None, ...]) -> bool:
    """Whether the tail gives the same whatever the order of the words (a mean or a sum of rows).

    Its first linear operations must be the only ones that read what comes before them, and together have one and
    the same matrix for each place. Every order of summation is covered by the radii.
    """
    nodes, total = cut.tail.nodes, None
    for number in range(1, cut.readout + 1):
        linear = maps[number]
        readers = [n for n, node in enumerate(nodes) if number - 1 in node.inputs]
        if linear is None or nodes[number].inputs != (number - 1,) or readers != [number]:
            return False
        total = csr_array(linear.matrix) if total is None else csr_array(linear.matrix @ total)
        places = total.shape[1] // cut.features
        if total.shape[0] * total.shape[1] <= 2**22:
            blocks = total.toarray().reshape(total.shape[0], places, cut.features)
            if (blocks == blocks[:, :1]).all():
                return True
    return False


@dataclass(frozen=True, eq=False)
class Reach:
    """Values of a node that the words reach: `whole[n, t]`, or `own[n] + words[t]` where `parts` are given.

    Attributes:
        index: flat places in the node, ascending, shape (r,).
        radius: shape (n, r).
        most: the largest magnitude over all words, shape (n, r).
        whole: shape (n, T, r), or nothing.
        parts: own and words, shape (n, r) and (T, r), or None.
    """

    index: Integers
    radius: Floats
    most: Floats
    whole: Floats
    parts: tuple[Floats, Floats] | None = None

    def values(self) -> Floats:
        """All values, shape (n, T, r)."""
        return self.whole if self.parts is None else self.parts[0][:, None] + self.parts[1][None]


def summed(index: Integers, own: Floats, words: Floats, radius: Floats) -> Reach:
    """A reach that is still a sum of two parts."""
    most = np.abs(own) + np.abs(words).max(0, initial=0.0)
    return Reach(index, radius, most, np.zeros(0), (own, words))


def full(index: Integers, whole: Floats, radius: Floats) -> Reach:
    """A reach with a value for each input and word."""
    most = np.maximum(whole.max(1), -whole.min(1)) if whole.shape[1] else np.zeros(radius.shape)
    return Reach(index, radius, most, whole)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Outputs for each input and word: values (n, T, outputs), radii (n, outputs); infinite where sums may overflow.

    `widest`: numbers of one input and word that lived at once.
    """

    values: Floats
    radius: Floats
    widest: int = 0


def evaluate(cut: Split, constants: Constants, places: Integers, words: Floats, inputs: slice) -> Evaluation:
    """Evaluates the tail with rows of words at some places.

    Args:
        cut: the network.
        constants: its tail on the inputs, with zeros at those places.
        places: flat places of the words' numbers, shape (c,).
        words: the numbers, shape (T, c).
        inputs: which of the constants' inputs.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    walk = _Walk(cut.tail, constants, inputs)
    order = np.argsort(places)
    count = len(constants.values[0][inputs])
    nothing = np.zeros((count, len(places)))
    off = nothing + constants.rounding.flushed(words[:, order]).max(0, initial=0.0)
    live = {0: summed(places[order], nothing, words[:, order], off)}
    fine, widest = ~constants.unsafe[inputs], len(places)
    with np.errstate(all="ignore"):
        for number in range(1, cut.readout + 1):
            live[number] = walk.step(number, live)
            fine &= (live[number].radius < constants.rounding.largest_radius).all(1)
            widest = max(widest, len(live[number].index))
            live = {n: r for n, r in live.items() if walk.last_use.get(n, cut.readout + 1) > number}
        result = walk.everywhere(cut.readout, live[cut.readout])
    return Evaluation(result.values(), np.where(fine[:, None], result.radius, np.inf), widest)


class _Walk:
    """One evaluation, node by node."""

    def __init__(self, graph: Graph, constants: Constants, inputs: slice) -> None:
        self.graph, self.constants, self.inputs = graph, constants, inputs
        self.last_use = {source: n for n, node in enumerate(graph.nodes) for source in node.inputs}

    def value(self, number: int) -> Floats:
        return self.constants.values[number][self.inputs]

    def radius(self, number: int) -> Floats:
        return self.constants.radii[number][self.inputs]

    def step(self, number: int, live: dict[int, Reach]) -> Reach:
        node, linear = self.graph.nodes[number], self.constants.maps[number]
        if linear is not None:
            return self._linear(linear, node.inputs[0], live[node.inputs[0]])
        if isinstance(node.op, MaxPool):
            return self._maxpool(node, live[node.inputs[0]])
        if isinstance(node.op, Add):
            return self._add(node, live)
        if isinstance(node.op, Concat):
            return self._concat(node, live)
        if node.op.kind in JOINT_VALUES:
            return self._joint(node, live)
        row = function_of(node.op)
        if row is None:
            raise not_provable(node.op)
        return self._function(node, *row, live[node.inputs[0]])

    def _filled(self, number: int, reach: Reach) -> tuple[Floats, Floats]:
        """Magnitudes and radii of a whole node, shape (n, size) each."""
        most, radius = np.abs(self.value(number)), self.radius(number).copy()
        most[:, reach.index], radius[:, reach.index] = reach.most, reach.radius
        return most, radius

    def _linear(self, linear: LinearMap, source: int, reach: Reach) -> Reach:
        """The constant part is summed without what is reached, so that nothing has to be taken out again."""
        columns = linear.matrix[:, reach.index]
        rows = np.unique(columns.indices)
        local = columns[rows].toarray()
        matrix, bias = csr_array(linear.matrix)[rows], linear.bias[rows]
        rest = self.value(source).copy()
        rest[:, reach.index] = 0.0
        constant = (matrix @ rest.T).T + bias
        most, radius = self._filled(source, reach)
        if linear.terms == 0:
            spread = (matrix @ radius.T).T
        else:
            rounding, size = self.constants.rounding, matrix.copy()
            size.data = rounding.magnitude(size.data, linear.terms)
            fresh = linear.coefficient(rounding) * ((size @ (most + radius).T).T + linear.bias_size[rows])
            spread = RADIUS_SAFETY * (size @ radius.T).T + fresh + linear.tiny(rounding, rows)
            if linear.folded is not None:
                fits = linear.folded.largest(most + radius)[:, rows] < rounding.largest
                spread = np.where(fits, spread, np.inf)
        if reach.parts is None:
            return full(rows, reach.whole @ local.T + constant[:, None], spread)
        own, words = reach.parts
        return summed(rows, own @ local.T + constant, words @ local.T, spread)

    def _function(self, node: Node, name: str, parameters: tuple[float, ...], reach: Reach) -> Reach:
        rounding, values = self.constants.rounding, reach.values()
        error = function_error(name, rounding.arithmetic, parameters)
        if name == "relu":
            # In place where the sum was made here.
            values = np.maximum(values, 0.0, out=None if reach.parts is None else values)
            return full(reach.index, values, RADIUS_SAFETY * reach.radius + rounding.tiny(1))
        function = FUNCTIONS[name]
        steep = function.lipschitz(parameters)
        if not np.isfinite(steep):
            raise not_provable(node.op)
        values = function.value(torch.from_numpy(np.ascontiguousarray(values)), parameters).numpy()
        moved = RADIUS_SAFETY * steep * reach.radius
        result = full(reach.index, values, moved)
        fresh = error * np.maximum(1.0, result.most + moved) + rounding.tiny(1)
        return Reach(result.index, moved + fresh, result.most, values)

    def _maxpool(self, node: Node, reach: Reach) -> Reach:
        source = node.inputs[0]
        assert isinstance(node.op, MaxPool)
        index, inside = pool_windows(node.op, self.graph.nodes[source].shape)
        where = np.full(self.value(source).shape[1], -1)
        where[reach.index] = np.arange(len(reach.index))
        member = np.where(inside, where[np.where(inside, index, 0)], -1)
        rows = np.flatnonzero((member >= 0).any(1))
        index, inside, member = index[rows], inside[rows], member[rows]
        _, radius = self._filled(source, reach)
        kept = inside & (member < 0)
        still = np.where(kept, self.value(source)[:, np.where(kept, index, 0)], -np.inf).max(2)
        spread = np.where(inside, radius[:, np.where(inside, index, 0)], 0.0).max(2)
        values = reach.values()
        best = np.broadcast_to(still[:, None], (len(still), values.shape[1], len(rows))).copy()
        # The members of each window, a column each; short windows repeat their first.
        order = np.argsort(member < 0, axis=1, kind="stable")
        members = np.take_along_axis(member, order, 1)[:, : (member >= 0).sum(1).max()]
        members = np.where(members >= 0, members, members[:, :1])
        for column in members.T:
            np.maximum(best, values[..., column], out=best)
        return full(rows, best, spread + self.constants.rounding.tiny(1))

    def everywhere(self, number: int, reach: Reach, index: Integers | None = None) -> Reach:
        """The same at more places; where nothing is reached, the constants."""
        wanted = np.arange(self.value(number).shape[1]) if index is None else index
        if len(wanted) == len(reach.index):
            return reach
        at = np.searchsorted(wanted, reach.index)
        radius = self.radius(number)[:, wanted]
        radius[:, at] = reach.radius
        own = self.value(number)[:, wanted]
        if reach.parts is None:
            whole = np.repeat(own[:, None], reach.whole.shape[1], 1)
            whole[:, :, at] = reach.whole
            return full(wanted, whole, radius)
        own[:, at] = reach.parts[0]
        words = np.zeros((len(reach.parts[1]), len(wanted)))
        words[:, at] = reach.parts[1]
        return summed(wanted, own, words, radius)

    def _joint(self, node: Node, live: dict[int, Reach]) -> Reach:
        """An operation that is no function of one value: each word's values and radii on their own."""
        parts = [self.everywhere(source, live[source]) for source in node.inputs]
        shapes = [self.graph.nodes[source].shape for source in node.inputs]
        values = [part.values() for part in parts]
        inputs, words = values[0].shape[:2]
        balls = [
            (value.reshape(inputs * words, -1), np.repeat(part.radius, words, 0))
            for value, part in zip(values, parts, strict=True)
        ]
        value, radius = JOINT_VALUES[node.op.kind](node.op, shapes, balls, self.constants.rounding)
        index = np.arange(value.shape[1])
        return full(index, value.reshape(inputs, words, -1), radius.reshape(inputs, words, -1).max(1, initial=0.0))

    def _add(self, node: Node, live: dict[int, Reach]) -> Reach:
        index = np.unique(np.concatenate([live[source].index for source in node.inputs]))
        parts = [self.everywhere(source, live[source], index) for source in node.inputs]
        rounding = self.constants.rounding
        scale = rounding.coefficient(len(parts) - 1)
        radius = sum(
            (RADIUS_SAFETY * p.radius + scale * (p.most + p.radius) for p in parts), np.zeros(parts[0].radius.shape)
        )
        radius = radius + rounding.tiny(len(parts))
        if pairs := _all_parts(parts):
            own, words = (np.sum(halves, axis=0) for halves in zip(*pairs, strict=True))
            return summed(index, own, words, radius)
        total = parts[0].values().copy()
        for part in parts[1:]:
            total += part.values()
        return full(index, total, radius)

    def _concat(self, node: Node, live: dict[int, Reach]) -> Reach:
        assert isinstance(node.op, Concat)
        places = concat_places(node.op, [self.graph.nodes[source].shape for source in node.inputs])
        parts = [live[source] for source in node.inputs]
        index = np.concatenate([place[part.index] for place, part in zip(places, parts, strict=True)])
        order = np.argsort(index)
        radius = np.concatenate([part.radius for part in parts], 1)[:, order]
        if pairs := _all_parts(parts):
            own, words = (np.concatenate(halves, 1)[:, order] for halves in zip(*pairs, strict=True))
            return summed(index[order], own, words, radius)
        whole = np.concatenate([part.values() for part in parts], 2)
        return full(index[order], whole[..., order], radius)


def _all_parts(reaches: list[Reach]) -> list[tuple[Floats, Floats]]:
    """The two parts of each, or nothing where one is no sum any more."""
    parts = [reach.parts for reach in reaches if reach.parts is not None]
    return parts if len(parts) == len(reaches) else []
