"""Operations of a network: small frozen values. What they do stands in tables keyed by `kind`.

Arrays are NumPy, in the model's own float type, samples first, and never written to. Shapes leave the
sample axis out: an image is (channels, height, width), a feature vector (features,). One row per kind
in each table: `graph.shapes.SHAPE`, `graph.run.RUN`, `bounds.radius`, `bounds.relax`, the checker's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

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
