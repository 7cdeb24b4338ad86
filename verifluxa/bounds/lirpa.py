"""auto-LiRPA as a second bounds engine: the same questions, bounded by other people's code.

The function from the trigger to the violation rows is put together from torch modules, operation by operation from
the graph, stamp included, and bounded by IBP, CROWN or CROWN-Optimized (Xu et al. 2020, Automatic perturbation
analysis for scalable certified robustness; Xu et al. 2021, Fast and complete). It is a cross-check of the
native bounds, and a choice in a strategy (`bounds = "auto-lirpa"`).

It knows nothing of rounding: it serves the arithmetic `real` alone, a row must miss 0 by the native radius of the
verifier's own float64 sums, and what it closes is marked in the evidence as not recomputed.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from verifluxa.bounds import lirpa_adaptations
from verifluxa.bounds.linear_map import linear_map_of
from verifluxa.errors import UnsupportedError, UsageError
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import (
    SHAPE,
    Activation,
    Affine,
    BatchNorm,
    Concat,
    Conv,
    Divide,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shift,
    Transpose,
)
from verifluxa.question import AffineInputMap

Floats = NDArray[np.float64]

METHODS = {"interval": "IBP", "crown": "CROWN", "alpha": "CROWN-Optimized"}
"""Our names of bound methods, and auto-LiRPA's."""

OPTIONS = {"conv_mode": "matrix", "sparse_features_alpha": False, "sparse_spec_alpha": False}
"""The patches form of convolutions cannot start from a bare sum; sparse slopes of 0.3 fail on batches of boxes."""


@dataclass(frozen=True)
class _Package:
    """What is used of auto-LiRPA."""

    module: Any
    tensor: Any
    norm: Any
    version: str


def lirpa_package(name: str = "auto-LiRPA") -> _Package:
    """auto-LiRPA, adapted to this torch and numpy; its version is in every comparison.

    Args:
        name: under which it is installed.

    Raises:
        UsageError: VF4012 when it is not installed.
    """
    try:
        found = version(name)
    except PackageNotFoundError:
        raise UsageError(
            "VF4012",
            "the bounds engine `auto-lirpa` needs the package auto-LiRPA, which is not installed",
            remedy="`pip install appdirs ninja packaging sortedcontainers tqdm`, then "
            "`pip install --no-deps auto-LiRPA==0.3` (its metadata ask for an old torch)",
        ) from None
    with quiet():
        lirpa_adaptations.before_import()
        from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

        if not hasattr(BoundedModule, "adapted"):
            lirpa_adaptations.after_import(BoundedModule)
            BoundedModule.adapted = True
    return _Package(BoundedModule, BoundedTensor, PerturbationLpNorm, found)


@contextmanager
def quiet() -> Iterator[None]:
    """Its import and tracing warn of what the adaptations take care of, it logs, and it lifts the recursion limit."""
    before, deepest = logging.root.manager.disable, sys.getrecursionlimit()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        sys.setrecursionlimit(deepest)


class Composed(nn.Module):
    """`readout(stamp(x, tau))`, flat: reads tau (B, d) and what the stamp leaves of x (B, size)."""

    def __init__(self, graph: Graph, readout: int, stamp: AffineInputMap) -> None:
        super().__init__()
        size = int(np.prod(graph.input_shape))
        gain = np.zeros((size, stamp.gain.shape[1]))
        gain[stamp.positions] = stamp.gain
        self.stamp = _filled(nn.Linear(gain.shape[1], size, bias=False), gain, None)
        self.shape = tuple(graph.input_shape)
        self.nodes = graph.nodes[1 : readout + 1]
        self.steps = nn.ModuleList(step_of(node.op, graph.nodes[node.inputs[0]].shape) for node in self.nodes)

    def forward(self, trigger: Tensor, rest: Tensor) -> Tensor:
        """The values that the rows speak of, shape (B, outputs)."""
        values = [(self.stamp(trigger) + rest).view(-1, *self.shape)]
        for node, step in zip(self.nodes, self.steps, strict=True):
            values.append(step(*(values[source] for source in node.inputs)))
        outputs: Tensor = values[-1].flatten(1)
        return outputs


