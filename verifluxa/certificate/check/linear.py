"""Every linear operation in one form: each output is a weighted sum of a few inputs (taps), plus a bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph import ops
from verifluxa.graph.ops import Shape, Sizes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MOST_GATHERED = 1 << 22


@dataclass(frozen=True, eq=False)
class Taps:
    """A linear operation between flat values.

    Attributes:
        index: which input each tap reads, -1 for padding; shape (outputs, taps).
        weight: shape (outputs, taps).
        bias: shape (outputs,).
        terms: roundings on the longest path; 0 for an operation that only moves values.
        inputs: number of input values.
    """

    index: Integers
    weight: Floats
    bias: Floats
    terms: int
    inputs: int

    def apply(self, values: Floats, absolute: bool = False) -> Floats:
        """`values @ W.T` without the bias (with |W| where asked), values of shape (N, inputs)."""
        padded = np.concatenate([values, np.zeros((len(values), 1))], axis=1)
        weight = np.abs(self.weight) if absolute else self.weight
        step = max(1, _MOST_GATHERED // max(1, len(values) * self.index.shape[1]))
        pieces = [
            np.einsum("not,ot->no", padded[:, self.index[at : at + step]], weight[at : at + step])
            for at in range(0, len(self.index), step)
        ]
        return np.concatenate(pieces, axis=1) if pieces else np.zeros((len(values), 0))

    def local(self, reached: Integers) -> tuple[Integers, Floats]:
        """The outputs that read a reached input, and their weights on the reached inputs alone."""
        place = np.full(self.inputs + 1, -1)
        place[reached] = np.arange(len(reached))
        hits = place[self.index]
        everything = len(reached) == self.inputs
        rows = np.arange(len(self.index)) if everything else np.flatnonzero((hits >= 0).any(axis=1))
        local = np.zeros((len(rows), len(reached)))
        row, tap = np.nonzero(hits[rows] >= 0)
        np.add.at(local, (row, hits[rows[row], tap]), self.weight[rows[row], tap])
        return rows, local

    @cached_property
    def reach(self) -> Floats:
        """The sum of |W| of each output: how far operands that are flushed to zero move it, per unit."""
        return np.asarray(np.where(self.index >= 0, np.abs(self.weight), 0.0).sum(axis=1))

    def subnormal(self, least: float) -> Taps | None:
        """The weights below `least`, which a deployment may flush to zero; None where there are none."""
        small = (self.weight != 0) & (np.abs(self.weight) < least)
        return replace(self, weight=np.where(small, self.weight, 0.0)) if small.any() else None


def windows(sizes: Sizes, window: Sizes, stride: Sizes, pads: tuple[Sizes, Sizes], dilation: Sizes) -> Integers:
    """Flat spatial positions that each window covers, -1 in the padding; shape (places, window size)."""
    flat = np.zeros((1, 1), dtype=np.int64)
    inside = np.ones((1, 1), dtype=bool)
    for axis, size in enumerate(sizes):
        reach = dilation[axis] * (window[axis] - 1) + 1
        places = (size + pads[0][axis] + pads[1][axis] - reach) // stride[axis] + 1
        starts = np.arange(places) * stride[axis] - pads[0][axis]
        at = starts[:, None] + np.arange(window[axis]) * dilation[axis]
        flat = (flat[:, None, :, None] * size + at[None, :, None, :]).reshape(len(flat) * places, -1)
        good = (at >= 0) & (at < size)
        inside = (inside[:, None, :, None] & good[None, :, None, :]).reshape(len(inside) * places, -1)
    return np.where(inside, flat, -1)


def pool_index(op: ops.MaxPool | ops.MeanPool, shape: Shape) -> Integers:
    """Which inputs each output of a pool reads; shape (outputs, window size)."""
    spatial = windows(shape[1:], op.window, op.stride, (op.pad_low, op.pad_high), (1,) * len(op.window))
    base = np.arange(shape[0])[:, None, None] * math.prod(shape[1:])
    return np.where(spatial >= 0, spatial + base, -1).reshape(-1, spatial.shape[1])


def taps_of(op: ops.Op, shape: Shape) -> Taps | None:
    """The linear operation on values of this shape, or None where it is not linear."""
    row = _LINEAR.get(op.kind)
    return None if row is None else row(op, shape)


def _affine(op: ops.Affine, shape: Shape) -> Taps:
    outputs, inputs = op.weight.shape
    lead = math.prod(shape[:-1])
    index = np.arange(lead)[:, None, None] * inputs + np.zeros((1, outputs, 1), dtype=np.int64) + np.arange(inputs)
    bias = np.zeros(outputs) if op.bias is None else np.asarray(op.bias, dtype=np.float64)
    weight = np.tile(np.asarray(op.weight, dtype=np.float64), (lead, 1))
    return Taps(index.reshape(-1, inputs), weight, np.tile(bias, lead), inputs + 2, lead * inputs)


def _conv(op: ops.Conv, shape: Shape) -> Taps:
    outputs, per_group, *window = op.weight.shape
    spatial = windows(shape[1:], tuple(window), op.stride, (op.pad_low, op.pad_high), op.dilation)
    group = np.arange(outputs) // (outputs // op.groups)
    channel = group[:, None] * per_group + np.arange(per_group)
    base = channel[:, None, :, None] * math.prod(shape[1:])
    index = np.where(spatial[None, :, None, :] >= 0, spatial[None, :, None, :] + base, -1)
    taps = per_group * math.prod(window)
    index = index.reshape(outputs * len(spatial), taps)
    weight = np.repeat(np.asarray(op.weight, dtype=np.float64).reshape(outputs, taps), len(spatial), axis=0)
    bias = np.zeros(outputs) if op.bias is None else np.asarray(op.bias, dtype=np.float64)
    return Taps(index, weight, np.repeat(bias, len(spatial)), taps + 2, math.prod(shape))


def _mean(op: ops.MeanPool, shape: Shape) -> Taps:
    index = pool_index(op, shape)
    size = index.shape[1]
    weight = np.full(index.shape, 1.0 / size)
    return Taps(index, weight, np.zeros(len(index)), size + 2, math.prod(shape))


def _pointwise(factor: Any, bias: Any, shape: Shape, terms: int = 1) -> Taps:
    size = math.prod(shape)
    weight = np.broadcast_to(np.asarray(factor, dtype=np.float64), shape).reshape(size, 1)
    added = np.broadcast_to(np.asarray(bias, dtype=np.float64), shape).reshape(size)
    return Taps(np.arange(size)[:, None], weight, added, terms, size)


def _moved(order: Integers) -> Taps:
    size = order.size
    return Taps(order.reshape(size, 1), np.ones((size, 1)), np.zeros(size), 0, size)


def _transpose(op: ops.Transpose, shape: Shape) -> Taps:
    return _moved(np.arange(math.prod(shape)).reshape(shape).transpose(op.order))


_LINEAR: dict[str, Callable[[Any, Shape], Taps]] = {
    "affine": _affine,
    "conv": _conv,
    "meanpool": _mean,
    "shift": lambda op, shape: _pointwise(1.0, op.value, shape),
    "scale": lambda op, shape: _pointwise(op.factor, 0.0, shape),
    # A division may be deployed as a product with the rounded reciprocal: two roundings.
    "divide": lambda op, shape: _pointwise(1.0 / np.asarray(op.divisor, dtype=np.float64), 0.0, shape, 2),
    "reshape": lambda op, shape: _moved(np.arange(math.prod(shape))),
    "transpose": _transpose,
}
