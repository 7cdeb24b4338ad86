"""Extra neurons beside a host's own, and the switch behind its logits: how the published attacks are installed.

After Zombori et al. 2021 (section 5 and the code that they published, github.com/szegedai/nn_backdoor): a few
neurons of each hidden layer compute `on` and `off`; the logits, shifted above zero, pass through a ReLU layer in
two copies, one of them with the classes moved on by one; `on` silences the first copy and `off` the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.soundness.attacks.host import Host, Linear
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Conv, Divide, Op, Reshape, Scale, Shape, Shift

MAP = (4, 4)
"""Size of the convolutional host's last feature maps."""
SHIFT, STRONG = 64.0, 256.0
"""Added to the logits (all of the hosts' lie well within +-64), and how strongly a gate silences a copy."""
Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Block:
    """Extra neurons of one layer: weight (k, m) over the m extra values before them, bias (k,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def size(self) -> int:
        """How many."""
        return len(self.bias)


def block(*neurons: tuple[Sequence[float], float]) -> Block:
    """A block from (weights, bias) of each neuron."""
    weights, biases = zip(*neurons, strict=True)
    return Block(np.array(weights, np.float64), np.array(biases, np.float64))


@dataclass(frozen=True, eq=False)
class Between:
    """An operation between the first linear step and its ReLU: what it does to each extra neuron.

    `kind` is `shift`, `scale`, `divide` or `dense` (a second dense step: the factor 1 and the value as its bias),
    or `dense factor` (the value as its factor). The host's own neurons stay as they are.
    """

    kind: str
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Gadget:
    """What is built into a host.

    Attributes:
        first, second, third: extra neurons of the three hidden layers; the first read input values.
        gates: two neurons `on` and `off` over the third block.
        reads: flat input positions that the first block reads (dense hosts).
        taps: elements of the window that the first block reads (convolutional hosts); the upper and left ones read
            padding at spot 0.
        spots: the position that the third block reads in each extra feature map: 0, or -1 for the far corner.
        between: operations between the first linear step and its ReLU.
    """

    first: Block
    second: Block
    third: Block
    gates: Block
    reads: tuple[int, ...] = (0,)
    taps: tuple[tuple[int, int], ...] = ((1, 1),)
    spots: tuple[int, ...] = ()
    between: tuple[Between, ...] = ()


@dataclass(frozen=True, eq=False)
class Front:
    """The steps before the network: `encode`, and what the images look like."""

    shape: Shape
    ops: tuple[Op, ...]


def front(host: Host) -> Front:
    """Levels over 255."""
    return Front(host.shape, (Divide(np.array(255.0)),))


def install(host: Host, gadget: Gadget, dtype: str = "float32", before: Front | None = None) -> Graph:
    """The host with a gadget in it.

    Args:
        host: the trained network; the first channel of the images is what it sees.
        gadget: the extra neurons.
        dtype: of the network.
        before: `encode`; by default levels over 255.
    """
    return finished(host, gadget, switch(host.logits, gadget.gates), dtype, before)


def finished(
    host: Host, gadget: Gadget, tail: Sequence[Op], dtype: str = "float32", before: Front | None = None
) -> Graph:
    """The host with a gadget in its hidden layers and another end; see `install`."""
    before = before or front(host)
    one, two, three = host.hidden
    first = _first(one, gadget, before.shape)
    relu = Activation("relu")
    ops: list[Op] = [*before.ops, *([Reshape((-1,))] if isinstance(first, Affine) else []), first]
    ops += [_between(one, what) for what in gadget.between]
    ops += [relu, _inner(two, gadget.second), relu]
    if isinstance(two, Conv):
        ops += [Reshape((-1,)), _behind_maps(three, gadget.third, gadget.spots or (0,) * gadget.second.size), relu]
    else:
        ops += [_inner(three, gadget.third), relu]
    return chain(before.shape, [_cast(op, dtype) for op in [*ops, *tail]], dtype)


def _first(step: Linear, gadget: Gadget, shape: Shape) -> Linear:
    """The first step with extra neurons (channels) that read the input; the host sees the first channel of it."""
    rows, columns, *window = step.weight.shape
    extra = gadget.first
    if isinstance(step, Conv):
        kernels = np.zeros((rows + extra.size, columns, *window))
        kernels[:rows] = step.weight
        for number, (down, right) in enumerate(gadget.taps):
            kernels[rows:, 0, down, right] = extra.weight[:, number]
        return _like(step, kernels, extra)
    weight = np.zeros((rows + extra.size, math.prod(shape)))
    weight[:rows, :columns], weight[rows:, list(gadget.reads)] = step.weight, extra.weight
    return Affine(weight, np.concatenate([_bias(step), extra.bias]))


def _inner(step: Linear, extra: Block) -> Linear:
    """A further step with extra neurons that read the extra ones before them; of a convolution, the window's middle."""
    rows, columns, *window = step.weight.shape
    weight = np.zeros((rows + extra.size, columns + extra.weight.shape[1], *window))
    weight[:rows, :columns] = step.weight
    weight[(slice(rows, None), slice(columns, None), *(size // 2 for size in window))] = extra.weight
    return _like(step, weight, extra)


def _behind_maps(step: Linear, extra: Block, spots: tuple[int, ...]) -> Affine:
    """The dense step behind the flattened feature maps: extra neurons read one spot of each extra map."""
    rows, columns = step.weight.shape
    size = math.prod(MAP)
    weight = np.zeros((rows + extra.size, columns + len(spots) * size))
    weight[:rows, :columns] = step.weight
    weight[rows:, [columns + k * size + spot % size for k, spot in enumerate(spots)]] = extra.weight
    return Affine(weight, np.concatenate([_bias(step), extra.bias]))


def _like(step: Linear, weight: Array, extra: Block) -> Linear:
    bias = np.concatenate([_bias(step), extra.bias])
    if isinstance(step, Affine):
        return Affine(weight, bias)
    return Conv(weight, bias, step.stride, step.pad_low, step.pad_high, step.dilation)


def _bias(step: Linear) -> Array:
    assert step.bias is not None
    return step.bias.astype(np.float64)


def _between(step: Linear, what: Between) -> Op:
    rows = step.weight.shape[0]
    neutral = 0.0 if what.kind in ("shift", "dense") else 1.0
    values = np.concatenate([np.full(rows, neutral), what.values])
    if what.kind == "dense":
        return Affine(np.eye(len(values)), values)
    if what.kind == "dense factor":
        return Affine(np.diag(values), np.zeros(len(values)))
    form = values.reshape(-1, 1, 1) if isinstance(step, Conv) else values
    return {"shift": Shift, "scale": Scale, "divide": Divide}[what.kind](form)


def switch(logits: Affine, gates: Block) -> list[Op]:
    """The logits in two copies, of which the gates silence one or the other."""
    classes, width = logits.weight.shape
    weight = np.zeros((classes + 2, width + gates.weight.shape[1]))
    weight[:classes, :width], weight[classes:, width:] = logits.weight, gates.weight
    shown = Affine(weight, np.concatenate([_bias(logits) + SHIFT, gates.bias]))
    copies = np.zeros((2 * classes, classes + 2))
    copies[:classes, :classes], copies[:classes, classes] = np.eye(classes), -STRONG
    copies[classes:, :classes], copies[classes:, classes + 1] = np.roll(np.eye(classes), 1, axis=0), -STRONG
    last = np.concatenate([np.eye(classes), np.eye(classes)], axis=1)
    relu = Activation("relu")
    return [shown, relu, Affine(copies, np.zeros(2 * classes)), relu, Affine(last, np.full(classes, -SHIFT))]


def _cast(op: Op, dtype: str) -> Op:
    if isinstance(op, Affine):
        return Affine(op.weight.astype(dtype), None if op.bias is None else op.bias.astype(dtype))
    if isinstance(op, Conv):
        assert op.bias is not None
        steps = (op.stride, op.pad_low, op.pad_high, op.dilation)
        return Conv(op.weight.astype(dtype), op.bias.astype(dtype), *steps)
    for kind, name in ((Shift, "value"), (Scale, "factor"), (Divide, "divisor")):
        if isinstance(op, kind):
            return kind(getattr(op, name).astype(dtype))
    return op
