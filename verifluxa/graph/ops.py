"""Operations of a network: small frozen values. What they do stands in tables keyed by `kind`.

Arrays are NumPy, in the model's own float type, samples first, and never written to. Shapes leave the
sample axis out: an image is (channels, height, width), a feature vector (features,). One row per kind
in each table: `SHAPE` below, `graph.run.RUN`, `bounds.radius`, `bounds.relax`, the checker's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError
from verifluxa.graph.activations import check_activation

Array = NDArray[np.floating]
Shape = tuple[int, ...]
Sizes = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Op:
    """One deployed operation; `kind` is its key in every table."""

    kind: ClassVar[str]


@dataclass(frozen=True, eq=False)
class Input(Op):
    """The network's input, in the user's units."""

    kind: ClassVar[str] = "input"
    shape: Shape


@dataclass(frozen=True, eq=False)
class Affine(Op):
    """`weight @ x + bias` on the last axis: weight (out, in), bias (out,) or None."""

    kind: ClassVar[str] = "affine"
    weight: Array
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class Conv(Op):
    """Cross-correlation (as in PyTorch) over the spatial axes: weight (out, in / groups, *window)."""

    kind: ClassVar[str] = "conv"
    weight: Array
    bias: Array | None
    stride: Sizes
    pad_low: Sizes
    pad_high: Sizes
    dilation: Sizes
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Shift(Op):
    """`x + value`, one rounding; value broadcasts against the shape."""

    kind: ClassVar[str] = "shift"
    value: Array


@dataclass(frozen=True, eq=False)
class Scale(Op):
    """`x * factor`, one rounding; factor broadcasts against the shape."""

    kind: ClassVar[str] = "scale"
    factor: Array


@dataclass(frozen=True, eq=False)
class Divide(Op):
    """`x / divisor`, one rounding; divisor broadcasts against the shape and is nowhere zero."""

    kind: ClassVar[str] = "divide"
    divisor: Array


@dataclass(frozen=True, eq=False)
class Clip(Op):
    """`min(max(x, low), high)`: exact."""

    kind: ClassVar[str] = "clip"
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Activation(Op):
    """An elementwise function by its NNlib name (`relu`, `sigmoid`, `tanh`, ...); see `graph.activations`."""

    kind: ClassVar[str] = "activation"
    function: str
    parameter: float | None = None


@dataclass(frozen=True, eq=False)
class MaxPool(Op):
    """Maximum over windows of the spatial axes; the padding never wins."""

    kind: ClassVar[str] = "maxpool"
    window: Sizes
    stride: Sizes
    pad_low: Sizes
    pad_high: Sizes


@dataclass(frozen=True, eq=False)
class MeanPool(Op):
    """Mean over windows of the spatial axes; zeros pad and count (the divisor is the full window)."""

    kind: ClassVar[str] = "meanpool"
    window: Sizes
    stride: Sizes
    pad_low: Sizes
    pad_high: Sizes


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The same values in C order under another shape; one size may be -1 (whatever is left)."""

    kind: ClassVar[str] = "reshape"
    shape: Shape


@dataclass(frozen=True, eq=False)
class Transpose(Op):
    """Axes (without the sample axis) in another order: output axis i is input axis `order[i]`."""

    kind: ClassVar[str] = "transpose"
    order: Sizes


@dataclass(frozen=True, eq=False)
class Take(Op):
    """Values by their places: entry i of the result is value `index[i]` of the input in C order, or 0 where that is -1.

    Attributes:
        shape: of the input; values of another shape do not fit.
        index: whole numbers (int64), of the shape of the result.
    """

    kind: ClassVar[str] = "take"
    shape: Shape
    index: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """`exp(x) / sum(exp(x))` along one axis (counted without the sample axis)."""

    kind: ClassVar[str] = "softmax"
    axis: int


@dataclass(frozen=True, eq=False)
class LogSoftmax(Op):
    """`x - log(sum(exp(x)))` along one axis (counted without the sample axis)."""

    kind: ClassVar[str] = "logsoftmax"
    axis: int


