"""A small image problem with outcomes of every kind."""

import numpy as np
import pytest

from verifluxa.evidence import Outcome, Witness
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine, Reshape
from verifluxa.question import Domain, Placement, Problem, Question, Rows, Stamp, Violation
from verifluxa.verdict import Reason, Verdict

SIZE = 4


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
        stamp = Stamp(positions, np.zeros(size), np.eye(size), np.zeros(size))
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
        rows=Rows(np.array([[-1.0, 1.0]]), np.zeros(1), np.array([True])),
        violations=(Violation("target 1", 1, (((0,),), ((0,),))),),
        selections=selections,
        needs=(1, 1, 1) if per_input else (2,),
        pairs=tuple((0, s) for s in range(len(selections))),
        per_input=per_input,
    )


@pytest.fixture
def problem() -> Problem:
    return image_problem()


@pytest.fixture
def per_input_problem() -> Problem:
    return image_problem(per_input=True)


@pytest.fixture
def falsified(problem: Problem) -> list[Outcome]:
    """The first placement is certified, the second one falsified by an asymmetric trigger."""
    trigger = np.array([1.0, 2.0, 3.0, 40.0, 50.0, 60.5])
    witness = Witness(trigger, (0, 2), (0.75, 0.25), 2)
    return [
        Outcome(Question(0, 0, 0, 2), Verdict.CERTIFIED, None, 0, 1, stage="crown", boxes=1, seconds=0.5),
        Outcome(Question(1, 0, 0, 2), Verdict.FALSIFIED, None, 2, 3, witness, "attack", seconds=0.0),
    ]


@pytest.fixture
def open_outcomes(problem: Problem) -> list[Outcome]:
    return [
        Outcome(Question(0, 0, 0, 2), Verdict.CERTIFIED, None, 0, 1, stage="crown", boxes=1, seconds=0.5),
        Outcome(Question(1, 0, 0, 2), Verdict.UNKNOWN, Reason.TIME, 1, 3, stage="branch", boxes=9, seconds=2.0),
    ]
