"""With the attack stage taken away, nothing that is known to be falsifiable becomes certified.

The networks are too large to enumerate. What is known of them comes from triggers that the tests find
themselves; the proofs are confronted with the worst of those.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.soundness.build import Ask, Family, digested, levels, make_problem, patch
from tests.soundness.climb import CLEARLY, Climbed, FloatOracle, climb
from tests.soundness.engine import TRICKS, answer
from tests.soundness.judge import judge
from tests.soundness.tree import check_tree
from tests.soundness.truth import grid
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation, Affine, Conv, Divide, MaxPool, Op, Reshape
from verifluxa.question import Problem, Question
from verifluxa.verdict import Verdict

WITHOUT = (
    *("quick without attack", "balanced without attack", "exact-small without attack", "thorough without attack"),
    *TRICKS,
)
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
FEW, MANY = 15, 300
"""Boxes that a question may cost, in the short and in the long version."""


def trained_like(seed: int) -> Problem:
    """A random network of ordinary size: 6 x 6 images, a 3 x 3 or 2 x 2 patch of 256 levels, twelve inputs."""
    random = np.random.default_rng(seed)
    shape, size = (1, 6, 6), (3, 3) if seed % 2 else (2, 2)
    ops: list[Op] = [Divide(np.array(255.0, np.float32))]
    features = 36
    if seed % 3 == 0:
        kernel = random.standard_normal((3, 1, 3, 3)).astype(np.float32)
        ops += [Conv(kernel, None, (1, 1), (1, 1), (1, 1), (1, 1)), Activation("relu")]
        ops += [MaxPool((2, 2), (2, 2), (0, 0), (0, 0))] if seed % 2 else []
        features = 27 if seed % 2 else 108
    ops.append(Reshape((-1,)))
    for width in (12, 8, 4):
        weight = random.standard_normal((width, features)) * 1.5 / np.sqrt(features)
        ops += [
            Affine(weight.astype(np.float32), random.standard_normal(width).astype(np.float32) / 4),
            Activation("relu"),
        ]
        features = width
    images = random.integers(0, 256, (12, *shape)).astype(float)
    graph = chain(shape, ops[:-1])
    labels = graph.run(images).argmax(1).tolist()
    place = (int(random.integers(0, 7 - size[0])), int(random.integers(0, 7 - size[1])))
    family = Family((patch(shape, size, place),), levels(size[0] * size[1], 0, 255))
    ask = Ask() if seed % 4 else Ask(targets=((labels[0] + 1) % 4,))
    return make_problem(graph, images, labels, family, ask)


def confront(problem: Problem, question: Question, climbed: Climbed, names: tuple[str, ...], boxes: int = FEW) -> None:
    """The question that `climbed` refutes must not be certified; the next harder ones only with trees that hold."""
    oracle = FloatOracle(problem)
    points = climbed.points(60)
    for name in names:
        if climbed.most:
            refuted = answer(problem, question._replace(threshold=climbed.most), name, boxes)
            assert refuted.verdict is not Verdict.CERTIFIED
            assert refuted.proved >= climbed.most
        for more in (1, 3):
            outcome = answer(problem, question._replace(threshold=climbed.most + more), name, boxes)
            assert outcome.proved >= climbed.most
            if outcome.verdict is Verdict.CERTIFIED:
                check_tree(problem, outcome, points, oracle)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks(seed: int) -> None:
    problem = trained_like(seed)
    (question,) = problem.all_questions()
    climbed = climb(FloatOracle(problem), question, np.random.default_rng(seed))
    confront(problem, question, climbed, WITHOUT[:4] if seed % 2 else WITHOUT[4:])


def coarse(seed: int) -> Problem:
    """The same networks on so few levels that the domain can be enumerated: 6^4 or 2^9 points."""
    problem = trained_like(seed)
    size = len(problem.domain.lower)
    return digested(replace(problem, domain=levels(size, 0, 255, 255 if size == 9 else 51)))


def judge_coarse(seed: int, names: tuple[str, ...], boxes: int) -> None:
    """Needs at the exact count and above it, where joint closings and strips are at work, against enumeration."""
    problem = coarse(seed)
    oracle, (question,) = FloatOracle(problem), problem.all_questions()
    points = list(grid(problem.domain))
    truth = oracle.truth(question)
    for name in names:
        for more in (0, 1, 2):
            need = min(truth.most + more, len(problem.labels) + 1) or 1
            outcome = answer(problem, question._replace(threshold=need), name, boxes)
            judge(problem, outcome, replace(truth, need=need), points, oracle)


@pytest.mark.parametrize("seed", range(4))
def test_coarse_domains_of_ordinary_networks(seed: int) -> None:
    judge_coarse(seed, ("every trick", "joint step alone") if seed % 2 else ("balanced", "strips alone"), 20)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4, 200))
def test_many_coarse_domains(seed: int) -> None:
    judge_coarse(seed, ("balanced", *WITHOUT), MANY)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4, 100))
def test_many_random_networks(seed: int) -> None:
    problem = trained_like(seed)
    (question,) = problem.all_questions()
    climbed = climb(FloatOracle(problem), question, np.random.default_rng(seed), starts=200, rounds=4)
    confront(problem, question, climbed, WITHOUT, MANY)


@cache
def digits(model: str, arithmetic: str) -> Problem:
    """The example's property about one of its models; the convolutional ones have a spec of their own."""
    from verifluxa.inputs import Choice
    from verifluxa.verify import Request, prepare

    choice = Choice(models={"digits": str(DIGITS / model)})
    spec = "no_backdoor_cnn.vfx" if "_cnn" in model else "no_backdoor.vfx"
    request = Request(str(DIGITS / spec), choice, arithmetic=arithmetic)
    (ready,) = prepare(request).ready
    assert ready.problem is not None
    return ready.problem


