"""Sums of planes whose number and weights the evidence chooses: never below what they are in exact arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.certificate.scenes import Shape, random_layers, scene
from verifluxa.certificate.check.clipped_cases import summed
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.joint import _bounds, _Scaled
from verifluxa.certificate.check.region import LinearBounds, Regions
from verifluxa.certificate.check.section import Section
from verifluxa.errors import CertificateError
from verifluxa.evidence import Case, Conflict, Conflicts, FarkasTerm, Joint, JointClosing, Node, WeightedTerm
from verifluxa.graph import ops
from verifluxa.verdict import Verdict


def largest(lower: list[float], upper: list[float], planes: LinearBounds, weight: Floats) -> tuple[Fraction, Fraction]:
    """What `summed` says of one sum on a box, and what it is."""
    none = np.zeros((0, len(lower)))
    regions = Regions(np.array([lower]), np.array([upper]), none, np.zeros((1, 0)), np.zeros((1, 0)))
    checker: Any = SimpleNamespace(bounder=SimpleNamespace(regions=regions))
    number = np.zeros(len(weight), dtype=np.int64)
    (most,) = summed(checker, planes, weight, number, np.array([0]))[1]
    exact = [Fraction(float(part)) for part in weight]
    value = sum((w * Fraction(float(v)) for w, v in zip(exact, planes.value, strict=True)), Fraction(0))
    for column, low, high in zip(planes.slope.T, lower, upper, strict=True):
        slope = sum((w * Fraction(float(s)) for w, s in zip(exact, column, strict=True)), Fraction(0))
        value += abs(slope) * (Fraction(high) - Fraction(low)) / 2
    return Fraction(float(most)), value


def test_terms_that_vanish_beside_a_large_one_are_counted() -> None:
    """They fall away one by one in the values, but not in the slopes."""
    many = 1 << 16
    value = np.array([-1.0, *np.full(many, 2.0**-54), 1 - 2.0**-39])
    slope = np.zeros((many + 2, 1))
    said, is_ = largest([-1.0], [1.0], LinearBounds(value, slope), np.ones(many + 2))
    assert 0 < is_ <= said


def test_weights_that_are_rounded_up_one_by_one_are_counted() -> None:
    """Of two planes of one claim: its total was rounded up by each weight of the second, that plane's own sum was not.

    Both planes are 0, so one input may violate, whatever the weights.
    """
    many, least = 1 << 17, 0.6 * 2.0**-53
    weights = (FarkasTerm(0, 0, 0, False, 0.5), *[FarkasTerm(0, 0, 1, False, least)] * many)
    node, none = Node(step=JointClosing(Joint(weights))), np.zeros((0, 1))
    box = Regions(np.zeros((1, 1)), np.ones((1, 1)), none, np.zeros((1, 0)), np.zeros((1, 0)))
    checker: Any = SimpleNamespace(bounder=SimpleNamespace(regions=box), first=0)
    leaf: Any = SimpleNamespace(at=0, node=node, left={0: {0: (0, 1)}})
    planes = _Scaled({(0, 0, 0, row, 0): row for row in range(2)}, np.zeros(2), np.zeros((2, 1)))
    (bound,) = _bounds(checker, [(leaf, Joint(weights), {})], planes, set())
    assert bound >= 1


@pytest.mark.parametrize("size", [2.0**-1074, 2.0**-1060, 2.0**-600, 1e-310])
def test_products_that_vanish_are_counted(size: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        planes = LinearBounds(-random.random(3) * size, random.normal(size=(3, 4)) * size)
        weight = (1 + random.random(3)) * 2.0 ** random.integers(-1074, 0, 3)
        said, is_ = largest([0.0] * 4, [1.0, 2.0, 3.0, 255.0], planes, weight)
        assert is_ <= said


@pytest.mark.parametrize("shift", [0, 300, 600, 700])
def test_small_outputs_and_small_weights_prove_nothing_that_is_false(shift: int) -> None:
    """Values of planes were rounded to the least number below 0, and their slopes to 0."""

    def shrunk(random: np.random.Generator, shape: Shape, size: tuple[int, ...]) -> list[ops.Op]:
        last = ops.Affine(np.eye(shape.classes) * 2.0**-shift, np.zeros(shape.classes))
        return [*random_layers(random, shape, size), last]

    asked = 0
    for seed in range(3):
        found = scene(
            seed, Shape(per_input=True, inputs=8, scale=0.9, places=((3, 3),), dtype="float64"), "real", shrunk
        )
        for record in [record for record in found.prove() if record.witness is not None]:
            (index,) = (int(number) for number in found.problem.selections[record.question.selection])
            options = found.problem.violations[record.question.violation].by_label[int(found.problem.labels[index])]
            for power in range(shift - 1084, shift - 1060, 3):
                named = [
                    (at, WeightedTerm(index, at, rows[0], 2.0 ** max(power, -1074))) for at, rows in enumerate(options)
                ]
                tree = Node(step=Conflicts(tuple(Conflict(((index, at),), Case((plane,))) for at, plane in named)))
                section = Section(found.claim(), found.sources.models["net"], found.header)
                section.open = {record.question}
                forged = replace(record, verdict=Verdict.CERTIFIED, reason=None, witness=None, tree=tree)
                with pytest.raises(CertificateError, match="VF5054"):
                    section.records([forged])
                asked += 1
    assert asked > 10
