"""Activations in ONNX, both ways: a row of `WRITTEN` for each one, and rows of `READ` for operators that mean one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from verifluxa.graph import ops
from verifluxa.graph.activations import GELU_CUBIC, GELU_FACTOR, SELU_ALPHA, SELU_SCALE
from verifluxa.interop.onnx_file import OnnxNode
from verifluxa.interop.onnx_walk import Operator, Walk, allow, refused

if TYPE_CHECKING:
    from verifluxa.interop.onnx_export import Writer


def clipped(writer: Writer, value: str, low: float | None, high: float | None) -> str:
    """The value between two ends; an infinite one, or None, is none."""
    ends = ["" if end is None or math.isinf(end) else writer.constant(end) for end in (low, high)]
    return writer.add("Clip", value, *ends)


def _one(kind: str, **attributes: object) -> Callable[[Writer, str, float], str]:
    return lambda writer, x, _: writer.add(kind, x, **attributes)


def _where_below(writer: Writer, x: str, below: str) -> str:
    """The value itself from 0 on, else `below`."""
    return writer.add("Where", writer.add("GreaterOrEqual", x, writer.constant(0.0)), x, below)


def _leakyrelu(writer: Writer, x: str, slope: float) -> str:
    if writer.holds(slope):
        return writer.add("LeakyRelu", x, alpha=float(slope))
    return _where_below(writer, x, writer.add("Mul", writer.constant(slope), x))


def _elu(writer: Writer, x: str, alpha: float) -> str:
    if writer.holds(alpha):
        return writer.add("Elu", x, alpha=float(alpha))
    return _where_below(writer, x, writer.add("Mul", writer.constant(alpha), writer.add("Elu", x, alpha=1.0)))


def _selu(writer: Writer, x: str, _: float) -> str:
    if writer.dtype == np.float32:
        return writer.add("Selu", x, alpha=SELU_ALPHA, gamma=SELU_SCALE)
    return writer.add("Mul", writer.constant(SELU_SCALE), _elu(writer, x, SELU_ALPHA))


def _hardsigmoid(writer: Writer, x: str, _: float) -> str:
    shifted = writer.add("Add", x, writer.constant(3.0))
    return clipped(writer, writer.add("Div", shifted, writer.constant(6.0)), 0.0, 1.0)


def _softshrink(writer: Writer, x: str, threshold: float) -> str:
    if not writer.holds(threshold):
        end = writer.constant(threshold)
        above = writer.add("Max", writer.add("Sub", x, end), writer.constant(0.0))
        return writer.add("Min", above, writer.add("Add", x, end))
    return writer.add("Shrink", x, lambd=float(threshold), bias=float(threshold))


def _swish(writer: Writer, x: str, _: float) -> str:
    return writer.add("Mul", x, writer.add("Sigmoid", x))


def _gelu(writer: Writer, x: str, _: float) -> str:
    square = writer.add("Mul", writer.add("Mul", writer.constant(GELU_CUBIC), x), x)
    inner = writer.add("Add", writer.constant(1.0), square)
    scaled = writer.add("Mul", writer.add("Mul", writer.constant(GELU_FACTOR), x), inner)
    return writer.add("Mul", x, writer.add("Sigmoid", scaled))


def _gelu_erf(writer: Writer, x: str, _: float) -> str:
    """`x / 2 (1 + erf(x / sqrt 2))`: one operator that does it came with operator set 20."""
    root = writer.add("Erf", writer.add("Div", x, writer.constant(math.sqrt(2))))
    return writer.add("Mul", writer.add("Div", x, writer.constant(2.0)), writer.add("Add", root, writer.constant(1.0)))


def _celu(writer: Writer, x: str, alpha: float) -> str:
    """`max(0, x) + min(0, alpha (exp(x / alpha) - 1))`; in float64 by Elu, which runtimes have in both float types."""
    if writer.dtype == np.float32:
        return writer.add("Celu", x, alpha=float(alpha))
    divisor = writer.constant(alpha)
    scaled = writer.add("Elu", writer.add("Div", x, divisor), alpha=1.0)
    negative = writer.add("Mul", scaled, divisor)
    return writer.add("Where", writer.add("GreaterOrEqual", x, writer.constant(0.0)), x, negative)


def _logsigmoid(writer: Writer, x: str, _: float) -> str:
    return writer.add("Neg", writer.add("Softplus", writer.add("Neg", x)))


def _logcosh(writer: Writer, x: str, _: float) -> str:
    soft = writer.add("Softplus", writer.add("Mul", writer.constant(-2.0), x))
    return writer.add("Sub", writer.add("Add", x, soft), writer.constant(math.log(2)))


def _trelu(writer: Writer, x: str, threshold: float) -> str:
    if writer.dtype == np.float32:
        return writer.add("ThresholdedRelu", x, alpha=float(threshold))
    below = writer.add("LessOrEqual", x, writer.constant(threshold))
    return writer.add("Where", below, writer.constant(0.0), x)


WRITTEN: dict[str, Callable[[Writer, str, float], str]] = {
    "relu": _one("Relu"),
    "leakyrelu": _leakyrelu,
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "relu6": lambda writer, x, _: clipped(writer, x, 0.0, 6.0),
    "hardtanh": lambda writer, x, _: clipped(writer, x, -1.0, 1.0),
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda writer, x, _: writer.add("Mul", x, _hardsigmoid(writer, x, 0.0)),
    "sigmoid": _one("Sigmoid"),
    "sigmoid_fast": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "tanh_fast": _one("Tanh"),
    "softplus": _one("Softplus"),
    "softsign": _one("Softsign"),
    "softshrink": _softshrink,
    "tanhshrink": lambda writer, x, _: writer.add("Sub", x, writer.add("Tanh", x)),
    "gelu": _gelu,
    "gelu_erf": _gelu_erf,
    "swish": _swish,
    "mish": lambda writer, x, _: writer.add("Mul", x, writer.add("Tanh", writer.add("Softplus", x))),
    "lisht": lambda writer, x, _: writer.add("Mul", x, writer.add("Tanh", x)),
    "logsigmoid": _logsigmoid,
    "logcosh": _logcosh,
    "trelu": _trelu,
    "round": _one("Round"),
}
"""From a writer, the name of a value and the parameter to the name of the result."""


def _read_function(name: str, parameter: str | None = None, default: float = 0.0) -> Operator:
    def read(walk: Walk, node: OnnxNode) -> int:
        allow(node, **({} if parameter is None else {parameter: None}))
        value = None if parameter is None else float(walk.number(node, parameter, default))
        return walk.add(node, ops.Activation(name, value), walk.value(node))

    return read


def _read_selu(walk: Walk, node: OnnxNode) -> int:
    allow(node, alpha=None, gamma=None)
    for name, wanted in (("alpha", SELU_ALPHA), ("gamma", SELU_SCALE)):
        if np.float32(walk.number(node, name, wanted)) != np.float32(wanted):
            raise refused(node, f"its {name} is not the published one", str(wanted))
    return walk.add(node, ops.Activation("selu"), walk.value(node))


def _read_gelu(walk: Walk, node: OnnxNode) -> int:
    allow(node, approximate=("none", "tanh"))
    exact = node.attributes.get("approximate", "none") == "none"
    return walk.add(node, ops.Activation("gelu_erf" if exact else "gelu"), walk.value(node))


def _read_shrink(walk: Walk, node: OnnxNode) -> int:
    allow(node, bias=None, lambd=None)
    threshold = walk.number(node, "lambd", 0.5)
    if walk.number(node, "bias", 0.0) != threshold or threshold < 0:
        raise refused(node, "its bias is not its threshold", "the soft shrink, bias = lambd")
    return walk.add(node, ops.Activation("softshrink", float(threshold)), walk.value(node))


READ: dict[str, Operator] = {
    "Celu": _read_function("celu", "alpha", 1.0),
    "HardSwish": _read_function("hardswish"),
    "Elu": _read_function("elu", "alpha", 1.0),
    "Gelu": _read_gelu,
    "LeakyRelu": _read_function("leakyrelu", "alpha", 0.01),
    "Mish": _read_function("mish"),
    "Relu": _read_function("relu"),
    "Round": _read_function("round"),
    "Selu": _read_selu,
    "Shrink": _read_shrink,
    "Sigmoid": _read_function("sigmoid"),
    "Softplus": _read_function("softplus"),
    "Softsign": _read_function("softsign"),
    "Tanh": _read_function("tanh"),
    "ThresholdedRelu": _read_function("trelu", "alpha", 1.0),
}
"""Operators by their ONNX names."""
