"""The checker's own lowering against the engine's; inputs in doubt; constants that are rounded once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.certificate.scenes import Shape, scene, stated_of
from verifluxa.asking import untouched
from verifluxa.certificate.check.claim import Claim, Share, Sources, Stated, claim_of, rounded
from verifluxa.certificate.check.functions import Floats
from verifluxa.data.dataset import DOUBTFUL, NOT_CORRECT, OTHER_LABEL
from verifluxa.errors import CertificateError
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
    assert (claim.indices, claim.counted) == (problem.indices, problem.counted)
    assert claim.excluded == problem.excluded
    assert claim.names == tuple(violation.label for violation in problem.violations)
    assert claim.needs == problem.thresholds
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
    assert np.allclose(problem.constraints.constants, claim.constants[:, 2])


def pair_of(row: Floats) -> tuple[int, int]:
    return int(row.argmax()), int(row.argmin())


def named_rows(problem: Problem, rows: tuple[tuple[int, ...], ...]) -> list[list[tuple[int, int]]]:
    return [[pair_of(problem.constraints.coefficients[row]) for row in item] for item in rows]


def pairs_of(claim: Claim, alternatives: tuple[tuple[int, ...], ...]) -> list[list[tuple[int, int]]]:
    return [[pair_of(claim.weight[row]) for row in item] for item in alternatives]


def test_per_input_statements_with_classes() -> None:
    found = scene(4, Shape(per_input=True))
    statement = found.prop.statement
    assert isinstance(statement, PerInput)
    for changed in (replace(statement, expected=1), replace(statement, targets=(0, 2))):
        prop = replace(found.prop, statement=changed)
        problem = lower(
            found.spec, prop, Given(found.graph, found.data, "sha256:" + "d" * 64, "float32", untouched=untouched)
        )
        claim = claim_of(changed, found.sources, stated_of(problem))
        assert claim.names == tuple(violation.label for violation in problem.violations)
        for alternatives, rows in zip(claim.violations[0], problem.violations[0].by_label, strict=True):
            assert named_rows(problem, rows) == pairs_of(claim, alternatives)


def in_doubt(**changes: Any) -> tuple[RateBound, Sources]:
    """Three inputs with label 0: the first is right in some evaluations, the second in all, the third in none."""
    weight = np.zeros((2, 64), dtype=np.float32)
    weight[0, 0], weight[1, 1] = 1.0, 1.0
    found = scene(1, Shape())
    network = chain((1, 8, 8), [ops.Reshape((-1,)), ops.Affine(weight)])
    pictures = np.zeros((3, 1, 8, 8))
    pictures[:, 0, 0, 0] = 1.0
    pictures[:, 0, 0, 1] = [1.0 - 2.0**-24, 0.5, 2.0]
    data = replace(found.data, inputs=pictures, labels=np.zeros(3, dtype=np.int64))
    statement = found.prop.statement
    assert isinstance(statement, RateBound)
    statement = replace(statement, targets=(1,), limit=Fraction(1, 2), **changes)
    return statement, replace(found.sources, data=data, models={"net": network})


def test_what_is_claimed_holds_whether_an_input_in_doubt_counts_or_not() -> None:
    claim = claim_of(*in_doubt(), Stated((0, 1), (0,)))
    assert (claim.indices, claim.counted, claim.surely.tolist()) == ((0, 1), (1,), [False, True])
    assert claim.excluded == ((0, DOUBTFUL), (2, NOT_CORRECT))
    assert claim.needs == (1,), "one of one, not two of two"
    assert claim.shares == (Share(stated=1, surely=1, most=2, left_out=0),)
    assert claim.unjudged == 0


@pytest.mark.parametrize(("asked", "share"), [((0, 1), Share(2, 1, 2, 0)), ((1,), Share(1, 1, 2, 1))])
def test_what_the_evidence_says_of_an_input_in_doubt_is_not_believed(asked: tuple[int, ...], share: Share) -> None:
    claim = claim_of(*in_doubt(), Stated(asked))
    assert claim.shares == (share,)
    assert claim.unjudged == 1


def test_in_real_arithmetic_nothing_is_in_doubt_that_is_so_in_float32_alone() -> None:
    statement, sources = in_doubt()
    sources = replace(sources, arithmetic="real")
    claim = claim_of(statement, sources, Stated((0, 1)))
    assert (claim.counted, claim.unjudged, claim.shares) == ((0, 1), 0, (Share(2, 2, 2, 0),))
    with pytest.raises(CertificateError, match="input 0 is said"):
        claim_of(statement, sources, Stated((1,)))


@pytest.mark.parametrize(
    "stated",
    [
        Stated((0,), (0,)),
        Stated((0, 1, 2), (0,)),
        Stated((1, 0), (0,)),
        Stated((1, 1)),
        Stated((1, 3)),
        Stated((1,), (0,)),
        Stated((0, 1), (0, 0)),
        Stated((0, 1), (0, 1)),
    ],
)
def test_other_inputs_than_those_that_count_are_refused(stated: Stated) -> None:
    with pytest.raises(CertificateError, match="VF5052"):
        claim_of(*in_doubt(), stated)


def test_doubt_is_no_excuse_for_inputs_that_do_not_count_for_another_reason() -> None:
    statement, sources = in_doubt()
    data = replace(sources.data, labels=np.array([1, 0, 0]))
    statement = replace(statement, selection=replace(statement.selection, labels=(0,)))
    sources = replace(sources, data=data)
    assert claim_of(statement, sources, Stated((1,))).excluded == ((0, OTHER_LABEL), (2, NOT_CORRECT))
    with pytest.raises(CertificateError, match="VF5052"):
        claim_of(statement, sources, Stated((0, 1), (0,)))


def test_a_judge_that_cannot_be_recomputed_leaves_every_input_open() -> None:
    """The evidence chose which of them count: a limit of 0 % held for those that it took."""
    statement, sources = in_doubt()
    weight = np.zeros((2, 64), dtype=np.float32)
    judge = chain((1, 8, 8), [ops.Reshape((-1,)), ops.Affine(weight), ops.Activation("trelu")])
    statement = replace(statement, selection=replace(statement.selection, correct="judge"))
    sources = replace(sources, models={**sources.models, "judge": judge})
    for asked in ((0,), (1, 2), (0, 1, 2)):
        claim = claim_of(statement, sources, Stated(asked))
        assert claim.unjudged == 3
        assert claim.shares == (Share(len(asked), 0, 3, 3 - len(asked)),)


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
