"""What counts as a witness: replayed as deployed, strict, and how sure it is."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.search.small import counts, in_float32, random_problem
from tests.soundness.build import Ask, Family, dense, digested, levels, make_problem, mlp, replacing
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import (
    Activation,
    Affine,
    Divide,
    LogSoftmax,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shape,
    Shift,
    Softmax,
)
from verifluxa.question import AffineInputMap, Problem, SlabConstraints
from verifluxa.search.exact import exact_margins
from verifluxa.search.replay import certainly_violated, replay_trigger, stamped_inputs, violation_margins, witness_of
from verifluxa.search.workspace import workspace_of

ONE = np.array([0])


def build_problem(graph: Graph, arithmetic: str, label: int = 1, top: float = 255.0) -> Problem:
    """One input of zeros; the trigger sets its first value."""
    family = Family((replacing([0]),), levels(1, 0, top))
    inputs = np.zeros((1, *graph.input_shape))
    return make_problem(graph, inputs, [label], family, Ask(arithmetic=arithmetic))


def with_gap(problem: Problem, readout: int, gap: float) -> Problem:
    """Rows speak of the values in front of a softmax, and carry its gap."""
    rows = replace(problem.constraints, constants=np.full(len(problem.constraints.constants), gap))
    return digested(replace(problem, constraints=rows, readout=readout))


def test_a_stamp_touches_its_places_alone() -> None:
    problem = random_problem(0, positions=(3, 1))
    before = problem.inputs.copy()
    after = stamped_inputs(problem, 0, np.array([5.0, 2.0]), np.array([4, 0]))
    assert (problem.inputs == before).all()
    flat = before[[4, 0]].reshape(2, -1)
    flat[:, 3], flat[:, 1] = 5.0, 2.0
    np.testing.assert_array_equal(after.reshape(2, -1), flat)


def test_a_stamp_with_arithmetic() -> None:
    problem = random_problem(0)
    blend = AffineInputMap(np.array([2]), np.array([0.5]), np.array([[0.25, 2.0]]), np.array([1.0]))
    placement = replace(problem.placements[0], stamp=blend)
    after = stamped_inputs(replace(problem, placements=(placement,)), 0, np.array([4.0, 3.0]), np.array([1]))
    assert after[0, 0, 0, 2] == 0.5 * problem.inputs[1, 0, 0, 2] + 1.0 + 6.0 + 1.0


@pytest.mark.parametrize("ask", [Ask(), Ask(targets=(1,)), Ask(per_input=True)], ids=str)
def test_margins_count_what_brute_force_counts(ask: Ask) -> None:
    problem = random_problem(4, ask)
    question = problem.questions(0)[0]
    for trigger in ([0.0, 0.0], [6.0, 1.0], [3.0, 6.0]):
        played = replay_trigger(problem, question, np.array(trigger))
        assert len(played.violated) == counts(problem, question, np.array([trigger]), strict=True)[0]
        assert (played.before == problem.graph.run(problem.inputs[played.inputs])).all()
        assert played.after.shape == played.before.shape


def test_the_margin_is_that_of_the_best_alternatives_worst_row() -> None:
    problem = random_problem(0)
    outputs = np.array([[5.0, 2.0, 4.0]], np.float32)
    labelled = replace(problem, labels=np.array([0] * 6))
    assert violation_margins(labelled, 0, ONE, outputs).tolist() == [-1.0], "class 2 comes nearest"
    assert violation_margins(replace(problem, labels=np.array([1] * 6)), 0, ONE, outputs).tolist() == [3.0]
    aimed = random_problem(0, Ask(targets=(0,)))
    aimed = replace(aimed, labels=np.array([1] * 6))
    assert violation_margins(aimed, 0, ONE, outputs).tolist() == [1.0], "class 0 must beat both"


@pytest.mark.parametrize("bad", [[np.nan, 1.0, 0.0], [5.0, 1.0, np.nan], [5.0, np.nan, 1.0]])
def test_no_number_no_violation(bad: list[float]) -> None:
    """Whatever row the NaN stands in, and in whatever order rows are compared."""
    for problem in (random_problem(0), random_problem(0, Ask(targets=(0,)))):
        marked = replace(problem, labels=np.array([1] * 6))
        assert not (violation_margins(marked, 0, ONE, np.array([bad], np.float32)) > 0).any()


def test_an_infinite_margin_is_written_as_a_number() -> None:
    graph = chain((2,), [Scale(np.array([2.0**121, 1.0], np.float32))])
    problem = build_problem(graph, "float32")
    found = witness_of(workspace_of(problem), problem.questions(0)[0], np.array([255.0]))
    assert found.inputs == (0,)
    assert found.margins == (np.finfo(np.float64).max,)
    assert found.robust == 0, "an evaluation that overflows says nothing about the others"


def test_every_order_or_this_replay() -> None:
    """2^24 + tau - 2^24: for tau = 1 the order decides, for tau = 2^10 no order does."""
    big = Affine(np.array([[2.0**24, 1.0, -(2.0**24)], [0, 0, 0]], np.float32), np.array([0.0, 0.5], np.float32))
    graph = chain((3,), [big])
    problem = make_problem(
        graph, [[1.0, 0.0, 1.0]], [1], Family((replacing([1]),), levels(1, 0, 4096)), Ask(arithmetic="float32")
    )
    work, question = workspace_of(problem), problem.questions(0)[0]
    assert witness_of(work, question, np.array([4096.0])).robust == 1
    near = witness_of(work, question, np.array([1.0]))
    assert near.robust == 0
    assert not certainly_violated(work, question, np.array([1.0]), ONE)[0]
    exact = workspace_of(digested(replace(problem, arithmetic="real")))
    assert certainly_violated(exact, question, np.array([1.0]), ONE)[0], "in exact arithmetic there is one order"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_sure_violates(seed: int) -> None:
    problem = in_float32(random_problem(seed))
    work, question = workspace_of(problem), problem.questions(0)[0]
    sure_somewhere = 0
    for trigger in ([0.0, 6.0], [6.0, 6.0], [2.0, 0.0]):
        point = np.array(trigger)
        played = replay_trigger(problem, question, point)
        sure = certainly_violated(work, question, point, played.inputs)
        assert (played.margins[sure] > 0).all()
        found = witness_of(work, question, point)
        assert found.robust == sure.sum() <= len(found.inputs)
        sure_somewhere += int(sure.sum())
    assert sure_somewhere


def near_tie(lead: float, dtype: str = "float32") -> Graph:
    """Class 0 leads by `tau * 2^-20 - 1 + lead`, in a way that float32 rounds away."""
    return mlp(
        (1, 1, 1), ([[2.0**-20], [0.0]], [2.0**24, 0.0]), ([[1.0, -1.0], [0.0, 0.0]], [-(2.0**24), lead]), dtype=dtype
    )


def test_ties_in_real_arithmetic_are_settled_by_exact_rationals() -> None:
    """float32 sees 2^24 + tau 2^-20 - 2^24 = 0 or a tie; exactly, tau decides."""
    problem = build_problem(near_tie(0.0), "real")
    work, question = workspace_of(problem), problem.questions(0)[0]
    assert replay_trigger(problem, question, np.array([1.0])).margins[0] == 0, "the test's own test"
    found = witness_of(work, question, np.array([1.0]))
    assert found.inputs == (0,)
    assert found.margins == (2.0**-20,)
    assert witness_of(work, question, np.array([0.0])).inputs == (), "an exact tie"
    tied = build_problem(near_tie(2.0**-20), "real")
    assert witness_of(workspace_of(tied), question, np.array([1.0])).inputs == (), (
        "an exact tie that floats would not see"
    )
    assert witness_of(workspace_of(tied), question, np.array([2.0])).inputs == (0,)
    single = build_problem(near_tie(0.0), "float32")
    assert witness_of(workspace_of(single), question, np.array([1.0])).inputs == (), "not so in float32"


def exact_of(ops: list[Op], shape: Shape, trigger: float) -> Fraction:
    problem = build_problem(chain(shape, ops, "float64"), "real", label=0)
    (margin,) = exact_margins(problem, problem.questions(0)[0], np.array([trigger]), ONE)
    return margin


def test_exact_margins_by_hand() -> None:
    pick = Affine(np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert exact_of([Divide(np.array([3.0, 1.0])), pick], (2,), 1.0) == Fraction(1, 3)
    assert exact_of([Shift(np.array(0.1)), pick], (2,), 1.0) == 1 + Fraction(0.1)
    pooled = [Reshape((1, 2)), MeanPool((2,), (1,), (1,), (0,)), Reshape((-1,)), Scale(np.array(10.0)), pick]
    assert exact_of(pooled, (2,), 1.0) == 5
    three = [Reshape((1, 3)), MeanPool((3,), (1,), (0,), (1,)), Reshape((-1,)), pick]
    assert exact_of(three, (3,), 1.0) == Fraction(1, 3)
    highest = [Reshape((1, 2)), MaxPool((2,), (1,), (0,), (1,)), Reshape((-1,)), Activation("relu"), pick]
    assert exact_of(highest, (2,), 7.0) == 7
    assert exact_of([Activation("tanh"), pick], (2,), 7.0) == -1, "no exact form"


@pytest.mark.parametrize(("op", "gap"), [(Softmax(0), 2.0**-20), (LogSoftmax(0), 2.0**-19)])
def test_a_sure_witness_exceeds_the_gap_of_a_softmax(op: Op, gap: float) -> None:
    """Below the gap the values behind a softmax may tie in some evaluation, so the witness is this replay's alone."""
    graph = chain((1,), [dense([[2.0**-31], [0.0]], [0.0, 0.0]), op])
    problem = with_gap(build_problem(graph, "float32"), 1, gap)
    work, question = workspace_of(problem), problem.questions(0)[0]
    assert not certainly_violated(work, question, np.array([255.0]), ONE).any()
    wide = chain((1,), [dense([[2.0**-20], [0.0]], [0.0, 0.0]), op])
    problem = with_gap(build_problem(wide, "float32"), 1, gap)
    sure = [certainly_violated(workspace_of(problem), question, np.array([t]), ONE)[0] for t in (0.0, 1.0, 3.0)]
    assert sure == [False, False, True]
    found = witness_of(workspace_of(problem), question, np.array([255.0]))
    assert found.inputs == (0,)
    assert 0 < found.margins[0] < 1e-3, "margins are those of the values that the network returns"


