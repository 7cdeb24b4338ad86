"""Exact fractions, outward rounding, float strings."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.certificate.document import Fields
from verifluxa.certificate.numbers import (
    Exact,
    float_text,
    parse_exact,
    parse_float_text,
    parse_hex_float,
    rounded_decimal,
)
from verifluxa.errors import CertificateError

SHARES = st.fractions(0, 1, max_denominator=10**6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(SHARES, st.booleans())
def test_rounded_forms_enclose_the_fraction(value: Fraction, up: bool) -> None:
    exact = Exact(value, up)
    json = exact.to_json()
    rounded = [Fraction(float.fromhex(str(json["hex"]))), Fraction(str(json["decimal"]))]
    assert all(item >= value if up else item <= value for item in rounded)
    assert abs(rounded[0] - value) <= Fraction(2, 2**53)
    assert abs(rounded[1] - value) < Fraction(1, 10**6)
    assert parse_exact(Fields(json, "bound"), up) == exact


def test_a_rounded_form_that_does_not_follow_is_refused() -> None:
    json = Exact(Fraction(2, 97), up=True).to_json()
    for key, value in (("hex", "0x1.0p-6"), ("decimal", "0.02"), ("exact", "4/194"), ("exact", "-1/3")):
        with pytest.raises(CertificateError) as caught:
            parse_exact(Fields({**json, key: value}, "bound"), up=True)
        assert caught.value.code == "VF5005"


def test_decimals() -> None:
    assert rounded_decimal(Fraction(2, 97), up=True) == "0.020619"
    assert rounded_decimal(Fraction(2, 97), up=False) == "0.020618"
    assert rounded_decimal(Fraction(1), up=True) == "1"
    assert rounded_decimal(Fraction(0), up=False) == "0"
    assert rounded_decimal(Fraction(1, 10**9), up=True) == "0.000001"


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float_strings_round_trip_exactly(value: float) -> None:
    decimal, hexadecimal = parse_float_text(float_text(value)), parse_hex_float(value.hex())
    for read in (decimal, hexadecimal):
        assert read == value
        assert read is not None
        assert math.copysign(1, read) == math.copysign(1, value)


@pytest.mark.parametrize(
    "text", ["1.0", "1e5", "0.10", "+1", " 1", "1_0", "nan", "inf", "1e999", "", "0x1", 1.5, None, "١"]
)
def test_other_float_strings_are_refused(text: str) -> None:
    assert parse_float_text(text) is None


@pytest.mark.parametrize("text", ["0x2.0p+0", "0x1.8p+9999", "1.5", "0x1p0", "inf", "nan", "0X1.8P+1", 2, "0x1.00p+0"])
def test_other_hex_strings_are_refused(text: str) -> None:
    assert parse_hex_float(text) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_document_carries_nan(value: float) -> None:
    with pytest.raises(ValueError, match="no place"):
        float_text(value)
