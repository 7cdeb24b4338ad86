"""Numbers and forms: exact, widened only where they may be, and written as SMT-LIB reads them."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.smt.rational import NOTHING, SHORT_BITS, Form, combined, number, term, variable, widened
from verifluxa.smt.worker import answer

SOME = settings(max_examples=50, deadline=None, derandomize=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def holds(condition: str) -> bool:
    """Whether the solver finds a closed condition true."""
    replies = [
        answer({"text": f"(assert {text})", "names": [], "milliseconds": 60_000})["answer"]
        for text in (condition, f"(not {condition})")
    ]
    assert sorted(replies) == ["sat", "unsat"]
    return replies[0] == "sat"


@SOME
@given(FINITE)
def test_widened_numbers_are_short_and_not_below(value: float) -> None:
    wide = widened(value)
    assert wide >= Fraction(value)
    assert wide - Fraction(value) <= Fraction(abs(value)) / 2 ** (SHORT_BITS - 1)
    assert wide.numerator.bit_length() <= SHORT_BITS or wide.numerator % 2 ** (wide.numerator.bit_length() - 20) == 0


def test_what_is_short_stays_exactly_what_it_is() -> None:
    assert [widened(v) for v in (0.0, -0.0, 0.5, -3.0, 2.0**-1000)] == [
        0,
        0,
        Fraction(1, 2),
        -3,
        Fraction(1, 2**1000),
    ]


@pytest.mark.parametrize("value", [0.1, -0.1, 1e300, 5e-324, -7.0, 0.0, math.pi])
def test_the_solver_reads_the_very_float(value: float) -> None:
    """Between the float and its neighbours nothing is lost: `number` is not a decimal approximation."""
    exact, above = Fraction(value), Fraction(math.nextafter(value, math.inf))
    assert holds(f"(= {number(exact)} {number(exact)})")
    assert not holds(f"(= {number(exact)} {number(above)})")
    assert holds(f"(< {number(exact)} {number((exact + above) / 2)} {number(above)})")


def test_forms_add_up() -> None:
    x, y = variable("x"), variable("y")
    both = combined([(Fraction(2), x), (Fraction(-1), y.scaled(Fraction(3), Fraction(5)))], Fraction(1, 2))
    assert both == Form({"x": Fraction(2), "y": Fraction(-3)}, Fraction(-9, 2))
    assert combined([(Fraction(1), x), (Fraction(-1), x)], Fraction(0)) == NOTHING
    assert x.scaled(Fraction(0), Fraction(7)) == Form({}, Fraction(7))


def test_forms_as_terms() -> None:
    assert term(NOTHING) == "0.0"
    assert term(variable("x")) == "x"
    assert term(Form({"x": Fraction(-1, 3)}, Fraction(0))) == "(* (- (/ 1.0 3.0)) x)"
    assert term(Form({"x": Fraction(1), "y": Fraction(2)}, Fraction(-4))) == "(+ x (* 2.0 y) (- 4.0))"
