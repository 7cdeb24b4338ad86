"""Error coefficients dominate what float32 really does: sums in shuffled orders, with cancellation, and overflow."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.soundness.exact import ExactNetwork, exact
from tests.soundness.floats import evaluate
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.bounds.linear_map import linear_map_of
from verifluxa.bounds.rounding import RADIUS_SAFETY, SMALLEST, TERMS, UNIT, Rounding, gamma
from verifluxa.certificate.check.network import constants_of
from verifluxa.errors import UsageError
from verifluxa.graph.arithmetic import LARGEST
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine, BatchNorm, Conv, Divide, MeanPool, Op, Reshape, Scale, Shape, Shift, Transpose
from verifluxa.question import AffineInputMap

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
        assert rounding.coefficient(0) == RADIUS_SAFETY * rounding.own
        assert rounding.coefficient(7) >= gamma(7, UNIT[arithmetic]) + rounding.own
        assert rounding.coefficient(8) >= rounding.coefficient(7)
    assert Rounding("real", 100).coefficient(7) == RADIUS_SAFETY * Rounding("real", 100).own
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
    assert [TERMS[kind](pool) for kind in ("shift", "scale", "divide", "batchnorm")] == [1, 1, 2, 10]
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
        (_batchnorm(weight), (3, 2)),
    ]


def _batchnorm(weight: Callable[..., NDArray[np.float32]]) -> BatchNorm:
    """One whose deviations are whole numbers, so that exact values are rational, and whose shift cancels its mean."""
    deviation, mean, factor = np.float32([1, 3, 7]), weight(3), weight(3)
    return BatchNorm(mean, deviation**2 - np.float32(0.25), 0.25, factor, factor / deviation * mean)


@pytest.mark.parametrize("seed", range(4))
def test_radii_dominate_the_errors_of_float32(seed: int) -> None:
    random = np.random.default_rng(seed)
    worst = 0.0
    for op, shape in random_operations(random):
        size = math.prod(shape)
        x = (random.standard_normal((6, size)) * 10.0 ** random.uniform(-2, 4, (6, size))).astype(np.float32)
        graph = chain(shape, [op])
        wanted = ExactNetwork(graph).trace(exact(x.astype(np.float64)))[-1].fractions().reshape(6, -1)
        found = linear_map_of(op, shape)
        assert found is not None
        rounding = Rounding("float32", size)
        magnitude = np.abs(x) @ abs(found.matrix).toarray().T + found.bias_size
        radius = rounding.coefficient(found.terms) * magnitude + found.tiny(rounding)
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


TINY = 2.0**-126


def _norm(**constants: float) -> BatchNorm:
    """One channel with these constants, in float32."""
    usual = {"mean": 0.0, "variance": 0.75, "epsilon": 0.25, "factor": 1.0, "shift": 0.0} | constants
    epsilon = usual.pop("epsilon")
    mean, variance, factor, shift = (np.array([value], np.float32) for value in usual.values())
    return BatchNorm(mean, variance, epsilon, factor, shift)


FLUSHED = [
    (_norm(factor=2.0**60, epsilon=2.0**-80, variance=0.0), 2.0**-40, "a difference weighs s"),
    (_norm(mean=TINY / 2, factor=2.0**40), 0.0, "a subnormal mean weighs s"),
    (_norm(variance=2.0**100 - 2.0**76, epsilon=2.0**76, factor=2.0**100), TINY / 4, "an input that is subnormal"),
    (_norm(variance=TINY / 2, epsilon=2.0**-80, factor=2.0**-40), 1.0, "a subnormal variance"),
    (_norm(variance=2.0**60 - 2.0**36, epsilon=2.0**36, factor=2.0**-110, mean=2.0**120), 2.0**100, "a subnormal s"),
    (_norm(factor=TINY, variance=2.0**-80, epsilon=0.0), 2.0**-3, "a product weighs 1 / d"),
    (_norm(shift=TINY / 2), 0.0, "a subnormal shift"),
]
"""Constants that lose something where subnormals are flushed, the input, and what is lost."""


def _ends(op: BatchNorm, x: float) -> tuple[Fraction, Fraction]:
    """What the radii of prover and checker both allow."""
    graph = chain((1,), [op])
    inputs = np.array([[x]])
    found = propagate(graph, inputs, "float32", 1)
    assert not found.unsafe[0]
    value, radius = Fraction(float(found.values[1][0, 0])), Fraction(float(found.radii[1][0, 0]))
    known = constants_of(graph, inputs, "float32")
    assert known is not None
    off, error = (Fraction(float(part[0, 0])) for part in known.balls[-1])
    return max(value - radius, off - error), min(value + radius, off + error)


@pytest.mark.parametrize(("op", "x", "lost"), FLUSHED, ids=[what for *_, what in FLUSHED])
def test_radii_of_a_batch_normalisation_cover_what_is_flushed(op: BatchNorm, x: float, lost: str) -> None:
    low, high = _ends(op, x)
    random = np.random.default_rng(0)
    for _ in range(60):
        got = Fraction(float(evaluate(chain((1,), [op]), np.array([[x]]), random)[0, 0]))
        assert low <= got <= high, lost


@pytest.mark.parametrize("form", ["float32", "float64"])
def test_no_bounds_where_flushing_may_change_the_scale_of_a_batch_normalisation(form: str) -> None:
    tiny = float(np.finfo(form).tiny)
    for variance, factor in ((tiny * 2, 1.0), (1.0, tiny / 2)):
        vectors = [np.array([value], form) for value in (0.0, variance, factor, 0.0)]
        op = BatchNorm(vectors[0], vectors[1], 0.0, vectors[2], vectors[3])
        graph = chain((1,), [op], form)
        assert propagate(graph, np.ones((1, 1)), form, 1).unsafe[0]
        assert constants_of(graph, np.ones((1, 1)), form) is None


OVERFLOWS = {
    "factor first": (_norm(factor=2.0**60, variance=2.0**100 - 2.0**76, epsilon=2.0**76), 2.0**80),
    "divided first": (_norm(factor=2.0**-60, variance=0.0, epsilon=2.0**-80), 2.0**100),
    "the difference": (_norm(mean=-(2.0**127), factor=2.0**-60), 2.0**127),
    "scale times mean": (_norm(mean=2.0**100, factor=2.0**30), 2.0**90),
    "a factor of 0": (_norm(factor=0.0, variance=0.0, epsilon=2.0**-80), 2.0**100),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_a_result_on_the_way_may_overflow(name: str) -> None:
    """The exact result is an ordinary number, and so is its radius; some order of evaluation gives Inf or NaN."""
    op, x = OVERFLOWS[name]
    graph = chain((1,), [op])
    found = propagate(graph, np.array([[x]]), "float32", 1)
    assert found.unsafe[0]
    assert constants_of(graph, np.array([[x]]), "float32") is None
    # The same under a trigger that gives the value.
    stamp = AffineInputMap(np.arange(1), np.zeros(1), np.eye(1), np.zeros(1))
    still = propagate(graph, np.zeros((1, 1)), "float32", 1)
    *_, last = build_chain(graph, still, stamp).layers
    assert last.overflow is not None
    assert still.unsafe[0] == (name in ("the difference", "scale times mean"))
    assert last.overflow[0] @ np.array([x]) + last.overflow[1][0] >= 1
    # Exact arithmetic has no results on the way.
    assert not propagate(graph, np.array([[x]]), "real", 1).unsafe[0]
