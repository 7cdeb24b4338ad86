"""The encoding against enumeration: every point that violates is a solution, and nothing else is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.small import random_problem
from tests.smt.queries import answers, asked, in_float32, pinned, solve, with_need
from tests.soundness.build import Ask, Family, digested, levels, make_problem, mlp, replacing
from tests.soundness.cases import line, one_pixel
from tests.soundness.floats import evaluate, stamped
from tests.soundness.judge_floats import violations
from tests.soundness.networks import hardest, problems
from tests.soundness.truth import Oracle, grid
from verifluxa.bounds.linear import LayerBounds
from verifluxa.bounds.net import NetLayer
from verifluxa.errors import UnsupportedError
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation, Affine, Reshape
from verifluxa.question import Domain, Problem, Question, SlabConstraints
from verifluxa.smt.encode import encode
from verifluxa.smt.neurons import Neurons, Reading, Writer
from verifluxa.smt.pieces import PIECES, count_bends
from verifluxa.smt.query import Query, axes_of
from verifluxa.smt.rational import number, term, variable

FEW = settings(max_examples=20, deadline=None, derandomize=True)
PARAMETERS: dict[str, tuple[float, ...]] = {"relu": (), "leakyrelu": (0.25,), "clip": (-1.0, 2.0)}


@FEW
@given(problems())
def test_a_need_above_the_count_has_no_solution_and_the_count_has_one(problem: Problem) -> None:
    """Convolutions, pools, clips, ranges, targets; at the exact counts, where it is hardest."""
    question, truth = hardest(problem, 1)
    if truth.most < question.threshold:
        assert answers(problem, with_need(question, truth.most + 1)) == "unsat"
    if truth.strict:
        assert answers(problem, with_need(question, truth.strict)) == "sat"


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from([Ask(), Ask(targets=(1,))]))
def test_every_single_point_is_answered_as_it_is(seed: int, ask: Ask) -> None:
    """The trigger pinned to each grid point in turn: at least `need` violate there, or not."""
    problem = random_problem(seed, ask)
    question = problem.questions(0)[0]
    points = list(grid(problem.domain))[::4]
    exact = Oracle(problem).answers(question, points)
    query = encode(asked(problem, with_need(question, 2)))
    for place, point in enumerate(points):
        found, where = solve(query, pinned(query, point))
        assert exact.strict[place].sum() < 2 or found == "sat"
        assert exact.loose[place].sum() >= 2 or found == "unsat"
        assert where in (None, point)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_whatever_float32_does_is_a_solution(seed: int) -> None:
    """Sums in random orders, fused or not, flushed or not: the errors cover them."""
    problem = in_float32(random_problem(seed, Ask()))
    problem = digested(replace(problem, inputs=problem.inputs / 7.0))
    question, random = problem.questions(0)[0], np.random.default_rng(seed)
    chosen = problem.selections[question.selection]
    for point in list(grid(problem.domain))[:: 1 + seed % 7][:6]:
        trigger = np.array(point, np.float64)
        inputs = stamped(problem.placements[0].stamp, problem.inputs[chosen], trigger)
        seen = violations(problem, question, evaluate(problem.graph, inputs, random), 1)
        if seen.sum():
            query = encode(asked(problem, with_need(question, int(seen.sum()))))
            assert solve(query, pinned(query, point))[0] == "sat"


def tight(lead: float) -> Problem:
    """Class 1 leads by `lead` exactly, out of sums that cancel: float32 errors are about 2^-20."""
    first: tuple[Sequence[Sequence[float]], Sequence[float]] = ([[1.0], [-1.0]], [3.0, 20.0])
    graph = mlp((1, 1, 1), first, ([[0.0, 0.0], [1.0, 1.0]], [0.0, -23.0]), ([[0.0, 0.0], [0.0, 1.0]], [0.0, lead]))
    return make_problem(graph, [[0.0]], [0], Family((replacing([0]),), levels(1, 0, 16)), Ask(targets=(1,)))


@pytest.mark.parametrize(
    ("lead", "real", "float32"),
    [
        (-(2.0**-10), "unsat", "unsat"),
        (-(2.0**-22), "unsat", "sat"),
        (0.0, "sat", "sat"),
        (2.0**-22, "sat", "sat"),
    ],
)
def test_errors_of_float32_are_solutions_and_real_has_none(lead: float, real: str, float32: str) -> None:
    problem = tight(lead)
    question = problem.questions(0)[0]
    assert answers(problem, question) == real
    assert answers(in_float32(problem), question) == float32


@pytest.mark.parametrize(
    ("lead", "plain", "sure"),
    [(-1.0, "unsat", "unsat"), (-1e-3, "sat", "unsat"), (1e-3, "sat", "unsat"), (1.0, "sat", "sat")],
)
def test_a_sure_query_asks_for_more_than_the_error_of_the_outputs(lead: float, plain: str, sure: str) -> None:
    """Class 1 leads by `lead` at t = 0 and by less elsewhere; the error of 1000 t is above 0.002 on 0..16."""
    problem = in_float32(one_pixel(line(-1000.0, lead), levels(1, 0, 16)))
    question = problem.questions(0)[0]
    assert answers(problem, question) == plain
    assert answers(problem, question, sure=True) == sure


@pytest.mark.parametrize(
    ("name", "parameters"), [*PARAMETERS.items(), ("clip", (-math.inf, 0.5)), ("clip", (0.5, math.inf))]
)
@pytest.mark.parametrize(("radius", "enforced"), [(0.0, False), (0.5, False), (0.5, True)])
@pytest.mark.parametrize(
    "ends", [(-4.0, 4.0), (-4.0, 1.0), (0.5, 3.0), (-3.0, -2.0), (-1.5, 0.25), (2.0, 4.0), (-1.0, 2.0)]
)
def test_a_neuron_takes_every_value_between_its_ends_and_no_other(
    name: str, parameters: tuple[float, ...], radius: float, enforced: bool, ends: tuple[float, float]
) -> None:
    """With x pinned, y may be anything from f(x - r) to f(x + r), within bounds where f bends or they are enforced."""
    pieces = PIECES[name](parameters)
    writer = Writer()
    x = variable(writer.declare("Real", "x"))
    neurons = Neurons(
        writer, *single(name, parameters, radius, ends), Reading(0, 0, exact=radius == 0, enforced=enforced)
    )
    writer.require(f"(= y {term(neurons.value(0, x, pieces))})")
    text = "\n".join(["(declare-const y Real)", *writer.lines])
    for step in range(9):
        at = Fraction(ends[0]) + step * Fraction(ends[1] - ends[0]) / 8
        low, high = at - Fraction(radius), at + Fraction(radius)
        straight = pieces.line(*map(Fraction, ends))
        if straight is None or enforced:
            low, high = pieces.value(max(low, Fraction(ends[0]))), pieces.value(min(high, Fraction(ends[1])))
        else:
            low, high = (straight[0] * z + straight[1] for z in (low, high))
        for value, inside in ((low, True), (high, True), (low - Fraction(1, 8), False), (high + Fraction(1, 8), False)):
            query = Query(f"{text}\n(assert (= x {number(at)}))\n(assert (= y {number(value)}))", ())
            assert (solve(query)[0] == "sat") is inside, (at, value)


def test_each_row_has_a_sample() -> None:
    assert set(PARAMETERS) == set(PIECES)


def single(
    name: str, parameters: tuple[float, ...], radius: float, ends: tuple[float, float]
) -> tuple[NetLayer, LayerBounds]:
    """A layer of one neuron with given bounds."""
    one, none = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    layer = NetLayer(one, one, none, none, none, name, parameters, None, None)
    return layer, LayerBounds(none + ends[0], none + ends[1], none + radius, None, None)


@pytest.mark.parametrize(("closed", "sign"), [(True, ">="), (False, ">")])
def test_a_closed_row_is_met_at_zero_and_an_open_one_above(closed: bool, sign: str) -> None:
    """Errors blur the difference in every answer, so it is read in the text."""
    problem = one_pixel(line(1.0, -1.0), levels(1, 0, 2))
    whole = asked(problem, problem.questions(0)[0])
    rows = replace(problem.constraints, closed=np.full_like(problem.constraints.closed, closed))
    text = encode(replace(whole, rows=rows)).text
    assert f"(=> v0 (or (and ({sign} " in text


def test_strips_keep_the_trigger_between_them() -> None:
    """Of the square 0..4 only a band along one diagonal, then a band that holds no grid point."""
    problem = make_problem(
        mlp((1, 1, 2), ([[0.0, 0.0], [1.0, 1.0]], [0.0, -7.5])), [[0.0, 0.0]], [0],
        Family((replacing([0, 1]),), levels(2, 0, 4)), Ask(targets=(1,)),
    )  # fmt: skip
    question = problem.questions(0)[0]
    wanted = [((-math.inf, math.inf), "sat"), ((0.0, 0.0), "sat"), ((1.0, 4.0), "unsat"), ((-0.75, -0.25), "unsat")]
    for (low, high), expected in wanted:
        strips = SlabConstraints(np.array([[1.0, -1.0]]), np.array([low]), np.array([high]))
        whole = asked(problem, question)
        assert solve(encode(replace(whole, domain=replace(whole.domain, slabs=strips))))[0] == expected


def test_the_trigger_of_a_solution_is_read_in_the_units_of_the_user() -> None:
    domain = Domain(np.array([-1.0, 2.0, 0.25]), np.array([1.0, 2.0, 0.75]), np.array([0.5, 1.0, 0.0]))
    query = Query("", axes_of(domain))
    assert query.names == ("t0", "t2")
    assert query.point({"t0": Fraction(3), "t2": Fraction(1, 3)}) == (Fraction(1, 2), Fraction(2), Fraction(1, 3))
    assert query.point({}) == (Fraction(-1), Fraction(2), Fraction(1, 4))
    assert not query.gridded
    with pytest.raises(ValueError, match="continuum"):
        query.without((Fraction(0), Fraction(2), Fraction(1, 2)))


def test_points_are_left_out_one_by_one_until_none_is_left() -> None:
    """Class 1 leads exactly at the levels 3 to 5 of 0..8."""
    graph = mlp((1, 1, 1), ([[1.0], [-1.0]], [-5.0, 3.0]), ([[0.0, 0.0], [-1.0, -1.0]], [0.0, 0.5]))
    problem = make_problem(graph, [[0.0]], [0], Family((replacing([0]),), levels(1, 0, 8)), Ask(targets=(1,)))
    query, seen = encode(asked(problem, problem.questions(0)[0])), []
    while (found := solve(query))[1] is not None:
        seen.append(found[1])
        query = query.without(found[1])
    assert sorted(seen) == [(Fraction(3),), (Fraction(4),), (Fraction(5),)]


def test_case_splits_are_counted_per_input() -> None:
    """relu(t - 4 + s) bends where 0 < 4 - s < 8, relu(t - 2) always."""
    graph = mlp((1, 1, 2), ([[1.0, 1.0], [1.0, 0.0]], [-4.0, -2.0]), ([[0.0, 0.0], [1.0, 1.0]], [0.0, -1.0]))
    problem = make_problem(
        graph, [[0.0, 0.0], [0.0, 5.0], [0.0, -9.0]], [0, 0, 0], Family((replacing([0]),), levels(1, 0, 8)),
        Ask(targets=(1,)),
    )  # fmt: skip
    whole = asked(problem, problem.questions(0)[0])
    assert count_bends(whole.net, whole.bounds).tolist() == [2, 1, 1]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_what_is_not_piecewise_linear_is_unsupported(activation: str) -> None:
    ops = [
        Reshape((-1,)),
        Affine(np.eye(1, dtype=np.float32)),
        Activation(activation),
        Affine(np.array([[0], [1]], np.float32)),
    ]
    problem = make_problem(
        chain((1, 1, 1), ops), [[0.0]], [0], Family((replacing([0]),), levels(1, 0, 3)), Ask(targets=(1,))
    )
    whole = asked(problem, Question(0, 0, 0, 1))
    for call in (lambda: encode(whole), lambda: count_bends(whole.net, whole.bounds)):
        with pytest.raises(UnsupportedError) as caught:
            call()
        assert caught.value.code == "VF7002"
