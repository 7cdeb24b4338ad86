"""The local network of a placement: everything that its trigger can reach, as a short chain of layers.

Locality: a patch reaches a window that grows layer by layer; what lies outside is a constant of the input.
The chain holds only reached neurons, as dense matrices, with one offset per input. Its state is `h_0 = tau`,
then per layer

    z = weight @ h + offset[input]    within   slope_radius @ |h| + radius[input]  of the deployed value,
    h' = function(z)                  (or z itself where `linear`).

Max pools become rounds of pairs, see `maxima`. Branches (skip connections, parallel paths) are carried along as
`linear` neurons until they are joined. The last layer gives the outputs and has no function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds.functions import Parameters
from verifluxa.bounds.rounding import Rounding
from verifluxa.bounds.special import Special

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
        function: a row of `functions.FUNCTIONS`, or the name of what is `special`, or None: the outputs.
        parameters: of the function.
        linear: shape (n,): neurons that the function leaves alone, or None.
        special: the function where it is none of one value alone (products of neurons), else None.
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
    special: Special | None = None
    overflow: tuple[Floats, Floats] | None = None


@dataclass(frozen=True, eq=False)
class Chain:
    """The layers of one placement; `unsafe` inputs (shape (N,)) may overflow and are never counted safe."""

    layers: tuple[Layer, ...]
    unsafe: NDArray[np.bool_]
    rounding: Rounding


@dataclass(frozen=True, eq=False)
class Reached:
    """Reached elements of a node: flat indices, ascending, and their affine form in the chain's current state."""

    index: Integers
    form: Layer


def rows_of(form: Layer, order: Integers) -> Layer:
    """Some rows of an affine form, in a given order."""
    return Layer(form.weight[order], form.offset[:, order], form.slope_radius[order], form.radius[:, order])


def stacked(parts: Sequence[Layer]) -> Layer:
    """Affine forms over one state, end to end."""
    if len(parts) == 1:
        return Layer(parts[0].weight, parts[0].offset, parts[0].slope_radius, parts[0].radius)
    count = max(max(len(part.offset), len(part.radius)) for part in parts)

    def wide(arrays: Iterable[Floats]) -> Floats:
        return np.concatenate([np.broadcast_to(a, (count, a.shape[1])) for a in arrays], axis=1)

    return Layer(
        np.concatenate([part.weight for part in parts]),
        wide(part.offset for part in parts),
        np.concatenate([part.slope_radius for part in parts]),
        wide(part.radius for part in parts),
    )


def spread_out(entries: Integers, reached: Reached, values: Floats, radii: Floats) -> Layer:
    """Affine forms of any elements of a node: reached ones, and constants of the input for the others.

    Args:
        entries: flat indices, shape (k,).
        values, radii: of the node on the untouched inputs, shape (N, size).
    """
    form, states = reached.form, reached.form.weight.shape[1]
    weight, slope_radius = np.zeros((len(entries), states)), np.zeros((len(entries), states))
    offset, radius = values[:, entries].copy(), radii[:, entries].copy()
    at = np.flatnonzero(np.isin(entries, reached.index))
    place = np.searchsorted(reached.index, entries[at])
    weight[at], slope_radius[at] = form.weight[place], form.slope_radius[place]
    offset[:, at], radius[:, at] = form.offset[:, place], form.radius[:, place]
    return Layer(weight, offset, slope_radius, radius)
