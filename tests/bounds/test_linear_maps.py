"""Operations written out as matrices are what the graph runs, for every setting that an operation has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from tests.bounds.operations import numbers, pointwise, windows
from verifluxa.bounds.linear_map import LinearMap, linear_map_of, pool_windows
from verifluxa.bounds.rounding import TERMS
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation, Affine, Clip, Conv, Divide, MaxPool, Op, Scale, Shape, Softmax, Transpose

PLENTY = settings(max_examples=50, deadline=None, derandomize=True)


def check(op: Op, shape: Shape) -> None:
    """The matrix and bias give what the graph runs, on a few inputs."""
    found = linear_map_of(op, shape)
    assert found is not None
    graph = chain(shape, [op], "float64")
    x = numbers(np.random.default_rng(1), 3, *shape)
    wanted = graph.run(x).reshape(3, -1)
    got = x.reshape(3, -1) @ found.matrix.toarray().T + found.bias
    assert found.matrix.shape == (math.prod(graph.output_shape), math.prod(shape))
    np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-13)
    assert found.terms == TERMS[op.kind](op)
    check_parts(found)


def check_parts(found: LinearMap) -> None:
    """What is cut out of the matrix, and what stands for it where outputs read one input each, are the matrix."""
    matrix, random = found.matrix, np.random.default_rng(2)
    index = np.sort(random.permutation(found.shape[1])[: (found.shape[1] + 2) // 3])
    rows, local = found.readers(index)
    columns = matrix[:, index]
    np.testing.assert_array_equal(rows, np.unique(columns.indices))
    np.testing.assert_array_equal(local, columns[rows].toarray())
    if found.single is not None:
        source, factors = found.single
        x = numbers(random, 2, found.shape[1])
        np.testing.assert_array_equal(factors * x[:, source], (matrix @ x.T).T)


def check_pool(op: MaxPool, shape: Shape) -> None:
    """The windows of a max pool hold what the graph takes the maximum of."""
    graph = chain(shape, [op], "float64")
    x = numbers(np.random.default_rng(1), 3, *shape)
    index, inside = pool_windows(op, shape)
    gathered = np.where(inside, x.reshape(3, -1)[:, np.where(inside, index, 0)], -np.inf)
    np.testing.assert_array_equal(gathered.max(2), graph.run(x).reshape(3, -1))
    for row, own in zip(index, inside, strict=True):
        assert len(set(row[own].tolist())) == own.sum(), "an element stands in a window once"


@PLENTY
@given(windows())
def test_windows(operation: tuple[Op, Shape]) -> None:
    op, shape = operation
    if isinstance(op, MaxPool):
        check_pool(op, shape)
    else:
        check(op, shape)


@PLENTY
@given(pointwise())
def test_dense_constants_and_moves(operation: tuple[Op, Shape]) -> None:
    check(*operation)


def test_a_convolution_with_everything_uneven() -> None:
    random = np.random.default_rng(0)
    weight = numbers(random, 4, 3, 2, 3)
    check(Conv(weight, numbers(random, 4), (2, 1), (1, 0), (0, 3), (1, 2), 2), (6, 5, 7))
    check(Conv(numbers(random, 2, 1, 2, 1, 3), None, (1, 2, 1), (0, 1, 2), (1, 0, 0), (2, 1, 1), 1), (1, 4, 3, 5))
    check(Conv(numbers(random, 3, 1, 4), numbers(random, 3), (3,), (2,), (1,), (1,), 3), (3, 8))


def test_moves_and_factors_read_one_value_each() -> None:
    for op, in_order in ((Divide(np.array(255.0)), True), (Transpose((1, 0, 2)), False)):
        found = linear_map_of(op, (2, 3, 4))
        assert found is not None
        assert found.single is not None
        assert isinstance(found.single[0], slice) == in_order
    dense = linear_map_of(Affine(np.eye(3), None), (3,))
    assert dense is not None
    assert dense.single is None


def test_zero_weights_are_read_too() -> None:
    """Infinity times zero is not zero, so what a zero weight multiplies counts as read."""
    dense = linear_map_of(Affine(np.zeros((2, 3))), (4, 3))
    scaled = linear_map_of(Scale(np.zeros(3)), (3,))
    kernel = linear_map_of(Conv(np.zeros((1, 1, 2)), None, (1,), (0,), (0,), (1,)), (1, 3))
    assert dense is not None
    assert scaled is not None
    assert kernel is not None
    assert dense.matrix.nnz == 24
    assert scaled.matrix.nnz == 3
    assert kernel.matrix.nnz == 4


def test_a_divisor_that_may_be_flushed_gives_no_finite_map() -> None:
    found = linear_map_of(Divide(np.array([2.0, 2.0**-127, -(2.0**-149)], np.float32)), (3,))
    assert found is not None
    assert found.matrix.toarray()[0, 0] == 0.5
    assert np.isinf(found.matrix.data[1:]).all()
    wide = linear_map_of(Divide(np.array([2.0**-127])), (1,))
    assert wide is not None
    assert wide.matrix.toarray()[0, 0] == 2.0**127


@pytest.mark.parametrize("op", [Activation("relu"), Clip(0.0, 1.0), Softmax(0), MaxPool((2,), (2,), (0,), (0,))])
def test_other_operations_are_no_maps(op: Op) -> None:
    assert linear_map_of(op, (1, 4)) is None