@dataclass(frozen=True, eq=False)
class Add(Op):
    """Sum of two or more values of one shape (residual branches), one rounding a term after the first."""

    kind: ClassVar[str] = "add"


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Values of two or more branches put end to end along one axis (counted without the sample axis)."""

    kind: ClassVar[str] = "concat"
    axis: int


@dataclass(frozen=True, eq=False)
class Multiply(Op):
    """Product of two values of one shape, one rounding."""

    kind: ClassVar[str] = "multiply"


@dataclass(frozen=True, eq=False)
class MatMul(Op):
    """Product of two matrices that are both computed: (*batch, n, k) by (*batch, k, m), each entry a sum over k."""

    kind: ClassVar[str] = "matmul"


@dataclass(frozen=True, eq=False)
class Embedding(Op):
    """A row of `weight` (words, features) for each word; words are whole numbers from 0."""

    kind: ClassVar[str] = "embedding"
    weight: Array


@dataclass(frozen=True, eq=False)
class Normalise(Op):
    """`(x - mean) / sqrt(variance + epsilon)` over the last `axes` axes, or `/ (deviation + epsilon)`.

    Mean and (population) variance are those of the one sample; `by_deviation` says which of the two.
    """

    kind: ClassVar[str] = "normalise"
    axes: int
    epsilon: float
    by_deviation: bool = False


BATCHNORM_ORDERS = ("scale and shift", "divide first", "factor first")
"""How a batch normalisation may be written: with `d = sqrt(variance + epsilon)`

