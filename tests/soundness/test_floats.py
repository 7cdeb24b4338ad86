"""The sampler of float32 evaluations: each is allowed, they differ, and the table's float32 answers hold in them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soundness.build import Ask, Family, dense, digested, levels, make_problem, mlp, relu, replacing
from tests.soundness.cases import one_pixel, square
from tests.soundness.engine import answer
from tests.soundness.exact import ExactNetwork, exact
from tests.soundness.floats import evaluate, fused, stamped
from tests.soundness.judge_floats import float_violations
from tests.soundness.table import table
from tests.soundness.truth import grid
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Conv, Divide, MeanPool, Op, Reshape, Scale
from verifluxa.verdict import Verdict

singles = st.floats(min_value=-(2.0**60), max_value=2.0**60, width=32)


def nearest(value: Fraction) -> np.float32:
    """Correctly rounded: the float32 closest to a rational, ties to even."""
    guess = np.float32(float(value))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    return min(around, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(np.int32)) & 1))


def fused_once(total: float, left: float, right: float) -> float:
    """`fused` on single numbers."""
    return float(fused(*(np.array([number], np.float32) for number in (total, left, right)))[0])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(singles, singles, singles)
def test_fused_rounds_once(total: float, left: float, right: float) -> None:
    assert fused_once(total, left, right) == nearest(Fraction(total) + Fraction(left) * Fraction(right))


def test_fused_where_two_roundings_would_differ() -> None:
    """1 + 2^-23 + 2^-24 - 2^-54 lies a hair below a midpoint of float32, which float64 rounds onto the midpoint."""
    total, left, right = 1 + 2.0**-23, 2.0**-12 * (1 + 2.0**-15), 2.0**-12 * (1 - 2.0**-15)
    assert np.float32(np.float64(total) + np.float64(left) * np.float64(right)) == 1 + 2.0**-22
    assert fused_once(total, left, right) == 1 + 2.0**-23


def test_orders_of_summation_differ() -> None:
    """2^24 + 1 - 2^24 is 0 or 1, by the order."""
    graph = chain((3,), [dense([[2.0**24, 1.0, -(2.0**24)]])])
    random = np.random.default_rng(0)
    seen = {float(evaluate(graph, np.ones((1, 3)), random)[0, 0]) for _ in range(60)}
    assert seen == {0.0, 1.0}


def test_subnormals_are_kept_or_flushed() -> None:
    graph = chain((1,), [dense([[2.0**-130]])])
    random = np.random.default_rng(0)
    seen = {float(evaluate(graph, np.ones((1, 1)), random)[0, 0]) for _ in range(40)}
    assert seen == {0.0, 2.0**-130}


FLUSHED = [Scale(np.array([2.0**-127], np.float32)), Divide(np.array([2.0**127], np.float32))]


@pytest.mark.parametrize("op", FLUSHED, ids=["factor", "divisor"])
def test_a_flushed_power_of_two_is_not_exact(op: Op) -> None:
    """Real arithmetic gives the pixel back, at least 200 and so class 0; hardware that flushes the factor sees 0."""
    up = [dense([[2.0**100]]), relu(), dense([[2.0**27]]), dense([[1.0], [0.0]], [-100.0, 0.0])]
    graph = chain((1, 1, 1), [op, Reshape((-1,)), *up])
    problem = make_problem(graph, [[0.0]], [0], Family((replacing((0,)),), levels(1, 200, 255)), Ask())
    (question,) = problem.all_questions()
    assert answer(problem, question, "balanced").verdict is Verdict.CERTIFIED
    problem = digested(replace(problem, arithmetic="float32"))
    assert answer(problem, question, "balanced").verdict is Verdict.UNKNOWN
    assert float_violations(problem, question, list(grid(problem.domain)), np.random.default_rng(0)) == 1


@pytest.mark.parametrize("name", [n for n, c in table().items() if c.problem.graph.dtype == "float32"][::4])
def test_every_evaluation_is_near_the_exact_one(name: str) -> None:
    case = table()[name]
    inputs = case.problem.inputs
    trace = ExactNetwork(case.problem.graph).trace(exact(inputs))
    largest = max(1.0, *(float(np.abs(value.fractions().astype(float)).max()) for value in trace))
    weights = [float(np.abs(node.op.weight).max()) for node in case.problem.graph.nodes if hasattr(node.op, "weight")]
    random = np.random.default_rng(1)
    for _ in range(8):
        got = evaluate(case.problem.graph, inputs, random)
        wanted = trace[-1].fractions().astype(float)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 * largest * max([1.0, *weights]))


def test_convolution_and_mean_pool_agree_with_the_deployed_run() -> None:
    random = np.random.default_rng(3)
    kernel = random.standard_normal((4, 2, 2, 3)).astype(np.float32)
    bias = random.standard_normal(4).astype(np.float32)
    ops = [Conv(kernel, bias, (1, 2), (1, 0), (0, 2), (2, 1), groups=2), MeanPool((2, 2), (1, 2), (0, 1), (1, 0))]
    graph = chain((4, 5, 6), ops)
    images = random.standard_normal((3, 4, 5, 6)).astype(np.float32)
    for _ in range(10):
        np.testing.assert_allclose(evaluate(graph, images, random), graph.run(images), rtol=0, atol=1e-5)


def test_only_a_stamp_without_arithmetic_is_exact() -> None:
    case = next(c for n, c in table().items() if n.startswith("stamp half blended"))
    with pytest.raises(ValueError, match="without arithmetic"):
        stamped(case.problem.placements[0].stamp, case.problem.inputs, np.zeros(2))
    plain = one_pixel(mlp((1, 1, 2), ([[1.0, 1.0]] * 2, None)), square(1, 4), values=(0.0, 3.0))
    assert stamped(plain.placements[0].stamp, plain.inputs, np.array([2.0])).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize(
    "name", [n for n, c in table().items() if "continuous" not in n and c.problem.placements[0].stamp.replaces]
)
def test_float32_answers_of_the_table_hold(name: str) -> None:
    """Where `certified` is called right in float32, no sampled evaluation of any grid point shows a violation."""
    case = table()[name]
    seen = float_violations(case.problem, case.question, list(grid(case.problem.domain)), np.random.default_rng(7), 4)
    if Verdict.CERTIFIED in case.float32:
        assert seen < case.question.threshold


ABSORBED = [n for n, c in table().items() if c.float32 == {Verdict.UNKNOWN} and c.verdict is Verdict.CERTIFIED]


@pytest.mark.parametrize("name", [n for n in ABSORBED if "float64" not in n])
def test_cases_that_only_real_arithmetic_certifies_do_violate_in_floats(name: str) -> None:
    """The test of the test: some allowed evaluation shows the tie that forbids `certified` in float32."""
    case = table()[name]
    random = np.random.default_rng(11)
    points = list(grid(case.problem.domain))
    seen = [float_violations(case.problem, case.question, points, random) for _ in range(20)]
    assert max(seen) >= case.question.threshold
