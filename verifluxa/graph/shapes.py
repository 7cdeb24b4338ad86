"""One row per operation: the shape that it gives, or a ModelError that says what does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.graph.ops import (
    Activation,
    Affine,
    Clip,
    Concat,
    Conv,
    Divide,
    Input,
    MaxPool,
    MeanPool,
    Reshape,
    Scale,
    Shape,
    Shift,
    Sizes,
    Softmax,
    Transpose,
)


def _fail(op: str, found: object, expected: str) -> ModelError:
    return ModelError(
        "VF2101",
        f"the shapes of a {op} step do not fit: it is given {found}",
        expected=expected,
        remedy="compare the architecture with the arrays in the model file, and the image size with the spec",
    )


def window_output(sizes: Sizes, window: Sizes, stride: Sizes, pads: tuple[Sizes, Sizes], dilation: Sizes) -> Sizes:
    """Spatial sizes after sliding a window: `(size + pads - dilation * (window - 1) - 1) // stride + 1`."""
    low, high = pads
    return tuple(
        (size + low[axis] + high[axis] - dilation[axis] * (window[axis] - 1) - 1) // stride[axis] + 1
        for axis, size in enumerate(sizes)
    )


def _input(op: Input) -> Shape:
    return op.shape


def _affine(op: Affine, shape: Shape) -> Shape:
    outputs, inputs = op.weight.shape
    if not shape or shape[-1] != inputs:
        raise _fail("dense", f"values of shape {shape}", f"a last axis of {inputs} features")
    if op.bias is not None and op.bias.shape != (outputs,):
        raise _fail("dense", f"a bias of shape {op.bias.shape}", f"({outputs},)")
    return (*shape[:-1], outputs)


def _conv(op: Conv, shape: Shape) -> Shape:
    outputs, per_group, *window = op.weight.shape
    if len(shape) != len(window) + 1 or shape[0] != per_group * op.groups or outputs % op.groups:
        raise _fail("convolution", f"values of shape {shape}", f"{per_group * op.groups} channels and {len(window)} spatial axes")
    if op.bias is not None and op.bias.shape != (outputs,):
        raise _fail("convolution", f"a bias of shape {op.bias.shape}", f"({outputs},)")
    sizes = window_output(shape[1:], tuple(window), op.stride, (op.pad_low, op.pad_high), op.dilation)
    if min(sizes) < 1:
        raise _fail("convolution", f"an image of {shape[1:]}", f"one that a window of {tuple(window)} fits in")
    return (outputs, *sizes)


def _pool(op: MaxPool | MeanPool, shape: Shape) -> Shape:
    if len(shape) != len(op.window) + 1:
        raise _fail("pooling", f"values of shape {shape}", f"channels and {len(op.window)} spatial axes")
    sizes = window_output(shape[1:], op.window, op.stride, (op.pad_low, op.pad_high), (1,) * len(op.window))
    if min(sizes) < 1:
        raise _fail("pooling", f"an image of {shape[1:]}", f"one that a window of {op.window} fits in")
    return (shape[0], *sizes)


def _constant(constant: np.ndarray[Any, Any], kind: str, shape: Shape) -> Shape:
    try:
        result = np.broadcast_shapes(constant.shape, shape)
    except ValueError:
        result = ()
    if result != shape:
        raise _fail(kind, f"values of shape {shape}", f"a shape that a constant of shape {constant.shape} broadcasts to")
    return shape


def _reshape(op: Reshape, shape: Shape) -> Shape:
    fixed = math.prod(size for size in op.shape if size != -1)
    free = op.shape.count(-1)
    if free > 1 or (math.prod(shape) % fixed if free else math.prod(shape) != fixed):
        raise _fail("reshape", f"values of shape {shape}", f"a number of values that fills {op.shape}")
    return tuple(math.prod(shape) // fixed if size == -1 else size for size in op.shape)


def _transpose(op: Transpose, shape: Shape) -> Shape:
    if sorted(op.order) != list(range(len(shape))):
        raise _fail("transpose", f"values of shape {shape}", f"{len(op.order)} axes")
    return tuple(shape[axis] for axis in op.order)


def _axis(op: Softmax, shape: Shape) -> Shape:
    if not 0 <= op.axis < len(shape):
        raise _fail(op.kind, f"values of shape {shape}", f"more than {op.axis} axes")
    return shape


def _same(op: Activation | Clip, shape: Shape) -> Shape:
    return shape


def _add(op: object, *shapes: Shape) -> Shape:
    if len(set(shapes)) != 1:
        raise _fail("sum", f"branches of shapes {shapes}", "branches of one shape")
    return shapes[0]


def _concat(op: Concat, *shapes: Shape) -> Shape:
    first = shapes[0]
    if any(len(s) != len(first) or s[: op.axis] != first[: op.axis] or s[op.axis + 1 :] != first[op.axis + 1 :] for s in shapes):
        raise _fail("concatenation", f"branches of shapes {shapes}", f"branches that differ only along axis {op.axis}")
    return (*first[: op.axis], sum(s[op.axis] for s in shapes), *first[op.axis + 1 :])


SHAPE: dict[str, Callable[..., Shape]] = {
    "input": _input,
    "affine": _affine,
    "conv": _conv,
    "shift": lambda op, shape: _constant(op.value, "shift", shape),
    "scale": lambda op, shape: _constant(op.factor, "scale", shape),
    "divide": lambda op, shape: _constant(op.divisor, "divide", shape),
    "clip": _same,
    "activation": _same,
    "maxpool": _pool,
    "meanpool": _pool,
    "reshape": _reshape,
    "transpose": _transpose,
    "softmax": _axis,
    "logsoftmax": _axis,
    "add": _add,
    "concat": _concat,
}
