"""Error coefficients dominate what float32 really does: sums in shuffled orders, with cancellation, and overflow."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.soundness.exact import ExactNetwork, exact
from tests.soundness.floats import evaluate
from verifluxa.bounds.linear_map import linear_map
from verifluxa.bounds.rounding import LARGEST, SAFETY, SMALLEST, TERMS, UNIT, Rounding, gamma
from verifluxa.errors import UsageError
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine, Conv, Divide, MeanPool, Op, Reshape, Scale, Shape, Shift, Transpose

Floats = NDArray[np.float64]


def test_gamma_is_exactly_its_formula_or_more() -> None:
    for terms in (1, 3, 100, 65_000):
        unit = Fraction(1, 2**24)
        wanted = terms * unit / (1 - terms * unit)
        assert abs(Fraction(gamma(terms, 2.0**-24)) / wanted - 1) < Fraction(1, 2**50)
    assert gamma(0, 2.0**-24) == gamma(5, 0.0) == 0
    assert gamma(2**23, 2.0**-24) == math.inf
    assert gamma(2**30, 2.0**-24) == math.inf


def test_coefficients_cover_deployed_and_own_rounding() -> None:
    for arithmetic in UNIT:
        rounding = Rounding(arithmetic, 100)
        assert rounding.own >= 1000 * 2.0**-53
        assert rounding.coefficient(0) == SAFETY * rounding.own
        assert rounding.coefficient(7) >= gamma(7, UNIT[arithmetic]) + rounding.own
        assert rounding.coefficient(8) >= rounding.coefficient(7)
    assert Rounding("real", 100).coefficient(7) == SAFETY * Rounding("real", 100).own
    assert Rounding("float64", 100).coefficient(7) < Rounding("float32", 100).coefficient(7)


def test_an_unknown_arithmetic_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no arithmetic `bfloat16`") as caught:
        Rounding("bfloat16", 3)
    assert caught.value.code == "VF4010"


def test_terms_of_each_operation() -> None:
    kernel = np.zeros((2, 3, 2, 5), np.float32)
    pool = MeanPool((2, 3), (1, 1), (0, 0), (0, 0))
    assert TERMS["affine"](Affine(np.zeros((4, 7), np.float32))) == 9
    assert TERMS["conv"](Conv(kernel, None, (1, 1), (0, 0), (0, 0), (1, 1))) == 32
    assert TERMS["meanpool"](pool) == 8
    assert [TERMS[kind](pool) for kind in ("shift", "scale", "divide")] == [1, 1, 2]
    assert TERMS["reshape"](Reshape((-1,))) == TERMS["transpose"](Transpose((0,))) == 0


def random_operations(random: np.random.Generator) -> list[tuple[Op, Shape]]:
    """Operations with weights of very different sizes, so that sums cancel."""

    def weight(*shape: int) -> NDArray[np.float32]:
        return (random.standard_normal(shape) * 10.0 ** random.uniform(-3, 3, shape)).astype(np.float32)

    pairs = weight(3, 40)
    pairs[:, 1::2] = -pairs[:, ::2]
    return [
        (Affine(pairs, weight(3)), (40,)),
        (Affine(weight(4, 7), None), (2, 7)),
        (Conv(weight(4, 2, 3, 2), weight(4), (2, 1), (1, 0), (0, 1), (1, 2), 2), (4, 6, 6)),
        (MeanPool((3, 3), (2, 2), (1, 1), (0, 1)), (2, 6, 6)),
        (Shift(weight(2, 1, 1)), (2, 3, 3)),
        (Scale(weight(3)), (2, 3)),
        (Divide(weight(5)), (5,)),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_radii_dominate_the_errors_of_float32(seed: int) -> None:
    random = np.random.default_rng(seed)
    worst = 0.0
    for op, shape in random_operations(random):
        size = math.prod(shape)
        x = (random.standard_normal((6, size)) * 10.0 ** random.uniform(-2, 4, (6, size))).astype(np.float32)
        graph = chain(shape, [op])
        wanted = ExactNetwork(graph).trace(exact(x.astype(np.float64)))[-1].fractions().reshape(6, -1)
        found = linear_map(op, shape)
        assert found is not None
        rounding = Rounding("float32", size)
        magnitude = np.abs(x) @ abs(found.matrix).toarray().T + np.abs(found.bias)
        radius = rounding.coefficient(found.terms) * magnitude + rounding.tiny(found.terms)
        for _ in range(6):
            got = evaluate(graph, x.reshape(6, *shape), random).reshape(6, -1)
            off = np.array(
                [
                    [abs(Fraction(float(g)) - w) for g, w in zip(*rows, strict=True)]
                    for rows in zip(got, wanted, strict=True)
                ]
            )
            assert (off <= radius).all()
            worst = max(worst, float((off / radius).max()))
    assert worst > 0.05, "the radii are not far from what happens"


def test_the_verifiers_own_sums_stay_within_own() -> None:
    random = np.random.default_rng(0)
    for width in (3, 50, 400):
        weight = random.standard_normal((20, width)) * 10.0 ** random.uniform(-6, 6, (20, width))
        x = random.standard_normal(width) * 10.0 ** random.uniform(-6, 6, width)
        off = weight @ x
        for row in range(20):
            wanted = sum(
                (Fraction(float(a)) * Fraction(float(b)) for a, b in zip(weight[row], x, strict=True)), Fraction(0)
            )
            size = float(np.abs(weight[row]) @ np.abs(x))
            assert abs(Fraction(float(off[row])) - wanted) <= Rounding("real", width).own * size


def test_overflow_shows_as_a_large_radius() -> None:
    """A sum of magnitudes that passes 2^127 in float32 has a radius at the limit; half of it is far below."""
    rounding = Rounding("float32", 4)
    limit = rounding.largest_radius
    assert limit == LARGEST["float32"] * 2.0**-24
    assert rounding.coefficient(1) * 2.0**127 >= limit
    assert gamma(1, 2.0**-24) * 2.0**126 < limit
    largest = float(np.finfo(np.float32).max)
    assert rounding.coefficient(3) * largest >= limit
    assert Rounding("float64", 4).largest_radius == 2.0**970
    assert 0 < Rounding("real", 4).largest_radius < 2.0**1000


def test_flushed_numbers_are_covered() -> None:
    assert Rounding("float32", 3).tiny(5) >= (2 * 3 + 2) * SMALLEST["float32"], "3 products, 3 sums, bias, result"
    weight = np.array([2.0**-127, -(2.0**-140), 2.0**-126, 0.0, -3.0])
    rounding = Rounding("float32", 3)
    size = rounding.magnitude(weight, 5)
    assert (size[2:] == np.abs(weight[2:])).all()
    covered = rounding.coefficient(5) * size
    assert (covered[:2] >= np.abs(weight[:2]) * (1 - 2.0**-40)).all()
    assert (Rounding("real", 3).magnitude(weight, 5) == np.abs(weight)).all()


def test_flushing_is_what_a_processor_does() -> None:
    graph = chain((1,), [Affine(np.array([[2.0**-127]], np.float32))])
    x = np.array([[2.0**20]], np.float32)
    kept = graph.run(x)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush")
    try:
        flushed = graph.run(x)
    finally:
        torch.set_flush_denormal(False)
    assert kept == 2.0**-107
    rounding = Rounding("float32", 1)
    covered = rounding.coefficient(3) * rounding.magnitude(np.array([2.0**-127]), 3) * 2.0**20
    assert abs(flushed - kept) <= covered * (1 + 1e-9)