def question_at(problem: Problem, row: int, column: int, target: int) -> Question:
    """The question about one place and target."""
    labels = [placement.label for placement in problem.placements]
    place = labels.index((("row", row), ("column", column)))
    return problem.questions(place)[[violation.target for violation in problem.violations].index(target)]


def planted(problem: Problem, row: int, column: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Patches at a place that show the part of the planted white square (24..26) in it, on black and on white."""
    down, right = np.indices((3, 3))
    white = ((down + row >= 24) & (right + column >= 24)).ravel()
    return np.stack([np.where(white, 255.0, 0.0), np.full(9, 255.0), np.where(white, 255.0, 128.0)])


@pytest.mark.parametrize("arithmetic", ["real", "float32"])
def test_planted_triggers_of_the_digit_example(arithmetic: str) -> None:
    """At all sixteen places that overlap the planted square, a count that a trigger reaches is never excluded."""
    problem = digits("badnets.jld2", arithmetic)
    oracle = FloatOracle(problem)
    reached = []
    for row in range(22, 26):
        for column in range(22, 26):
            question = question_at(problem, row, column, 7)
            triggers = planted(problem, row, column)
            count = int((oracle.margins(question, triggers) > CLEARLY).sum(axis=1).max())
            reached.append(count)
            for name in WITHOUT[:2]:
                outcome = answer(problem, question._replace(threshold=max(count, 1)), name, 6)
                assert outcome.verdict is not Verdict.CERTIFIED or count == 0
                assert outcome.proved >= count
    assert max(reached) > 80, "the planted trigger must show at its own place"


@pytest.mark.parametrize(("row", "column", "target"), [(12, 12, 2), (7, 23, 5)])
def test_certificates_of_the_clean_digit_example_stand_up(row: int, column: int, target: int) -> None:
    """Hard questions of the clean model against the worst triggers that climbing finds."""
    problem = digits("clean.jld2", "real")
    oracle, question = FloatOracle(problem), question_at(problem, row, column, target)
    climbed = climb(oracle, question, np.random.default_rng(row), starts=16)
    confront(problem, question, climbed, ("balanced without attack",))
