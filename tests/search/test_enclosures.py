"""Exact evaluation where a constant is no rational, or the nearest double alone is kept of it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soundness.build import Ask, Family, digested, make_problem, mlp
from verifluxa.lower.stamp import stamp_placements
from verifluxa.question import AffineInputMap, Domain, Placement, Problem
from verifluxa.search.exact import Enclosure, exact_margins, high, inverse_root, largest, low, mapped, may_violate
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.triggers.stamp import Free, Patterns, StampTrigger

rationals = st.fractions(min_value=-100, max_value=100, max_denominator=1000)
PLENTY = settings(max_examples=60, deadline=None, derandomize=True)


@PLENTY
@given(st.lists(rationals, min_size=4, max_size=4), rationals, st.fractions(0, 1), st.fractions(0, 1))
def test_sums_and_products_hold_those_of_all_members(
    ends: list[Fraction], factor: Fraction, one: Fraction, two: Fraction
) -> None:
    first, second = (Enclosure(*sorted(pair)) for pair in (ends[:2], ends[2:]))
    a, b = (item.low + share * (item.high - item.low) for item, share in ((first, one), (second, two)))
    results = [
        (first + second, a + b),
        (first + factor, a + factor),
        (factor + first, a + factor),
        (first * second, a * b),
        (factor * first, a * factor),
        (mapped(lambda v: max(v, Fraction(0)), first), max(a, Fraction(0))),
        (largest([first, second, factor]), max(a, b, factor)),
    ]
    results += [(first / factor, a / factor)] if factor else []
    for found, wanted in results:
        assert low(found) <= wanted <= high(found)


@PLENTY
@given(st.fractions(min_value=Fraction(1, 10**40), max_value=10**40))
def test_a_root_is_enclosed_closely(square: Fraction) -> None:
    found = inverse_root(square)
    assert low(found) ** 2 * square <= 1 <= high(found) ** 2 * square
    assert high(found) - low(found) <= low(found) / 2**126
    assert inverse_root(square * square) == 1 / square


def _blend(stored: bool) -> Problem:
    """Class 1 where the blended pixel is at least 1; a third of a level of 1 is mixed into a pixel of 1."""
    graph = mlp((1, 1, 1), ([[0.0], [1.0]], [1.0, 0.0]))
    third = Fraction(1, 3)
    stamp = AffineInputMap(
        np.arange(1), np.array([float(1 - third)]), np.array([[float(third)]]), np.zeros(1), stored=stored
    )
    domain = Domain(np.zeros(1), np.ones(1), np.ones(1))
    return digested(make_problem(graph, [[1.0]], [0], Family((Placement((("at", 0),), stamp),), domain), Ask()))


def test_a_third_is_no_double() -> None:
    """Exactly the pixel stays 1, a tie, which counts against the claim; the two doubles add up to less."""
    one = np.ones(1)
    for stored, may in ((True, False), (False, True)):
        problem = _blend(stored)
        (question,) = problem.all_questions()
        assert may_violate(problem, question, one, np.array([0])) == [may]
        (margin,) = exact_margins(problem, question, one, np.array([0]))
        assert margin <= 0
        assert margin >= -Fraction(1, 2**48)


SPACE = ImageSpace("picture", 2, 2, 1, 0, 255)
QUARTER, THIRD = Fraction(1, 4), Fraction(1, 3)


def _trigger(verb: str, opacity: Fraction, pattern: tuple[Fraction, ...] = ()) -> StampTrigger:
    values = Patterns((pattern,), Fraction(0), Fraction(1), None) if pattern else Free(Fraction(0), Fraction(255), 1)
    return StampTrigger("t", "picture", verb, ((0, 0), (0, 1)), (((0, 0),),), values, opacities=(opacity,))


@pytest.mark.parametrize(
    ("trigger", "stored"),
    [
        (_trigger("replace", QUARTER), True),
        (_trigger("replace", THIRD), False),
        (_trigger("replace", Fraction(1, 2**60)), False),  # its complement has 60 digits
        (_trigger("add", Fraction(1), (QUARTER, QUARTER)), True),
        (_trigger("add", Fraction(1), (QUARTER, THIRD)), False),
    ],
    ids=str,
)
def test_a_stamp_knows_whether_its_numbers_are_those_of_the_spec(trigger: StampTrigger, stored: bool) -> None:
    (placement,) = stamp_placements(trigger, SPACE)
    assert placement.stamp.stored == stored
