"""Builds the chain of a placement: walks the graph once, pushing affine forms of what the trigger reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds.chain import Chain, Layer, Reached, rows_of, spread_out, stacked
from verifluxa.bounds.constants import NONE, Constants, Integers, not_provable, relative
from verifluxa.bounds.functions import Parameters, function_error, function_of
from verifluxa.bounds.linear_map import Folded, LinearMap, concat_places
from verifluxa.bounds.lookup import embedding
from verifluxa.bounds.normal import normalise
from verifluxa.bounds.pools import maxpool
from verifluxa.bounds.products import matmul, multiply
from verifluxa.bounds.rounding import RADIUS_SAFETY, Rounding
from verifluxa.bounds.softmax import softmax
from verifluxa.bounds.walk import LocalNetworkBuilder, overflow_of, picked, rounded
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Add, Concat, MaxPool, Reshape
from verifluxa.question import AffineInputMap

Floats = NDArray[np.float64]

JOINT: dict[str, Callable[[LocalNetworkBuilder], Reached]] = {
    "multiply": multiply,
    "matmul": matmul,
    "embedding": embedding,
    "normalise": normalise,
    "softmax": softmax,
    "logsoftmax": softmax,
}
"""Operations that are several layers, or a function of more than one value; see `rounding.JOINT_TERMS`."""


def build_chain(graph: Graph, constants: Constants, stamp: AffineInputMap) -> Chain:
    """Cuts out the part of the network that a stamp can reach.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    walk = LocalNetworkBuilder(graph, constants, _stamped(stamp, constants))
    # A divisor that may be flushed counts as infinite: Inf and NaN go on into the bounds, where they close nothing.
    with np.errstate(all="ignore"):
        while walk.number + 1 < len(constants.values) and not _forgets(walk):
            walk.advance(_step)
        own = tuple(walk.layers)
        shared = constants.shared.get(walk.number) if _forgets(walk) else None
        rest = shared or _rest(walk, len(own))
    return Chain((*own, *rest), constants.unsafe, constants.rounding)


def _forgets(walk: LocalNetworkBuilder) -> bool:
    """Whether nothing depends on the placement any more but the state itself: all of one node is reached."""
    size = walk.constants.values[walk.number].shape[1]
    here = walk.number > 0 and walk.node.op.kind not in JOINT and function_of(walk.node.op) is not None
    return here and list(walk.live) == [walk.number] and len(walk.live[walk.number].index) == size


def _rest(walk: LocalNetworkBuilder, own: int) -> tuple[Layer, ...]:
    """The layers from here on, behind those of the placement's own; kept where other placements share them."""
    start, shared = walk.number, _forgets(walk)
    while walk.number + 1 < len(walk.constants.values):
        walk.advance(_step)
    outputs = _outputs(walk.live[walk.number], walk.constants)
    outputs = replace(outputs, overflow=overflow_of(walk.sums, walk.rounding))
    rest = (*walk.layers[own:], outputs)
    if shared:
        walk.constants.shared[start] = rest
    return rest


def _step(walk: LocalNetworkBuilder) -> Reached:
    node = walk.node
    linear, row = walk.constants.maps[walk.number], function_of(node.op)
    joint = JOINT.get(node.op.kind)
    if joint is not None:
        return joint(walk)
    if row is not None:
        return _function(walk, *row)
    if isinstance(node.op, Reshape):
        return walk.live[node.inputs[0]]
    if linear is not None:
        if linear.folded is not None:
            walk.sums.append(_on_the_way(linear.folded, walk.live[node.inputs[0]], walk.rounding))
        reached = _linear(linear, walk.live[node.inputs[0]], walk.constants, node.inputs[0], walk.number)
    elif isinstance(node.op, Add):
        reached = _sum(walk)
    elif isinstance(node.op, Concat):
        reached = _concat(walk, node.op)
    elif isinstance(node.op, MaxPool):
        reached = maxpool(walk, node.op)
    else:
        raise not_provable(node.op)
    walk.sums.append(reached.form)
    return reached


def _function(walk: LocalNetworkBuilder, name: str, parameters: Parameters) -> Reached:
    """The state after a function: its own float error is the only radius of the form."""
    source, rounding = walk.live[walk.node.inputs[0]], walk.rounding
    size = walk.emit(source.form, name, parameters)
    error = function_error(name, rounding.arithmetic, parameters)
    return Reached(source.index, rounded(picked(0, len(source.index), size), error, error + rounding.tiny(1)))


def _sum(walk: LocalNetworkBuilder) -> Reached:
    """Sum of branches; a branch that is not reached somewhere is a constant there."""
    sources, rounding = walk.node.inputs, walk.rounding
    index = np.unique(np.concatenate([walk.live[s].index for s in sources]))
    parts = [walk.forms(s, index) for s in sources]
    scale = rounding.coefficient(len(sources) - 1)
    return Reached(
        index,
        Layer(
            _total(part.weight for part in parts),
            _total(part.offset for part in parts),
            _total(RADIUS_SAFETY * p.slope_radius + scale * (np.abs(p.weight) + p.slope_radius) for p in parts),
            _total(RADIUS_SAFETY * p.radius + scale * (np.abs(p.offset) + p.radius) for p in parts)
            + rounding.tiny(len(sources)),
        ),
    )


def _concat(walk: LocalNetworkBuilder, op: Concat) -> Reached:
    """Branches put end to end: only places move."""
    sources = walk.node.inputs
    places = concat_places(op, [walk.graph.nodes[s].shape for s in sources])
    index = np.concatenate([place[walk.live[s].index] for s, place in zip(sources, places, strict=True)])
    form = stacked([walk.live[s].form for s in sources])
    order = np.argsort(index)
    return Reached(index[order], rows_of(form, order))