class _Step(nn.Module):
    """A function of tensors as a module; arrays are its buffers, so that tracing keeps them apart."""

    def __init__(self, function: Callable[..., Tensor], *arrays: NDArray[Any]) -> None:
        super().__init__()
        self.function = function
        self.count = len(arrays)
        for number, array in enumerate(arrays):
            self.register_buffer(f"array{number}", torch.tensor(np.array(array, dtype=np.float64)))

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values, *(getattr(self, f"array{number}") for number in range(self.count)))


def step_of(op: Op, shape: tuple[int, ...]) -> nn.Module:
    """The module of an operation.

    Raises:
        UnsupportedError: VF7003 for an operation that auto-LiRPA does not bound.
    """
    row = STEPS.get(op.kind)
    step = None if row is None else row(op, shape)
    if step is None:
        name = getattr(op, "function", op.kind)
        raise UnsupportedError(
            "VF7003", f"auto-LiRPA has no bounds for {name!r}", remedy='use the native bounds (`bounds = "native"`)'
        )
    return step


def _filled(module: Any, weight: NDArray[Any], bias: NDArray[Any] | None) -> Any:
    module = module.double()
    module.weight.data = torch.tensor(np.asarray(weight, dtype=np.float64))
    if bias is not None:
        module.bias.data = torch.tensor(np.asarray(bias, dtype=np.float64))
    return module.requires_grad_(False)


def _affine(op: Affine, shape: tuple[int, ...]) -> nn.Module | None:
    outputs, inputs = op.weight.shape
    return _filled(nn.Linear(inputs, outputs, op.bias is not None), op.weight, op.bias) if len(shape) == 1 else None


def _conv(op: Conv, shape: tuple[int, ...]) -> nn.Module | None:
    # Its backward pass through a dilated convolution asks torch for a negative padding.
    if len(op.stride) != 2 or op.pad_low != op.pad_high or set(op.dilation) != {1}:
        return None
    outputs, per_group, *window = op.weight.shape
    sizes: dict[str, Any] = {"stride": op.stride, "padding": op.pad_low, "groups": op.groups}
    made = nn.Conv2d(per_group * op.groups, outputs, tuple(window), bias=True, **sizes)
    filled: nn.Module = _filled(made, op.weight, np.zeros(outputs) if op.bias is None else op.bias)
    return filled


def _maxpool(op: MaxPool, shape: tuple[int, ...]) -> nn.Module | None:
    # Its relaxation assumes windows that do not overlap.
    plain = len(op.window) == 2 and op.window == op.stride and not any(op.pad_low) and not any(op.pad_high)
    return nn.MaxPool2d(op.window, op.stride) if plain else None


def _meanpool(op: MeanPool, shape: tuple[int, ...]) -> nn.Module | None:
    """As a convolution of each channel: its own mean pools fail, or are wrong where windows overlap."""
    if len(op.window) != 2 or op.pad_low != op.pad_high:
        return None
    weight = np.full((shape[0], 1, *op.window), 1 / np.prod(op.window))
    channels = shape[0]
    sizes: dict[str, Any] = {"stride": op.stride, "padding": op.pad_low, "groups": channels}
    made = nn.Conv2d(channels, channels, (op.window[0], op.window[1]), **sizes)
    filled: nn.Module = _filled(made, weight, np.zeros(channels))
    return filled


def _activation(op: Activation, shape: tuple[int, ...]) -> nn.Module | None:
    if op.function == "leakyrelu":
        return nn.LeakyReLU(0.01 if op.parameter is None else op.parameter)
    made = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}.get(op.function)
    return None if made is None else made()


def _reshape(op: Reshape, shape: tuple[int, ...]) -> nn.Module:
    wanted = SHAPE["reshape"](op, shape)
    return _Step(lambda x: x.reshape(-1, *wanted))


