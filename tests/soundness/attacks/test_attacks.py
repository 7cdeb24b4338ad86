"""Published and home-made attacks on verifiers: in the deployed arithmetic none of them is ever certified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from tests.soundness.attacks.attack import Attack, Setting, deployed, met, stamped, truth, untouched, violating
from tests.soundness.attacks.bisect_here import at_the_edge
from tests.soundness.attacks.catalogue import everything, made, sample
from tests.soundness.attacks.deploy import EVERY
from tests.soundness.build import dense, mlp
from tests.soundness.cases import one_pixel, square
from tests.soundness.engine import STRATEGIES, TRICKS, answer, strategy
from tests.soundness.floats import evaluate
from tests.soundness.judge import check_shape, on_grid
from tests.soundness.truth import grid
from verifluxa.evidence import Outcome
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Reshape
from verifluxa.question import Problem, Question
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import METHODS, BoundStage, Strategy
from verifluxa.verdict import Verdict

SAMPLE, ALL = list(sample()), list(everything())
HOW = (*STRATEGIES, *TRICKS, *(f"{method} bounds" for method in METHODS))
CHEAP = ("quick without attack", "balanced without attack", *(f"{method} bounds" for method in METHODS))
FEW = 40
"""Boxes that a question may cost: more than twice the levels of the trigger in the sample."""
KINDS = (
    *("Zombori, ", "Zombori mirrored", "Szasz Precision", "Szasz Order1", "Szasz Order2", "Szasz Order3", "Jia-Rinard"),
    *("folding: BatchNorm", "folding: dense and dense", "folding: encode and dense", "encode near level"),
    *("constant input", "detector on padding", "detector outside the window", "huge weights", "subnormal"),
    *("overflow to Inf", "overflow between", "NaN by Inf - Inf", "minus zero", "tie of logits", "tie by softmax"),
)
NO_TWIN = ("Zombori, ", "Szasz Order1", "Jia-Rinard", "minus zero", "tie of logits")
"""What violates exactly, or cannot be made harmless by one number."""


@cache
def named(how: str) -> Strategy:
    """A strategy of the library or a variant, or one bounds method alone."""
    method = how.removesuffix(" bounds")
    if method == how:
        return strategy(how, FEW)
    return replace(strategy("balanced"), stages=(BoundStage(method),))


def ask(problem: Problem, question: Question, how: str) -> Outcome:
    """The outcome of one question."""
    (outcome,) = decide(problem, [question], named(how))
    return outcome


def check_never_certified(attack: Attack, how: str) -> None:
    """Unknown or falsified, and a falsification can be replayed."""
    outcome = ask(attack.deployed, attack.question, how)
    assert outcome.verdict is not Verdict.CERTIFIED, attack.why
    check_shape(outcome)
    if outcome.verdict is Verdict.FALSIFIED:
        check_witness(attack, outcome)


def check_witness(attack: Attack, outcome: Outcome) -> None:
    """The trigger is legal, and the deployed run leaves the inputs' classes strictly."""
    problem, witness = attack.deployed, outcome.witness
    assert witness is not None
    assert on_grid(problem.domain, tuple(Fraction(float(value)) for value in witness.trigger))
    outputs = problem.graph.run(stamped(problem, [witness.trigger.tolist()]))
    assert met(problem, outputs, 1, strict=True).sum() >= attack.question.threshold


def check_deceives(attack: Attack) -> None:
    """The test of the test: what is wrong deployed cannot be seen exactly (or in the bounds of a plain verifier)."""
    need = attack.question.threshold
    assert violating(attack.problem, [attack.trigger], attack.how)[0].sum() >= need
    assert not attack.quiet or not untouched(attack.problem, attack.how).any()
    exactly = truth(attack.problem)
    if attack.plain is None:
        assert exactly.most < need
    else:
        points = [[float(value) for value in point] for point in grid(attack.problem.domain)]
        assert violating(attack.problem, points, attack.plain).sum(axis=1).max() < need
        assert exactly.strict >= need
    verdict = ask(attack.problem, attack.question, "balanced without attack").verdict
    assert verdict is not (Verdict.FALSIFIED if attack.plain is None else Verdict.CERTIFIED)
    assert verdict is Verdict.CERTIFIED or not attack.proved


def check_twin(attack: Attack) -> None:
    """Without its dangerous number the network is proved as deployed, and no evaluation misbehaves."""
    assert attack.twin is not None
    twin = deployed(attack.twin)
    assert ask(twin, next(twin.all_questions()), "balanced without attack").verdict is Verdict.CERTIFIED
    check_sound(twin, random=3)


