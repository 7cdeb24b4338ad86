"""A small image problem with outcomes of every kind."""

from fractions import Fraction

import numpy as np

from verifluxa.errors import Span
from verifluxa.evidence import NOTHING_FOUND, Outcome, Strongest, Witness
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine, Reshape
from verifluxa.question import AffineInputMap, Domain, OutputConstraints, Placement, Problem, Question, Violation
from verifluxa.result.build import PropertyQuery, Spent, property_result
from verifluxa.result.result import DataUsed, FileUsed, Machine, ModelUsed, Properties, Result
from verifluxa.verdict import Reason, Verdict

SIZE = 4
DIGESTS = ["sha256:" + digit * 64 for digit in "23456789"]


def image_problem(channels: int = 1, per_input: bool = False) -> Problem:
    """4x4 images, a 2x3 patch at two places, two classes: class 1 where the sum of the last row is large."""
    shape = (channels, SIZE, SIZE)
    flat = np.arange(np.prod(shape)).reshape(shape)
    weight = np.zeros((2, flat.size), dtype=np.float32)
    weight[1, flat[:, SIZE - 1, :].reshape(-1)] = 1.0
    placements = []
    for row, column in ((0, 1), (2, 0)):
        positions = flat[:, row : row + 2, column : column + 3].reshape(-1)
        size = len(positions)
        stamp = AffineInputMap(positions, np.zeros(size), np.eye(size), np.zeros(size))
        placements.append(Placement((("row", row), ("column", column)), stamp))
    d = 6 * channels
    inputs = np.zeros((3, *shape))
    inputs[:, :, 0, :] = np.arange(3)[:, None, None]
    selections = tuple(np.array([i]) for i in range(3)) if per_input else (np.arange(3),)
    return Problem(
        name="no_trigger",
        digest="sha256:" + "1" * 64,
        graph=chain(shape, [Reshape((-1,)), Affine(weight, np.array([100.0, 0.0], dtype=np.float32))]),
        inputs=inputs,
        labels=np.zeros(3, dtype=np.int64),
        indices=(4, 7, 9),
        excluded=((5, "not correct"), (6, "label is 3")),
        placements=tuple(placements),
        domain=Domain(np.zeros(d), np.full(d, 255.0), np.ones(d)),
        constraints=OutputConstraints(np.array([[-1.0, 1.0]]), np.zeros(1), np.array([True])),
        violations=(Violation("target 1", 1, (((0,),), ((0,),))),),
        selections=selections,
        thresholds=(1, 1, 1) if per_input else (2,),
        pairs=tuple((0, s) for s in range(len(selections))),
        per_input=per_input,
    )


def falsified_outcomes() -> list[Outcome]:
    """The first placement is certified, the second one falsified by an asymmetric trigger."""
    trigger = np.array([1.0, 2.0, 3.0, 40.0, 50.0, 60.5])
    witness = Witness(trigger, (0, 2), (0.75, 0.25), 2)
    return [
        Outcome(Question(0, 0, 0, 2), Verdict.CERTIFIED, None, NOTHING_FOUND, 1, stage="crown", boxes=1, seconds=0.5),
        Outcome(Question(1, 0, 0, 2), Verdict.FALSIFIED, None, Strongest(2), 3, witness, "attack", seconds=0.0),
    ]


def unknown_outcomes() -> list[Outcome]:
    """The first placement is certified, the second one ran out of time."""
    return [
        Outcome(Question(0, 0, 0, 2), Verdict.CERTIFIED, None, NOTHING_FOUND, 1, stage="crown", boxes=1, seconds=0.5),
        Outcome(
            Question(1, 0, 0, 2), Verdict.UNKNOWN, Reason.TIME, Strongest(1), 3, stage="branch", boxes=9, seconds=2.0
        ),
    ]


def certified_outcomes() -> list[Outcome]:
    """Both placements are certified."""
    return [
        Outcome(Question(p, 0, 0, 2), Verdict.CERTIFIED, None, Strongest(p), 1, stage="crown", boxes=1, seconds=0.5)
        for p in range(2)
    ]


def per_input_outcomes(problem: Problem) -> list[Outcome]:
    """Input 4 safe everywhere, input 7 flipped at one place, input 9 open at one place."""
    witness = Witness(np.zeros(6), (1,), (0.5,), 1)
    special = {(1, 1): (Verdict.FALSIFIED, None, witness), (0, 2): (Verdict.UNKNOWN, Reason.NODES, None)}
    outcomes = []
    for question in problem.all_questions():
        verdict, reason, found = special.get((question.placement, question.selection), (Verdict.CERTIFIED, None, None))
        outcomes.append(
            Outcome(question, verdict, reason, Strongest(int(found is not None)), 1, found, "crown", 1, 0.1)
        )
    return outcomes


def result_of(problem: Problem, outcomes: list[Outcome], classes: tuple[str, ...] = ("zero", "one")) -> Result:
    """A whole result with one property."""
    limit = None if problem.per_input else Fraction(1, 2)
    words = "No single 2 x 3 px patch sends more than 50 % of the inputs of `eval` to class 1."
    asked = PropertyQuery("no_trigger", words, Span("a/spec.vfx", 20, 1, 24, 2), DIGESTS[0], limit, classes)
    digits = FileUsed("digits", "a/m.jld2", DIGESTS[2])
    architecture = FileUsed("digits", "a/architecture.txt", DIGESTS[4])
    excluded = ((5, "not correct"), (6, "label is 3"))
    return Result(
        version="0.1.0",
        spec=FileUsed("spec", "a/spec.vfx", DIGESTS[1]),
        params=(("max_rate", Fraction(1, 2)),),
        models=(ModelUsed(digits, DIGESTS[3], "jld2", "0.16", "float32", architecture),),
        data=(DataUsed(FileUsed("eval", "a/d.npz", DIGESTS[5]), 3, excluded),),
        strategy=("balanced", DIGESTS[6]),
        arithmetic="real",
        properties=Properties((property_result(asked, problem, outcomes, Spent(0.25, 1.0)),)),
        machine=Machine("laptop", 1, "cpu"),
    )
