"""Exact numbers and linear forms, and how SMT-LIB writes them. Every float is the rational that it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

SHORT_BITS = 20
"""Significant bits of bounds and radii: they may be widened, and short numbers keep the solver's pivots small."""


class Form(NamedTuple):
    """A linear form `sum of terms[name] * name + constant` over the query's variables."""

    terms: Mapping[str, Fraction]
    constant: Fraction

    def scaled(self, factor: Fraction, shift: Fraction = Fraction(0)) -> Form:
        """`factor * self + shift`."""
        terms = {name: factor * c for name, c in self.terms.items()} if factor else {}
        return Form(terms, factor * self.constant + shift)


NOTHING = Form({}, Fraction(0))


def variable(name: str) -> Form:
    """The form that is one variable."""
    return Form({name: Fraction(1)}, Fraction(0))


def combined(parts: Iterable[tuple[Fraction, Form]], constant: Fraction) -> Form:
    """`sum of factor * form + constant`."""
    terms: dict[str, Fraction] = {}
    for factor, form in parts:
        constant += factor * form.constant
        for name, coefficient in form.terms.items():
            terms[name] = terms.get(name, Fraction(0)) + factor * coefficient
    return Form({name: c for name, c in terms.items() if c}, constant)


def widened(value: float) -> Fraction:
    """A short rational at or above a float: `SHORT_BITS` significant bits.

    >>> widened(0.5), widened(-0.3) >= Fraction(-0.3)
    (Fraction(1, 2), True)
    """
    exact = Fraction(value)
    if not exact:
        return exact
    unit = Fraction(2) ** (math.frexp(value)[1] - SHORT_BITS)
    return math.ceil(exact / unit) * unit


def number(value: Fraction) -> str:
    """A rational as an SMT-LIB term of sort Real.

    >>> number(Fraction(-3, 4))
    '(- (/ 3.0 4.0))'
    """
    size = abs(value)
    text = f"{size.numerator}.0" if size.denominator == 1 else f"(/ {size.numerator}.0 {size.denominator}.0)"
    return f"(- {text})" if value < 0 else text


def term(form: Form) -> str:
    """A linear form as an SMT-LIB term of sort Real.

    >>> term(Form({"x": Fraction(2), "y": Fraction(1)}, Fraction(-1)))
    '(+ (* 2.0 x) y (- 1.0))'
    """
    parts = [name if c == 1 else f"(* {number(c)} {name})" for name, c in form.terms.items()]
    if form.constant or not parts:
        parts.append(number(form.constant))
    return parts[0] if len(parts) == 1 else f"(+ {' '.join(parts)})"
