"""Shapes of operations against torch's own, and every misfit as a ModelError."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.errors import ModelError
from verifluxa.graph.graph import build, canonical, chain, resized
from verifluxa.graph.ops import (
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
    MatMul,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Shift,
    Softmax,
    Take,
    Transpose,
    window_output,
)

CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
POOLS: tuple[Callable[..., torch.nn.Module], ...] = (torch.nn.MaxPool1d, torch.nn.MaxPool2d, torch.nn.MaxPool3d)


def _torch_shape(layer: torch.nn.Module, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return tuple(layer.to("meta")(torch.empty(1, *shape, device="meta")).shape[1:])
    except RuntimeError:
        return None


def _own_shape(op: Op, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return SHAPE[op.kind](op, shape)
    except ModelError:
        return None


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 3))
def test_convolutions_have_the_shapes_that_torch_gives(data: st.DataObject, axes: int) -> None:
    sizes = st.tuples(*[st.integers(1, 4)] * axes)
    window, stride, dilation = data.draw(sizes), data.draw(sizes), data.draw(sizes)
    pads = data.draw(st.tuples(*[st.integers(0, 3)] * axes))
    groups, channels = data.draw(st.sampled_from([(1, 1), (1, 2), (2, 4)])), data.draw(st.sampled_from([2, 4]))
    shape = (groups[1], *data.draw(st.tuples(*[st.integers(1, 9)] * axes)))
    layer = CONVOLUTIONS[axes - 1](shape[0], channels, window, stride, pads, dilation, groups[0], bias=False)
    op = Conv(np.zeros(tuple(layer.weight.shape)), None, stride, pads, pads, dilation, groups[0])
    assert _own_shape(op, shape) == _torch_shape(layer, shape)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 3))
def test_pools_have_the_shapes_that_torch_gives(data: st.DataObject, axes: int) -> None:
    window = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    stride = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    pads = tuple(data.draw(st.integers(0, size // 2)) for size in window)
    shape = (2, *data.draw(st.tuples(*[st.integers(1, 9)] * axes)))
    own = _own_shape(MaxPool(window, stride, pads, pads), shape)
    assert own == _torch_shape(POOLS[axes - 1](window, stride, pads), shape)
    assert own == _own_shape(MeanPool(window, stride, pads, pads), shape)


def test_paddings_of_the_two_sides_add_up() -> None:
    assert window_output((5,), (3,), (1,), (2,), (0,), (1,)) == (5,)
    assert window_output((5, 7), (3, 2), (2, 3), (0, 1), (1, 0), (1, 2)) == (2, 2)


W = np.zeros((4, 2, 3, 3))
MISFITS: list[tuple[Op, tuple[int, ...]]] = [
    (Affine(np.zeros((3, 4))), (5,)),
    (Affine(np.zeros((3, 4))), ()),
    (Affine(np.zeros(4)), (4,)),
    (Affine(np.zeros((3, 4)), np.zeros(4)), (4,)),
    (Conv(W, None, (1, 1), (0, 0), (0, 0), (1, 1)), (3, 9, 9)),
    (Conv(W, None, (1, 1), (0, 0), (0, 0), (1, 1)), (2, 9)),
    (Conv(W, None, (1, 1), (0, 0), (0, 0), (1, 1)), (2, 2, 9)),
    (Conv(W, np.zeros(2), (1, 1), (0, 0), (0, 0), (1, 1)), (2, 9, 9)),
    (Conv(W, None, (0, 1), (0, 0), (0, 0), (1, 1)), (2, 9, 9)),
    (Conv(W, None, (1, 1), (-1, 0), (0, 0), (1, 1)), (2, 9, 9)),
    (Conv(W, None, (1, 1), (0,), (0, 0), (1, 1)), (2, 9, 9)),
    (Conv(W, None, (1, 1), (0, 0), (0, 0), (0, 1)), (2, 9, 9)),
    (Conv(W, None, (1, 1), (0, 0), (0, 0), (1, 1), 3), (6, 9, 9)),
    (Conv(W, None, (1, 1), (0, 0), (0, 0), (1, 1), 0), (2, 9, 9)),
    (Conv(np.zeros((4, 2)), None, (), (), (), ()), (2,)),
    (Conv(np.zeros((1, 1, 1, 1, 1, 1)), None, (1,) * 4, (0,) * 4, (0,) * 4, (1,) * 4), (1, 1, 1, 1, 1)),
    (MaxPool((2, 2), (1, 1), (0, 0), (0, 0)), (1, 1, 9)),
    (MaxPool((2, 2), (1, 0), (0, 0), (0, 0)), (1, 4, 9)),
    (MeanPool((2,), (1,), (0,), (0,)), (1, 4, 4)),
    (MeanPool((), (), (), ()), (1,)),
    (Shift(np.zeros((3, 1))), (2, 4)),
    (Shift(np.zeros((1, 4))), (4,)),
    (Divide(np.ones(0)), (4,)),
    (Reshape((5,)), (4,)),
    (Reshape((-1, -1)), (4,)),
    (Reshape((-1, 3)), (4,)),
    (Reshape((0, -1)), (4,)),
    (Reshape((-2, -2)), (4,)),
    (Transpose((0, 0)), (2, 2)),
    (Transpose((0,)), (2, 2)),
    (Take((2, 2), np.array([0])), (4,)),
    (Take((2, 2), np.array([4])), (2, 2)),
    (Take((2, 2), np.array([-2])), (2, 2)),
    (Take((2, 2), np.empty((0,), np.int64)), (2, 2)),
    (Softmax(1), (2,)),
    (Softmax(-1), (2,)),
    (Clip(1.0, 0.0), (2,)),
    (Clip(float("nan"), 0.0), (2,)),
]


ONES = np.ones(2, np.float32)
MISFITS += [
    (BatchNorm(ONES, ONES, 1e-5), (3, 2)),
    (BatchNorm(ONES, ONES, 1e-5), ()),
    (BatchNorm(ONES, ONES.reshape(2, 1), 1e-5), (2,)),
    (BatchNorm(ONES, ONES, 1e-5, np.ones(3)), (2,)),
    (BatchNorm(ONES, ONES, 1e-5, None, np.ones(1)), (2,)),
    (BatchNorm(ONES, -ONES, 10.0), (2,)),
    (BatchNorm(ONES, 0 * ONES, 0.0), (2,)),
    (BatchNorm(ONES, np.nan * ONES, 1e-5), (2,)),
    (BatchNorm(ONES, ONES, -1e-5), (2,)),
    (BatchNorm(ONES, ONES, np.inf), (2,)),
    (BatchNorm(ONES, ONES, np.nan), (2,)),
    (BatchNorm(ONES, ONES, 1e-5, order="backwards"), (2,)),
    (Clip(np.inf, np.inf), (2,)),
]


@pytest.mark.parametrize(("op", "shape"), MISFITS)
def test_what_does_not_fit_is_refused_in_words(op: Op, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        chain(shape, [op])
    assert caught.value.code == "VF2101"
    assert caught.value.expected


def _refused(steps: list[tuple[Op, tuple[int, ...]]], dtype: str = "float32") -> str:
    with pytest.raises(ModelError) as caught:
        build(steps, dtype)
    assert caught.value.code == "VF2101"
    return str(caught.value)


def test_graphs_read_only_earlier_steps_and_as_many_as_they_need() -> None:
    start: tuple[Op, tuple[int, ...]] = (Input((2,)), ())
    assert "needs an input" in _refused([])
    assert "reads 0 steps" in _refused([(Add(), ())])
    assert "does not come before" in _refused([start, (Activation("relu"), (1,))])
    assert "does not come before" in _refused([start, (Activation("relu"), (-1,))])
    assert "reads 2 steps" in _refused([start, (Activation("relu"), (0, 0))])
    assert "reads 1 steps" in _refused([start, (Add(), (0,))])
    assert "cannot compute in float16" in _refused([start], "float16")
    assert "sizes from 1" in _refused([(Input((0,)), ())])


def test_branches_must_have_shapes_that_fit_each_other() -> None:
    start: list[tuple[Op, tuple[int, ...]]] = [(Input((2, 3)), ()), (Transpose((1, 0)), (0,))]
    assert "one shape" in _refused([*start, (Add(), (0, 1))])
    assert "only along axis 0" in _refused([*start, (Concat(0), (0, 1))])
    assert "only along axis 2" in _refused([*start, (Concat(2), (0, 0))])
    assert "only along axis -1" in _refused([*start, (Concat(-1), (0, 0))])
    flat = (Reshape((6,)), (0,))
    assert "only along axis 0" in _refused([*start, flat, (Concat(0), (0, 2))])
    assert build([*start, (Concat(1), (0, 0, 0))]).output_shape == (2, 9)


def test_resized_keeps_the_operations_and_checks_them_again() -> None:
    graph = chain((1, 8, 8), [MaxPool((2, 2), (2, 2), (0, 0), (0, 0)), Reshape((-1,))], "float64")
    larger = resized(graph, (1, 8, 12))
    assert (graph.output_shape, larger.output_shape, larger.dtype) == ((16,), (24,), "float64")
    assert [node.op.kind for node in larger.nodes] == [node.op.kind for node in graph.nodes]
    with pytest.raises(ModelError):
        resized(graph, (1, 1, 1))


def test_the_digest_depends_on_every_part_and_on_nothing_else() -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)

    def digest(array: np.ndarray, *more: Op, dtype: str = "float32") -> str:
        return chain((3,), [Affine(array), *more], dtype).digest

    same = digest(weight)
    assert same == digest(weight.astype(">f4")) == digest(np.asfortranarray(weight))
    changed = weight.copy()
    changed[1, 2] = np.nextafter(changed[1, 2], np.float32(9))
    different = {
        digest(changed),
        digest(weight.astype(np.float64)),
        digest(weight, dtype="float64"),
        digest(weight, Activation("relu")),
        digest(weight, Activation("elu", 1.0)),
        digest(weight, Activation("elu", 1.5)),
        digest(weight, Activation("elu")),
        same,
    }
    assert len(different) == 8


def test_the_canonical_form_stays_as_it_is() -> None:
    """Certificates name graphs by this digest: a change of it is a change of schema."""
    graph = chain((2,), [Affine(np.array([[1.0, -0.5]], np.float32), None), Clip(0.0, 1.0), Softmax(0)])
    assert graph.digest == "sha256:50eb7c8223d578a627a34b0b22b6a43e6b4cd8c0145ab8d2f682c9e9947f3f79"
    assert canonical(graph).decode().splitlines()[0] == '{"dtype": "float32", "verifluxa": "graph/1"}'


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (2, 3)), ((2, 4, 3), (3, 5)), ((2, 4, 3), (1, 3, 5))])
def test_matrices_that_have_no_product_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ModelError) as error:
        SHAPE["matmul"](MatMul(), *shapes)
    assert error.value.code == "VF2101"


def test_a_product_of_matrices_has_the_shape_of_numpy() -> None:
    assert SHAPE["matmul"](MatMul(), (2, 4, 3), (2, 3, 5)) == (np.ones((2, 4, 3)) @ np.ones((2, 3, 5))).shape