def _total(arrays: Iterable[Floats]) -> Floats:
    return reduce(add, arrays)


def _stamped(stamp: AffineInputMap, constants: Constants) -> Reached:
    rounding, original = constants.rounding, constants.values[0][:, stamp.sources]
    offset = stamp.keep * original + stamp.offset
    if stamp.replaces:
        slope_radius, radius = np.zeros_like(stamp.gain), np.zeros((1, len(stamp.positions)))
        offset = np.zeros((1, len(stamp.positions)))
    else:
        # A product may have a rounding for each of opacity, weight and pattern as numbers of the network's type, two
        # for their products, one for that with tau; then come the sum of all of them, x among them, and `1 - a`.
        scale = rounding.coefficient(int((stamp.gain != 0).sum(1).max()) + 7)
        slope_radius = scale * np.abs(stamp.gain)
        # A blend may be computed as `x + a (v - x)`: what counts is x itself, however little of it stays.
        stays = np.where(stamp.keep != 0, np.maximum(np.abs(stamp.keep), 1.0), 0.0)
        radius = scale * (stays * np.abs(original) + np.abs(stamp.offset)) + rounding.tiny(4)
        slope_radius[stamp.exact] = 0.0
        radius[:, stamp.exact] = 0.0
        radius = radius + RADIUS_SAFETY * np.abs(stamp.keep) * constants.radii[0][:, stamp.sources]
    order = np.argsort(stamp.positions)
    form = Layer(stamp.gain[order], offset[:, order], slope_radius[order], radius[:, order])
    return Reached(stamp.positions[order], form)


def _linear(linear: LinearMap, reached: Reached, constants: Constants, source: int, number: int) -> Reached:
    """Pushes the affine form through a linear operation; what is not reached comes in as a constant.

    Args:
        source: the node that is read.
        number: the operation's own.
    """
    everything = len(reached.index) == linear.shape[1]
    if linear.full is not None and len(reached.index):  # without any the outputs are constants, and stay out
        rows, local = np.arange(len(linear.full)), linear.full if everything else linear.full[:, reached.index]
    elif everything:
        # What only moves values stays sparse: of a large image a whole matrix would not fit into memory.
        rows, local = np.arange(linear.shape[0]), linear.matrix.toarray() if linear.terms else linear.matrix
    elif linear.single is not None and isinstance(linear.single[0], slice):
        rows, local = reached.index, np.diag(linear.single[1][reached.index])
    else:
        rows, local = linear.readers(reached.index)
    form = reached.form
    weight = local @ form.weight
    if linear.terms == 0:
        moved = Layer(weight, form.offset @ local.T, local @ form.slope_radius, form.radius @ local.T)
        return Reached(rows, moved)
    size = constants.rounding.magnitude(local, linear.fewest)
    scale, grown = _relative(linear, constants, source, reached.index)
    most = float(scale.max(initial=0.0))
    slope_radius = size @ (RADIUS_SAFETY * form.slope_radius + most * (np.abs(form.weight) + form.slope_radius))
    inner = RADIUS_SAFETY * form.radius + scale * (np.abs(form.offset) + form.radius)
    if everything:
        offset = form.offset @ local.T + linear.bias
        base = scale * linear.bias_size[None] + linear.tiny(constants.rounding)
    else:
        # The original values of the reached elements are taken out again, with what they add to the radius; what is
        # left of it is the others' (the checker counts alike). Taking out rounds too.
        original, error = (part[source][:, reached.index] for part in (constants.values, constants.radii))
        own = constants.rounding.own
        offset = constants.values[number][:, rows] + (form.offset - original) @ local.T
        inner = inner - grown * RADIUS_SAFETY * error - scale * (np.abs(original) + error)
        inner = inner + (0.0 if linear.exact else own) * np.abs(original)
        # An untouched 0 may have no radius at all; under the trigger it may be flushed.
        base = np.maximum(
            (1 + 4 * own) * grown * constants.radii[number][:, rows], linear.tiny(constants.rounding, rows)
        )
    return Reached(rows, Layer(weight, offset, slope_radius, np.maximum(inner @ size.T + base, 0.0)))


def _on_the_way(folded: Folded, reached: Reached, rounding: Rounding) -> Layer:
    """A form whose radius tells, as those of sums do, how large the results within a folded operation may be."""
    form, unit = reached.form, rounding.largest_radius / rounding.largest
    factor, added = folded.factor[reached.index], folded.added[reached.index]
    slope = unit * factor[:, None] * (np.abs(form.weight) + form.slope_radius)
    return replace(form, slope_radius=slope, radius=unit * (factor * (np.abs(form.offset) + form.radius) + added))


def _relative(linear: LinearMap, constants: Constants, source: int, reached: Integers) -> tuple[Floats, Floats]:
    """Relative errors on each input under the trigger, shape (N, 1), and how many times those without it they are."""
    if len(reached) == linear.shape[1]:
        return np.full((1, 1), linear.coefficient(constants.rounding)), np.ones((1, 1))
    value, radius = constants.values[source], constants.radii[source]
    scale, before = (relative(linear, constants.rounding, value, radius, more) for more in (reached, NONE))
    return scale, np.where(before > 0, scale / np.where(before > 0, before, 1.0), 1.0)


def _outputs(reached: Reached, constants: Constants) -> Layer:
    """All outputs: unreached ones are constants with zero weight."""
    values, radii = constants.values[-1], constants.radii[-1]
    if len(reached.index) == values.shape[1]:
        return reached.form
    return spread_out(np.arange(values.shape[1]), reached, values, radii)
