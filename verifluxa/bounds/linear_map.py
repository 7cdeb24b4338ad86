"""Linear operations of a graph as sparse matrices over flat values: one row per operation.

A convolution or a mean pool that is written out as a matrix lets the engine cut out exactly the part
that a trigger can reach, whatever the stride, padding, dilation or groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array

from verifluxa.bounds.rounding import SMALLEST, TERMS, Rounding
from verifluxa.graph.ops import (
    Affine,
    BatchNorm,
    Concat,
    Conv,
    Divide,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shape,
    Shift,
    Sizes,
    Take,
    Transpose,
    window_output,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Folded(NamedTuple):
    """What a deployment may compute between the input and the output of a map that stands for several steps.

    Each output reads the one input of its own index, x.

    Attributes:
        bias_size: magnitude of what is summed into the bias; shape (outputs,), as are the others.
        factor, added: no result on the way is larger than `factor * |x| + added`, in exact arithmetic.
        flushed: how many times a subnormal number that is flushed on the way may count in the output.
    """

    bias_size: Floats
    factor: Floats
    added: Floats
    flushed: Floats

    def largest(self, size: Floats) -> Floats:
        """The largest result on the way, where the inputs are no larger than `size`, shape (..., outputs)."""
        return self.factor * size + self.added


@dataclass(frozen=True, eq=False)
class LinearMap:
    """`matrix @ x + bias` on flat values.

    Attributes:
        stored: shape (outputs, inputs), the stored weights exactly (Divide, MeanPool and BatchNorm: rounded, see
            `Rounding.own`); a dense layer as it is, anything else as a sparse matrix.
        bias: shape (outputs,).
        terms: roundings on the longest path of the deployed operation; 0: values are only moved.
        exact: whether values are scaled down by powers of two alone, so that nothing but an underflow is lost.
        folded: what is known of the steps, where the matrix and the bias stand for several; else None.
    """

    stored: csc_array | Floats
    bias: Floats
    terms: int
    exact: bool = False
    folded: Folded | None = None

    @property
    def bias_size(self) -> Floats:
        """Magnitude of what is summed into the bias, shape (outputs,): its rounding error is relative to this."""
        return np.abs(self.bias) if self.folded is None else self.folded.bias_size

    def tiny(self, rounding: Rounding, rows: Integers | slice = slice(None)) -> Floats | float:
        """What some outputs may lose by flushed subnormals, see `Rounding.tiny`: one number, or shape (rows,)."""
        lost = rounding.tiny(self.terms)
        return lost if self.folded is None else lost * self.folded.flushed[rows]

    def coefficient(self, rounding: Rounding) -> float:
        """Relative error of the deployed operation, see `Rounding.coefficient`."""
        return 0.0 if self.exact else rounding.coefficient(self.terms)

    @property
    def fewest(self) -> int:
        """Least number of roundings that an input's sums may count with, see `constants.relative`."""
        return min(2, self.terms) if isinstance(self.stored, np.ndarray) else self.terms

    @property
    def shape(self) -> tuple[int, int]:
        """How many outputs and inputs there are."""
        outputs, inputs = self.stored.shape
        return int(outputs), int(inputs)

    @cached_property
    def matrix(self) -> csc_array:
        """The matrix as a sparse one."""
        return _sparse(self.stored) if isinstance(self.stored, np.ndarray) else self.stored

    @cached_property
    def single(self) -> tuple[Integers | slice, Floats] | None:
        """Of a map whose outputs read one input each: which ones, all in their order as a slice, and the factors."""
        matrix = self.stored
        outputs = self.shape[0]
        if isinstance(matrix, np.ndarray) or len(matrix.indices) != outputs:
            return None
        if np.array_equal(matrix.indices, np.arange(outputs)) and np.array_equal(matrix.indptr, np.arange(outputs + 1)):
            return slice(None), matrix.data
        if len(np.unique(matrix.indices)) != outputs:
            return None
        source = np.empty(outputs, dtype=np.int64)
        source[matrix.indices] = np.repeat(np.arange(self.shape[1]), np.diff(matrix.indptr))
        return source, matrix.data[np.argsort(matrix.indices)]

    def readers(self, index: Integers) -> tuple[Integers, Floats]:
        """The outputs that read any of some inputs, ascending, and their rows, which are 0 at all others, written out.

        By hand: for a few columns scipy's own way of cutting takes ten times as long.
        """
        starts, ends = self.matrix.indptr[index], self.matrix.indptr[index + 1]
        counts = ends - starts
        entry = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        rows, place = np.unique(self.matrix.indices[entry], return_inverse=True)
        local = np.zeros((len(rows), len(index)))
        np.add.at(local, (place, np.repeat(np.arange(len(index)), counts)), self.matrix.data[entry])
        return rows.astype(np.int64), local

    @cached_property
    def full(self) -> Floats | None:
        """The matrix written out where every output reads every input, else None."""
        if isinstance(self.stored, np.ndarray):
            return self.stored
        written: Floats | None = self.stored.toarray() if self.stored.nnz == math.prod(self.shape) else None
        return written


