"""The checker's own lowering against the engine's; inputs in doubt; constants that are rounded once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.certificate.scenes import Shape, scene
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.lower import Claim, claim_of, rounded
from verifluxa.graph import ops
from verifluxa.graph.graph import chain
from verifluxa.lower import Given, lower
from verifluxa.question import Problem
from verifluxa.spec.spec import PerInput, RateBound

SHAPES = [
    Shape(),
    Shape("cnn", "leakyrelu"),
    Shape("pool", "tanh", channels=2),
    Shape("cnn", "clip", layout="hwcn", channels=2),
    Shape("pool", "sigmoid", softmax=True),
]


@pytest.mark.parametrize("shape", [*SHAPES, Shape(targeted=False), Shape(per_input=True)], ids=str)
def test_both_lowerings_agree(shape: Shape) -> None:
    found = scene(4, shape)
    claim, problem = found.claim(), found.problem
    assert claim.indices == problem.indices
    assert set(claim.excluded) == {index for index, _ in problem.excluded}
    assert claim.needs == problem.needs
    assert claim.pairs == problem.pairs
    assert [tuple(item) for item in problem.selections] == [tuple(item) for item in claim.selections]
    for positions, placement in zip(claim.positions, problem.placements, strict=True):
        assert np.array_equal(positions, placement.stamp.positions)
    for mine, theirs in zip(claim.violations, problem.violations, strict=True):
        for alternatives, rows in zip(mine, theirs.by_label, strict=True):
            assert named_rows(problem, rows) == pairs_of(claim, alternatives)
    inputs = found.data.inputs
    assert found.sources.models["net"].digest == problem.graph.digest
    assert np.array_equal(found.sources.models["net"].run(inputs), problem.graph.run(inputs))
    assert np.allclose(problem.rows.constants, claim.constants[:, 2])


def pair_of(row: Floats) -> tuple[int, int]:
    return int(row.argmax()), int(row.argmin())


def named_rows(problem: Problem, rows: tuple[tuple[int, ...], ...]) -> list[list[tuple[int, int]]]:
    return [[pair_of(problem.rows.coefficients[row]) for row in item] for item in rows]


def pairs_of(claim: Claim, alternatives: tuple[tuple[int, ...], ...]) -> list[list[tuple[int, int]]]:
    return [[pair_of(claim.weight[row]) for row in item] for item in alternatives]


def test_per_input_statements_with_classes() -> None:
    found = scene(4, Shape(per_input=True))
    statement = found.prop.statement
    assert isinstance(statement, PerInput)
    for changed in (replace(statement, expected=1), replace(statement, targets=(0, 2))):
        prop = replace(found.prop, statement=changed)
        problem = lower(found.spec, prop, Given(found.graph, found.data, "sha256:" + "d" * 64, "float32"))
        claim = claim_of(changed, found.sources, problem.indices)
        for alternatives, rows in zip(claim.violations[0], problem.violations[0].by_label, strict=True):
            assert named_rows(problem, rows) == pairs_of(claim, alternatives)


def test_an_input_in_doubt_may_count_or_not() -> None:
    """Two classes within the error of evaluation: the frozen list decides, and it is said."""
    weight = np.zeros((2, 64), dtype=np.float32)
    weight[0, 0], weight[1, 1] = 1.0, 1.0
    found = scene(1, Shape())
    network = chain((1, 8, 8), [ops.Reshape((-1,)), ops.Affine(weight)])
    pictures = np.zeros((3, 1, 8, 8))
    pictures[0, 0, 0, 0], pictures[1:, 0, 0, 1] = 5.0, 5.0
    data = replace(found.data, inputs=pictures, labels=np.zeros(3, dtype=np.int64))
    sources = replace(found.sources, data=data, models={"net": network})
    statement = found.prop.statement
    assert isinstance(statement, RateBound)
    statement = replace(statement, targets=(1,))
    assert claim_of(statement, sources, ()).doubtful == ()
    close = np.zeros((3, 1, 8, 8))
    close[:, 0, 0, 0] = 1.0
    close[:, 0, 0, 1] = [1.0 - 2.0**-26, 0.5, 2.0]
    sources = replace(sources, data=replace(data, inputs=close))
    for frozen in ((0, 1), (1,)):
        claim = claim_of(statement, sources, frozen)
        assert claim.indices == frozen
        assert claim.doubtful == (0,)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (Fraction(1, 10), "float32", float(np.float32(0.1))),
        (Fraction(1, 10), "float64", 0.1),
        (Fraction(2**24 + 1), "float32", 2.0**24),
        (1 + Fraction(1, 2**24) + Fraction(1, 2**60), "float32", 1 + 2.0**-23),
        (Fraction(-255), "float32", -255.0),
    ],
)
def test_constants_are_rounded_once(value: Fraction, dtype: str, expected: float) -> None:
    """The fourth is the classic case that rounding to double first gets wrong."""
    assert rounded(value, dtype) == expected
