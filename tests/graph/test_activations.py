"""Every activation against its textbook formula in double precision, and what it does at the ends."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from verifluxa.errors import ModelError
from verifluxa.graph.activations import ACTIVATIONS, Function
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _softplus(x: float) -> float:
    return math.log1p(math.exp(x))


# The defaults of the parameters are written out: they are part of what Flux means by the name.
TEXTBOOK: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(0.0, x),
    "leakyrelu": lambda x: max(0.01 * x, x),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "celu": lambda x: x if x > 0 else math.exp(x) - 1,
    "relu6": lambda x: min(max(0.0, x), 6.0),
    "hardtanh": lambda x: max(-1.0, min(1.0, x)),
    "hardsigmoid": lambda x: max(0.0, min(1.0, (x + 3) / 6)),
    "hardswish": lambda x: x * max(0.0, min(1.0, (x + 3) / 6)),
    "sigmoid": _sigmoid,
    "sigmoid_fast": _sigmoid,
    "tanh": math.tanh,
    "tanh_fast": math.tanh,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "softshrink": lambda x: x - 0.5 if x >= 0.5 else (x + 0.5 if x <= -0.5 else 0.0),
    "tanhshrink": lambda x: x - math.tanh(x),
    "gelu": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_erf": lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2))),
    "swish": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * math.tanh(_softplus(x)),
    "lisht": lambda x: x * math.tanh(x),
    "logsigmoid": lambda x: math.log(_sigmoid(x)),
    "logcosh": lambda x: math.log(math.cosh(x)),
    "trelu": lambda x: x if x > 1 else 0.0,
    "round": lambda x: float(round(x)),
}
POINTS = np.concatenate([np.linspace(-9, 9, 181), [0.5, -0.5, 1.0, 6.0, -3.0, 3.0, 1e-9, -1e-9]])


def _apply(name: str, values: object, parameter: float | None = None, dtype: str = "float64") -> np.ndarray:
    return chain((1,), [Activation(name, parameter)], dtype).run(np.array(values).reshape(-1, 1))[:, 0]


def test_each_activation_has_its_textbook_formula_here() -> None:
    assert set(TEXTBOOK) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(TEXTBOOK))
def test_activations_are_their_textbook_formulas(name: str) -> None:
    expected = [TEXTBOOK[name](x) for x in POINTS.tolist()]
    np.testing.assert_allclose(_apply(name, POINTS), expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(_apply(name, POINTS, dtype="float32"), expected, rtol=2e-6, atol=5e-7)


@pytest.mark.parametrize(
    ("name", "parameter", "x", "expected"),
    [
        ("leakyrelu", 0.2, -10.0, -2.0),
        ("elu", 2.0, -10.0, 2 * math.expm1(-10)),
        ("celu", 2.0, -1.0, 2 * math.expm1(-0.5)),
        ("trelu", 3.0, 3.0, 0.0),
        ("trelu", 3.0, 3.5, 3.5),
        ("softshrink", 2.0, -5.0, -3.0),
        ("softshrink", 2.0, 5.0, 3.0),
    ],
)
def test_parameters_replace_the_defaults(name: str, parameter: float, x: float, expected: float) -> None:
    assert _apply(name, [x], parameter)[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", sorted(TEXTBOOK))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_arguments_stay_finite_and_nan_stays_nan(name: str, dtype: str) -> None:
    values = _apply(name, [-1e30, 1e30, np.nan], dtype=dtype)
    assert np.isfinite(values[:2]).all()
    assert np.isnan(values[2])


@pytest.mark.parametrize(
    ("name", "parameter"), [("sin", None), ("", None), ("relu", 0.5), ("elu", math.nan), ("celu", 0.0)]
)
def test_unknown_activations_and_parameters_are_refused_when_the_network_is_built(
    name: str, parameter: float | None
) -> None:
    with pytest.raises(ModelError) as caught:
        chain((1,), [Activation(name, parameter)])
    assert caught.value.code == "VF2103"


def test_rows_are_frozen() -> None:
    assert all(isinstance(row, Function) for row in ACTIVATIONS.values())
    with pytest.raises(AttributeError):
        ACTIVATIONS["relu"].parameter = 1.0  # type: ignore[misc]
