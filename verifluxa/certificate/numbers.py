"""Numbers that matter, as strings: exact fractions, doubles in hex rounded outward, decimals for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

from verifluxa.certificate.document import Fields, Json
from verifluxa.documents import Form

DECIMAL_DIGITS = 6
HEX_FLOAT = Form("a double in hex such as 0x1.8p+1", r"-?0x[01](\.[0-9a-f]{1,13})?p[+-][0-9]{1,4}")
DECIMAL_FLOAT = Form("a decimal number", r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?")


@dataclass(frozen=True)
class Exact:
    """One end of an interval.

    Attributes:
        value: the exact fraction.
        up: whether the rounded forms are rounded up (an upper end) or down.
    """

    value: Fraction
    up: bool

    def to_json(self) -> dict[str, Json]:
        """`{"exact": "2/97", "hex": "0x1.51d07eae2f815p-6", "decimal": "0.020619"}`."""
        return {"exact": str(self.value), "hex": self._double().hex(), "decimal": self._decimal()}

    def _double(self) -> float:
        nearest = float(self.value)
        if self.up and Fraction(nearest) < self.value:
            return math.nextafter(nearest, math.inf)
        if not self.up and Fraction(nearest) > self.value:
            return math.nextafter(nearest, -math.inf)
        return nearest

    def _decimal(self) -> str:
        return rounded_decimal(self.value, self.up)


def parse_exact(fields: Fields, up: bool) -> Exact:
    """Reads an end of an interval; its rounded forms must be the ones that follow from the fraction.

    Raises:
        CertificateError: VF5005.
    """
    exact = Exact(fields.fraction("exact"), up)
    for key, expected in exact.to_json().items():
        if fields.text(key) != expected:
            fields.fail(key, f"{expected}, which follows from the exact fraction", fields.text(key))
    fields.close()
    return exact


def rounded_decimal(value: Fraction, up: bool, digits: int = DECIMAL_DIGITS) -> str:
    """The decimal with at most `digits` places, rounded up or down; trailing zeros dropped."""
    scaled = value * 10**digits
    whole = math.ceil(scaled) if up else math.floor(scaled)
    context = Context(prec=60, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    text = format(context.divide(Decimal(whole), Decimal(10**digits)), f".{digits}f")
    return text.rstrip("0").rstrip(".")


def float_text(value: float) -> str:
    """The shortest decimal that reads back as the same double.

    Raises:
        ValueError: for NaN and infinities, which no document carries.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in a document")
    text = repr(float(value))
    return text.removesuffix(".0")


def parse_float_text(text: Json) -> float | None:
    """The double that `float_text` wrote, or None when the value is nothing that it writes."""
    if not isinstance(text, str) or len(text) > 32 or not DECIMAL_FLOAT.matches(text):
        return None
    value = float(text)
    return value if math.isfinite(value) and float_text(value) == text else None


def parse_hex_float(text: Json) -> float | None:
    """The double that `float.hex` wrote, or None when the value is nothing that it writes."""
    if not isinstance(text, str) or len(text) > 32 or not HEX_FLOAT.matches(text):
        return None
    try:
        value = float.fromhex(text)
    except OverflowError:
        return None
    return value if value.hex() == text else None
