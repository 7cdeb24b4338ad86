"""The network as steps, and its values on untouched inputs with how far any allowed evaluation may be from them.

One table has a row for each operation. A linear one, of whichever kind, is `Taps`: each output is a weighted sum of a
few inputs, plus a bias; where an operation reads several others, their values stand end to end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import Function, function_of
from verifluxa.certificate.check.refuse import refused
from verifluxa.certificate.check.rounding import SAFETY, TINY, Rounding, rounding_of
from verifluxa.errors import CertificateError
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Shape, Sizes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_MOST_GATHERED = 1 << 22
NOT_RECHECKED: dict[str, str] = {
    "multiply": "there are no bounds for it",
    "embedding": "there are no bounds for it",
    "normalise": "there are no bounds for it",
    "matmul": "there are no bounds for it",
}
"""Kinds of operations without a row, and why; a proof about them stays unrechecked."""
LAST_ONLY = frozenset({"softmax", "logsoftmax"})
NOT_RECHECKED_FUNCTIONS: dict[str, str] = {
    "trelu": "there are no bounds for it",
    "round": "there are no bounds for it",
}
"""Activations without lines."""


class Form(NamedTuple):
    """Values that are affine in a state h, input by input: the columns are h, then one for each input.

    Attributes:
        value: coefficients of h, then the constant for each input; shape (values, states + N).
        error: the deployed value is off by at most `error[:, :states] @ |h| + error[:, states:]`; same shape.
    """

    value: Floats
    error: Floats

    def take(self, index: Integers) -> Form:
        """Some of the values."""
        return Form(self.value[index], self.error[index])


def joined(forms: Iterable[Form]) -> Form:
    """The values of several forms, end to end."""
    return Form(*(np.concatenate(parts) for parts in zip(*forms, strict=True)))


@dataclass(frozen=True, eq=False)
class Taps:
    """A linear operation between flat values.

    Attributes:
        index: which input each tap reads, -1 for padding; shape (outputs, taps). None: tap i reads input i.
        weight: shape (outputs, taps).
        bias: shape (outputs,).
        terms: roundings on the longest path; 0 for an operation that only moves values.
        inputs: number of input values.
        least: weights below this may be flushed to zero by a deployment.
    """

    index: Integers | None
    weight: Floats
    bias: Floats
    terms: int
    inputs: int
    least: float = 0.0

    @cached_property
    def reads_all(self) -> bool:
        """Whether each output reads every input in order: then it is a matrix."""
        return self.weight.shape[1] == self.inputs and bool(np.all(self.index == np.arange(self.inputs)))

    def times(self, values: Floats, weight: Floats | None = None) -> Floats:
        """`W @ values`, values of shape (inputs, columns), where W are the weights or others in their places."""
        weight = self.weight if weight is None else weight
        if self.index is None or self.reads_all:
            return weight @ values
        padded = np.concatenate([values, np.zeros((1, values.shape[1]))])
        step = max(1, _MOST_GATHERED // max(1, values.shape[1] * self.index.shape[1]))
        cuts = [slice(at, at + step) for at in range(0, len(self.index), step)]
        pieces = [(weight[cut, None] @ padded[self.index[cut]])[:, 0] for cut in cuts]
        return np.concatenate(pieces) if pieces else np.zeros((0, values.shape[1]))

    def reading(self, reached: Integers) -> Integers:
        """The outputs that read one of these inputs."""
        assert self.index is not None
        hit = np.zeros(self.inputs + 1, dtype=bool)
        hit[reached] = True
        return np.flatnonzero(hit[self.index].any(axis=1))

    def local(self, rows: Integers, reached: Integers) -> tuple[Taps, bool]:
        """Some outputs as a matrix on some inputs alone; whether they read no other input."""
        assert self.index is not None
        place = np.full(self.inputs + 1, -1)
        place[reached] = np.arange(len(reached))
        index = self.index[rows]
        row, tap = np.nonzero(place[index] >= 0)
        weight = np.zeros((len(rows), len(reached)))
        np.add.at(weight, (row, place[index[row, tap]]), self.weight[rows[row], tap])
        return replace(self, index=None, weight=weight, bias=self.bias[rows]), len(row) == (index >= 0).sum()

    def push(self, form: Form, rounding: Rounding) -> Form:
        """The operation on a form of all that it reads, biases apart."""
        size = np.abs(self.weight)
        if not self.terms:
            return Form(self.times(form.value), self.times(form.error, size))
        fresh = rounding.coefficient(self.terms) * size + SAFETY * np.where(size < self.least, size, 0.0)
        error = self.times(form.error, SAFETY * size + fresh) + self.times(np.abs(form.value), fresh)
        return Form(self.times(form.value), error)

    def flushed(self, rounding: Rounding) -> Floats:
        """How far operands that are flushed to zero move each output, shape (outputs, 1)."""
        inside = 1.0 if self.index is None else self.index >= 0
        reach = (np.abs(self.weight) * inside).sum(axis=1, keepdims=True)
        return np.asarray(SAFETY * rounding.tiny() * reach if self.terms else 0.0 * reach)

    def own_error(self, rounding: Rounding) -> Floats:
        """What the biases and the operation itself add to the error, shape (outputs, 1)."""
        return np.asarray(rounding.coefficient(self.terms) * np.abs(self.bias)[:, None] + rounding.tiny(self.terms))


class Step(NamedTuple):
    """An operation: linear, a function, or the windows of a maximum; `sources` are the steps it reads, 0 the input."""

    kind: Taps | Function | Integers
    sources: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constants:
    """A network and its values on some inputs.

    Attributes:
        steps: the operations after the input, as far as the readout.
        forms: of the input and of each step, without any state: all columns are inputs.
        rounding: the error model.
        shape: number of values of the input and of each step.
    """

    steps: tuple[Step, ...]
    forms: tuple[Form, ...]
    rounding: Rounding

    def last_use(self) -> dict[int, int]:
        """The last step that reads each of the input and the steps; the outputs are read at the very end."""
        end = len(self.steps)
        return {source: at for at, step in enumerate(self.steps, 1) for source in step.sources} | {end: end + 1}


def steps_of(graph: Graph) -> tuple[Step, ...]:
    """The operations, without a softmax at the end (the rows speak of the logits).

    Raises:
        CertificateError: VF5058 for a network that the checker cannot recompute.
    """
    nodes = list(graph.nodes)
    if nodes[-1].op.kind in LAST_ONLY and len(graph.output_shape) == 1 and nodes[-1].inputs == (len(nodes) - 2,):
        nodes.pop()
    steps = []
    for number, node in enumerate(nodes[1:], 1):
        row = OPERATIONS.get(node.op.kind)
        with np.errstate(all="ignore"):  # a divisor that is no number gives weights that are none
            kind = None if row is None else row(node.op, [graph.nodes[source].shape for source in node.inputs])
        if isinstance(kind, Taps):
            numbers = np.isfinite(kind.weight).all() and np.isfinite(kind.bias).all()
            kind = replace(kind, least=TINY[graph.dtype]) if numbers else None
        if kind is None:
            raise refused("VF5058", f"the checker cannot recompute the step {number} ({node.op.kind})")
        steps.append(Step(kind, node.inputs))
    return tuple(steps)


def constants_of(graph: Graph, inputs: Floats, arithmetic: str) -> Constants:
    """Walks the inputs, shape (N, *input shape), through the network.

    Raises:
        CertificateError: VF5058 for a network that the checker cannot recompute.
    """
    steps, rounding = steps_of(graph), rounding_of(arithmetic, width_of(graph))
    flat = inputs.reshape(len(inputs), -1).T
    forms = [Form(flat, np.zeros_like(flat))]
    for step in steps:
        forms.append(_constant(step.kind, joined(forms[source] for source in step.sources), rounding))
    return Constants(steps, tuple(forms), rounding)


def constants_or_none(graph: Graph, inputs: Floats, arithmetic: str) -> Constants | None:
    """`constants_of`, or None for a network that the checker cannot recompute: then that is said, not guessed."""
    try:
        return constants_of(graph, inputs, arithmetic)
    except CertificateError as error:
        if error.code != "VF5058":
            raise
        return None


def width_of(graph: Graph) -> int:
    """The longest sum: what is carried past a step, and the players of its windows or what it reads."""
    sizes = [math.prod(node.shape) for node in graph.nodes]
    last = {source: number for number, node in enumerate(graph.nodes) for source in node.inputs}
    widest = 0
    for number, node in enumerate(graph.nodes):
        carried = sum(sizes[other] for other in range(number) if last.get(other, 0) > number)
        players = math.prod(node.op.window) if isinstance(node.op, ops.MaxPool) else 1
        widest = max(widest, carried + players * sizes[number], sum(sizes[source] for source in node.inputs))
    return widest


def _constant(kind: Taps | Function | Integers, read: Form, rounding: Rounding) -> Form:
    if isinstance(kind, Taps):
        pushed = kind.push(read, rounding)
        return Form(pushed.value + kind.bias[:, None], pushed.error + kind.flushed(rounding) + kind.own_error(rounding))
    if isinstance(kind, Function):
        value, moved = kind.value(read.value), SAFETY * kind.lipschitz * read.error
        error = kind.error_in(rounding.arithmetic) * np.maximum(1.0, np.abs(value) + moved)
        return Form(value, moved + error + rounding.tiny())
    pads = (np.full((1, part.shape[1]), pad) for part, pad in zip(read, (-np.inf, 0.0), strict=True))
    value, error = (np.concatenate(pair)[kind].max(axis=1) for pair in zip(read, pads, strict=True))
    return Form(value, error + rounding.tiny())


def windows(sizes: Sizes, window: Sizes, stride: Sizes, pads: tuple[Sizes, Sizes], dilation: Sizes) -> Integers:
    """Flat spatial positions that each window covers, -1 in the padding; shape (places, window size)."""
    flat, inside = np.zeros((1, 1), dtype=np.int64), np.ones((1, 1), dtype=bool)
    for axis, size in enumerate(sizes):
        reach = dilation[axis] * (window[axis] - 1) + 1
        places = (size + pads[0][axis] + pads[1][axis] - reach) // stride[axis] + 1
        starts = np.arange(places) * stride[axis] - pads[0][axis]
        at = starts[:, None] + np.arange(window[axis]) * dilation[axis]
        flat = (flat[:, None, :, None] * size + at[None, :, None, :]).reshape(len(flat) * places, -1)
        good = (at >= 0) & (at < size)
        inside = (inside[:, None, :, None] & good[None, :, None, :]).reshape(len(inside) * places, -1)
    return np.where(inside, flat, -1)


def _array(value: Any, *shape: int) -> Floats:
    return np.broadcast_to(np.asarray(0.0 if value is None else value, dtype=np.float64), shape)


def _pooled(op: ops.MaxPool | ops.MeanPool, shapes: Sequence[Shape]) -> Integers:
    """Which inputs each output of a pool reads; shape (outputs, window size)."""
    (shape,) = shapes
    spatial = windows(shape[1:], op.window, op.stride, (op.pad_low, op.pad_high), (1,) * len(op.window))
    base = np.arange(shape[0])[:, None, None] * math.prod(shape[1:])
    return np.where(spatial >= 0, spatial + base, -1).reshape(-1, spatial.shape[1])


def _affine(op: ops.Affine, shapes: Sequence[Shape]) -> Taps:
    outputs, inputs = op.weight.shape
    lead = math.prod(shapes[0][:-1])
    index = np.arange(lead * inputs).reshape(lead, 1, inputs) + np.zeros((1, outputs, 1), dtype=np.int64)
    weight = np.tile(_array(op.weight, outputs, inputs), (lead, 1))
    return Taps(index.reshape(-1, inputs), weight, np.tile(_array(op.bias, outputs), lead), inputs + 2, lead * inputs)


def _conv(op: ops.Conv, shapes: Sequence[Shape]) -> Taps:
    outputs, per_group, *window = op.weight.shape
    (shape,) = shapes
    spatial = windows(shape[1:], tuple(window), op.stride, (op.pad_low, op.pad_high), op.dilation)
    group = np.arange(outputs) // (outputs // op.groups)
    base = (group[:, None] * per_group + np.arange(per_group))[:, None, :, None] * math.prod(shape[1:])
    taps = per_group * math.prod(window)
    index = np.where(spatial[None, :, None, :] >= 0, spatial[None, :, None, :] + base, -1).reshape(-1, taps)
    weight = np.repeat(_array(op.weight, *op.weight.shape).reshape(outputs, taps), len(spatial), axis=0)
    return Taps(index, weight, np.repeat(_array(op.bias, outputs), len(spatial)), taps + 2, math.prod(shape))


def _mean(op: ops.MeanPool, shapes: Sequence[Shape]) -> Taps:
    index = _pooled(op, shapes)
    weight = np.full(index.shape, 1.0 / index.shape[1])
    return Taps(index, weight, np.zeros(len(index)), index.shape[1] + 2, math.prod(shapes[0]))


def _pointwise(factor: Any, bias: Any, shapes: Sequence[Shape], terms: int = 1) -> Taps:
    size = math.prod(shapes[0])
    weight, added = _array(factor, *shapes[0]).reshape(size, 1), _array(bias, *shapes[0]).reshape(size)
    return Taps(np.arange(size)[:, None], weight, added, terms, size)


def _divide(op: ops.Divide, shapes: Sequence[Shape]) -> Taps:
    """A product with the rounded reciprocal may be deployed: two roundings. A subnormal divisor may become zero."""
    divisor = np.asarray(op.divisor, dtype=np.float64)
    usable = np.abs(divisor) >= np.finfo(op.divisor.dtype).tiny
    return _pointwise(np.where(usable, 1.0 / divisor, np.inf), 0.0, shapes, 2)


def _moved(order: Integers) -> Taps:
    size = order.size
    return Taps(order.reshape(size, 1), np.ones((size, 1)), np.zeros(size), 0, size)


def _concat(op: ops.Concat, shapes: Sequence[Shape]) -> Taps:
    starts = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
    parts = [start + np.arange(math.prod(shape)).reshape(shape) for start, shape in zip(starts, shapes, strict=False)]
    return _moved(np.concatenate(parts, axis=op.axis))


def _add(op: ops.Add, shapes: Sequence[Shape]) -> Taps:
    size, count = math.prod(shapes[0]), len(shapes)
    index = np.arange(size)[:, None] + size * np.arange(count)
    return Taps(index, np.ones((size, count)), np.zeros(size), count - 1, count * size)


def _flat(shapes: Sequence[Shape]) -> Integers:
    return np.arange(math.prod(shapes[0]))


OPERATIONS: dict[str, Callable[[Any, Sequence[Shape]], Taps | Function | Integers | None]] = {
    "affine": _affine,
    "conv": _conv,
    "meanpool": _mean,
    "shift": lambda op, shapes: _pointwise(1.0, op.value, shapes),
    "scale": lambda op, shapes: _pointwise(op.factor, 0.0, shapes),
    "divide": _divide,
    "reshape": lambda op, shapes: _moved(_flat(shapes)),
    "transpose": lambda op, shapes: _moved(_flat(shapes).reshape(shapes[0]).transpose(op.order)),
    "add": _add,
    "concat": _concat,
    "maxpool": _pooled,
    "clip": lambda op, shapes: function_of(op),
    "activation": lambda op, shapes: function_of(op),
}
"""One row for each operation that the checker recomputes."""


def rechecked(kind: str) -> str:
    """`yes`, `last step` or `no` for a kind of operation."""
    return "last step" if kind in LAST_ONLY else "yes" if kind in OPERATIONS else "no"


def rechecks(function: str) -> bool:
    """Whether an activation with its usual parameter is recomputed."""
    return function_of(ops.Activation(function)) is not None
