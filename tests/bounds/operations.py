"""Random linear operations and pools with every setting: ranks, strides, uneven padding, dilation, groups."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from verifluxa.graph.ops import (
    BATCHNORM_ORDERS,
    Affine,
    BatchNorm,
    Conv,
    Divide,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shape,
    Shift,
    Sizes,
    Transpose,
)


def numbers(random: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Numbers with a few binary places, some of them zero: sums of them are exact in float64."""
    return random.integers(-24, 25, shape) / 8 * (random.random(shape) > 0.1)


def _sizes(draw: st.DrawFn, rank: int, low: int, high: int) -> Sizes:
    return tuple(draw(st.integers(low, high)) for _ in range(rank))


@st.composite
def windows(draw: st.DrawFn) -> tuple[Op, Shape]:
    """A convolution or pool over 1 to 3 axes, and the shape that it reads."""
    rank = draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    window, stride = _sizes(draw, rank, 1, 3), _sizes(draw, rank, 1, 3)
    kind = draw(st.sampled_from(["conv", "meanpool", "maxpool"]))
    dilation = _sizes(draw, rank, 1, 2) if kind == "conv" else (1,) * rank
    most = tuple(size - 1 for size in window) if kind == "maxpool" else (2,) * rank
    low, high = (tuple(draw(st.integers(0, top)) for top in most) for _ in range(2))
    reach = tuple(d * (w - 1) + 1 for d, w in zip(dilation, window, strict=True))
    sizes = tuple(draw(st.integers(size, size + 3)) for size in reach)
    if kind == "maxpool":
        return MaxPool(window, stride, low, high), (draw(st.integers(1, 3)), *sizes)
    if kind == "meanpool":
        return MeanPool(window, stride, low, high), (draw(st.integers(1, 3)), *sizes)
    groups = draw(st.integers(1, 3))
    per_group, outputs = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    bias = numbers(random, outputs) if draw(st.booleans()) else None
    weight = numbers(random, outputs, per_group, *window)
    return Conv(weight, bias, stride, low, high, dilation, groups), (groups * per_group, *sizes)


@st.composite
def pointwise(draw: st.DrawFn) -> tuple[Op, Shape]:
    """A dense step, an elementwise constant of any broadcasting shape, or a step that only moves values."""
    shape = _sizes(draw, draw(st.integers(1, 3)), 1, 4)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["affine", "shift", "scale", "divide", "reshape", "transpose", "batchnorm"]))
    if kind == "affine":
        outputs = draw(st.integers(1, 4))
        bias = numbers(random, outputs) if draw(st.booleans()) else None
        return Affine(numbers(random, outputs, shape[-1]), bias), shape
    if kind == "reshape":
        whole = math.prod(shape)
        first = draw(st.sampled_from([size for size in range(1, whole + 1) if whole % size == 0]))
        return Reshape(draw(st.sampled_from([(-1,), (first, -1), (-1, first), (first, whole // first)]))), shape
    if kind == "transpose":
        return Transpose(tuple(draw(st.permutations(range(len(shape)))))), shape
    if kind == "batchnorm":
        rest = [numbers(random, shape[0]) if draw(st.booleans()) else None for _ in range(2)]
        order = draw(st.sampled_from(BATCHNORM_ORDERS))
        return BatchNorm(numbers(random, shape[0]), np.abs(numbers(random, shape[0])), 0.125, *rest, order), shape
    kept = shape[draw(st.integers(0, len(shape))) :]
    constant = numbers(random, *(size if draw(st.booleans()) else 1 for size in kept))
    if kind in ("shift", "scale"):
        return (Shift if kind == "shift" else Scale)(np.asarray(constant)), shape
    return Divide(np.where(constant == 0, 2.0, np.exp2(np.round(constant)))), shape