def _transpose(op: Transpose, shape: tuple[int, ...]) -> nn.Module:
    order = (0, *(axis + 1 for axis in op.order))
    return _Step(lambda x: x.permute(order))


def _shift(op: Shift, shape: tuple[int, ...]) -> nn.Module:
    return _Step(lambda x, value: x + value, np.broadcast_to(op.value, shape)[None])


def _scale(op: Scale, shape: tuple[int, ...]) -> nn.Module:
    return _Step(lambda x, factor: x * factor, np.broadcast_to(op.factor, shape)[None])


def _divide(op: Divide, shape: tuple[int, ...]) -> nn.Module:
    factor = 1.0 / np.asarray(op.divisor, dtype=np.float64)
    return _Step(lambda x, factor: x * factor, np.broadcast_to(factor, shape)[None])


def _batchnorm(op: BatchNorm, shape: tuple[int, ...]) -> nn.Module:
    known = linear_map_of(op, shape)
    assert known is not None  # each output reads the value at its own place
    factor, added = (part.reshape(1, *shape) for part in (known.matrix.data, known.bias))
    return _Step(lambda x, factor, added: x * factor + added, factor, added)


def _total(first: Tensor, *others: Tensor) -> Tensor:
    for other in others:
        first = first + other
    return first


def _concat(op: Concat, shape: tuple[int, ...]) -> nn.Module:
    return _Step(lambda *branches: torch.cat(branches, op.axis + 1))


STEPS: dict[str, Callable[[Any, tuple[int, ...]], nn.Module | None]] = {
    "affine": _affine,
    "conv": _conv,
    "maxpool": _maxpool,
    "meanpool": _meanpool,
    "activation": _activation,
    "reshape": _reshape,
    "transpose": _transpose,
    "shift": _shift,
    "scale": _scale,
    "divide": _divide,
    "batchnorm": _batchnorm,
    "add": lambda op, shape: _Step(_total),
    "concat": _concat,
}
"""Operations that auto-LiRPA 0.3 bounds, by kind; a row may still say None."""


@dataclass(frozen=True, eq=False)
class LirpaTask:
    """What is to be bounded.

    Attributes:
        graph, readout: the network, and the node whose values the rows speak of.
        stamp: of one placement.
        inputs: the untouched inputs, flat, shape (B, size).
        lower, upper: the boxes of tau, shape (B, d).
        rows: coefficients over the readout, shape (B, r, outputs).
    """

    graph: Graph
    readout: int
    stamp: AffineInputMap
    inputs: Floats
    lower: Floats
    upper: Floats
    rows: Floats


def lirpa_upper_bounds(asked: LirpaTask, method: str) -> Floats:
    """Upper bounds of the rows' products with the readout, constants left out, shape (B, r).

    Args:
        asked: the questions.
        method: a key of `METHODS`.

    Raises:
        UnsupportedError: VF7003.
        UsageError: VF4012.
    """
    lirpa = lirpa_package()
    rest = asked.stamp.applied(asked.inputs, np.zeros(asked.lower.shape[1]))
    lower, upper, fixed, rows = (torch.tensor(part) for part in (asked.lower, asked.upper, rest, asked.rows))
    module = Composed(asked.graph, asked.readout, asked.stamp)
    # It makes tensors in torch's default type.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with quiet():
            box = lirpa.tensor(lower, lirpa.norm(x_L=lower, x_U=upper))
            bounded = lirpa.module(module, (lower, fixed), bound_opts=OPTIONS)
            call = {"x": (box, fixed), "C": rows, "method": METHODS[method], "bound_lower": False}
            if method == "alpha":
                found = bounded.compute_bounds(**call)
            else:
                with torch.no_grad():
                    found = bounded.compute_bounds(**call)
    finally:
        torch.set_default_dtype(before)
    result: Floats = found[1].detach().numpy()
    return result