def linear_map_of(op: Op, shape: Shape) -> LinearMap | None:
    """Writes a linear operation on inputs of `shape` as a matrix; None where the operation is not linear."""
    build = BUILD.get(op.kind)
    if build is None:
        return None
    # A constant that no deployment may have (a divisor that is flushed to 0) gives Inf, which closes nothing.
    with np.errstate(all="ignore"):
        matrix, bias = build(op, shape)
        folded = _folded(op, shape) if isinstance(op, BatchNorm) else None
    found = matrix if isinstance(matrix, np.ndarray) else csc_array(matrix)
    bias = np.ascontiguousarray(bias, dtype=np.float64)
    return LinearMap(found, bias, TERMS[op.kind](op), _is_exact(op, found), folded)


def _is_exact(op: Op, matrix: csc_array | Floats) -> bool:
    """A factor of 1, 1/2, 1/4, ... changes the exponent alone, in every arithmetic.

    One above 1 might overflow, and one that is subnormal in float32 might be flushed, so that nothing is left.
    """
    if not isinstance(op, Scale | Divide):
        return False
    factors = np.abs(matrix.data)
    return bool(((np.frexp(factors)[0] == 0.5) & (factors >= SMALLEST["float32"]) & (factors <= 1)).all())


def _affine(op: Affine, shape: Shape) -> tuple[object, Floats]:
    repeat = math.prod(shape[:-1])
    bias = np.zeros(len(op.weight)) if op.bias is None else op.bias.astype(np.float64)
    weight = op.weight.astype(np.float64)
    return (weight, bias) if repeat == 1 else (_sparse(weight, repeat), np.tile(bias, repeat))


def _sparse(weight: Floats, repeat: int = 1) -> csc_array:
    """A matrix, repeated along the diagonal.

    Zero weights are stored too: what they multiply is read, and infinity times zero is not zero.
    """
    outputs, inputs = weight.shape
    values = np.tile(weight.T.ravel(), repeat)
    block = np.broadcast_to(np.arange(outputs), (repeat, inputs, outputs))
    rows = (block + outputs * np.arange(repeat)[:, None, None]).ravel()
    starts = outputs * np.arange(repeat * inputs + 1)
    return csc_array((values, rows, starts), shape=(repeat * outputs, repeat * inputs))


