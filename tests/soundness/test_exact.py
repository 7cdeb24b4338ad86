"""The exact evaluator and enumerator against results worked out by hand, and against the deployed run."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.soundness.build import (
    Ask,
    Family,
    class_rows,
    dense,
    levels,
    make_problem,
    mlp,
    pair_row,
    patch,
    range_problem,
    replacing,
)
from tests.soundness.cases import aimed, diamond_problem, hat, line, one_pixel, square
from tests.soundness.exact import ExactNetwork, exact
from tests.soundness.table import table
from tests.soundness.truth import Oracle, apply_stamp, grid
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Clip, Conv, Divide, MaxPool, MeanPool, Op, Scale, Shift, Transpose
from verifluxa.question import AffineInputMap, Domain, SlabConstraints
from verifluxa.verdict import Verdict


def outputs(graph: Graph, *inputs: Any) -> list[Any]:
    """The exact outputs of each input, flat, as Fractions."""
    result = ExactNetwork(graph).run(exact(np.stack([np.asarray(x, float) for x in inputs])))
    flat: list[Any] = result.fractions().reshape(len(inputs), -1).tolist()
    return flat


def step(op: Op, values: Any) -> list[Any]:
    array = np.asarray(values, float)
    flat: list[Any] = outputs(chain(array.shape, [op]), array)[0]
    return flat


def float32(values: Any) -> Any:
    return np.array(values, np.float32)


def test_affine_is_exact_where_floats_are_not() -> None:
    op = dense([[2.0**24, 1.0], [0.1, -0.1]], [-(2.0**24), 0.0])
    tenth = Fraction(float(np.float32(0.1)))
    assert step(op, [1.0, 1.0]) == [1, 0]
    assert step(op, [1.0, 3.0]) == [3, tenth - 3 * tenth]


def test_convolution_by_hand() -> None:
    image = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]
    kernel = float32([[[[1.0, 10.0], [100.0, 1000.0]]]])
    plain = Conv(kernel, float32([0.5]), (1, 1), (0, 0), (0, 0), (1, 1))
    assert step(plain, image) == [
        Fraction(2 * (1 + 20 + 400 + 5000) + 1, 2),
        Fraction(2 * (2 + 30 + 500 + 6000) + 1, 2),
    ]
    padded = Conv(kernel, None, (1, 2), (1, 0), (0, 1), (1, 1))
    # Rows from one above the image; columns 0 and 2, the last one beyond the image.
    assert step(padded, image) == [100 + 2000, 300, 1 + 20 + 400 + 5000, 3 + 600]
    dilated = Conv(kernel, None, (1, 1), (0, 0), (0, 0), (1, 2))
    assert step(dilated, image) == [1 + 30 + 400 + 6000]


def test_grouped_convolution_keeps_channels_apart() -> None:
    kernel = float32([[[[2.0]]], [[[3.0]]]])
    op = Conv(kernel, None, (1, 1), (0, 0), (0, 0), (1, 1), groups=2)
    assert step(op, [[[5.0]], [[7.0]]]) == [10, 21]


def test_pools_by_hand() -> None:
    image = [[[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]]
    assert step(MaxPool((2, 2), (1, 1), (0, 0), (0, 0)), image) == [-1, -2]
    assert step(MaxPool((2, 2), (2, 2), (1, 1), (1, 1)), image) == [-1, -2, -4, -5]
    assert step(MeanPool((2, 2), (1, 1), (0, 0), (0, 0)), image) == [-3, -4]
    assert step(MeanPool((2, 2), (2, 2), (1, 1), (1, 1)), image) == [
        Fraction(-1, 4),
        Fraction(-5, 4),
        -1,
        Fraction(-11, 4),
    ]


def test_single_steps_by_hand() -> None:
    assert step(Divide(float32([3.0, -2.0])), [1.0, 5.0]) == [Fraction(1, 3), Fraction(-5, 2)]
    assert step(Scale(float32(-0.5)), [3.0, 0.0]) == [Fraction(-3, 2), 0]
    assert step(Shift(float32([1.0, -1.0])), [0.25, 0.25]) == [Fraction(5, 4), Fraction(-3, 4)]
    assert step(Clip(-1.0, 0.5), [-2.0, 0.25, 7.0]) == [-1, Fraction(1, 4), Fraction(1, 2)]
    assert step(Activation("relu"), [-2.0, 0.0, 7.0]) == [0, 0, 7]
    assert step(Activation("leakyrelu", 0.25), [-2.0, 0.0, 7.0]) == [Fraction(-1, 2), 0, 7]
    assert step(Transpose((2, 0, 1)), [[[1.0, 2.0], [3.0, 4.0]]]) == [1, 3, 2, 4]


def test_what_has_no_exact_value_is_refused() -> None:
    with pytest.raises(ValueError, match="no exact value"):
        step(Activation("tanh"), [1.0])
    with pytest.raises(ValueError, match="holds exactly"):
        step(Activation("leakyrelu", 0.01), [1.0])


def test_stamp_by_hand() -> None:
    stamp = AffineInputMap(
        np.array([2, 0]), np.array([0.5, 0.0]), np.array([[0.5, 0.0], [1.0, -1.0]]), np.array([0.0, 8.0])
    )
    result = apply_stamp(stamp, exact([[1.0, 2.0, 3.0]]), [(Fraction(1), Fraction(4)), (Fraction(0), Fraction(0))])
    assert result.fractions().tolist() == [[5, 2, 2], [8, 2, Fraction(3, 2)]]


def test_patch_lies_where_people_say() -> None:
    placement = patch((2, 3, 4), (2, 3), (1, 0))
    assert placement.stamp.positions.tolist() == [4, 5, 6, 8, 9, 10, 16, 17, 18, 20, 21, 22]
    assert placement.label == (("row", 1), ("column", 0))
    assert placement.stamp.replaces


@pytest.mark.parametrize("name", [name for name in table() if "float64" not in name and "scaled" not in name])
def test_exact_outputs_agree_with_the_deployed_run(name: str) -> None:
    """At random grid points, to the accuracy of float32 sums over the sizes in this network."""
    case = table()[name]
    oracle, random = Oracle(case.problem), np.random.default_rng(0)
    points = list(grid(case.problem.domain))
    chosen = [points[k] for k in random.integers(0, len(points), 3)]
    stamped = oracle.stamped(case.question, chosen)
    trace = oracle.network.trace(stamped)
    deployed = case.problem.graph.run(stamped.fractions().astype(float).reshape(-1, *case.problem.graph.input_shape))
    largest = max(1.0, *(float(np.abs(value.fractions().astype(float)).max()) for value in trace))
    weights = [np.abs(node.op.weight).max() for node in case.problem.graph.nodes if hasattr(node.op, "weight")]
    tolerance = 1e-6 * largest * max([1.0, *weights])
    np.testing.assert_allclose(deployed, trace[-1].fractions().astype(float), rtol=0, atol=tolerance)


def test_class_rows_name_each_ordered_pair_once() -> None:
    rows = class_rows(4)
    for winner in range(4):
        for loser in set(range(4)) - {winner}:
            wanted = np.zeros(4)
            wanted[winner], wanted[loser] = 1.0, -1.0
            assert rows.coefficients[pair_row(4, winner, loser)].tolist() == wanted.tolist()
    assert len(rows.constants) == 12
    assert rows.closed.all()


def test_counts_of_diamonds_by_hand() -> None:
    problem = diamond_problem(square(1, 4), [[0.0, 1.0], [2.0, 1.0], [2.0, 0.5]], aimed(2))
    (question,) = problem.all_questions()
    answers = Oracle(problem).answers(question, [(Fraction(k),) for k in range(5)])
    assert answers.loose.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert answers.strict.astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]]
    truth = Oracle(problem).truth(question)
    assert (truth.most, truth.strict) == (2, 2)
    assert truth.strict_point == (Fraction(2),)


def test_a_tie_is_neither_certified_nor_falsified() -> None:
    problem = one_pixel(line(1.0, -8.0), levels(1, 0, 8))
    truth = Oracle(problem).truth(next(problem.all_questions()))
    assert (truth.most, truth.strict, truth.verdict) == (1, 0, Verdict.UNKNOWN)
    assert truth.loose_point == (Fraction(8),)


def test_open_rows_are_not_met_at_zero() -> None:
    problem = table()["open rows that touch are not met"].problem
    truth = Oracle(problem).truth(next(problem.all_questions()))
    assert (truth.most, truth.strict) == (0, 0)
    closed = table()["closed rows that touch are ties"].problem
    assert Oracle(closed).truth(next(closed.all_questions())).most == 1


def test_grid_points_with_steps_and_strips() -> None:
    strips = SlabConstraints(np.array([[1.0, -1.0]]), np.array([0.0]), np.array([0.5]))
    domain = Domain(np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([0.5, 1.0]), strips)
    assert list(grid(domain)) == [(Fraction(1), Fraction(1))]
    plain = Domain(domain.lower, domain.upper, domain.step)
    assert list(grid(plain)) == [(Fraction(k, 2), Fraction(m)) for k in range(3) for m in (1, 2)]


@pytest.mark.parametrize(
    ("threshold", "verdict"), [(0.49, Verdict.FALSIFIED), (0.5, Verdict.UNKNOWN), (0.51, Verdict.CERTIFIED)]
)
def test_the_sweep_sees_a_peak_at_one_third(threshold: float, verdict: Verdict) -> None:
    """relu(3t - 1) and its mirror meet at 1/3, which no float and no grid of the domain holds."""
    first = ([[3.0], [-3.0]], [-1.0, 1.0])
    problem = one_pixel(
        mlp((1, 1, 1), first, ([[0.0, 0.0], [-1.0, -1.0]], [0.0, 0.5 - threshold])), levels(1, -2, 2, 0)
    )
    # The lead at 1/3 is exactly 0.5 - threshold as float32.
    assert Oracle(problem).truth(next(problem.all_questions())).verdict == verdict


def test_the_sweep_bends_at_clips_and_maxima() -> None:
    ops: list[Op] = [Clip(0.25, 0.75), MaxPool((2,), (1,), (0,), (0,))]
    graph = chain((1, 2), [*ops, Shift(float32(-0.75))])
    rows = table()["OR of opposite rows over 0.5"].problem.constraints
    family = Family((replacing([0]),), levels(1, -1, 2, 0))
    problem = range_problem(graph, [[[0.0, 0.5]]], family, rows, Ask())
    points = {point[0] for point in Oracle(problem).points(next(problem.all_questions()))}
    assert {Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)} <= points


def test_more_than_one_continuous_coordinate_is_refused() -> None:
    problem = diamond_problem(levels(2, 0, 1, 0), [[0.0, 0.0, 1.0]], aimed())
    with pytest.raises(ValueError, match="at most one continuous"):
        Oracle(problem).truth(next(problem.all_questions()))


def test_per_input_and_targeted_problems_ask_what_they_should() -> None:
    graph = mlp((1, 1, 1), ([[1.0]] * 3, None))
    family = Family((replacing([0]),), square(1, 1))
    each = make_problem(graph, [[0.0]] * 3, [0, 1, 2], family, Ask(targets=(1,), per_input=True))
    assert [s.tolist() for s in each.selections] == [[0], [2]]
    assert each.pairs == ((0, 0), (0, 1))
    shared = make_problem(graph, [[0.0]] * 3, [0, 1, 2], family, Ask(targets=(1, 2), limit=Fraction(1, 2)))
    assert [s.tolist() for s in shared.selections] == [[0, 2], [0, 1]]
    assert shared.thresholds == (2, 2)
    assert len({each.digest, shared.digest}) == 2


@pytest.mark.parametrize("name", [name for name, case in table().items() if case.enumerable])
def test_stated_verdicts_are_the_enumerated_ones(name: str) -> None:
    case = table()[name]
    assert Oracle(case.problem).truth(case.question).verdict == case.verdict


def test_hats_are_as_high_as_they_say() -> None:
    assert outputs(hat(4, 3, 2.5), [[[4.0]]], [[[3.0]]], [[[1.0]]], [[[7.0]]]) == [
        [0, Fraction(1, 2)],
        [0, Fraction(-1, 2)],
        [0, Fraction(-5, 2)],
        [0, Fraction(-5, 2)],
    ]