def test_a_trigger_outside_the_domains_own_strips_is_no_witness() -> None:
    problem = build_problem(mlp((1, 1, 1), ([[1.0], [0.0]], [0.0, 1.0])), "float32")
    strips = SlabConstraints(np.array([[2.0]]), np.array([0.0]), np.array([9.0]))
    cut = digested(replace(problem, domain=replace(problem.domain, slabs=strips)))
    question = problem.questions(0)[0]
    assert witness_of(workspace_of(problem), question, np.array([5.0])).inputs == (0,)
    assert witness_of(workspace_of(cut), question, np.array([5.0])).inputs == ()
    assert witness_of(workspace_of(cut), question, np.array([4.0])).inputs == (0,)
    assert witness_of(workspace_of(problem), question, np.array([256.0])).inputs == ()


@pytest.mark.parametrize(
    ("outputs", "margin"),
    [
        ([1.0, 5.0, np.inf], np.inf),
        ([6.0, 5.0, -np.inf], 1.0),
        ([np.inf, np.inf, 0.0], -np.inf),
        ([1.0, 5.0, -np.inf], -4.0),
    ],
)
def test_an_output_that_overflowed_says_nothing_of_rows_that_do_not_read_it(
    outputs: list[float], margin: float
) -> None:
    problem = build_problem(chain((1,), [dense([[1.0], [0.0], [0.0]], [0.0, 0.0, 0.0])]), "float32")
    found = violation_margins(problem, problem.pairs[0][0], ONE, np.array([outputs], dtype=np.float32))
    assert found.tolist() == [margin]
