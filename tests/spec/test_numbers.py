"""Numbers stay exact."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.errors import SpecError
from verifluxa.spec.numbers import exact, percent, show


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Fraction(1, 10)),
        ("0.3081", Fraction(3081, 10000)),
        ("500_000", Fraction(500000)),
        ("1e-3", Fraction(1, 1000)),
        ("2.50E+2", Fraction(250)),
        ("1_0.0_5", Fraction(201, 20)),
    ],
)
def test_exact(text: str, value: Fraction) -> None:
    assert exact(text, "here") == value


@pytest.mark.parametrize(
    "text", ["", "1__0", "_1", "1_", "1.", ".5", "1e", "1e999", "0x10", "1" * 41, "1e00041", "nan"]
)
def test_refused(text: str) -> None:
    with pytest.raises(SpecError) as raised:
        exact(text, "here")
    assert raised.value.code == "VF1012"


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=6))
def test_what_is_shown_is_read_back(value: object) -> None:
    fraction = Fraction(str(value))
    assert exact(show(fraction), "here") == fraction


def test_rates_for_people() -> None:
    assert percent(Fraction(1, 20)) == "5 %"
    assert percent(Fraction(1, 8)) == "12.5 %"
    assert percent(Fraction(2, 3)) == "2/3"
    assert percent(Fraction(0)) == "0 %"