def _windows(
    sizes: Sizes, window: Sizes, stride: Sizes, pad_low: Sizes, outputs: Sizes, dilation: Sizes
) -> tuple[Integers, NDArray[np.bool_]]:
    """Flat spatial input index of each (output position, window element), and whether it lies inside."""
    axes = []
    for axis, count in enumerate(outputs):
        start = np.arange(count)[:, None] * stride[axis] - pad_low[axis]
        axes.append(start + np.arange(window[axis])[None, :] * dilation[axis])
    rank = len(sizes)
    index = np.zeros((*outputs, *window), dtype=np.int64)
    inside = np.ones((*outputs, *window), dtype=bool)
    for axis, places in enumerate(axes):
        form = [1] * (2 * rank)
        form[axis], form[rank + axis] = places.shape
        placed = places.reshape(form)
        index = index * sizes[axis] + placed
        inside &= (placed >= 0) & (placed < sizes[axis])
    return index.reshape(math.prod(outputs), -1), inside.reshape(math.prod(outputs), -1)


def _conv(op: Conv, shape: Shape) -> tuple[object, Floats]:
    outputs, per_group, *window = op.weight.shape
    sizes = shape[1:]
    spatial = window_output(sizes, tuple(window), op.stride, op.pad_low, op.pad_high, op.dilation)
    index, inside = _windows(sizes, tuple(window), op.stride, op.pad_low, spatial, op.dilation)
    places, inputs = index.shape[0], math.prod(sizes)
    position, element = np.nonzero(inside)
    source = index[position, element]
    weight = op.weight.astype(np.float64).reshape(outputs, per_group, -1)
    rows, columns, values = [], [], []
    for out in range(outputs):
        first = out // (outputs // op.groups) * per_group
        for channel in range(per_group):
            rows.append(out * places + position)
            columns.append((first + channel) * inputs + source)
            values.append(weight[out, channel, element])
    triple = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    bias = np.zeros(outputs) if op.bias is None else op.bias.astype(np.float64)
    return coo_array(triple, shape=(outputs * places, math.prod(shape))), np.repeat(bias, places)


def pool_windows(op: MeanPool | Op, shape: Shape) -> tuple[Integers, NDArray[np.bool_]]:
    """Flat input index of each (output, window element) of a pool, all channels, and whether it lies inside."""
    window, stride = op.window, op.stride  # type: ignore[union-attr]
    low, high = op.pad_low, op.pad_high  # type: ignore[union-attr]
    sizes = shape[1:]
    ones = (1,) * len(sizes)
    spatial = window_output(sizes, window, stride, low, high, ones)
    index, inside = _windows(sizes, window, stride, low, spatial, ones)
    offsets = np.arange(shape[0])[:, None, None] * math.prod(sizes)
    full = (index[None] + offsets).reshape(-1, index.shape[1])
    return full, np.tile(inside, (shape[0], 1))


def concat_places(op: Concat, shapes: list[Shape]) -> list[Integers]:
    """Where the flat elements of each branch lie in the concatenation."""
    total = sum(shape[op.axis] for shape in shapes)
    whole = (*shapes[0][: op.axis], total, *shapes[0][op.axis + 1 :])
    order = np.arange(math.prod(whole)).reshape(whole)
    ends = np.cumsum([shape[op.axis] for shape in shapes])[:-1]
    return [part.ravel() for part in np.split(order, ends, axis=op.axis)]


def _meanpool(op: MeanPool, shape: Shape) -> tuple[object, Floats]:
    index, inside = pool_windows(op, shape)
    row, element = np.nonzero(inside)
    value = np.full(len(row), 1.0 / math.prod(op.window))
    matrix = coo_array((value, (row, index[row, element])), shape=(len(index), math.prod(shape)))
    return matrix, np.zeros(len(index))


def _full(constant: NDArray[np.floating], shape: Shape) -> Floats:
    return np.broadcast_to(constant, shape).astype(np.float64).ravel()


def _diagonal(values: Floats) -> csc_array:
    """A diagonal matrix, zeros stored too."""
    size = len(values)
    return csc_array((values, np.arange(size), np.arange(size + 1)), shape=(size, size))


def _shift(op: Shift, shape: Shape) -> tuple[object, Floats]:
    size = math.prod(shape)
    return _diagonal(np.ones(size)), _full(op.value, shape)


