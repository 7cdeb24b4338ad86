"""The network as steps, and its values on untouched inputs with how far any allowed evaluation may be from them.

One table has a row for each operation. A linear one, of whichever kind, is `Taps`: each output is a weighted sum of a
few inputs, plus a bias; where an operation reads several others, their values stand end to end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import Floats, Function, function_of
from verifluxa.certificate.check.rounding import SAFETY, TINY, Rounding, rounding_of
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Shape

Integers = NDArray[np.int64]
_MOST_GATHERED = 1 << 22
_NO_BOUNDS = "there are no bounds for it"
NOT_RECHECKED: dict[str, str] = dict.fromkeys(("multiply", "embedding", "normalise", "matmul"), _NO_BOUNDS)
"""Kinds of operations without a row, and why; a proof about them stays unrechecked."""
LAST_ONLY = frozenset({"softmax", "logsoftmax"})
NOT_RECHECKED_FUNCTIONS: dict[str, str] = dict.fromkeys(("trelu", "round"), _NO_BOUNDS)
"""Activations without lines."""


class Steps(NamedTuple):
    """What a deployment may compute between input and output of an operation with one tap for each output.

    Attributes:
        bias_size: magnitudes of what is summed into the bias, shape (outputs,), as are the others.
        gain, rest: every result between is at most `gain * |x| + rest`.
        flushed: how many times a number that is flushed to zero between may count in the output.
    """

    bias_size: Floats
    gain: Floats
    rest: Floats
    flushed: Floats


@dataclass(frozen=True, eq=False)
class Taps:
    """A linear operation between flat values.

    Attributes:
        index: which input each tap reads, -1 for padding; shape (outputs, taps).
        weight: shape (outputs, taps); 0 in the padding.
        bias: shape (outputs,).
        terms: roundings on the longest path; 0 for an operation that only moves values.
        inputs: number of input values.
        least: weights below this may be flushed to zero by a deployment.
        steps: of an operation that a deployment computes in several steps, what may happen between them; else None.
    """

    index: Integers
    weight: Floats
    bias: Floats
    terms: int
    inputs: int = 0
    least: float = 0.0
    steps: Steps | None = None

    @property
    def bias_size(self) -> Floats:
        """Magnitudes of what is summed into the bias, shape (outputs,)."""
        return np.abs(self.bias) if self.steps is None else self.steps.bias_size

    def overflows(self, read: Floats, rounding: Rounding) -> bool:
        """Whether a result between the steps may overflow; `read`: the largest magnitudes, shape (inputs,)."""
        if self.steps is None:
            return False
        return not bool((self.steps.gain * read[self.index[:, 0]] + self.steps.rest < rounding.most).all())

    @cached_property
    def is_matrix(self) -> bool:
        """Whether each output reads every input in order."""
        return self.weight.shape[1] == self.inputs and bool(np.all(self.index == np.arange(self.inputs)))

    def times(self, weight: Floats, values: Floats) -> Floats:
        """Sums of values, shape (inputs, columns), by any weights in the places of the operation's."""
        if self.is_matrix:
            return weight @ values
        return gathered(self.index, weight, values)

    @cached_property
    def transposed(self) -> tuple[Integers, Integers]:
        """For each input the outputs that read it, and by which of the flat taps; shape (inputs, readers).

        Where an input has fewer readers than others, the output 0 stands in, by the tap behind the last one.
        """
        inputs = np.where(self.index < 0, self.inputs, self.index).ravel()  # the padding comes last
        order = np.argsort(inputs, kind="stable")[: np.count_nonzero(inputs < self.inputs)]
        reader = inputs[order]
        nth = np.arange(len(order)) - np.searchsorted(reader, reader)
        taken = np.full((self.inputs, nth.max(initial=-1) + 1), self.index.size)
        taken[reader, nth] = order
        return np.where(taken < self.index.size, taken // self.index.shape[1], 0), taken

    def reading(self, reached: Integers) -> Integers:
        """The outputs that read one of these inputs."""
        if len(reached) == self.inputs:
            return np.arange(len(self.weight))
        hit = np.zeros(self.inputs + 1, dtype=bool)
        hit[reached] = True
        return np.flatnonzero(hit[self.index].any(axis=1))

    def local(self, rows: Integers, reached: Integers) -> Floats:
        """Some outputs as a matrix on some inputs alone."""
        if self.is_matrix:
            return self.weight[np.ix_(rows, reached)]
        place = np.full(self.inputs + 1, -1)
        place[reached] = np.arange(len(reached))
        at = place[self.index[rows]]
        row, tap = np.nonzero(at >= 0)
        matrix = np.zeros((len(rows), len(reached)))
        matrix[row, at[row, tap]] = self.weight[rows[row], tap]
        return matrix

    def magnitudes(self, weight: Floats) -> tuple[Floats, Floats]:
        """Of some weights: their sizes, and what is lost of those that may be flushed."""
        size = np.abs(weight)
        return size, SAFETY * np.where(size < self.least, size, 0.0)

    def flushed(self, rounding: Rounding) -> Floats:
        """What is lost where operands, products and sums are flushed to zero, shape (outputs, 1)."""
        size: Floats = np.abs(self.weight).sum(axis=1, keepdims=True)
        weighs = 1.0 if self.steps is None else self.steps.flushed[:, None]
        return SAFETY * rounding.tiny(self.terms) * weighs + rounding.tiny() * size

    def relative(self, filled: Integers, rounding: Rounding) -> Floats:
        """The relative error on each input, shape (N,).

        Where each output reads every input a sum has no more roundings than terms that need not be 0: a product with
        an exact zero is exact, and so is adding it.

        Args:
            filled: how many of the values that are read need not be 0, shape (N,).
        """
        fewer = self.is_matrix and self.steps is None
        terms = np.minimum(filled + 2, self.terms) if fewer else np.full(len(filled), self.terms)
        return rounding.coefficients(terms)


def gathered(index: Integers, weight: Floats, values: Floats) -> Floats:
    """Weighted sums of the values, shape (values, columns), that each row of `index` names; shape (rows, columns)."""
    step = max(1, _MOST_GATHERED // max(1, values.shape[1] * index.shape[1]))
    cuts = [slice(at, at + step) for at in range(0, max(1, len(index)), step)]
    return np.concatenate([(weight[cut, None] @ values[index[cut]])[:, 0] for cut in cuts])


class Step(NamedTuple):
    """An operation: linear, a function, or the windows of a maximum; `sources` are the steps it reads, 0 the input."""

    kind: Taps | Function | Integers
    sources: tuple[int, ...]


class Ball(NamedTuple):
    """Values, shape (values, N), and how far any deployed evaluation may be off."""

    value: Floats
    error: Floats

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Which values need not be 0."""
        return np.asarray((self.value != 0) | (self.error != 0))


@dataclass(frozen=True, eq=False)
class Constants:
    """The operations after the input as far as the readout, and the values of the input and of each on all inputs."""

    steps: tuple[Step, ...]
    balls: tuple[Ball, ...]
    rounding: Rounding

    def some(self, inputs: Integers) -> Constants:
        """Of some inputs."""
        balls = tuple(Ball(*(part[:, inputs] for part in ball)) for ball in self.balls)
        return Constants(self.steps, balls, self.rounding)

    @cached_property
    def filled(self) -> tuple[Integers, ...]:
        """Of the input and of each operation, on each input: how many values need not be 0, shape (N,)."""
        return tuple(ball.filled.sum(axis=0) for ball in self.balls)


@np.errstate(all="ignore")
def steps_of(graph: Graph) -> tuple[Step, ...] | None:
    """The operations without a softmax at the end (the rows speak of the logits); None for one without a row."""
    nodes = list(graph.nodes)
    if nodes[-1].op.kind in LAST_ONLY and len(graph.output_shape) == 1 and nodes[-1].inputs == (len(nodes) - 2,):
        nodes.pop()
    steps = []
    for node in nodes[1:]:
        shapes = [graph.nodes[source].shape for source in node.inputs]
        row = OPERATIONS.get(node.op.kind)
        # A divisor that is no number gives weights that are none.
        kind = None if row is None else row(node.op, shapes)
        if isinstance(kind, Taps):
            numbers = all(np.isfinite(part).all() for part in (kind.weight, kind.bias, *(kind.steps or ())))
            weight, size = np.where(kind.index >= 0, kind.weight, 0.0), sum(map(math.prod, shapes))
            kind = replace(kind, weight=weight, inputs=size, least=TINY[graph.dtype]) if numbers else None
        if kind is None:
            return None
        steps.append(Step(kind, node.inputs))
    return tuple(steps)


@np.errstate(all="ignore")
def constants_of(graph: Graph, inputs: Floats, arithmetic: str, reach: float = 0.0) -> Constants | None:
    """Walks the inputs, shape (N, *input shape), through the network; None for one that cannot be recomputed.

    Nor can one in which a value or a partial sum might overflow for some input values up to `reach`: one more input
    stands for all of them, and its radii are at least a unit of rounding of each.
    """
    steps, rounding = steps_of(graph), rounding_of(arithmetic, width_of(graph))
    if steps is None:
        return None
    flat = np.pad(inputs.reshape(len(inputs), -1), ((0, 1), (0, 0))).T
    # A subnormal input may be read as 0.
    error = np.where((np.abs(flat) < rounding.tiny()) & (arithmetic != "real"), np.abs(flat), 0.0)
    error[:, -1] = np.abs(flat).max(initial=reach)
    balls = [Ball(flat, error)]
    for step in steps:
        read = Ball(*(np.concatenate(part) for part in zip(*(balls[source] for source in step.sources), strict=True)))
        if isinstance(step.kind, Taps) and step.kind.overflows((np.abs(read.value) + read.error)[:, -1], rounding):
            return None
        balls.append(_ball(step.kind, read, rounding))
    if not all((ball.error[:, -1] < rounding.largest).all() for ball in balls):
        return None
    return Constants(steps, tuple(Ball(ball.value[:, :-1], ball.error[:, :-1]) for ball in balls), rounding)


def _ball(kind: Taps | Function | Integers, read: Ball, rounding: Rounding) -> Ball:
    if isinstance(kind, Taps):
        (size, flushed), relative = kind.magnitudes(kind.weight), kind.relative(read.filled.sum(axis=0), rounding)
        largest = np.abs(read.value) + read.error
        own = kind.flushed(rounding) + relative * kind.bias_size[:, None]
        if kind.index.shape[1] == 1:  # a multiple of an exact zero is one
            own = np.where((largest[kind.index[:, 0]] == 0) & (kind.bias_size == 0)[:, None], 0.0, own)
        error = kind.times(size, (SAFETY if kind.terms else 1.0) * read.error + relative * largest)
        error = error + kind.times(flushed, largest) + own
        return Ball(kind.times(kind.weight, read.value) + kind.bias[:, None], error)
    if isinstance(kind, Function):
        value, moved = kind.value(read.value), SAFETY * kind.lipschitz * read.error
        error = kind.error_in(rounding.arithmetic) * np.maximum(1.0, np.abs(value) + moved)
        return Ball(value, moved + error + rounding.tiny())
    return Ball(read.value[kind].max(axis=1), read.error[kind].max(axis=1) + rounding.tiny())


def own_error(kind: Taps | Function | Integers, read: Ball, result: Ball, rounding: Rounding) -> Floats:
    """How far a step itself may be off at the deployed operands, without what those are off, shape (values, N)."""
    if isinstance(kind, Taps):
        largest = np.abs(read.value) + read.error
        return _ball(kind, Ball(largest, np.zeros_like(largest)), rounding).error
    if isinstance(kind, Function):
        moved = SAFETY * kind.lipschitz * read.error
        error = kind.error_in(rounding.arithmetic) * np.maximum(1.0, np.abs(result.value) + moved)
        return np.asarray(error + rounding.tiny())
    return np.full_like(result.value, rounding.tiny())


@np.errstate(all="ignore")
def evaluated(steps: Sequence[Step], inputs: Floats, dtype: str) -> Floats | None:
    """The outputs in one evaluation that is allowed, this checker's own in a float type, (N, size) to (outputs, N).

    None where a deployment computes constants on its way that this checker has as they are in exact arithmetic.
    """
    if any(isinstance(step.kind, Taps) and step.kind.steps is not None for step in steps):
        return None
    kind = np.dtype(dtype)
    values = [inputs.T.astype(kind)]
    for step in steps:
        read = np.concatenate([values[source] for source in step.sources])
        if isinstance(step.kind, Taps):
            result = step.kind.times(step.kind.weight.astype(kind), read) + step.kind.bias.astype(kind)[:, None]
        elif isinstance(step.kind, Function):
            result = step.kind.value(read.astype(np.float64)).astype(kind)
        else:
            result = read[step.kind].max(axis=1)
        values.append(result)
    return values[-1].astype(np.float64)


def width_of(graph: Graph) -> int:
    """More than any sum has terms: all values, those that win a window counted with its players."""
    return sum(math.prod(node.shape) * math.prod(getattr(node.op, "window", ())) for node in graph.nodes)


def _windows(op: Any, shape: Shape, window: Shape, dilation: Shape) -> Integers:
    """Which flat inputs each window covers, -1 in the padding; shape (channels, places, window size)."""
    pads = [(0, 0), *zip(op.pad_low, op.pad_high, strict=True)]
    grid = np.pad(np.arange(math.prod(shape)).reshape(shape), pads, constant_values=-1)
    reach = tuple(gap * (size - 1) + 1 for gap, size in zip(dilation, window, strict=True))
    view = sliding_window_view(grid, reach, axis=tuple(range(1, len(shape))))
    steps = tuple(slice(None, None, step) for step in (1, *op.stride, *dilation))
    return view[steps].reshape(shape[0], -1, math.prod(window))


def _array(value: Any, *shape: int) -> Floats:
    return np.broadcast_to(np.asarray(0.0 if value is None else value, dtype=np.float64), shape)


def _pooled(op: ops.MaxPool | ops.MeanPool, shapes: Sequence[Shape]) -> Integers:
    """Which inputs each output of a pool reads; shape (outputs, window size)."""
    windows = _windows(op, shapes[0], op.window, (1,) * len(op.window))
    return windows.reshape(-1, windows.shape[2])


def _players(op: ops.MaxPool, shapes: Sequence[Shape]) -> Integers | None:
    """The same where the last input stands in for the padding, which never wins."""
    index = _pooled(op, shapes)
    index = np.take_along_axis(index, np.argsort(index < 0, axis=1, kind="stable"), axis=1)
    last = (index >= 0).sum(axis=1, keepdims=True) - 1
    players = np.take_along_axis(index, np.minimum(np.arange(index.shape[1]), last), axis=1)
    return players if (last >= 0).all() else None


def _affine(op: ops.Affine, shapes: Sequence[Shape]) -> Taps:
    outputs, inputs = op.weight.shape
    lead = math.prod(shapes[0][:-1])
    index = np.repeat(np.arange(lead * inputs).reshape(lead, inputs), outputs, axis=0)
    weight = np.tile(_array(op.weight, outputs, inputs), (lead, 1))
    return Taps(index, weight, np.tile(_array(op.bias, outputs), lead), inputs + 2)


def _conv(op: ops.Conv, shapes: Sequence[Shape]) -> Taps:
    outputs, per_group, *window = op.weight.shape
    spatial = _windows(op, shapes[0], tuple(window), op.dilation)
    index = spatial.reshape(op.groups, per_group, *spatial.shape[1:]).transpose(0, 2, 1, 3)
    index = np.repeat(index, outputs // op.groups, axis=0).reshape(outputs * spatial.shape[1], -1)
    weight = np.repeat(_array(op.weight, *op.weight.shape).reshape(outputs, -1), spatial.shape[1], axis=0)
    return Taps(index, weight, np.repeat(_array(op.bias, outputs), spatial.shape[1]), index.shape[1] + 2)


def _mean(op: ops.MeanPool, shapes: Sequence[Shape]) -> Taps:
    index = _pooled(op, shapes)
    return Taps(index, np.full(index.shape, 1.0 / index.shape[1]), np.zeros(len(index)), index.shape[1] + 2)


def _pointwise(factor: Any, bias: Any, shapes: Sequence[Shape], terms: int = 1) -> Taps:
    size = math.prod(shapes[0])
    weight, added = _array(factor, *shapes[0]).reshape(size, 1), _array(bias, *shapes[0]).reshape(size)
    return Taps(np.arange(size)[:, None], weight, added, terms)


def _divide(op: ops.Divide, shapes: Sequence[Shape]) -> Taps:
    """A product with the rounded reciprocal may be deployed: two roundings. A subnormal divisor may become zero."""
    divisor = np.asarray(op.divisor, dtype=np.float64)
    usable = np.abs(divisor) >= np.finfo(op.divisor.dtype).tiny
    return _pointwise(np.where(usable, 1.0 / divisor, np.inf), 0.0, shapes, 2)


_NORM_TERMS = 10
"""Roundings of a batch normalisation: of its scale s 2 for what stands under the root (epsilon, the sum and a flushed
variance count half), 4 for a reciprocal root within two units in the last place (fewer for a root and a division) and 1
for the factor; then one for a product, one for the sum with the mean's part, one for that with the rest."""


def _batchnorm(op: ops.BatchNorm, shapes: Sequence[Shape]) -> Taps | None:
    """`s x + (shift - s mean)` with `s = factor / sqrt(variance + epsilon)`, in every order of computing it.

    Each order sums `s x`, `s mean` and `shift`, so the error is relative to their magnitudes (Higham, lemma 3.1). None
    where flushing may change s by more than a rounding, or s is no number.
    """
    info, channels = np.finfo(op.variance.dtype), shapes[0][0]
    least = info.tiny / (info.eps / 2) * 2  # a flushed variance and epsilon are below a rounding of their sum
    padded = np.asarray(op.variance, dtype=np.float64) + op.epsilon
    factor = np.ones(channels) if op.factor is None else np.asarray(op.factor, dtype=np.float64)
    mean, shift = _array(op.mean, channels), _array(op.shift, channels)
    subnormal = (factor != 0) & (np.abs(factor) < info.tiny)
    if subnormal.any() or not (padded >= least).all():
        return None
    inverse = 1.0 / np.sqrt(padded)
    scale = factor * inverse
    size, away, moved = np.abs(scale), np.abs(mean), np.abs(shift)
    # A factor may be applied before the division and after it.
    gain = np.max([np.ones(channels), np.abs(factor), inverse, size], axis=0)
    rest = gain * (away + 1) + moved + padded
    flushed = 1 + size + np.abs(factor) + inverse + away
    steps = Steps(*(_spread(part, shapes[0]) for part in (size * away + moved, gain, rest, flushed)))
    taps = _pointwise(_column(scale, shapes[0]), _column(shift - scale * mean, shapes[0]), shapes, _NORM_TERMS)
    return replace(taps, steps=steps)


def _column(values: Floats, shape: Shape) -> Floats:
    return values.reshape(-1, *(1,) * (len(shape) - 1))


def _spread(values: Floats, shape: Shape) -> Floats:
    """A number for each channel, at all its places."""
    return np.broadcast_to(_column(values, shape), shape).reshape(-1)


def _moved(order: Integers) -> Taps:
    return Taps(order.reshape(-1, 1), np.ones((order.size, 1)), np.zeros(order.size), 0)


def _concat(op: ops.Concat, shapes: Sequence[Shape]) -> Taps:
    starts = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
    parts = [start + np.arange(math.prod(shape)).reshape(shape) for start, shape in zip(starts, shapes, strict=False)]
    return _moved(np.concatenate(parts, axis=op.axis))


def _add(op: ops.Add, shapes: Sequence[Shape]) -> Taps:
    size, count = math.prod(shapes[0]), len(shapes)
    index = np.arange(size)[:, None] + size * np.arange(count)
    return Taps(index, np.ones((size, count)), np.zeros(size), count - 1)


def _flat(shape: Shape) -> Integers:
    return np.arange(math.prod(shape)).reshape(shape)


OPERATIONS: dict[str, Callable[[Any, Sequence[Shape]], Taps | Function | Integers | None]] = {
    "affine": _affine,
    "conv": _conv,
    "meanpool": _mean,
    "shift": lambda op, shapes: _pointwise(1.0, op.value, shapes),
    "scale": lambda op, shapes: _pointwise(op.factor, 0.0, shapes),
    "divide": _divide,
    "batchnorm": _batchnorm,
    "reshape": lambda op, shapes: _moved(_flat(shapes[0])),
    "transpose": lambda op, shapes: _moved(_flat(shapes[0]).transpose(op.order)),
    "take": lambda op, shapes: _moved(op.index),
    "add": _add,
    "concat": _concat,
    "maxpool": _players,
    "clip": lambda op, shapes: function_of(op),
    "activation": lambda op, shapes: function_of(op),
}
"""One row for each operation that the checker recomputes."""
