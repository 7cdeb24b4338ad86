"""The oracle itself: exact networks, what is true of a property, and the arithmetic of what a certificate states."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

from tests.certificate.forgery.bases import SHARED, SINGLE, answers, convolution, doubtful, drawn, flat, pictures
from tests.certificate.forgery.documents import written_leaves
from tests.certificate.forgery.networks import Dense, Net, tanh
from tests.certificate.forgery.numbers import end
from tests.certificate.forgery.oracle import follows
from tests.certificate.forgery.proofs import NoTreeError, flatten, parse
from tests.certificate.forgery.reference import judge
from tests.certificate.forgery.truth import DOUBT, IN, OUT, Truth
from tests.certificate.forgery.worlds import Patch, Property, World


def outputs_of(net: Net, values: np.ndarray) -> np.ndarray:
    """The outputs by plain NumPy, layer by layer."""
    state = values.astype(np.float64).reshape(net.shape)
    for layer in net.layers:
        if isinstance(layer, Dense):
            state = layer.weight.astype(np.float64) @ state.ravel() + layer.bias
            state = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "identity": lambda z: z}[layer.function](
                state
            )
    return state


@pytest.mark.parametrize("function", ["relu", "tanh"])
def test_centers_are_what_numpy_computes(function: str) -> None:
    net, inputs = flat(3, (6, 5, 4, 3), scale=0.8, function=function), pictures(1, 5)
    for one in inputs:
        for arithmetic in ("real", "float32"):
            found = net.outputs([int(v) for v in one.ravel()], arithmetic)
            wanted = outputs_of(net, one)
            assert np.allclose([float(ball.center) for ball in found], wanted, rtol=0, atol=1e-12)
            assert all((ball.radius == 0) == (arithmetic == "real" and function == "relu") for ball in found)


def test_sampled_evaluations_lie_within_the_radius() -> None:
    net, random = flat(4, (6, 5, 4, 3), scale=0.8), np.random.default_rng(0)
    for one in pictures(2, 5):
        values = [int(v) for v in one.ravel()]
        balls = net.outputs(values, "float32")
        for _ in range(50):
            for ball, value in zip(balls, net.sampled(values, random), strict=True):
                assert abs(Fraction(value) - ball.center) <= ball.radius


def test_whole_weights_are_exact_in_float32() -> None:
    net = flat(4, (6, 5, 3))
    assert all(ball.radius == 0 for ball in net.outputs([3, 1, 2, 0, 3, 1], "float32"))
    assert all(ball.radius > 0 for ball in net.outputs([3, 1, 2, 0, 3, 1], "float32", careful=True))


def test_a_convolution_turns_its_kernel_nowhere() -> None:
    world = convolution()
    net, picture = world.nets["m"], world.inputs[0]
    kernel = net.layers[0].weight  # type: ignore[union-attr]
    before, _ = net.trace([int(v) for v in picture.ravel()], "real")
    wanted = [
        (kernel[k, 0] * picture[0, i : i + 2, j : j + 2]).sum() + net.layers[0].bias[k]  # type: ignore[union-attr]
        for k, i, j in itertools.product(range(2), range(2), range(2))
    ]
    assert [int(ball.center) for ball in before[0]] == [int(value) for value in wanted]


def test_tanh_to_many_digits() -> None:
    for value in (-40, -1, Fraction(1, 3), 0, 2, 300):
        assert math.isclose(float(tanh(value)), math.tanh(value), rel_tol=1e-15, abs_tol=1e-300)


def truth_of(world: World, arithmetic: str = "float32") -> Truth:
    prop = world.properties[0]
    return Truth(world, prop, arithmetic, prop.limit)


def test_rates_by_hand() -> None:
    """One neuron: class 1 where the pixel and the next one add up to more than 3; a tie at 3."""
    weight = np.array([[0] * 6, [2, 2, 0, 0, 0, 0]], np.float32)
    net = Net(("Flux.flatten", Dense(weight, np.array([6, 0], np.float32))), (1, 2, 3))
    inputs = np.array([[0, n, 0, 0, 0, 0] for n in range(4)]).reshape(-1, 1, 2, 3)
    world = World("hand", {"m": net}, inputs, (0,) * 4, (Property(SHARED, "rate", limit=Fraction(1, 2)),))
    truth = truth_of(world)
    (question,) = truth.questions
    assert truth.largest_rate("strict_sure") == Fraction(3, 4)
    assert truth.largest_rate("loose_sure") == 1, "the first input ties"
    assert (truth.may_certify(question), truth.may_falsify(question)) == (False, True)
    least = replace(truth, limit=Fraction(3, 4), memory={})
    assert (least.may_certify(question), least.may_falsify(question)) == (False, False), "only a tie is in the way"


def test_inputs_in_doubt() -> None:
    truth = truth_of(doubtful())
    assert truth.status == (DOUBT,) * 3 + (IN,) * 4
    assert [sorted(truth.may_be(n)) for n in (0, 3)] == [[DOUBT], [IN]]
    (question,) = truth.questions
    assert (question.sure, question.doubtful) == ((3, 4, 5, 6), (0, 1, 2))
    assert truth.need(0, 4) == 4
    assert truth.may_certify(question), "three of seven violate, if all of them count"
    strict = Truth(truth.world, truth.prop, "float32", Fraction(2, 5))
    assert not strict.may_certify(question), "three of seven are more than two of five"
    exact = Truth(truth.world, truth.prop, "real", Fraction(2, 5))
    assert exact.status == (IN,) * 7, "without rounding nothing is in doubt"


def test_ties_do_not_count_as_correct() -> None:
    net = Net(("Flux.flatten", Dense(np.zeros((2, 6), np.float32), np.zeros(2, np.float32))), (1, 2, 3))
    world = World("ties", {"m": net}, pictures(0, 2), (0, 0), (Property(SHARED, "rate", judge="m"),))
    truth = truth_of(world)
    assert truth.status == (OUT, OUT)
    assert truth.may_be(0) == {OUT, DOUBT}, "a checker that does not know that the sums are exact may be in doubt"


def test_a_continuous_value_is_looked_at_wherever_something_changes() -> None:
    net, inputs = flat(15, (6, 4, 3)), pictures(15, 4)
    asked = Property(SHARED, "rate", limit=Fraction(1, 2))
    truth = truth_of(World("line", {"m": net}, inputs, answers(net, inputs), (asked,), Patch(continuous=True)), "real")
    found = sorted(value for (value,) in truth.triggers(0))
    assert (found[0], found[-1]) == (0, 3)
    (question,) = truth.questions
    at = {value: truth.counts(question, (value,), "strict_sure") for value in found}
    for value in [Fraction(n, 97) for n in range(3 * 97)]:
        near = min(found, key=lambda known, value=value: abs(known - value))
        low, high = max(v for v in found if v <= value), min(v for v in found if v >= value)
        assert truth.counts(question, (value,), "strict_sure") in (at[low], at[high], at[near])


def test_clopper_pearson() -> None:
    for failures, total in ((0, 6), (2, 6), (5, 6), (1, 20)):
        exact = scipy.stats.beta.ppf(0.95, failures + 1, total - failures)
        for step, right in ((2e-6, True), (-2e-6, False)):
            bound = Fraction(round((exact + step) * 10**6), 10**6)
            assert follows(failures, total, bound, Fraction(1, 20)) is right
    assert follows(3, 3, Fraction(1), Fraction(1, 20))
    assert not follows(3, 3, Fraction(999_999, 10**6), Fraction(1, 20))


def test_ends_are_rounded_outward() -> None:
    assert end(Fraction(2, 97), True) == {"exact": "2/97", "hex": "0x1.51d07eae2f816p-6", "decimal": "0.020619"}
    assert end(Fraction(2, 97), False)["decimal"] == "0.020618"
    assert end(0, True) == {"exact": "0", "hex": "0x0.0p+0", "decimal": "0"}


TREE = [
    [[], ["b", 0, "1", "2"]],
    [[[[0], [0, 1]]]],
    ["a", [], ["i", [[0, 1], [1, 0]]], [[0, 0, [1]]]],
    [[], 0],
    [[], 1],
]


def test_trees_are_read_and_written() -> None:
    root = parse(copy.deepcopy(TREE))
    assert flatten(root) == TREE
    assert [node.how for node in root.walk() if not node.children] == [None, 0, 1]
    assert written_leaves([{"q": [], "tree": TREE}]) == 3
    for wrong in ([], TREE[:-1], [*TREE, [[]]], [[[], ["x"]]], 7):
        with pytest.raises(NoTreeError):
            parse(wrong)


LIMIT = Fraction(1, 3)


def section_of(world: World, truth: Truth, *trees: object) -> list[object]:
    """A section with one tree for each question."""
    (question,) = truth.questions
    rows = [[[[n, str(v)] for n, v in enumerate(p.coefficients) if v], "0", True] for p in every_part(truth)]
    header = {
        "inputs": list(question.selection),
        "placements": [[["row", 0], ["column", 0]]],
        "selections": [list(range(len(question.selection)))],
        "needs": [truth.need(0, len(question.sure))],
        "pairs": [[0, 0]],
        "rows": rows,
        "arithmetic": truth.arithmetic,
    }
    need = header["needs"][0]  # type: ignore[index]
    records = [{"q": [0, 0, 0, need], "v": "certified", "found": 0, "proved": need - 1, "tree": tree} for tree in trees]
    return [header, *records, {"end": {}}]


def every_part(truth: Truth) -> list[object]:
    found = [part for n in range(truth.world.count) for parts in truth.alternatives(n, 0) for part in parts]
    return list(dict.fromkeys(found))


def hand_made() -> tuple[World, Truth]:
    """Class 1 where the pixel is more than 1, a tie at 1; the labels are 0 and 1: only at the tie both are left."""
    weight = np.array([[0] * 6, [1, 0, 0, 0, 0, 0]], np.float32)
    net = Net(("Flux.flatten", Dense(weight, np.array([1, 0], np.float32))), (1, 2, 3))
    inputs = np.zeros((2, 1, 2, 3), dtype=int)
    asked = Property(SHARED, "rate", limit=Fraction(1, 2))
    world = World("judge", {"m": net}, inputs, (0, 1), (asked,), Patch(high=3))
    return world, truth_of(world)


LOW, HIGH = [[[[0], [0]]]], [[[[1], [1]]]]
"""Leaves: at 0 input 0 keeps its class (row 0 is below zero), at 2 and more input 1 does."""


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ([[[], ["b", 0, "0", "1"]], LOW, [[], ["b", 0, "1", "2"]], [[], 1], HIGH], ""),
        ([[[], ["b", 0, "1", "2"]], LOW, HIGH], "drop: input 0 may be met at (1,)"),
        ([[[], ["b", 0, "0", "2"]], LOW, HIGH], "split"),
        ([HIGH], "drop: input 1 may be met at (0,)"),
        ([[[[[0], [1]]]]], "form: a row of another alternative"),
        ([[[]]], "leaf: 2 inputs are left, 2 are needed"),
        ([[[], 0]], "leaf: it is open"),
        ([[[], ["n", 0, 0, 0]], [[]], [[]]], "split: there is no neuron"),
        ([[[], ["c", [[[[0, 0], [1, 0]], [["p", [[0, 0, 0, "1", [], []], [1, 0, 1, "1", [], []]]]]]]]]], "conflict"),
        ([[[], ["j", [["w", [], []]], [], ["0"]]]], "leaf: 2 inputs violate at (1,)"),
    ],
)
def test_the_judge_of_proofs(tree: list[object], why: str) -> None:
    world, truth = hand_made()
    found = judge(truth, section_of(world, truth, tree), {})
    assert found.why.startswith(why)
    assert found.accepted == (not why)
    assert found.unrechecked == (not why)


def test_the_judge_wants_every_question_answered_once() -> None:
    world, truth = hand_made()
    good = [[[], ["b", 0, "0", "1"]], LOW, [[], 1]]
    assert judge(truth, section_of(world, truth, good), {}).accepted
    assert judge(truth, section_of(world, truth), {}).why.startswith("question: 1 have no answer")
    assert judge(truth, section_of(world, truth, good, good), {}).why.startswith("question")
    lines = section_of(world, truth, good)
    lines[1]["proved"] = 0  # type: ignore[index]
    assert judge(truth, lines, {}).why.startswith("proved")


def test_drawn_worlds_are_the_same_each_time() -> None:
    one, two = (drawn(7, "balanced", Property(SINGLE, "each", judge="m")) for _ in range(2))
    assert one.spec() == two.spec()
    assert (one.inputs == two.inputs).all()