- `scale and shift`: `s * x + (-s * mean + shift)` where `s = factor / d` (Flux from 0.13.16 on);
- `divide first`: `factor * ((x - mean) / d) + shift` (Flux 0.13.0 to 0.13.15, the definition of ONNX);
- `factor first`: `factor * (x - mean) / d + shift` (Flux up to 0.12)."""


@dataclass(frozen=True, eq=False)
class BatchNorm(Op):
    """`factor * (x - mean) / sqrt(variance + epsilon) + shift`, channel by channel, with fixed statistics.

    The stored numbers stay apart: no scale and no shift is computed from them before the arithmetic of a proof begins.

    Attributes:
        mean, variance: of each channel, which is the first axis; shape (channels,).
        epsilon: a number of the network's float type, from 0.
        factor, shift: shape (channels,); None: 1 and 0.
        order: one of `BATCHNORM_ORDERS`, in which `run` evaluates; a proof holds for every order.
    """

    kind: ClassVar[str] = "batchnorm"
    mean: Array
    variance: Array
    epsilon: float
    factor: Array | None = None
    shift: Array | None = None
    order: str = BATCHNORM_ORDERS[0]


OPS: tuple[type[Op], ...] = (
    Input,
    Affine,
    Conv,
    Shift,
    Scale,
    Divide,
    Clip,
    Activation,
    MaxPool,
    MeanPool,
    Reshape,
    Transpose,
    Take,
    Softmax,
    LogSoftmax,
    Add,
    Concat,
    Multiply,
    MatMul,
    Embedding,
    Normalise,
    BatchNorm,
)


# Shapes: what an operation gives, or a ModelError that says what does not fit

MOST_SPATIAL_AXES = 3
MATRIX_AXES = 2


def _fail(op: str, found: object, expected: str) -> ModelError:
    return ModelError(
        "VF2101",
        f"the shapes of a {op} step do not fit: it is given {found}",
        expected=expected,
        remedy="compare the architecture with the arrays in the model file, and the image size with the spec",
    )


def window_output(sizes: Sizes, window: Sizes, stride: Sizes, low: Sizes, high: Sizes, dilation: Sizes) -> Sizes:
    """Spatial sizes after sliding a window: `(size + pads - dilation * (window - 1) - 1) // stride + 1`."""
    return tuple(
        (size + low[axis] + high[axis] - dilation[axis] * (window[axis] - 1) - 1) // stride[axis] + 1
        for axis, size in enumerate(sizes)
    )


def _check_window(kind: str, window: Sizes, steps: tuple[Sizes, ...], pads: tuple[Sizes, Sizes]) -> None:
    axes = len(window)
    if not 1 <= axes <= MOST_SPATIAL_AXES:
        raise _fail(kind, f"a window of {axes} axes", f"1 to {MOST_SPATIAL_AXES} spatial axes")
    numbers = (window, *steps, *pads)
    if any(len(sizes) != axes for sizes in numbers):
        raise _fail(kind, f"window, stride, padding and dilation {numbers}", f"{axes} numbers in each")
    if min(min(sizes) for sizes in (window, *steps)) < 1 or min(min(sizes) for sizes in pads) < 0:
        raise _fail(kind, f"window, stride, padding and dilation {numbers}", "padding from 0, the others from 1")


def _input(op: Input) -> Shape:
    if any(size < 1 for size in op.shape):
        raise _fail("input", f"the shape {op.shape}", "sizes from 1")
    return op.shape


def _affine(op: Affine, shape: Shape) -> Shape:
    if op.weight.ndim != MATRIX_AXES:
        raise _fail("dense", f"a weight of shape {op.weight.shape}", "a matrix (outputs, inputs)")
    outputs, inputs = op.weight.shape
    if not shape or shape[-1] != inputs:
        raise _fail("dense", f"values of shape {shape}", f"a last axis of {inputs} features")
    if op.bias is not None and op.bias.shape != (outputs,):
        raise _fail("dense", f"a bias of shape {op.bias.shape}", f"({outputs},)")
    return (*shape[:-1], outputs)


def _conv(op: Conv, shape: Shape) -> Shape:
    if op.weight.ndim <= MATRIX_AXES or op.groups < 1:
        raise _fail(
            "convolution", f"a weight of shape {op.weight.shape} in {op.groups} groups", "(outputs, inputs, *window)"
        )
    outputs, per_group, *window = op.weight.shape
    _check_window("convolution", tuple(window), (op.stride, op.dilation), (op.pad_low, op.pad_high))
    if len(shape) != len(window) + 1 or shape[0] != per_group * op.groups or outputs % op.groups:
        expected = f"{per_group * op.groups} channels and {len(window)} spatial axes"
        raise _fail("convolution", f"values of shape {shape}", expected)
    if op.bias is not None and op.bias.shape != (outputs,):
        raise _fail("convolution", f"a bias of shape {op.bias.shape}", f"({outputs},)")
    sizes = window_output(shape[1:], tuple(window), op.stride, op.pad_low, op.pad_high, op.dilation)
    if min(sizes) < 1:
        raise _fail("convolution", f"an image of {shape[1:]}", f"one that a window of {tuple(window)} fits in")
    return (outputs, *sizes)


def _pool(op: MaxPool | MeanPool, shape: Shape) -> Shape:
    _check_window("pooling", op.window, (op.stride,), (op.pad_low, op.pad_high))
    if len(shape) != len(op.window) + 1:
        raise _fail("pooling", f"values of shape {shape}", f"channels and {len(op.window)} spatial axes")
    sizes = window_output(shape[1:], op.window, op.stride, op.pad_low, op.pad_high, (1,) * len(op.window))
    if min(sizes) < 1:
        raise _fail("pooling", f"an image of {shape[1:]}", f"one that a window of {op.window} fits in")
    return (shape[0], *sizes)


def _constant(constant: np.ndarray[Any, Any], kind: str, shape: Shape) -> Shape:
    try:
        result = np.broadcast_shapes(constant.shape, shape)
    except ValueError:
        result = ()
    if result != shape:
        raise _fail(
            kind, f"values of shape {shape}", f"a shape that a constant of shape {constant.shape} broadcasts to"
        )
    return shape


def _reshape(op: Reshape, shape: Shape) -> Shape:
    if any(size < 1 and size != -1 for size in op.shape):
        raise _fail("reshape", f"the shape {op.shape}", "sizes from 1, at most one -1")
    fixed = math.prod(size for size in op.shape if size != -1)
    free = op.shape.count(-1)
    if free > 1 or (math.prod(shape) % fixed if free else math.prod(shape) != fixed):
        raise _fail("reshape", f"values of shape {shape}", f"a number of values that fills {op.shape}")
    return tuple(math.prod(shape) // fixed if size == -1 else size for size in op.shape)


def _transpose(op: Transpose, shape: Shape) -> Shape:
    if sorted(op.order) != list(range(len(shape))):
        raise _fail("transpose", f"values of shape {shape}", f"{len(op.order)} axes")
    return tuple(shape[axis] for axis in op.order)


def _take(op: Take, shape: Shape) -> Shape:
    if shape != op.shape:
        raise _fail("take", f"values of shape {shape}", f"the shape {op.shape}")
    if not op.index.size or op.index.min() < -1 or op.index.max() >= math.prod(shape):
        raise _fail("take", f"values of shape {shape}", "places of such values, and -1 for a 0")
    return op.index.shape


def _axis(op: Softmax | LogSoftmax, shape: Shape) -> Shape:
    if not 0 <= op.axis < len(shape):
        raise _fail(op.kind, f"values of shape {shape}", f"more than {op.axis} axes")
    return shape


def _clip(op: Clip, shape: Shape) -> Shape:
    if not op.low <= op.high or op.low == math.inf or op.high == -math.inf:
        raise _fail("clip", f"the range {op.low}..{op.high}", "a lower end that is not above the upper end")
    return shape


def _activation(op: Activation, shape: Shape) -> Shape:
    check_activation(op.function, op.parameter)
    return shape


def _add(op: object, *shapes: Shape) -> Shape:
    if len(set(shapes)) != 1:
        raise _fail("sum", f"branches of shapes {shapes}", "branches of one shape")
    return shapes[0]


def _concat(op: Concat, *shapes: Shape) -> Shape:
    first, axis = shapes[0], op.axis
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if not 0 <= axis < len(first) or len(others) != 1 or len({len(shape) for shape in shapes}) != 1:
        raise _fail("concatenation", f"branches of shapes {shapes}", f"branches that differ only along axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _multiply(op: object, first: Shape, second: Shape) -> Shape:
    if first != second:
        raise _fail("product", f"factors of shapes {first} and {second}", "factors of one shape")
    return first


def _matmul(op: object, first: Shape, second: Shape) -> Shape:
    fits = len(first) == len(second) >= MATRIX_AXES and first[:-2] == second[:-2] and first[-1] == second[-2]
    if not fits:
        raise _fail(
            "matrix product",
            f"factors of shapes {first} and {second}",
            "(*batch, rows, inner) and (*batch, inner, columns)",
        )
    return (*first[:-1], second[-1])


def _embedding(op: Embedding, shape: Shape) -> Shape:
    if op.weight.ndim != MATRIX_AXES:
        raise _fail("embedding", f"a weight of shape {op.weight.shape}", "a matrix (words, features)")
    return (*shape, op.weight.shape[1])


def _normalise(op: Normalise, shape: Shape) -> Shape:
    if not 1 <= op.axes <= len(shape) or not 0 <= op.epsilon < math.inf:
        raise _fail("normalisation", f"values of shape {shape}", f"{op.axes} axes or more, and an epsilon from 0")
    return shape


def _batchnorm(op: BatchNorm, shape: Shape) -> Shape:
    vectors = [vector for vector in (op.mean, op.variance, op.factor, op.shift) if vector is not None]
    if not shape or any(vector.shape != shape[:1] for vector in vectors):
        found = f"values of shape {shape} and constants of shapes {', '.join(str(v.shape) for v in vectors)}"
        raise _fail("batch normalisation", found, "channels on the first axis, and one number for each")
    if op.order not in BATCHNORM_ORDERS or not 0 <= op.epsilon < math.inf:
        found = f"the epsilon {op.epsilon} and the order {op.order!r}"
        raise _fail("batch normalisation", found, f"an epsilon from 0, and one of {', '.join(BATCHNORM_ORDERS)}")
    # NaN is refused with them.
    if not (op.variance >= 0).all() or not (op.variance + op.variance.dtype.type(op.epsilon) > 0).all():
        raise _fail("batch normalisation", "a variance below 0, or 0 without an epsilon", "positive deviations")
    return shape


SHAPE: dict[str, Callable[..., Shape]] = {
    "input": _input,
    "affine": _affine,
    "conv": _conv,
    "shift": lambda op, shape: _constant(op.value, "shift", shape),
    "scale": lambda op, shape: _constant(op.factor, "scale", shape),
    "divide": lambda op, shape: _constant(op.divisor, "divide", shape),
    "clip": _clip,
    "activation": _activation,
    "maxpool": _pool,
    "meanpool": _pool,
    "reshape": _reshape,
    "transpose": _transpose,
    "take": _take,
    "softmax": _axis,
    "logsoftmax": _axis,
    "add": _add,
    "concat": _concat,
    "multiply": _multiply,
    "matmul": _matmul,
    "embedding": _embedding,
    "normalise": _normalise,
    "batchnorm": _batchnorm,
}
