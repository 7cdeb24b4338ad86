"""Running a graph: every operation against a reference of its own, written out as sums over windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from verifluxa.errors import ModelError
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.graph.ops import (
    BATCHNORM_ORDERS,
    OPS,
    SHAPE,
    Activation,
    Add,
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    Divide,
    Input,
    LogSoftmax,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shift,
    Softmax,
    Transpose,
)
from verifluxa.graph.run import RUN, forward, run

Floats = NDArray[np.float64]


def _padded(x: Floats, op: Conv | MaxPool | MeanPool, fill: float) -> Floats:
    pads = [(0, 0), (0, 0), *zip(op.pad_low, op.pad_high, strict=True)]
    return np.pad(x, pads, constant_values=fill)


def _windows(x: Floats, window: tuple[int, ...], op: Conv | MaxPool | MeanPool, dilation: tuple[int, ...]) -> Floats:
    """All windows: (N, C, *outputs, *window), by plain loops."""
    sizes = [(x.shape[2 + a] - dilation[a] * (w - 1) - 1) // op.stride[a] + 1 for a, w in enumerate(window)]
    result = np.empty((*x.shape[:2], *sizes, *window))
    for place in itertools.product(*map(range, sizes)):
        for offset in itertools.product(*map(range, window)):
            source = tuple(p * s + o * d for p, s, o, d in zip(place, op.stride, offset, dilation, strict=True))
            result[(slice(None), slice(None), *place, *offset)] = x[(slice(None), slice(None), *source)]
    return result


def _reference_conv(op: Conv, x: Floats) -> Floats:
    outputs, per_group, *window = op.weight.shape
    axes = len(window)
    windows = _windows(_padded(x, op, 0.0), tuple(window), op, op.dilation)
    blocks = []
    for output in range(outputs):
        first = output // (outputs // op.groups) * per_group
        kernel = op.weight[output].reshape(1, per_group, *([1] * axes), *window)
        products = windows[:, first : first + per_group] * kernel
        blocks.append(products.sum(axis=(1, *range(2 + axes, 2 + 2 * axes))))
    result = np.stack(blocks, axis=1)
    return result if op.bias is None else result + op.bias.reshape(1, -1, *([1] * axes))


def _reference_pool(op: MaxPool | MeanPool, x: Floats) -> Floats:
    axes = len(op.window)
    fill = -np.inf if isinstance(op, MaxPool) else 0.0
    windows = _windows(_padded(x, op, fill), op.window, op, (1,) * axes)
    last = tuple(range(2 + axes, 2 + 2 * axes))
    return windows.max(axis=last) if isinstance(op, MaxPool) else windows.mean(axis=last)


def _sizes(axes: int, low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * axes)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, Floats]:
    """A convolution in 1 to 3 axes with every number of its own, and an input that it fits in."""
    axes = draw(st.integers(1, 3))
    groups, per_group, times = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    window = draw(_sizes(axes, 1, 3))
    dilation = draw(_sizes(axes, 1, 2))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    weight = random.normal(size=(groups * times, per_group, *window))
    bias = random.normal(size=groups * times) if draw(st.booleans()) else None
    op = Conv(
        weight, bias, draw(_sizes(axes, 1, 3)), draw(_sizes(axes, 0, 2)), draw(_sizes(axes, 0, 2)), dilation, groups
    )
    extra = draw(_sizes(axes, 0, 4))
    spatial = tuple(d * (w - 1) + 1 + e for d, w, e in zip(dilation, window, extra, strict=True))
    return op, random.normal(size=(draw(st.integers(1, 2)), groups * per_group, *spatial))


@st.composite
def pools(draw: st.DrawFn) -> tuple[MaxPool | MeanPool, Floats]:
    """A pool in 1 to 3 axes whose padding stays below its window, and an input that it fits in."""
    axes = draw(st.integers(1, 3))
    window = draw(_sizes(axes, 1, 3))
    low = tuple(draw(st.integers(0, size - 1)) for size in window)
    high = tuple(draw(st.integers(0, size - 1)) for size in window)
    kind = draw(st.sampled_from([MaxPool, MeanPool]))
    op = kind(window, draw(_sizes(axes, 1, 3)), low, high)
    spatial = tuple(size + extra for size, extra in zip(window, draw(_sizes(axes, 0, 4)), strict=True))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    return op, random.normal(size=(2, draw(st.integers(1, 3)), *spatial))


def _run_one(op: Op, x: Floats) -> NDArray[np.floating]:
    return run(chain(x.shape[1:], [op], "float64"), x)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(convolutions())
def test_convolutions_are_the_sums_of_their_definition(case: tuple[Conv, Floats]) -> None:
    op, x = case
    expected = _reference_conv(op, x)
    assert expected.shape[1:] == SHAPE["conv"](op, x.shape[1:])
    np.testing.assert_allclose(_run_one(op, x), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(pools())
def test_pools_are_the_maximum_or_the_mean_of_full_windows(case: tuple[MaxPool | MeanPool, Floats]) -> None:
    op, x = case
    expected = _reference_pool(op, x)
    assert expected.shape[1:] == SHAPE[op.kind](op, x.shape[1:])
    np.testing.assert_allclose(_run_one(op, x), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.soak
@settings(max_examples=3000, deadline=None, derandomize=True)
@given(st.one_of(convolutions(), pools()))
def test_many_windows_follow_their_definition(case: tuple[Conv | MaxPool | MeanPool, Floats]) -> None:
    op, x = case
    expected = _reference_conv(op, x) if isinstance(op, Conv) else _reference_pool(op, x)
    np.testing.assert_allclose(_run_one(op, x), expected, rtol=1e-12, atol=1e-12)


def _softmax(x: Floats, axis: int) -> Floats:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


RANDOM = np.random.default_rng(7)
WEIGHT = RANDOM.normal(size=(5, 4))
BIAS = RANDOM.normal(size=5)
PER_CHANNEL = RANDOM.uniform(0.5, 2.0, size=(3, 1, 1))

PLAIN: list[tuple[Op, tuple[int, ...], Callable[[Floats], Floats]]] = [
    (Affine(WEIGHT, BIAS), (4,), lambda x: x @ WEIGHT.T + BIAS),
    (Affine(WEIGHT), (2, 4), lambda x: x @ WEIGHT.T),
    (Shift(PER_CHANNEL), (3, 2, 4), lambda x: x + PER_CHANNEL),
    (Shift(np.float64(0.5).reshape(())), (4,), lambda x: x + 0.5),
    (Scale(PER_CHANNEL), (3, 2, 4), lambda x: x * PER_CHANNEL),
    (Divide(PER_CHANNEL), (3, 2, 4), lambda x: x / PER_CHANNEL),
    (Clip(-0.5, 0.25), (4,), lambda x: np.clip(x, -0.5, 0.25)),
    (Activation("relu"), (4,), lambda x: np.maximum(x, 0)),
    (Activation("leakyrelu", 0.25), (4,), lambda x: np.where(x > 0, x, 0.25 * x)),
    (Reshape((4, -1)), (2, 6), lambda x: x.reshape(len(x), 4, 3)),
    (Reshape((12,)), (2, 6), lambda x: x.reshape(len(x), 12)),
    (Transpose((2, 0, 1)), (3, 2, 4), lambda x: np.transpose(x, (0, 3, 1, 2))),
    (Softmax(0), (4, 3), lambda x: _softmax(x, 1)),
    (Softmax(1), (4, 3), lambda x: _softmax(x, 2)),
    (LogSoftmax(0), (4,), lambda x: np.log(_softmax(x, 1))),
]


@pytest.mark.parametrize(("op", "shape", "reference"), PLAIN, ids=lambda value: getattr(value, "kind", None))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_operations(op: Op, shape: tuple[int, ...], reference: Callable[[Floats], Floats], dtype: str) -> None:
    x = np.random.default_rng(3).normal(size=(3, *shape))
    result = run(chain(shape, [op], dtype), x)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, reference(x), rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-6)


def test_branches_are_added_and_put_end_to_end() -> None:
    x = np.random.default_rng(5).normal(size=(2, 3, 4))
    steps: list[tuple[Op, tuple[int, ...]]] = [
        (Input((3, 4)), ()),
        (Activation("relu"), (0,)),
        (Add(), (0, 1, 0)),
        (Concat(1), (2, 0)),
        (Concat(0), (3, 3, 3)),
    ]
    result = run(build(steps, "float64"), x)
    joined = np.concatenate([2 * x + np.maximum(x, 0), x], axis=2)
    np.testing.assert_allclose(result, np.concatenate([joined] * 3, axis=1), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_normalisation_is_rounded_step_by_step_in_its_order(dtype: type[np.floating]) -> None:
    random = np.random.default_rng(6)
    mean, variance, factor, shift = (np.abs(random.normal(size=3)).astype(dtype) * 100 for _ in range(4))
    x = (random.normal(size=(4, 3, 2)) * 100).astype(dtype)
    m, v, g, b = (part.reshape(3, 1) for part in (mean, variance, factor, shift))
    d = np.sqrt(v + dtype(1e-3))
    wanted = {
        "scale and shift": (g / d) * x + (-(g / d) * m + b),
        "divide first": g * ((x - m) / d) + b,
        "factor first": g * (x - m) / d + b,
    }
    name = np.dtype(dtype).name
    for order in BATCHNORM_ORDERS:
        found = run(chain((3, 2), [BatchNorm(mean, variance, float(dtype(1e-3)), factor, shift, order)], name), x)
        np.testing.assert_array_equal(found, wanted[order])
    bare = run(chain((3, 2), [BatchNorm(mean, variance, float(dtype(1e-3)), order="divide first")], name), x)
    np.testing.assert_array_equal(bare, (x - m) / d)


def test_every_operation_but_the_input_has_a_row() -> None:
    kinds = {op.kind for op in OPS}
    assert set(RUN) == kinds - {"input"}
    assert set(SHAPE) == kinds


def _image_network(dtype: str = "float32") -> Graph:
    random = np.random.default_rng(11)
    ops: list[Op] = [
        Divide(np.full((1, 1, 1), 255, dtype)),
        Conv(random.normal(size=(4, 1, 3, 3)).astype(dtype), None, (2, 1), (1, 0), (0, 2), (1, 1)),
        Activation("relu"),
        Reshape((-1,)),
        Softmax(0),
    ]
    return chain((1, 9, 8), ops, dtype)


def test_the_same_input_gives_the_same_bits_wherever_it_lies_in_memory() -> None:
    graph = _image_network()
    x = np.random.default_rng(2).integers(0, 256, size=(5, 1, 9, 8)).astype(np.float32)
    room = np.empty(x.size + 1, np.float32)
    shifted = room[1:].reshape(x.shape)
    shifted[...] = x
    first = run(graph, x)
    assert first.tobytes() == run(graph, x).tobytes() == run(graph, shifted).tobytes()
    assert first.tobytes() == run(graph, x.astype(np.uint8)).tobytes() == run(graph, np.asfortranarray(x)).tobytes()


def test_inputs_and_weights_are_never_written_to_and_outputs_are_the_callers_own() -> None:
    weight, x = np.eye(3, dtype=np.float32), np.ones((2, 3), np.float32)
    x.flags.writeable = weight.flags.writeable = False
    for ops in ([Affine(weight)], [Reshape((3, 1))], [Clip(0.0, 9.0)], []):
        result = run(chain((3,), ops), x)
        result += 1
    assert (x == 1).all()
    assert (weight == np.eye(3)).all()


def test_arrays_of_any_byte_order_and_type_are_read() -> None:
    weight = np.arange(6, dtype=">f4").reshape(2, 3)
    result = run(chain((3,), [Affine(weight)]), np.array([[1, 2, 3]], dtype=">i2"))
    assert result.tolist() == [[8, 26]]


def test_settings_of_the_process_do_not_lower_the_precision() -> None:
    graph = chain((784,), [Affine(np.random.default_rng(1).normal(size=(64, 784)).astype(np.float32))])
    x = np.random.default_rng(2).normal(size=(256, 784)).astype(np.float32)
    before = run(graph, x)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        lowered = run(graph, x)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)
    assert lowered.tobytes() == before.tobytes()


def test_the_switches_of_torch_are_restored() -> None:
    before = (torch.backends.mkldnn.enabled, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    run(_image_network(), np.zeros((1, 1, 9, 8)))
    with pytest.raises(ModelError):
        run(_image_network(), np.zeros((1, 9)))
    assert before == (torch.backends.mkldnn.enabled, torch.is_grad_enabled(), torch.is_inference_mode_enabled())


def test_another_image_size_that_fits_is_taken_and_one_that_does_not_is_refused() -> None:
    graph = _image_network()
    assert run(graph, np.zeros((2, 1, 12, 8))).shape != run(graph, np.zeros((2, 1, 9, 8))).shape
    with pytest.raises(ModelError, match="convolution") as caught:
        run(graph, np.zeros((2, 2, 9, 8)))
    assert caught.value.code == "VF2101"


def test_no_samples_give_no_outputs() -> None:
    assert run(_image_network(), np.zeros((0, 1, 9, 8))).shape == (0, *_image_network().output_shape)


@pytest.mark.parametrize("inputs", [(), (np.zeros((1, 3)), np.zeros((1, 3))), (np.float64(1),)])
def test_a_wrong_number_of_inputs_is_refused(inputs: tuple[Floats, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        run(chain((3,), []), *inputs)
    assert caught.value.code == "VF2102"


def test_networks_of_two_inputs_take_two_arrays_of_as_many_samples() -> None:
    graph = build([(Input((2,)), ()), (Input((3,)), ()), (Concat(0), (1, 0))], "float64")
    left, right = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0, 5.0]])
    assert graph.run(left, right).tolist() == [[3.0, 4.0, 5.0, 1.0, 2.0]]
    with pytest.raises(ModelError, match="as many in each input"):
        graph.run(np.zeros((2, 2)), right)


def test_forward_can_be_differentiated() -> None:
    graph = chain((3,), [Affine(np.array([[1.0, -2.0, 3.0]]))], "float64")
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    forward(graph, x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0, -2.0, 3.0]] * 2


def test_nan_and_infinity_pass_through_as_in_the_deployed_network() -> None:
    x = np.array([[np.nan, np.inf, -np.inf]])
    relu = run(chain((3,), [Activation("relu")]), x)
    assert np.isnan(relu[0, 0])
    assert relu[0, 1:].tolist() == [np.inf, 0.0]
