"""From spec, network and data to a problem: places, encode, layout, rows, violations, needs, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion

from verifluxa.asking import untouched
from verifluxa.data.dataset import DOUBTFUL, Dataset
from verifluxa.errors import DataError, ModelError, Span, UsageError, VerifluxaError
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Affine, Conv, Divide, LogSoftmax, Op, Reshape, Scale, Shift, Softmax, Transpose
from verifluxa.lower import Given, deploy, lower, predictions
from verifluxa.question import Doubt, Problem
from verifluxa.search.replay import stamped_inputs
from verifluxa.spec.spec import (
    ClassOutput,
    EncodeStep,
    ImageSpace,
    ModelDecl,
    PerInput,
    Property,
    RateBound,
    Selection,
    Spec,
    Statement,
)
from verifluxa.spec.triggers.patch import PatchTrigger

HERE = Span("s.vfx", 3, 1, 3, 9)
SPACE = ImageSpace("digit", 4, 5, 2, 0, 255)
ALL = Selection("eval")
CORRECT = Selection("eval", correct="digits")
OTHERS = Selection("eval", label_is_not_target=True)


def model(*encode: EncodeStep, layout: str = "whcn", classes: int = 3) -> ModelDecl:
    return ModelDecl("digits", "digit", ClassOutput(classes), None, None, layout, encode, HERE)


def patch(height: int = 2, width: int = 3, places: tuple[tuple[int, int], ...] = ((1, 2), (0, 0))) -> PatchTrigger:
    return PatchTrigger("patch", "digit", height, width, places, Fraction(0), Fraction(255), 1)


def rate(selection: Selection = ALL, targets: tuple[int, ...] = (), limit: Fraction = Fraction(1, 2)) -> RateBound:
    return RateBound("digits", patch(), selection, targets, limit)


def spec_of(*models: ModelDecl, space: ImageSpace = SPACE) -> Spec:
    return Spec("s.vfx", "sha256:0", (space,), models, (), (), (), ())


def data_of(images: np.ndarray[tuple[int, ...], np.dtype[np.float64]], labels: list[int]) -> Dataset:
    return Dataset("eval", "eval.npz", "sha256:1", images, np.array(labels, np.int64))


def network(*tail: Op, classes: int = 3, shape: tuple[int, ...] = (2, 4, 5), dtype: str = "float32") -> Graph:
    """Logit k is the k-th value of the flat input, so that what stands where can be seen."""
    size = int(np.prod(shape))
    return chain(shape, [Reshape((-1,)), Affine(np.eye(size, dtype=dtype)[:classes]), *tail], dtype)


def images(count: int = 4) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(0).integers(0, 256, (count, 2, 4, 5)).astype(np.float64)


def put(statement: Statement, spec: Spec | None = None, given: Given | None = None, **changes: Any) -> Problem:
    """The problem of a statement about the sample network and data."""
    base = Given(network(), data_of(images(), [0, 1, 2, 0]), "sha256:2", "float32", untouched=untouched)
    prop = Property("no_trigger", None, statement, HERE)
    return lower(spec or spec_of(model()), prop, replace(given or base, **changes))


def test_a_patch_lies_where_people_see_it() -> None:
    """Row 1, column 2, two high, three wide, all channels; tau runs by channel, then row, then column."""
    problem = put(rate())
    tau = np.arange(1.0, 13.0) * 10
    after = stamped_inputs(problem, 0, tau, np.array([1]))[0]
    wanted = images()[1]
    wanted[0, 1, 2:5], wanted[0, 2, 2:5] = [10, 20, 30], [40, 50, 60]
    wanted[1, 1, 2:5], wanted[1, 2, 2:5] = [70, 80, 90], [100, 110, 120]
    np.testing.assert_array_equal(after, wanted)
    assert problem.placements[0].label == (("row", 1), ("column", 2))
    assert problem.placements[1].label == (("row", 0), ("column", 0))
    assert problem.placements[1].stamp.positions.tolist() == [0, 1, 2, 5, 6, 7, 20, 21, 22, 25, 26, 27]
    assert all(placement.stamp.replaces for placement in problem.placements)


def test_the_domain_is_the_range_of_levels_in_every_coordinate() -> None:
    domain = put(rate()).domain
    assert (domain.lower == 0).all()
    assert (domain.upper == 255).all()
    assert (domain.step == 1).all()
    assert domain.lower.shape == (12,)
    assert domain.slabs is None


@pytest.mark.parametrize(("low", "high"), [("0.1", "0.3"), ("0.25", "0.5"), ("0.7", "254.9"), ("-0.3", "-0.1")])
def test_a_continuous_range_is_never_smaller_than_written(low: str, high: str) -> None:
    trigger = replace(patch(), low=Fraction(low), high=Fraction(high), step=None)
    domain = put(replace(rate(), trigger=trigger)).domain
    assert (domain.step == 0).all()
    assert Fraction(domain.lower[0]) <= Fraction(low) <= Fraction(high) <= Fraction(domain.upper[0])
    assert float(domain.lower[0]) == pytest.approx(float(Fraction(low)), rel=2**-24), "an end moves by a rounding"
    assert Fraction("0.25") != Fraction(low) or domain.lower[0] == 0.25, "an end that is a float stays"


def encoded(*steps: EncodeStep, dtype: str = "float32") -> list[Op]:
    graph = deploy(network(dtype=dtype), model(*steps), SPACE)
    return [node.op for node in graph.nodes[1 : 1 + len(steps)]]


def step(kind: str, *values: str) -> EncodeStep:
    return EncodeStep(kind, tuple(Fraction(value) for value in values))


def test_encode_is_part_of_the_network_step_by_step() -> None:
    ops = encoded(step("divide", "255"), step("subtract", "0.5"), step("multiply", "2", "4"), step("add", "1", "-1"))
    assert [type(op) for op in ops] == [Divide, Shift, Scale, Shift]
    divide, minus, times, plus = ops
    assert isinstance(divide, Divide)
    assert isinstance(minus, Shift)
    assert isinstance(times, Scale)
    assert isinstance(plus, Shift)
    assert divide.divisor.shape == ()
    assert divide.divisor.dtype == np.float32
    assert minus.value == np.float32(-0.5)
    assert times.factor.tolist() == [[[2.0]], [[4.0]]]
    assert plus.value.tolist() == [[[1.0]], [[-1.0]]]


def test_encode_per_channel_reaches_its_channel() -> None:
    graph = deploy(network(classes=25), model(step("divide", "10", "100"), classes=25), SPACE)
    image = images(1)
    flat = (image[0].astype(np.float32) / np.array([[[10]], [[100]]], np.float32)).ravel()
    np.testing.assert_array_equal(graph.run(image)[0], flat[:25])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.1", np.float32(0.1)),
        ("0.3081", np.float32(0.3081)),
        ("16777217", np.float32(16777216)),
        ("16777219", np.float32(16777220)),
        ("1.00000005960464477539062500000000001", np.float32(1 + 2.0**-23)),
        ("1.000000059604644775390625", np.float32(1)),
        ("-1.00000005960464477539062500000000001", np.float32(-1 - 2.0**-23)),
        ("1e-30", np.float32(1e-30)),
    ],
)
def test_constants_are_rounded_once(text: str, wanted: np.float32) -> None:
    """1 + 2^-24 + a hair rounds up; by way of float64 the hair is lost, and a tie goes down."""
    (op,) = encoded(step("add", text))
    assert isinstance(op, Shift)
    assert op.value == wanted
    (exact,) = encoded(step("add", "0.1"), dtype="float64")
    assert isinstance(exact, Shift)
    assert exact.value == 0.1


def test_rows_and_columns_of_a_network_that_reads_width_first() -> None:
    """Layout hwcn: the array of the picture has its height first, the network sees (channels, width, height)."""
    graph = deploy(network(classes=7, shape=(2, 5, 4)), model(step("divide", "2"), layout="hwcn", classes=7), SPACE)
    assert graph.input_shape == (2, 4, 5)
    assert [type(node.op) for node in graph.nodes[1:3]] == [Divide, Transpose]
    image = images(1)
    turned = np.swapaxes(image[0], 1, 2).ravel() / 2
    np.testing.assert_array_equal(graph.run(image)[0], turned[:7])


def test_a_network_without_a_size_of_its_own_is_fitted() -> None:
    kernel = Conv(np.ones((3, 2, 1, 1), np.float32), None, (1, 1), (0, 0), (0, 0), (1, 1))
    small = chain((2, 9, 9), [kernel])
    assert deploy(small, model(), SPACE).output_shape == (3, 4, 5)
    assert deploy(small, model(layout="hwcn"), SPACE).output_shape == (3, 5, 4)


def test_predictions_are_strict() -> None:
    graph = chain((3,), [Shift(np.zeros(3, np.float32))])
    rows = [[1, 2, 0], [2, 2, 0], [np.nan, 1, 0], [0, 1, np.nan], [np.inf, 1, 0], [-np.inf, -1, -2], [-0.0, 0.0, -1]]
    assert predictions(graph, np.array(rows, np.float64)).tolist() == [1, -1, -1, -1, -1, 1, -1]


def test_inputs_that_are_not_correct_are_listed() -> None:
    inputs = images(5)
    inputs[:, 0, 0, :3] = [[9, 1, 1], [1, 9, 1], [5, 9, 1], [1, 1, 9], [9, 1, 1]]
    problem = put(rate(CORRECT), data=data_of(inputs, [0, 1, 0, 0, 0]))
    assert problem.indices == problem.counted == (0, 1, 4)
    assert problem.excluded == ((2, "not correct"), (3, "not correct"))
    assert problem.labels.tolist() == [0, 1, 0]
    assert problem.doubt == Doubt()
    np.testing.assert_array_equal(problem.inputs, inputs[[0, 1, 4]])
    assert put(rate(), data=data_of(inputs, [0, 1, 0, 0, 0])).indices == (0, 1, 2, 3, 4)


def test_what_is_proved_holds_whether_an_input_in_doubt_counts_or_not() -> None:
    """A tie within the error of evaluation: it may violate, and the rate is one of the others alone."""
    inputs = images(10)
    inputs[:, 0, 0, :3] = [9, 1, 1]
    inputs[2, 0, 0, :3] = [9, 9, 1]
    problem = put(rate(CORRECT, limit=Fraction(1, 2)), data=data_of(inputs, [0] * 10))
    assert problem.indices == tuple(range(10))
    assert problem.counted == (0, 1, 3, 4, 5, 6, 7, 8, 9)
    assert problem.excluded == ((2, DOUBTFUL),)
    assert problem.doubt == Doubt((2,), (2,), (5,), ())
    assert (problem.thresholds, problem.totals, problem.replayed_total(0)) == ((5,), (9,), 9)
    assert not problem.refutes(problem.questions(0)[0], 4)
    assert problem.refutes(problem.questions(0)[0], 5)


def test_where_no_input_counts_for_sure_nothing_is_provable() -> None:
    inputs = images(3)
    inputs[:, 0, 0, :3] = [9, 9, 1]
    problem = put(rate(CORRECT, limit=Fraction(1, 2)), data=data_of(inputs, [0] * 3))
    assert problem.doubt == Doubt((0, 1, 2), (0, 1, 2), (1,), (0,))
    assert (problem.counted, problem.thresholds, problem.totals) == ((), (1,), (3,))
    assert not problem.refutes(problem.questions(0)[0], 0)


def test_single_inputs_in_doubt_are_asked_and_refuted_only_where_the_replay_counts_them() -> None:
    inputs = images(3)
    inputs[:, 0, 0, :3] = [[9, 1, 1], [9, 9, 1], [9, 1, 1]]
    problem = put(PerInput("digits", patch(), CORRECT), data=data_of(inputs, [0] * 3))
    assert [selection.tolist() for selection in problem.selections] == [[0], [1], [2]]
    assert problem.doubt == Doubt((1,), (1,), (1, 1, 1), ())
    assert problem.totals == (1, 1, 1)


def test_another_model_may_say_what_is_correct() -> None:
    """The judge has its own encode: here it turns the order of classes round."""
    judge = replace(model(step("multiply", "-1")), name="old")
    spec = spec_of(model(), judge)
    inputs = images(2)
    inputs[:, 0, 0, :3] = [[9, 5, 1], [9, 5, 1]]
    given = Given(network(), data_of(inputs, [0, 2]), "sha256:2", "float32", network(), untouched)
    problem = put(rate(Selection("eval", correct="old")), spec, given)
    assert problem.indices == (1,)


@pytest.mark.parametrize(
    ("limit", "count", "need"),
    [
        (Fraction(29, 100), 100, 30),
        (Fraction(1, 3), 3, 2),
        (Fraction(1, 3), 100, 34),
        (Fraction(0), 10, 1),
        (Fraction(1), 10, 11),
        (Fraction(1, 20), 97, 5),
        (Fraction(57, 100), 100, 58),
    ],
)
def test_needs_are_exact(limit: Fraction, count: int, need: int) -> None:
    """A rate of 29 % of 100 inputs is broken by 30; 0.29 * 100 in floats is 28.999..."""
    problem = put(rate(limit=limit), data=data_of(images(count), [0] * count))
    assert problem.thresholds == (need,)
    assert problem.questions(0)[0].threshold == need


def test_rows_compare_every_pair_of_classes_in_order() -> None:
    rows = put(rate()).constraints
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert [(int(r.argmax()), int(r.argmin())) for r in rows.coefficients] == pairs
    assert (np.abs(rows.coefficients).sum(1) == 2).all()
    assert (rows.constants == 0).all()
    assert rows.closed.all(), "a tie counts against the property"


def test_a_target_is_reached_by_beating_all_others() -> None:
    problem = put(rate(OTHERS, (2, 0)))
    assert [violation.target for violation in problem.violations] == [2, 0]
    assert problem.violations[0].by_label == (((4, 5),),) * 3
    assert problem.violations[1].by_label == (((0, 1),),) * 3
    assert [chosen.tolist() for chosen in problem.selections] == [[0, 1, 3], [1, 2]]
    assert problem.thresholds == (2, 2)
    assert problem.pairs == ((0, 0), (1, 1))
    assert not problem.per_input
    assert problem.size == 4


def test_without_the_condition_a_target_speaks_of_all_inputs() -> None:
    problem = put(rate(ALL, (2,)))
    assert problem.selections[0].tolist() == [0, 1, 2, 3]
    assert problem.thresholds == (3,)


def test_untargeted_is_any_class_but_the_label() -> None:
    (violation,) = put(rate()).violations
    assert violation.by_label == (((2,), (4,)), ((0,), (5,)), ((1,), (3,)))
    assert violation.target is None


def test_per_input_asks_each_input_on_its_own() -> None:
    problem = put(PerInput("digits", patch(), ALL))
    assert problem.per_input
    assert [chosen.tolist() for chosen in problem.selections] == [[0], [1], [2], [3]]
    assert problem.thresholds == (1, 1, 1, 1)
    assert problem.pairs == ((0, 0), (0, 1), (0, 2), (0, 3))
    assert problem.violations[0].by_label == (((2,), (4,)), ((0,), (5,)), ((1,), (3,)))


def test_per_input_with_classes_of_its_own() -> None:
    fixed = put(PerInput("digits", patch(), ALL, expected=1)).violations[0]
    assert fixed.by_label == (((0,), (5,)),) * 3
    assert fixed.label == "not 1"
    forbidden = put(PerInput("digits", patch(), ALL, targets=(2, 0))).violations[0]
    assert forbidden.by_label == (((4, 5), (0, 1)),) * 3
    assert forbidden.label == "reaches 2, 0"


@pytest.mark.parametrize(
    ("tail", "arithmetic", "readout", "gap"),
    [
        ((), "float32", -1, 0.0),
        ((Softmax(0),), "float32", 2, 2.0**-20),
        ((LogSoftmax(0),), "float32", 2, 2.0**-19),
        ((Softmax(0),), "real", 2, 0.0),
        ((LogSoftmax(0),), "real", 2, 0.0),
        ((Softmax(0),), "float64", 2, 2.0**-49),
        ((LogSoftmax(0),), "float64", 2, 2.0**-48),
    ],
)
def test_in_front_of_a_softmax_a_gap_is_asked(tail: tuple[Op, ...], arithmetic: str, readout: int, gap: float) -> None:
    dtype = "float64" if arithmetic == "float64" else "float32"
    problem = put(rate(), graph=network(*tail, dtype=dtype), arithmetic=arithmetic)
    assert problem.readout == readout
    assert (problem.constraints.constants == gap).all()


def test_the_readout_moves_with_encode_and_layout() -> None:
    graph = network(Softmax(0), shape=(2, 5, 4))
    problem = put(rate(), spec_of(model(step("divide", "255"), layout="hwcn")), graph=graph)
    assert problem.graph.nodes[problem.readout].op.kind == "affine"
    assert problem.graph.nodes[problem.readout + 1].op.kind == "softmax"
    assert problem.readout == 4


def test_what_goes_into_the_problem_unchanged() -> None:
    problem = put(rate(), digest="sha256:abc", arithmetic="real")
    assert (problem.name, problem.digest, problem.arithmetic) == ("no_trigger", "sha256:abc", "real")


NONE_LEFT = data_of(images(2), [1, 1])
REFUSED: dict[str, tuple[Statement, dict[str, Any], type[VerifluxaError], str]] = {
    "float64 proof of a float32 model": (rate(), {"arithmetic": "float64"}, UsageError, "VF4011"),
    "float32 proof of a float64 model": (rate(), {"graph": network(dtype="float64")}, UsageError, "VF4011"),
    "fewer classes than declared": (rate(), {"graph": network(classes=2)}, ModelError, "VF2201"),
    "outputs that are no vector": (rate(), {"graph": network(Reshape((1, -1)))}, ModelError, "VF2201"),
    "no input for a target": (rate(OTHERS, (0, 1)), {"data": NONE_LEFT}, DataError, "VF3201"),
    "no input at all": (rate(Selection("eval", labels=(2,))), {"data": NONE_LEFT}, DataError, "VF3201"),
    "no input on its own": (
        PerInput("digits", patch(), Selection("eval", labels=(2,))),
        {"data": NONE_LEFT},
        DataError,
        "VF3201",
    ),
    "a label that is no class": (rate(), {"data": data_of(images(3), [0, 2, 7])}, DataError, "VF3017"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str, snapshot: SnapshotAssertion) -> None:
    statement, changes, kind, code = REFUSED[name]
    with pytest.raises(kind) as caught:
        put(statement, **changes)
    assert caught.value.code == code
    assert str(caught.value) == snapshot


def test_a_label_that_is_no_class_may_be_left_out() -> None:
    data = data_of(images(3), [0, 2, 7])
    assert put(rate(Selection("eval", labels=(0, 1, 2))), data=data).indices == (0, 1)