def _scale(op: Scale, shape: Shape) -> tuple[object, Floats]:
    return _diagonal(_full(op.factor, shape)), np.zeros(math.prod(shape))


def _divide(op: Divide, shape: Shape) -> tuple[object, Floats]:
    """A subnormal divisor may be flushed to zero: the quotient is then infinite, and so is the matrix here."""
    divisor = _full(op.divisor, shape)
    usable = np.abs(divisor) >= np.finfo(op.divisor.dtype).tiny
    return _diagonal(np.divide(1.0, divisor, out=np.full(len(divisor), np.inf), where=usable)), np.zeros(len(divisor))


class _Standard(NamedTuple):
    """The constants of a batch normalisation by channel, shape (channels,); Inf where there are no bounds."""

    padded: Floats
    inverse: Floats
    factor: Floats
    mean: Floats
    shift: Floats

    @property
    def scale(self) -> Floats:
        return self.factor * self.inverse


def _standard(op: BatchNorm) -> _Standard:
    """No bounds where flushing may change the deviation or the factor by more than a rounding, see `rounding.TERMS`."""
    known = np.finfo(op.variance.dtype)
    variance, mean = op.variance.astype(np.float64), op.mean.astype(np.float64)
    factor, shift = (
        np.full(len(mean), usual) if part is None else part.astype(np.float64)
        for part, usual in ((op.factor, 1.0), (op.shift, 0.0))
    )
    padded = variance + op.epsilon
    usable = (padded >= 4 * known.tiny / known.eps) & ((factor == 0) | (np.abs(factor) >= known.tiny))
    return _Standard(padded, np.where(usable, 1 / np.sqrt(padded), np.inf), factor, mean, shift)


def _batchnorm(op: BatchNorm, shape: Shape) -> tuple[object, Floats]:
    found, places = _standard(op), math.prod(shape[1:])
    return _diagonal(np.repeat(found.scale, places)), np.repeat(found.shift - found.scale * found.mean, places)


def _folded(op: BatchNorm, shape: Shape) -> Folded:
    found, places = _standard(op), math.prod(shape[1:])
    factor, scale, mean, shift = (np.abs(part) for part in (found.factor, found.scale, found.mean, found.shift))
    largest = np.maximum(np.maximum(1.0, factor), np.maximum(found.inverse, scale))
    sizes = (
        scale * mean + shift,
        largest,
        largest * mean + shift + found.padded + largest,
        # A difference weighs s, a product 1 / d, a quotient the factor, a flushed s the mean (and x: `magnitude`).
        1 + scale + factor + found.inverse + mean,
    )
    return Folded(*(np.repeat(size, places) for size in sizes))


def _reshape(op: Reshape, shape: Shape) -> tuple[object, Floats]:
    size = math.prod(shape)
    return _diagonal(np.ones(size)), np.zeros(size)


def _transpose(op: Transpose, shape: Shape) -> tuple[object, Floats]:
    size = math.prod(shape)
    source = np.arange(size).reshape(shape).transpose(op.order).ravel()
    return coo_array((np.ones(size), (np.arange(size), source)), shape=(size, size)), np.zeros(size)


def _take(op: Take, shape: Shape) -> tuple[object, Floats]:
    """Outputs that are a 0 of the operation's own read nothing."""
    source = op.index.ravel()
    (rows,) = np.nonzero(source >= 0)
    matrix = coo_array((np.ones(len(rows)), (rows, source[rows])), shape=(len(source), math.prod(shape)))
    return matrix, np.zeros(len(source))


BUILD: dict[str, Callable[..., tuple[object, Floats]]] = {
    "affine": _affine,
    "conv": _conv,
    "meanpool": _meanpool,
    "shift": _shift,
    "scale": _scale,
    "divide": _divide,
    "batchnorm": _batchnorm,
    "reshape": _reshape,
    "transpose": _transpose,
    "take": _take,
}
