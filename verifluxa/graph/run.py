"""How a graph runs: one small function per operation, torch underneath, samples first.

`run` is the deployed evaluation that replay and `correct(model, x)` use. It keeps to what the
arithmetic of a certificate allows: direct sums in the graph's own float type. oneDNN and NNPACK are
switched off for the call, since they may choose Winograd convolutions or reduced precision.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from verifluxa.errors import ModelError
from verifluxa.graph.activations import activate
from verifluxa.graph.graph import Graph, resized
from verifluxa.graph.ops import (
    SHAPE,
    Activation,
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    Divide,
    Embedding,
    Input,
    LogSoftmax,
    MaxPool,
    MeanPool,
    Normalise,
    Reshape,
    Scale,
    Shift,
    Sizes,
    Softmax,
    Take,
    Transpose,
)

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_MAX_POOLS: dict[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
_MEAN_POOLS: dict[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}
# The switches of torch's back ends belong to the process; two threads must not restore them crosswise.
_SWITCHES = threading.Lock()


def run(graph: Graph, *inputs: NDArray[np.generic]) -> NDArray[np.floating]:
    """Evaluates the network as deployed, in its own float type, on the CPU.

    Args:
        graph: the network; rebuilt for the shape of the inputs where that differs and still fits.
        inputs: one array per input step, samples first: (N, *shape). Never written to.

    Returns:
        The outputs, shape (N, *output shape), an array of its own.

    Raises:
        ModelError: VF2101 when the shape of the inputs does not fit the operations, VF2102 when the
            number of arrays or of samples is wrong.
    """
    # In C order: torch keeps the strides of what it copies, and sums in another order along others.
    arrays = [np.asarray(array, dtype=graph.dtype, order="C") for array in inputs]
    fitted = _fitted(graph, arrays)
    # A copy in memory that torch aligns: the order of sums must not depend on where NumPy put the data.
    tensors = [torch.tensor(array) for array in arrays]
    with torch.inference_mode(), _direct_sums():
        output = forward(fitted, *tensors)
    return np.array(output.numpy(), dtype=graph.dtype)


def forward(graph: Graph, *inputs: Tensor) -> Tensor:
    """Evaluates the network on tensors, on their device and in their float type; differentiable.

    Args:
        graph: the network, built for the shape of the inputs.
        inputs: one tensor per input step, samples first.

    Returns:
        The outputs, samples first.
    """
    waiting = iter(inputs)
    values: list[Tensor] = []
    for node in graph.nodes:
        if isinstance(node.op, Input):
            values.append(next(waiting))
        else:
            values.append(RUN[node.op.kind](node.op, *(values[source] for source in node.inputs)))
    return values[-1]


def _fitted(graph: Graph, arrays: list[NDArray[Any]]) -> Graph:
    shapes = tuple(node.shape for node in graph.nodes if isinstance(node.op, Input))
    if len(arrays) != len(shapes):
        raise ModelError("VF2102", f"the network reads {len(shapes)} input(s), it is given {len(arrays)}")
    if any(array.ndim == 0 for array in arrays) or len({len(array) for array in arrays}) != 1:
        raise ModelError(
            "VF2102",
            f"the inputs have the shapes {', '.join(str(array.shape) for array in arrays)}",
            expected="samples along the first axis, as many in each input",
        )
    given = tuple(array.shape[1:] for array in arrays)
    return graph if given == shapes else resized(graph, *given)


@contextmanager
def _direct_sums() -> Iterator[None]:
    with (
        _SWITCHES,
        torch.backends.mkldnn.flags(enabled=False, allow_tf32=None),
        torch.backends.nnpack.flags(enabled=False),
    ):
        yield


def _like(array: NDArray[Any], values: Tensor) -> Tensor:
    native = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    return torch.tensor(native, dtype=values.dtype, device=values.device)


def _padded(values: Tensor, low: Sizes, high: Sizes, fill: float = 0.0) -> Tensor:
    if not any(low) and not any(high):
        return values
    # torch counts from the last axis.
    pads = [size for pair in zip(reversed(low), reversed(high), strict=True) for size in pair]
    return functional.pad(values, pads, value=fill)


def _affine(op: Affine, x: Tensor) -> Tensor:
    bias = None if op.bias is None else _like(op.bias, x)
    return functional.linear(x, _like(op.weight, x), bias)


def _conv(op: Conv, x: Tensor) -> Tensor:
    convolve = _CONVOLUTIONS[len(op.stride)]
    bias = None if op.bias is None else _like(op.bias, x)
    padded = _padded(x, op.pad_low, op.pad_high)
    return convolve(padded, _like(op.weight, x), bias, op.stride, 0, op.dilation, op.groups)


def _shift(op: Shift, x: Tensor) -> Tensor:
    return x + _like(op.value, x)


def _scale(op: Scale, x: Tensor) -> Tensor:
    return x * _like(op.factor, x)


def _divide(op: Divide, x: Tensor) -> Tensor:
    return x / _like(op.divisor, x)


def _clip(op: Clip, x: Tensor) -> Tensor:
    return x.clamp(min=op.low, max=op.high)


def _activation(op: Activation, x: Tensor) -> Tensor:
    return activate(op.function, op.parameter, x)


def _maxpool(op: MaxPool, x: Tensor) -> Tensor:
    padded = _padded(x, op.pad_low, op.pad_high, fill=-torch.inf)
    return _MAX_POOLS[len(op.window)](padded, op.window, op.stride)


def _meanpool(op: MeanPool, x: Tensor) -> Tensor:
    padded = _padded(x, op.pad_low, op.pad_high)
    return _MEAN_POOLS[len(op.window)](padded, op.window, op.stride)


def _reshape(op: Reshape, x: Tensor) -> Tensor:
    # Resolved here: torch cannot tell what -1 stands for when there are no samples.
    return x.reshape(x.shape[0], *SHAPE["reshape"](op, tuple(x.shape[1:])))


def _transpose(op: Transpose, x: Tensor) -> Tensor:
    return x.permute(0, *(axis + 1 for axis in op.order))


def _take(op: Take, x: Tensor) -> Tensor:
    index = torch.tensor(op.index.ravel(), device=x.device)
    taken = x.flatten(1)[:, index.clamp(min=0)]
    return taken.masked_fill(index < 0, 0.0).reshape(x.shape[0], *op.index.shape)


def _softmax(op: Softmax, x: Tensor) -> Tensor:
    return x.softmax(op.axis + 1)


def _logsoftmax(op: LogSoftmax, x: Tensor) -> Tensor:
    return x.log_softmax(op.axis + 1)


def _add(_: object, first: Tensor, *others: Tensor) -> Tensor:
    total = first
    for other in others:
        total = total + other
    return total


def _concat(op: Concat, *branches: Tensor) -> Tensor:
    return torch.cat(branches, op.axis + 1)


def _multiply(_: object, first: Tensor, second: Tensor) -> Tensor:
    return first * second


def _matmul(_: object, first: Tensor, second: Tensor) -> Tensor:
    return first @ second


def _embedding(op: Embedding, x: Tensor) -> Tensor:
    words = op.weight.shape[0]
    if bool(((x != x.round()) | (x < 0) | (x >= words)).any()):
        raise ModelError(
            "VF2102", "a word has no row in the embedding", expected=f"whole numbers from 0 to {words - 1}"
        )
    return _like(op.weight, x)[x.long()]


def _normalise(op: Normalise, x: Tensor) -> Tensor:
    axes = tuple(range(x.ndim - op.axes, x.ndim))
    shifted = x - x.mean(axes, keepdim=True)
    variance = (shifted * shifted).mean(axes, keepdim=True)
    return shifted / (variance.sqrt() + op.epsilon if op.by_deviation else (variance + op.epsilon).sqrt())


def _batchnorm(op: BatchNorm, x: Tensor) -> Tensor:
    """As the version of Flux that `order` stands for computes it: each step rounded on its own."""
    wide = (-1, *(1,) * (x.ndim - 2))
    mean, variance = _like(op.mean, x).reshape(wide), _like(op.variance, x).reshape(wide)
    factor, shift = (None if part is None else _like(part, x).reshape(wide) for part in (op.factor, op.shift))
    deviation = (variance + op.epsilon).sqrt()
    if op.order == "scale and shift":
        scale = deviation.reciprocal() if factor is None else factor / deviation
        moved = -scale * mean
        return scale * x + (moved if shift is None else moved + shift)
    result = x - mean
    if factor is not None and op.order == "factor first":
        result = factor * result
    result = result / deviation
    if factor is not None and op.order == "divide first":
        result = factor * result
    return result if shift is None else result + shift


RUN: dict[str, Callable[..., Tensor]] = {
    "affine": _affine,
    "conv": _conv,
    "shift": _shift,
    "scale": _scale,
    "divide": _divide,
    "clip": _clip,
    "activation": _activation,
    "maxpool": _maxpool,
    "meanpool": _meanpool,
    "reshape": _reshape,
    "transpose": _transpose,
    "take": _take,
    "softmax": _softmax,
    "logsoftmax": _logsoftmax,
    "add": _add,
    "concat": _concat,
    "multiply": _multiply,
    "matmul": _matmul,
    "embedding": _embedding,
    "normalise": _normalise,
    "batchnorm": _batchnorm,
}
