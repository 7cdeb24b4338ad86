"""The walk over a graph: layers put down so far, and the affine forms of all nodes that later nodes still read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds.chain import Floats, Integers, Layer, Reached, spread_out, stacked
from verifluxa.bounds.constants import Constants
from verifluxa.bounds.functions import Parameters
from verifluxa.bounds.maxima import pair_count
from verifluxa.bounds.memory import free_bytes
from verifluxa.bounds.rounding import Rounding
from verifluxa.bounds.special import Special
from verifluxa.graph.graph import Graph, Node

ARRAYS = 12
"""A layer's weights, radii and magnitudes, here and on the device, with room for the layers beside it."""


class LocalNetworkBuilder:
    """Where the walk stands.

    Attributes:
        layers: put down so far.
        sums: forms whose sums may overflow, since the newest layer; see `chain.Layer.overflow`.
        live: by node, what is reached of it, in the newest layer's state.
        number: the node that is being walked.
    """

    def __init__(self, graph: Graph, constants: Constants, stamped: Reached) -> None:
        self.graph, self.constants = graph, constants
        self.layers: list[Layer] = []
        self.sums = [stamped.form]
        self.live = {0: stamped}
        self.number = 0
        last = len(constants.values) - 1
        self.last_use = {
            source: number for number, node in enumerate(graph.nodes[: last + 1]) for source in node.inputs
        }
        self.last_use[last] = last + 1

    @property
    def node(self) -> Node:
        """The node that is being walked."""
        return self.graph.nodes[self.number]

    @property
    def rounding(self) -> Rounding:
        """The coefficients in use."""
        return self.constants.rounding

    def advance(self, step: Callable[[LocalNetworkBuilder], Reached]) -> None:
        """Walks the next node, and drops the forms that nobody reads any more."""
        self.number += 1
        self.live[self.number] = step(self)
        self.live = {n: r for n, r in self.live.items() if self.last_use.get(n, 0) > self.number}

    def forms(self, source: int, entries: Integers) -> Layer:
        """Forms of any elements of a node, reached or not, shape (k,)."""
        return spread_out(entries, self.live[source], self.constants.values[source], self.constants.radii[source])

    def is_reached(self, source: int) -> NDArray[np.bool_]:
        """Which elements of a node are reached, flat."""
        mask = np.zeros(self.constants.values[source].shape[1], dtype=bool)
        mask[self.live[source].index] = True
        return mask

    @contextmanager
    def keeping(self, source: int) -> Iterator[None]:
        """Carries a node that the present one reads past the layers that are put down meanwhile."""
        last, self.last_use[source] = self.last_use[source], max(self.last_use[source], self.number + 1)
        yield
        self.last_use[source] = last

    def emit(
        self,
        rows: Layer,
        function: str,
        parameters: Parameters = (),
        linear: NDArray[np.bool_] | None = None,
        special: Special | None = None,
    ) -> int:
        """Adds a layer of some rows and of everything that is carried past it; returns the new state's size.

        The rows come first in the new state; carried nodes then stand for their own deployed values.

        Args:
            rows: what the function is applied to; where it reads several blocks of rows, one after the other.
            function: a row of `functions.FUNCTIONS`, or the name of what is `special`.
            parameters: of the function.
            linear: shape (rows,): those that the function leaves alone.
            special: see `chain.Layer`; of the rows, the carried ones are added here.

        Raises:
            MemoryError: where a layer alone would fill much of the memory, as behind a normalisation of large images.
        """
        carried = sorted(n for n in self.live if self.last_use.get(n, 0) > self.number)
        own, pairs = len(rows.weight), pair_count(special)
        check_fits(own + sum(len(self.live[n].index) for n in carried), rows.weight.shape[1])
        layer = stacked([rows, *(self.live[n].form for n in carried)])
        size = len(layer.weight)
        if carried and not pairs:
            alone = np.zeros(own, dtype=bool) if linear is None else linear
            linear = np.concatenate([alone, np.ones(size - own, dtype=bool)])
        special = None if special is None else special.padded(size)
        overflow = overflow_of(self.sums, self.rounding) if self.sums else None
        layer = replace(layer, function=function, parameters=parameters, overflow=overflow)
        self.layers.append(replace(layer, linear=linear, special=special))
        self.sums = []
        # Of the blocks of pairs one is left.
        start, size = own - 2 * pairs, size - 2 * pairs
        for node in carried:
            index = self.live[node].index
            self.live[node] = Reached(index, picked(start, len(index), size))
            start += len(index)
        return size


def all_bytes() -> int:
    """Memory of the machine, in bytes."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 32


def check_fits(neurons: int, states: int, free: int | None = None, everything: int | None = None) -> None:
    """Weights and radii are dense, and stand in memory more than once.

    What caches hold is not free, yet given back when it is needed: a quarter of all memory is never too much.

    Args:
        neurons, states: the size of the layer's matrix.
        free, everything: bytes of memory; None: what the machine has.

    Raises:
        MemoryError: when it does not fit.
    """
    bytes_ = ARRAYS * 8 * neurons * states
    free, everything = free_bytes() if free is None else free, all_bytes() if everything is None else everything
    if bytes_ > free and bytes_ > everything / 4:
        raise MemoryError(f"a layer of {neurons} neurons that read {states} does not fit into memory")


def picked(start: int, count: int, size: int) -> Layer:
    """The form of `count` neurons of a state of `size`, from `start` on: their own values, exactly."""
    weight = np.zeros((count, size))
    weight[np.arange(count), start + np.arange(count)] = 1.0
    return Layer(weight, np.zeros((1, count)), np.zeros((count, size)), np.zeros((1, count)))


def rounded(form: Layer, relative: float, absolute: float) -> Layer:
    """A form whose deployed values are off by a share of the state's values and a constant."""
    return replace(form, slope_radius=relative * np.abs(form.weight), radius=np.full_like(form.radius, absolute))


def overflow_of(sums: list[Layer], rounding: Rounding) -> tuple[Floats, Floats] | None:
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