def check_sound(problem: Problem, random: int) -> None:
    """No named and no random evaluation violates anywhere on the grid."""
    points = [[float(value) for value in point] for point in grid(problem.domain)]
    question = next(problem.all_questions())
    for how in EVERY[: len(EVERY) if problem.graph.dtype == "float32" else -2]:
        assert violating(problem, points, how).sum(axis=1).max() < question.threshold, how
    if problem.graph.dtype == "float32" and problem.readout == -1:
        inputs, generator = stamped(problem, points), np.random.default_rng(5)
        for _ in range(random):
            outputs = evaluate(problem.graph, inputs, generator)
            assert met(problem, outputs, len(points)).sum(axis=1).max() < question.threshold


@pytest.mark.parametrize("name", SAMPLE)
def test_real_arithmetic_is_deceived(name: str) -> None:
    check_deceives(made(name))


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("how", CHEAP)
def test_never_certified_with_the_attack_off(name: str, how: str) -> None:
    check_never_certified(made(name), how)


@pytest.mark.parametrize("name", SAMPLE[::3])
@pytest.mark.parametrize("how", ["quick", "balanced", "attack-only", "every trick"])
def test_never_certified_by_strategies(name: str, how: str) -> None:
    check_never_certified(made(name), how)


@pytest.mark.parametrize("name", SAMPLE[1::6])
@pytest.mark.parametrize("how", ["exact-small", "exact-small without attack"])
def test_never_certified_by_a_solver(name: str, how: str) -> None:
    check_never_certified(made(name), how)


@pytest.mark.parametrize("name", [name for name in SAMPLE if not name.startswith(NO_TWIN)])
def test_the_harmless_twin_is_proved(name: str) -> None:
    check_twin(made(name))


@pytest.mark.soak
@pytest.mark.parametrize("name", ALL)
def test_real_arithmetic_is_deceived_at_all_sizes(name: str) -> None:
    attack = made(name, whole=True)
    check_deceives(attack)
    assert (attack.twin is None) == name.startswith(NO_TWIN)
    if attack.twin is not None:
        check_twin(attack)


@pytest.mark.soak
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", HOW)
def test_never_certified_at_all_sizes(name: str, how: str) -> None:
    check_never_certified(made(name, whole=True), how)


def check_bisected(setting: Setting, target: int, random: int) -> None:
    """Where this verifier's own proof only just holds, the exact lead is below zero and no evaluation crosses it.

    The proof gives away some 0.01 of logits of some 30, Higham's worst case.
    """
    problem, lead = at_the_edge(setting, target)
    assert -0.05 < lead < 0
    check_sound(problem, random)


def test_bisected_against_this_verifier() -> None:
    check_bisected(Setting("small", step=51), 3, random=20)


@pytest.mark.soak
@pytest.mark.parametrize("host", ["small", "large", "conv"])
@pytest.mark.parametrize("target", [1, 2, 3, 4, 5])
def test_bisected_against_this_verifier_everywhere(host: str, target: int) -> None:
    check_bisected(Setting(host, step=17), target, random=200)


def test_every_kind_is_in_the_list() -> None:
    for kind in KINDS:
        assert any(name.startswith(kind) for name in ALL), kind


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["weight", "bias"])
@pytest.mark.parametrize("how", CHEAP)
def test_weights_that_are_no_numbers_prove_nothing(value: float, place: str, how: str) -> None:
    weight, bias = [[0.0], [-1.0]], [0.0, -1.0]
    if place == "weight":
        weight[0][0] = value
    else:
        bias[0] = value
    problem = deployed(one_pixel(chain((1, 1, 1), [Reshape((-1,)), dense(weight, bias)]), square(1, 4)))
    outcome = answer(problem, next(problem.all_questions()), how, FEW) if how in STRATEGIES else None
    outcome = outcome or ask(problem, next(problem.all_questions()), how)
    assert outcome.verdict is not Verdict.CERTIFIED


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([1.0, 0.0], False),
        ([0.0, 0.0], True),
        ([0.0, -0.0], True),
        ([0.0, np.nan], True),
        ([np.nan, 0.0], True),
        ([np.inf, np.inf], True),
        ([np.inf, 0.0], False),
    ],
)
def test_ties_and_nan_count_as_violations(outputs: Sequence[float], expected: bool) -> None:
    problem = one_pixel(mlp((1, 1, 1), ([[0.0], [1.0]], None)), square(1, 4))
    assert met(problem, np.array([outputs]), 1).item() is expected
