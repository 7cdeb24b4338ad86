"""One row per activation: the function by its NNlib name, its error in float32, the parameter that it takes, if any.

The formulas are those of NNlib 0.9 (`src/activations.jl`), written so that neither large nor small
arguments overflow. Only methods of tensors are used, so that reading the names loads no torch.
Flux's `tanh_fast` and `sigmoid_fast` are rows of their own: the same functions to a few units in the
last place, but another implementation on the deployed side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifluxa.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
GELU_CUBIC = 0.044715
GELU_FACTOR = math.sqrt(8 / math.pi)


@dataclass(frozen=True)
class Function:
    """An elementwise function.

    Attributes:
        apply: takes values of any shape and the parameter, gives values of the same shape and type.
        error: of the deployed function in float32, relative to max(1, |result|) and beyond flushing; see `ACTIVATIONS`.
        parameter: the parameter's default, or None where the function takes none.
        also: other names that it has in NNlib.
        in_flux: whether NNlib has it; else other formats alone do.
    """

    apply: Callable[[Tensor, float], Tensor]
    error: float
    parameter: float | None = None
    also: tuple[str, ...] = ()
    in_flux: bool = True


def _relu(x: Tensor, _: float) -> Tensor:
    return x.clamp(min=0)


def _leakyrelu(x: Tensor, slope: float) -> Tensor:
    return x.where(x > 0, slope * x)


def _elu(x: Tensor, alpha: float) -> Tensor:
    return x.where(x >= 0, alpha * x.clamp(max=0).expm1())


def _selu(x: Tensor, _: float) -> Tensor:
    return SELU_SCALE * _elu(x, SELU_ALPHA)


def _celu(x: Tensor, alpha: float) -> Tensor:
    return x.where(x >= 0, alpha * (x.clamp(max=0) / alpha).expm1())


def _relu6(x: Tensor, _: float) -> Tensor:
    return x.clamp(min=0, max=6)


def _hardtanh(x: Tensor, _: float) -> Tensor:
    return x.clamp(min=-1, max=1)


def _hardsigmoid(x: Tensor, _: float) -> Tensor:
    return ((x + 3) / 6).clamp(min=0, max=1)


def _hardswish(x: Tensor, _: float) -> Tensor:
    return x * _hardsigmoid(x, 0.0)


def _sigmoid(x: Tensor, _: float) -> Tensor:
    return x.sigmoid()


def _tanh(x: Tensor, _: float) -> Tensor:
    return x.tanh()


def _softplus(x: Tensor, _: float) -> Tensor:
    return (-x.abs()).exp().log1p() + x.clamp(min=0)


def _logsigmoid(x: Tensor, _: float) -> Tensor:
    return -_softplus(-x, 0.0)


def _softsign(x: Tensor, _: float) -> Tensor:
    return x / (1 + x.abs())


def _softshrink(x: Tensor, threshold: float) -> Tensor:
    below, above = x + threshold, x - threshold
    return below.where(below <= 0, above.clamp(min=0))


def _tanhshrink(x: Tensor, _: float) -> Tensor:
    return x - x.tanh()


def _gelu(x: Tensor, _: float) -> Tensor:
    # 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), in the form that NNlib computes.
    return x * (GELU_FACTOR * x * (1 + GELU_CUBIC * x * x)).sigmoid()


def _gelu_erf(x: Tensor, _: float) -> Tensor:
    return x / 2 * (1 + (x / math.sqrt(2)).erf())


def _swish(x: Tensor, _: float) -> Tensor:
    return x * x.sigmoid()


def _mish(x: Tensor, _: float) -> Tensor:
    return x * _softplus(x, 0.0).tanh()


def _lisht(x: Tensor, _: float) -> Tensor:
    return x * x.tanh()


def _logcosh(x: Tensor, _: float) -> Tensor:
    return x + _softplus(-2 * x, 0.0) - math.log(2)


def _trelu(x: Tensor, threshold: float) -> Tensor:
    return x.new_zeros(()).where(x <= threshold, x)


def _round(x: Tensor, _: float) -> Tensor:
    return x.round()


ACTIVATIONS: dict[str, Function] = {
    "relu": Function(_relu, 0.0),
    "leakyrelu": Function(_leakyrelu, 2.0**-23, parameter=0.01),
    "elu": Function(_elu, 2.0**-20, parameter=1.0),
    "selu": Function(_selu, 2.0**-19),
    "celu": Function(_celu, 2.0**-20, parameter=1.0),
    "relu6": Function(_relu6, 0.0),
    "hardtanh": Function(_hardtanh, 0.0),
    "hardsigmoid": Function(_hardsigmoid, 2.0**-21, also=("hardσ",)),
    "hardswish": Function(_hardswish, 2.0**-20),
    "sigmoid": Function(_sigmoid, 2.0**-20, also=("σ",)),
    "sigmoid_fast": Function(_sigmoid, 2.0**-20),
    "tanh": Function(_tanh, 2.0**-20),
    "tanh_fast": Function(_tanh, 2.0**-20),
    "softplus": Function(_softplus, 2.0**-20),
    "softsign": Function(_softsign, 2.0**-21),
    "softshrink": Function(_softshrink, 2.0**-22, parameter=0.5),
    "tanhshrink": Function(_tanhshrink, 2.0**-18),
    "gelu": Function(_gelu, 2.0**-18, also=("gelu_tanh", "gelu_sigmoid")),
    "gelu_erf": Function(_gelu_erf, 2.0**-18),
    "swish": Function(_swish, 2.0**-18),
    "mish": Function(_mish, 2.0**-18),
    "lisht": Function(_lisht, 2.0**-18),
    "logsigmoid": Function(_logsigmoid, 2.0**-20, also=("logσ",)),
    "logcosh": Function(_logcosh, 2.0**-18),
    "trelu": Function(_trelu, 0.0, parameter=1.0, also=("thresholdrelu",)),
    "round": Function(_round, 0.0, in_flux=False),
}
"""Errors. Exact: comparisons. leakyrelu: the slope and the product are rounded. sigmoid and tanh: NNlib documents 2 eps
for sigmoid_fast and 5 eps for tanh_fast, the largest of its own and of torch's: 5 * 2^-23 < 2^-20. The functions built
on them multiply that by at most the argument at which tanh and exp saturate (|z| < 10) or lose digits of 1; a test
compares them with float64."""


def check_activation(name: str, parameter: float | None) -> None:
    """Refuses a function that is not in the table, or a parameter that it does not take.

    Raises:
        ModelError: VF2103.
    """
    if name not in ACTIVATIONS:
        raise ModelError(
            "VF2103",
            f"the activation `{name}` is not known",
            expected="one of " + ", ".join(sorted(ACTIVATIONS)),
            remedy="`verifluxa supports` lists what can be verified; train with one of these activations",
        )
    if parameter is not None and (ACTIVATIONS[name].parameter is None or not math.isfinite(parameter)):
        raise ModelError("VF2103", f"the activation `{name}` does not take the parameter {parameter}")
    if name == "celu" and parameter == 0:
        raise ModelError("VF2103", "the activation `celu` divides by its parameter, which is 0")


def activate(name: str, parameter: float | None, values: Tensor) -> Tensor:
    """Applies an activation by its NNlib name; `parameter` None takes the default."""
    function = ACTIVATIONS[name]
    chosen = function.parameter if parameter is None else parameter
    return function.apply(values, 0.0 if chosen is None else chosen)
